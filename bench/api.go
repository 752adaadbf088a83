package bench

import (
	"context"
	"errors"
	"io"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index/kv"
	"qkv/net/client"
)

// API is a store with the operations of the special loads; each call waits for its result.
type API interface {
	Store
	// Swap writes a key if its revision is unchanged (0: absent), and reports whether it did.
	Swap(ctx context.Context, key, value []byte, revision int64) (bool, error)
	// Read reads a range, at an older revision if one is given.
	Read(ctx context.Context, q Read) (Page, error)
	// Delete deletes a range at once, and returns the number of deleted keys.
	Delete(ctx context.Context, from, to []byte) (int64, error)
	// Watch watches a range from a revision on, 0 being now. next waits for the next events and returns their number.
	Watch(ctx context.Context, from, to []byte, revision int64) (next func() (int, error), err error)
	Grant(ctx context.Context, seconds int64) (lease int64, err error)
	Revoke(ctx context.Context, lease int64) error
	PutLease(ctx context.Context, key, value []byte, lease int64) error
	Compact(ctx context.Context, revision int64) error
	// Maintain does the maintenance that operators must do occasionally: etcd's defragmentation. It does nothing for a store without
	// maintenance.
	Maintain(ctx context.Context) error
}

// Read is a request to read a range.
type Read struct {
	From, To     []byte // To nil: only From
	Limit        int64
	Revision     int64
	Serializable bool
	CountOnly    bool
}

// Page is the result of a Read.
type Page struct {
	Count, Revision int64
	Keys            int
	Last            []byte
	LastRevision    int64 // of the last key's newest change
	More            bool
}

// Swap implements API.
func (n native) Swap(ctx context.Context, key, value []byte, revision int64) (bool, error) {
	r, err := n.Txn(ctx, kv.Txn{
		Compares: []kv.Compare{{Key: key, Target: kv.CompareMod, Number: revision}},
		Success:  []kv.Op{{Put: &kv.Put{Key: key, Value: value}}},
	})
	return r.Succeeded, err
}

// Read implements API.
func (n native) Read(ctx context.Context, q Read) (Page, error) {
	r, err := n.Range(ctx, kv.Range{Key: q.From, End: q.To, Limit: q.Limit, Revision: q.Revision, Serializable: q.Serializable, CountOnly: q.CountOnly})
	if err != nil {
		return Page{}, err
	}
	p := Page{Count: r.Count, Revision: r.Revision, Keys: len(r.KVs), More: r.More}
	if p.Keys > 0 {
		last := r.KVs[p.Keys-1]
		p.Last, p.LastRevision = last.Key, last.ModRevision
	}
	return p, nil
}

// Delete implements API.
func (n native) Delete(ctx context.Context, from, to []byte) (int64, error) {
	w, err := n.DeleteRange(ctx, from, to)
	return w.Deleted, err
}

// Watch implements API.
func (n native) Watch(ctx context.Context, from, to []byte, revision int64) (func() (int, error), error) {
	w, err := n.Client.Watch(ctx, kv.Watch{Key: from, End: to, Revision: revision})
	if err != nil {
		return nil, err
	}
	return func() (int, error) {
		r, err := w.Next()
		return len(r.Events), err
	}, nil
}

// Grant implements API.
func (n native) Grant(ctx context.Context, seconds int64) (int64, error) {
	l, err := n.Client.Grant(ctx, time.Duration(seconds)*time.Second, client.GrantOptions{})
	return l.ID, err
}

// Revoke implements API.
func (n native) Revoke(ctx context.Context, lease int64) error {
	_, err := n.Client.Revoke(ctx, lease)
	return err
}

// PutLease implements API.
func (n native) PutLease(ctx context.Context, key, value []byte, lease int64) error {
	_, err := n.PutWith(ctx, kv.Put{Key: key, Value: value, Lease: lease})
	return err
}

// Maintain implements API: qkv needs no maintenance.
func (n native) Maintain(context.Context) error { return nil }

// Swap implements API.
func (e *Etcd) Swap(ctx context.Context, key, value []byte, revision int64) (bool, error) {
	r, err := e.kv.Txn(ctx, &etcdserverpb.TxnRequest{
		Compare: []*etcdserverpb.Compare{{
			Key: key, Target: etcdserverpb.Compare_MOD, Result: etcdserverpb.Compare_EQUAL, TargetUnion: &etcdserverpb.Compare_ModRevision{ModRevision: revision},
		}},
		Success: []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestPut{RequestPut: &etcdserverpb.PutRequest{Key: key, Value: value}}}},
	})
	return r.GetSucceeded(), err
}

// Read implements API.
func (e *Etcd) Read(ctx context.Context, q Read) (Page, error) {
	r, err := e.kv.Range(ctx, &etcdserverpb.RangeRequest{
		Key: q.From, RangeEnd: q.To, Limit: q.Limit, Revision: q.Revision, Serializable: q.Serializable, CountOnly: q.CountOnly,
	}, largeAnswers)
	if err != nil {
		return Page{}, err
	}
	p := Page{Count: r.Count, Revision: r.Header.Revision, Keys: len(r.Kvs), More: r.More}
	if p.Keys > 0 {
		last := r.Kvs[p.Keys-1]
		p.Last, p.LastRevision = last.Key, last.ModRevision
	}
	return p, nil
}

// Delete implements API.
func (e *Etcd) Delete(ctx context.Context, from, to []byte) (int64, error) {
	r, err := e.kv.DeleteRange(ctx, &etcdserverpb.DeleteRangeRequest{Key: from, RangeEnd: to})
	return r.GetDeleted(), err
}

// Watch implements API, on a stream of its own.
func (e *Etcd) Watch(ctx context.Context, from, to []byte, revision int64) (func() (int, error), error) {
	stream, err := etcdserverpb.NewWatchClient(e.connection).Watch(ctx, largeAnswers)
	if err != nil {
		return nil, err
	}
	create := &etcdserverpb.WatchCreateRequest{Key: from, RangeEnd: to, StartRevision: revision}
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

// Grant implements API.
func (e *Etcd) Grant(ctx context.Context, seconds int64) (int64, error) {
	r, err := etcdserverpb.NewLeaseClient(e.connection).LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{TTL: seconds})
	return r.GetID(), err
}

// Revoke implements API.
func (e *Etcd) Revoke(ctx context.Context, lease int64) error {
	_, err := etcdserverpb.NewLeaseClient(e.connection).LeaseRevoke(ctx, &etcdserverpb.LeaseRevokeRequest{ID: lease})
	return err
}

// PutLease implements API.
func (e *Etcd) PutLease(ctx context.Context, key, value []byte, lease int64) error {
	_, err := e.kv.Put(ctx, &etcdserverpb.PutRequest{Key: key, Value: value, Lease: lease})
	return err
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
