package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
)

// Live makes a cluster follow a running etcd.
//
//	begin ──► load the source's snapshot ──► follow its watch, leases and compactions ──► cut over
//
// The progress is stored only in the cluster: each stage first queries it. An interrupted run, by a kill or a lost member, therefore
// resumes in the same way. Two concurrent runs delay each other, without harm.
type Live struct {
	From, To *Group
	WorkDir  string // for the snapshot
	CutOver  bool
	Timeout  time.Duration // for the first answers of both clusters; later ones are awaited without a timeout
	// Say reports progress in words, Bar the total number of records and how many more were adopted.
	Say func(format string, values ...any)
	Bar func(total, more int)

	source  uint64
	reached bool            // both have answered
	known   map[int64]int64 // TTLs of the source's leases that the cluster has
	// seen are leases that the cluster may have and the source does not: leases of records that are absent from known, and removed ones.
	// Each stays here while it may have keys: until the cluster reaches the noted revision, if any.
	seen map[int64]int64
	told time.Time // when the last report about writes at the source was made
	err  error     // why the last attempt restarted from the beginning
}

const (
	// pollLeast is the interval of lease polls. If a poll takes longer, the interval is pollTimes its duration.
	pollLeast = time.Second
	pollTimes = 10
	// retryPause is the backoff before a call that no member answered is retried.
	retryPause = 200 * time.Millisecond
	// tellPause is the interval of reports that the source is still written to.
	tellPause = 5 * time.Second
	// leasesFew is how many leases are sent one by one.
	leasesFew = 256
)

// ErrEnded reports that the cluster no longer follows: another command has cut it over.
var ErrEnded = errors.New("the cluster does not follow any more: it was cut over")

// Run follows until it is interrupted, or cut over.
func (l *Live) Run(ctx context.Context) error {
	begun := time.Now()
	for {
		err := l.stage(ctx)
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

// stage continues from the cluster's progress.
func (l *Live) stage(ctx context.Context) error {
	id, revision, err := l.from(ctx)
	if err != nil {
		return err
	}
	if l.source != 0 && l.source != id {
		return fmt.Errorf("%s is of cluster %x, and another member of it was of %x: are the endpoints of one cluster?", l.From.Name, id, l.source)
	}
	l.source = id
	p, err := l.To.progress(ctx)
	l.reached = l.reached || err == nil
	switch {
	case err != nil:
		return err
	case p.FollowStatus == nil && l.known != nil:
		return ErrEnded
	case p.FollowStatus == nil && p.Revision != 1:
		return fmt.Errorf("%s is at revision %d and follows nobody: only a cluster to which nobody has written can take over another one", l.To.Name, p.Revision)
	case p.FollowStatus != nil && p.Source != id:
		return fmt.Errorf("%s follows the etcd cluster %x (%s), and %s is of cluster %x", l.To.Name, p.Source, p.Name, l.From.Name, id)
	case p.FollowStatus == nil || !p.Loaded:
		if err := l.load(ctx, p); err != nil {
			return err
		}
		if p, err = l.To.progress(ctx); err != nil {
			return err
		}
	}
	if p.FollowStatus == nil {
		return ErrEnded
	}
	if l.known == nil {
		l.Say("following %s from revision %d on; it is at %d", l.From.Name, p.Revision+1, revision)
	}
	return l.follow(ctx, p)
}

// from returns the source's cluster id and newest revision.
func (l *Live) from(ctx context.Context) (id uint64, revision int64, err error) {
	err = l.From.do(ctx, func(ctx context.Context, s *Source) error {
		a, err := pb.NewKVClient(s.conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, CountOnly: true})
		if err == nil {
			id, revision = a.Header.ClusterId, a.Header.Revision
		}
		return explained(err)
	})
	return id, revision, err
}

func (l *Live) path() string { return filepath.Join(l.WorkDir, fmt.Sprintf("etcd-%016x.db", l.source)) }

// open opens an existing snapshot, or takes one.
func (l *Live) open(ctx context.Context, p progress) (*File, error) {
	path := l.path()
	file, err := OpenFile(path, false)
	begun := p.FollowStatus != nil && p.At != index.Position{}
	switch {
	case err == nil && p.FollowStatus != nil:
		if file.Compacted == p.Inherited {
			return file, nil
		}
		_ = file.Close()
	case err == nil: // from an earlier attempt that adopted nothing
		_ = file.Close()
	}
	if begun {
		return nil, fmt.Errorf("%s has a part of %s, and the snapshot that it is of, %s, is not there any more: run this on the host where it began, or with a new cluster", l.To.Name, l.From.Name, path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(l.WorkDir, 0o700); err != nil {
		return nil, err
	}
	l.Say("taking a snapshot of %s", l.From.Name)
	if err := l.From.Save(ctx, path, nil); err != nil {
		return nil, err
	}
	if file, err = OpenFile(path, false); err != nil {
		return nil, err
	}
	if p.FollowStatus != nil && file.Compacted != p.Inherited {
		return nil, errors.Join(file.Close(), fmt.Errorf("%s has begun with %s when that was compacted up to %d, and now it is to %d: run it with a new cluster", l.To.Name, l.From.Name, p.Inherited, file.Compacted))
	}
	return file, nil
}

// load adopts a snapshot.
func (l *Live) load(ctx context.Context, p progress) error {
	file, err := l.open(ctx, p)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := errors.Join(file.checkFollowed(), file.Check(ctx, nil)); err != nil {
		return err
	}
	take := func(command []byte) error { return l.To.take(ctx, command) }
	at := index.Position{}
	if p.FollowStatus == nil {
		for _, note := range file.Notes {
			l.Say("note: %s", note)
		}
		if users, roles := len(file.Auth.Users), len(file.Auth.Roles); users+roles > 0 {
			l.Say("note: %d users and %d roles are left behind: authentication is not enabled at the source", users, roles)
		}
		if err := take(index.AppendFollowBegin(nil, l.source, l.From.Name, file.Compacted)); err != nil {
			return err
		}
	} else {
		at = p.At
	}
	l.Bar(int(file.Records), 0)
	feed := NewFeed(l.source, at, take)
	err = file.Each(ctx, at, func(r *index.FollowedRecord) error {
		l.Bar(int(file.Records), 1)
		return feed.Add(r)
	})
	if err == nil {
		err = feed.End()
	}
	if err == nil {
		err = SendLeases(l.source, file.Leases, take)
	}
	if err == nil {
		err = take(index.AppendFollowLoaded(nil, l.source, file.Revision))
	}
	if err != nil {
		return err
	}
	l.Say("loaded %d records up to revision %d, compacted %d, and %d leases", file.Records, file.Revision, file.Compacted, len(file.Leases))
	return os.Remove(file.Path)
}

// follow adopts the events of the source's watch, until a failure or the cutover.
func (l *Live) follow(ctx context.Context, p progress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.known, l.seen = map[int64]int64{}, map[int64]int64{}
	take := func(command []byte) error { return l.To.take(ctx, command) }
	if err := l.allLeases(ctx, take); err != nil {
		return err
	}
	w := l.watch(ctx, p)
	feed := NewFeed(l.source, p.At, take)
	revision, compacted := p.Revision, p.Compacted
	var poll time.Duration
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case m, open := <-w.responses:
			if !open {
				return w.err
			}
			if err := l.takeEvents(feed, m, &revision); err != nil {
				return err
			}
		case <-timer.C:
			begun := time.Now()
			newest, err := l.poll(ctx, take, revision, &compacted)
			if err != nil {
				return err
			}
			if !l.CutOver { // another run may have done it
				if p, err := l.To.progress(ctx); err != nil || p.FollowStatus == nil {
					return cmp.Or(err, ErrEnded)
				}
			}
			if l.CutOver && newest == revision {
				if done, err := l.cutOver(ctx, take, revision, &compacted); done || err != nil {
					return err
				}
			}
			if l.CutOver && newest != revision && time.Since(l.told) > tellPause {
				l.told = time.Now()
				l.Say("waiting for the last revision: %s is at %d, %s at %d; stop what writes there", l.From.Name, newest, l.To.Name, revision)
			}
			if poll = max(pollLeast, pollTimes*time.Since(begun)); l.CutOver {
				poll = pollLeast / 5
			}
			timer.Reset(poll)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watching is a watch of all keys of the source.
type watching struct {
	responses chan *pb.WatchResponse
	err       error // valid after responses is closed
}

// watch watches the source from the cluster's position: from the beginning of a revision that the cluster has in part.
func (l *Live) watch(ctx context.Context, p progress) *watching {
	w := &watching{responses: make(chan *pb.WatchResponse)}
	from := p.Revision + 1
	if p.Held {
		from = p.At.Revision
	}
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
			return fmt.Errorf("etcd compacted its history up to revision %d, and the changes before it are lost; start the migration again, with a new cluster", m.CompactRevision)
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

// takeEvents forwards the events of a watch, and records the newest revision. Each revision is complete, in one message or in its
// fragments.
func (l *Live) takeEvents(feed *Feed, m *pb.WatchResponse, revision *int64) error {
	for _, e := range m.Events {
		r := feed.next(e)
		if r == nil {
			continue
		}
		if r.Lease != 0 {
			if _, known := l.known[r.Lease]; !known {
				l.seen[r.Lease] = 0
			}
		}
		if err := feed.Add(r); err != nil {
			return err
		}
	}
	if m.Fragment {
		return nil
	}
	if err := feed.End(); err != nil {
		return err
	}
	*revision = max(*revision, feed.at.Revision)
	return nil
}

// next returns the record of an event, or nil if it was already sent: the events of a revision are numbered in order.
func (f *Feed) next(e *mvccpb.Event) *index.FollowedRecord {
	r := &index.FollowedRecord{Key: e.Kv.Key}
	if r.Mod = e.Kv.ModRevision; r.Mod != f.event.Revision {
		f.event = index.Position{Revision: r.Mod, Sub: -1}
	}
	f.event.Sub++
	r.Sub = f.event.Sub
	if r.Tombstone = e.Type == mvccpb.Event_DELETE; !r.Tombstone {
		r.Create, r.Version.Version, r.Lease, r.Value = e.Kv.CreateRevision, e.Kv.Version, e.Kv.Lease, e.Kv.Value
	}
	if f.event.Compare(f.at) <= 0 {
		return nil
	}
	return r
}

// poll adopts the changes that a watch does not contain: leases, and the source's compactions. It returns the source's newest revision.
func (l *Live) poll(ctx context.Context, take func([]byte) error, revision int64, compacted *int64) (newest int64, err error) {
	ids, err := l.leases(ctx)
	if err != nil {
		return 0, err
	}
	if _, newest, err = l.from(ctx); err != nil { // read after the leases: a missing lease was revoked at or before this revision
		return 0, err
	}
	if err := l.someLeases(ctx, take, ids, newest, revision); err != nil {
		return 0, err
	}
	at, err := l.compacted(ctx, *compacted)
	if err != nil {
		return 0, err
	}
	if at > *compacted && at <= revision {
		if err := take(index.AppendFollowCompact(nil, l.source, at)); err != nil {
			return 0, err
		}
		*compacted = at
	}
	return newest, nil
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

// leases returns the ids of the source's leases, ascending.
func (l *Live) leases(ctx context.Context) (ids []int64, err error) {
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

// ttl returns a lease's TTL, and false if the lease does not exist.
func (l *Live) ttl(ctx context.Context, id int64) (ttl int64, there bool, err error) {
	err = l.From.do(ctx, func(ctx context.Context, s *Source) error {
		a, err := pb.NewLeaseClient(s.conn).LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id})
		if err != nil {
			if status.Convert(err).Message() == status.Convert(rpctypes.ErrGRPCLeaseNotFound).Message() {
				return nil
			}
			return err
		}
		ttl, there = a.GrantedTTL, a.TTL >= 0 && a.GrantedTTL > 0
		return nil
	})
	return ttl, there, err
}

// allLeases replaces the cluster's leases by the source's.
func (l *Live) allLeases(ctx context.Context, take func([]byte) error) error {
	ids, err := l.leases(ctx)
	if err != nil {
		return err
	}
	known := map[int64]int64{}
	var all []kv.Lease
	for _, id := range ids {
		ttl, had := l.known[id]
		if !had {
			var there bool
			if ttl, there, err = l.ttl(ctx, id); err != nil {
				return err
			} else if !there {
				continue
			}
		}
		known[id] = ttl
		all = append(all, kv.Lease{ID: id, TTL: ttl})
	}
	if err := SendLeases(l.source, all, take); err != nil {
		return err
	}
	l.known = known
	return nil
}

// someLeases adopts the leases changed since: a few one by one, many all at once.
func (l *Live) someLeases(ctx context.Context, take func([]byte) error, ids []int64, newest, revision int64) error {
	var changed []int64
	for _, id := range ids {
		if _, known := l.known[id]; !known {
			changed = append(changed, id)
		}
	}
	gone := func(id int64) bool {
		_, there := slices.BinarySearch(ids, id)
		return !there
	}
	for id := range l.known {
		if gone(id) {
			changed = append(changed, id)
		}
	}
	for id := range l.seen {
		if gone(id) { // its keys were deleted, too, in a revision that is here or in transit
			changed = append(changed, id)
		}
	}
	if len(changed) > leasesFew {
		return l.allLeases(ctx, take)
	}
	slices.SortFunc(changed, cmp.Compare)
	for _, id := range slices.Compact(changed) {
		ttl, there, err := int64(0), false, error(nil)
		if !gone(id) {
			if ttl, there, err = l.ttl(ctx, id); err != nil {
				return err
			}
		}
		var some []kv.Lease
		if there {
			some = []kv.Lease{{ID: id, TTL: ttl}}
		}
		if err := take(index.AppendFollowLeases(nil, l.source, id, id, some)); err != nil {
			return err
		}
		if there {
			l.known[id] = ttl
			delete(l.seen, id)
			continue
		}
		delete(l.known, id)
		switch until := l.seen[id]; {
		case until == 0 && revision < newest:
			l.seen[id] = newest
		case revision >= until:
			delete(l.seen, id)
		}
	}
	return nil
}

// cutOver ends following if both sides have the same content, and reports whether it did.
func (l *Live) cutOver(ctx context.Context, take func([]byte) error, revision int64, compacted *int64) (done bool, err error) {
	if err := l.allLeases(ctx, take); err != nil {
		return false, err
	}
	old, err := l.hash(ctx, l.From)
	if err != nil || old.HashRevision != revision {
		return false, err // it was written to meanwhile
	}
	if old.CompactRevision > *compacted {
		if err := take(index.AppendFollowCompact(nil, l.source, old.CompactRevision)); err != nil {
			return false, err
		}
		*compacted = old.CompactRevision
	}
	if _, err := l.To.progress(ctx); err != nil { // from then on that member has all commands
		return false, err
	}
	here, err := l.hash(ctx, l.To)
	if err != nil {
		return false, err
	}
	if here.Hash != old.Hash || here.HashRevision != old.HashRevision || max(here.CompactRevision, 0) != max(old.CompactRevision, 0) {
		return false, fmt.Errorf("at revision %d, compacted %d, %s has the hash %d, and %s has %d at revision %d, compacted %d: one of them is damaged; nothing was cut over",
			old.HashRevision, old.CompactRevision, l.From.Name, old.Hash, l.To.Name, here.Hash, here.HashRevision, here.CompactRevision)
	}
	if _, newest, err := l.from(ctx); err != nil || newest != revision {
		return false, err
	}
	if err := take(index.AppendFollowEnd(nil, l.source, revision)); err != nil {
		return false, err
	}
	l.Say("cut over at revision %d, compacted %d, with the hash %d on both sides: clients may write to %s now", revision, *compacted, old.Hash, l.To.Name)
	if _, newest, err := l.from(ctx); err == nil && newest != revision {
		l.Say("WARNING: %s was written to meanwhile and is at revision %d: revisions from %d on are not here. Stop its writers before a cut over", l.From.Name, newest, revision+1)
	}
	return true, nil
}

// hash returns a cluster's HashKV at its newest revision.
func (l *Live) hash(ctx context.Context, g *Group) (a *pb.HashKVResponse, err error) {
	try := *g
	err = try.do(ctx, func(context.Context, *Source) error {
		// The duration depends on the amount of data: the usual timeout of a call does not apply.
		a, err = pb.NewMaintenanceClient(g.all[g.current].conn).HashKV(ctx, &pb.HashKVRequest{})
		return err
	})
	return a, err
}
