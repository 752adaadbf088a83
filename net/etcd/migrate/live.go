package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
)

// Live builds a state from a running etcd, outside of any cluster, and follows the etcd until the cutover.
//
//	load the source's snapshot ──► follow its watch and compactions ──► cut over: users, leases, hash
//
// All progress is in the memory of this process: a new process begins again. After a lost connection, Live continues from the newest
// complete revision.
type Live struct {
	From    *Group
	WorkDir string       // for the snapshot
	State   *index.State // must be empty
	// Clock returns the present, in nanoseconds since 1970.
	Clock func() int64
	// Hash is HashKV of a state, as etcd computes it.
	Hash func(ctx context.Context, v *index.View, revision int64) (uint32, error)
	// CutOver receives the order to cut over.
	CutOver <-chan struct{}
	Timeout time.Duration // for the first answer; later ones are awaited without a timeout
	// Say reports progress in words, Bar the total number of records and how many more were loaded.
	Say func(format string, values ...any)
	Bar func(total, more int)

	// Auth are the users and roles of the source, and Revision is the source's newest revision, after Run.
	Auth     index.AuthContent
	Revision int64

	source   uint64
	reached  bool          // the source has answered
	imported *index.Import // nil until the snapshot is loaded
	event    index.Position
	ordered  bool      // the order to cut over has come
	reported time.Time // when the last report that the cutover waits was made
	err      error     // why the last attempt ended
}

const (
	// pollLeast is the interval of polls of compactions, and pollCutOver that of attempts to cut over. If a poll takes longer, the interval
	// is pollTimes its duration.
	pollLeast   = time.Second
	pollCutOver = 200 * time.Millisecond
	pollTimes   = 10
	// retryPause is the backoff before a call that no member answered is retried.
	retryPause = 200 * time.Millisecond
	// reportPause is the interval of reports that the cutover waits.
	reportPause = 5 * time.Second
	// leaseCalls is how many TTLs of leases are queried concurrently.
	leaseCalls = 32
)

// Run follows until it is interrupted, or returns nil after the cutover: the state then equals the source.
func (l *Live) Run(ctx context.Context) error {
	begun := time.Now()
	for {
		err := explained(l.stage(ctx))
		if err == nil || ctx.Err() != nil || !retryable(err) || !l.reached && time.Since(begun) >= l.Timeout {
			return err
		}
		if l.err == nil || l.err.Error() != err.Error() {
			if l.reached {
				l.Say("trying again: %v", err)
			} else {
				l.Say("no answer yet, trying for %v: %v", l.Timeout, err)
			}
		}
		l.err = err
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// stage loads the snapshot unless it is loaded, and follows.
func (l *Live) stage(ctx context.Context) error {
	id, _, err := l.Newest(ctx)
	switch {
	case err != nil:
		return err
	case l.source != 0 && l.source != id:
		return fmt.Errorf("%s is of cluster %x, and another member of it was of %x: are the endpoints of one cluster?", l.From.Name, id, l.source)
	}
	l.source, l.reached = id, true
	if l.imported == nil {
		if err := l.load(ctx); err != nil {
			return err
		}
	}
	return l.follow(ctx)
}

// Newest returns the source's cluster id and newest revision.
func (l *Live) Newest(ctx context.Context) (id uint64, revision int64, err error) {
	err = l.From.do(ctx, func(ctx context.Context, s *Source) error {
		a, err := pb.NewKVClient(s.conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, CountOnly: true})
		if err == nil {
			id, revision = a.Header.ClusterId, a.Header.Revision
		}
		return err
	})
	return id, revision, err
}

// snapshot takes a snapshot of the source, and opens it. The function after it closes and removes the file.
func (l *Live) snapshot(ctx context.Context) (*File, func() error, error) {
	path := filepath.Join(l.WorkDir, fmt.Sprintf("etcd-%016x.db", l.source))
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err // of a killed process
	}
	if err := os.MkdirAll(l.WorkDir, 0o700); err != nil {
		return nil, nil, err
	}
	if err := l.From.Save(ctx, path, nil); err != nil {
		return nil, nil, err
	}
	file, err := OpenFile(path, false)
	if err != nil {
		return nil, nil, err
	}
	return file, func() error { return errors.Join(file.Close(), os.Remove(path)) }, nil
}

// load builds the state from a snapshot.
func (l *Live) load(ctx context.Context) error {
	l.Say("taking a snapshot of %s", l.From.Name)
	file, done, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	if err = errors.Join(file.checkFollowed(), file.Check(ctx, nil)); err == nil {
		for _, note := range file.Notes {
			l.Say("note: %s", note)
		}
		l.Bar(int(file.Records), 0)
		l.imported, err = file.Load(ctx, l.State, l.Clock, func() { l.Bar(int(file.Records), 1) })
	}
	if err == nil {
		l.Auth = file.Auth
		l.Say("loaded %d records up to revision %d, compacted %d", file.Records, file.Revision, file.Compacted)
	}
	return errors.Join(err, done())
}

// follow adds the events of the source's watch, until a failure or the cutover.
func (l *Live) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.imported.Discard() // the part of a revision whose watch failed: it comes again
	l.event = index.Position{}
	w := l.watch(ctx, l.imported.View().Revision()+1)
	made, open := <-w.responses
	if !open {
		return w.err
	}
	l.Say("following %s from revision %d on; it is at %d", l.From.Name, l.imported.View().Revision()+1, made.Header.GetRevision())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case m, open := <-w.responses:
			if !open {
				return w.err
			}
			if err := l.takeEvents(m); err != nil {
				return err
			}
		case <-l.CutOver:
			l.ordered = true
			timer.Reset(0)
		case <-timer.C:
			begun := time.Now()
			done, err := l.poll(ctx)
			if done || err != nil {
				return err
			}
			next := max(pollLeast, pollTimes*time.Since(begun))
			if l.ordered {
				next = pollCutOver
			}
			timer.Reset(next)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poll adopts compactions, which do not appear in a watch. After the order to cut over it does that if this side has the source's newest
// revision, and reports whether it has.
func (l *Live) poll(ctx context.Context) (done bool, err error) {
	v := l.imported.View()
	at, err := l.compacted(ctx, v.Compacted())
	if err == nil && at > v.Compacted() && at <= v.Revision() {
		err = l.imported.Compact(at)
	}
	if err != nil || !l.ordered {
		return false, err
	}
	_, newest, err := l.Newest(ctx)
	switch {
	case err != nil:
		return false, err
	case newest == v.Revision():
		return l.cutOver(ctx, newest)
	}
	l.wait("%s is at revision %d, and this side at %d: stop all writes there", l.From.Name, newest, v.Revision())
	return false, nil
}

// wait reports why the cutover waits, from time to time.
func (l *Live) wait(format string, values ...any) {
	if time.Since(l.reported) > reportPause {
		l.reported = time.Now()
		l.Say("the cutover waits: "+format, values...)
	}
}

// watching is a watch of all keys of the source.
type watching struct {
	responses chan *pb.WatchResponse
	err       error // valid after responses is closed
}

// watch watches the source from a revision on.
func (l *Live) watch(ctx context.Context, from int64) *watching {
	w := &watching{responses: make(chan *pb.WatchResponse)}
	s := l.From.all[l.From.current]
	go func() {
		defer close(w.responses)
		if w.err = l.receive(ctx, s, from, w.responses); w.err != nil && ctx.Err() == nil {
			w.err = fmt.Errorf("watch of %s from revision %d on: %w", s.Endpoint, from, w.err)
		}
	}()
	return w
}

func (l *Live) receive(ctx context.Context, s *Source, from int64, to chan<- *pb.WatchResponse) error {
	stream, err := pb.NewWatchClient(s.conn).Watch(metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader))
	if err != nil {
		return err
	}
	err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: from, Fragment: true,
	}}})
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case m.CompactRevision != 0:
			return fmt.Errorf("etcd compacted its history up to revision %d, and the changes before it are lost; start the migration again", m.CompactRevision)
		case m.Canceled:
			return fmt.Errorf("%w: %s", errAgain, m.CancelReason)
		}
		select {
		case to <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takeEvents adds the events of a watch. Each revision is complete, in one message or in its fragments. The events of a revision are
// numbered in order.
func (l *Live) takeEvents(m *pb.WatchResponse) error {
	for _, e := range m.Events {
		r := &index.SourceRecord{Key: e.Kv.Key}
		if r.Mod = e.Kv.ModRevision; r.Mod != l.event.Revision {
			l.event = index.Position{Revision: r.Mod, Sub: -1}
		}
		l.event.Sub++
		r.Sub = l.event.Sub
		if r.Tombstone = e.Type == mvccpb.Event_DELETE; !r.Tombstone {
			r.Create, r.Version.Version, r.Lease, r.Value = e.Kv.CreateRevision, e.Kv.Version, e.Kv.Lease, e.Kv.Value
		}
		if err := l.imported.Add(r); err != nil {
			return err
		}
	}
	if m.Fragment || len(m.Events) == 0 {
		return nil
	}
	return l.imported.End()
}

// compacted returns the source's compacted revision, if it has advanced beyond known. In that case known is no longer readable, and a
// watch from it is refused with the compacted revision.
func (l *Live) compacted(ctx context.Context, known int64) (revision int64, err error) {
	known = max(known, 1)
	err = l.From.do(ctx, func(ctx context.Context, s *Source) error {
		_, err := pb.NewKVClient(s.conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, Revision: known})
		if err == nil || status.Convert(err).Message() != status.Convert(rpctypes.ErrGRPCCompacted).Message() {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := pb.NewWatchClient(s.conn).Watch(ctx)
		if err == nil {
			err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte{0}, StartRevision: known}}})
		}
		for err == nil {
			var m *pb.WatchResponse
			if m, err = stream.Recv(); err != nil {
				break
			}
			if m.Canceled {
				revision = m.CompactRevision
				return nil
			}
		}
		return err
	})
	return revision, err
}

// leaseIDs returns the ids of the source's leases, ascending.
func (l *Live) leaseIDs(ctx context.Context) (ids []int64, err error) {
	err = l.From.do(ctx, func(ctx context.Context, s *Source) error {
		a, err := pb.NewLeaseClient(s.conn).LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
		if err != nil {
			return err
		}
		ids = ids[:0]
		for _, one := range a.Leases {
			ids = append(ids, one.ID)
		}
		return nil
	})
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// leases returns the leases with these ids that exist. Each TTL is queried: a lease may have been revoked and granted anew with its id.
func (l *Live) leases(ctx context.Context, ids []int64) ([]kv.Lease, error) {
	s := l.From.all[l.From.current]
	all, failed := make([]kv.Lease, len(ids)), make(chan error, leaseCalls)
	var next atomic.Int64
	for range leaseCalls {
		go func() {
			var err error
			for i := next.Add(1) - 1; err == nil && i < int64(len(ids)); i = next.Add(1) - 1 {
				all[i].ID = ids[i]
				all[i].TTL, err = s.ttl(ctx, ids[i])
			}
			failed <- err
		}()
	}
	var err error
	for range leaseCalls {
		if one := <-failed; one != nil {
			err = fmt.Errorf("%s: %w", l.From.at(s), one)
		}
	}
	return slices.DeleteFunc(all, func(one kv.Lease) bool { return one.TTL == 0 }), err
}

// ttl returns a lease's TTL, or 0 if the lease does not exist.
func (s *Source) ttl(ctx context.Context, id int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := pb.NewLeaseClient(s.conn).LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id})
	switch {
	case err != nil && status.Convert(err).Message() == status.Convert(rpctypes.ErrGRPCLeaseNotFound).Message():
		return 0, nil
	case err != nil:
		return 0, err
	case a.TTL < 0:
		return 0, nil
	}
	return max(a.GrantedTTL, 0), nil
}

// users adopts the source's users if they have changed since the snapshot, by another snapshot: no request returns the passwords' hashes.
// An etcd before 3.5 does not say whether they have changed; the snapshot's count then.
func (l *Live) users(ctx context.Context) error {
	var a *pb.AuthStatusResponse
	err := l.From.do(ctx, func(ctx context.Context, s *Source) (err error) {
		a, err = pb.NewAuthClient(s.conn).AuthStatus(ctx, &pb.AuthStatusRequest{})
		return err
	})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil
	case err != nil:
		return err
	case a.Enabled:
		return errSourceAuth
	case max(a.AuthRevision, 1) == max(l.Auth.Revision, 1):
		return nil
	}
	l.Say("users or roles of %s have changed: taking another snapshot for them", l.From.Name)
	file, done, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	p := problems{file: file.Path}
	for _, e := range file.Auth.Check() {
		p.add("%v", e)
	}
	l.Auth = file.Auth
	return errors.Join(p.err(), done())
}

// cutOver reports whether both sides have the same content at a revision, which is the source's newest.
func (l *Live) cutOver(ctx context.Context, revision int64) (done bool, err error) {
	ids, err := l.leaseIDs(ctx)
	if err != nil {
		return false, err
	}
	all, err := l.leases(ctx, ids)
	if err != nil {
		return false, err
	}
	if err := l.imported.SetLeases(all); err != nil {
		if e, ok := errors.AsType[*kv.Error](err); ok && e.Code == kv.LeaseNotFound { // the lease may have expired now
			l.wait("%v", err)
			return false, nil
		}
		return false, err
	}
	v := l.imported.View()
	var here uint32
	hashed := make(chan error, 1)
	go func() {
		var err error
		here, err = l.Hash(ctx, v, revision)
		hashed <- err
	}()
	old, err := l.hash(ctx)
	if err := errors.Join(err, <-hashed); err != nil {
		return false, err
	}
	if old.Header.Revision != revision || max(old.CompactRevision, 0) > v.Compacted() {
		return false, nil // written to or compacted meanwhile: once more
	}
	if here != old.Hash || max(old.CompactRevision, 0) != v.Compacted() {
		return false, fmt.Errorf("at revision %d, %s has the hash %d, compacted %d, and this side has %d, compacted %d: one of them is damaged; nothing was written",
			revision, l.From.Name, old.Hash, old.CompactRevision, here, v.Compacted())
	}
	again, err := l.leaseIDs(ctx)
	if err != nil || !slices.Equal(again, ids) {
		return false, err
	}
	if err := l.users(ctx); err != nil {
		return false, err
	}
	if _, newest, err := l.Newest(ctx); err != nil || newest != revision {
		return false, err
	}
	l.Revision = revision
	l.Say("the hash is %d on both sides at revision %d, compacted %d, with %d leases", here, revision, v.Compacted(), len(all))
	return true, nil
}

// hash returns the source's HashKV at its newest revision.
func (l *Live) hash(ctx context.Context) (*pb.HashKVResponse, error) {
	s := l.From.all[l.From.current]
	// The duration depends on the amount of data: the usual timeout of a call does not apply.
	a, err := pb.NewMaintenanceClient(s.conn).HashKV(ctx, &pb.HashKVRequest{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.From.at(s), err)
	}
	return a, nil
}
