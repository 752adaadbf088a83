package bench

import (
	"context"
	"errors"
	"io"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index/kv"
)

// API is a store with the operations of the special loads; each call waits for its result.
type API interface {
	Store
	// Read reads a range, or one key if to is nil.
	Read(ctx context.Context, from, to []byte) (Page, error)
	// Delete deletes a range at once, and returns the number of deleted keys.
	Delete(ctx context.Context, from, to []byte) (int64, error)
	// Watch watches a range from now on. next waits for the next events and returns their number.
	Watch(ctx context.Context, from, to []byte) (next func() (int, error), err error)
	Compact(ctx context.Context, revision int64) error
	// Maintain does the maintenance that operators must do occasionally: etcd's defragmentation. It does nothing for a store without
	// maintenance.
	Maintain(ctx context.Context) error
}

// Page is the result of a Read.
type Page struct {
	Keys     int
	Revision int64
}

// Read implements API.
func (n native) Read(ctx context.Context, from, to []byte) (Page, error) {
	r, err := n.Range(ctx, kv.Range{Key: from, End: to})
	return Page{Keys: len(r.KVs), Revision: r.Revision}, err
}

// Delete implements API.
func (n native) Delete(ctx context.Context, from, to []byte) (int64, error) {
	w, err := n.DeleteRange(ctx, from, to)
	return w.Deleted, err
}

// Watch implements API.
func (n native) Watch(ctx context.Context, from, to []byte) (func() (int, error), error) {
	w, err := n.Client.Watch(ctx, kv.Watch{Key: from, End: to})
	if err != nil {
		return nil, err
	}
	return func() (int, error) {
		r, err := w.Next()
		return len(r.Events), err
	}, nil
}

// Maintain implements API: qkv needs no maintenance.
func (n native) Maintain(context.Context) error { return nil }

// Read implements API.
func (e *Etcd) Read(ctx context.Context, from, to []byte) (Page, error) {
	r, err := e.kv.Range(ctx, &etcdserverpb.RangeRequest{Key: from, RangeEnd: to}, largeAnswers)
	return Page{Keys: len(r.GetKvs()), Revision: r.GetHeader().GetRevision()}, err
}

// Delete implements API.
func (e *Etcd) Delete(ctx context.Context, from, to []byte) (int64, error) {
	r, err := e.kv.DeleteRange(ctx, &etcdserverpb.DeleteRangeRequest{Key: from, RangeEnd: to})
	return r.GetDeleted(), err
}

// Watch implements API, on a stream of its own.
func (e *Etcd) Watch(ctx context.Context, from, to []byte) (func() (int, error), error) {
	stream, err := etcdserverpb.NewWatchClient(e.connection).Watch(ctx, largeAnswers)
	if err != nil {
		return nil, err
	}
	create := &etcdserverpb.WatchCreateRequest{Key: from, RangeEnd: to}
	if err := stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return nil, err
	}
	created, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if !created.Created || created.Canceled {
		return nil, errors.New("the watch was not created: " + created.CancelReason)
	}
	return func() (int, error) {
		for {
			r, err := stream.Recv()
			switch {
			case err != nil:
				return 0, err
			case r.Canceled:
				return 0, errors.New("the watch was cancelled: " + r.CancelReason)
			case len(r.Events) > 0:
				return len(r.Events), nil
			}
		}
	}, nil
}

// Compact implements API.
func (e *Etcd) Compact(ctx context.Context, revision int64) error {
	_, err := e.kv.Compact(ctx, &etcdserverpb.CompactionRequest{Revision: revision})
	return err
}

// Maintain implements API: a defragmentation, and a snapshot read to its end.
func (e *Etcd) Maintain(ctx context.Context) error {
	m := etcdserverpb.NewMaintenanceClient(e.connection)
	if _, err := m.Defragment(ctx, &etcdserverpb.DefragmentRequest{}); err != nil {
		return err
	}
	stream, err := m.Snapshot(ctx, &etcdserverpb.SnapshotRequest{}, largeAnswers)
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
