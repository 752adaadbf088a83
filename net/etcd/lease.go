package etcd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// leaseService is etcdserverpb.Lease.
type leaseService struct{ *core }

func (s leaseService) grant(ctx context.Context, q *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if err := kv.CheckTTL(q.TTL); err != nil {
		return nil, statusOf(err)
	}
	l := kv.Lease{ID: q.ID, TTL: max(q.TTL, s.config.LeaseLeast)}
	for l.ID == 0 {
		id := 1 + rand.Int64N(math.MaxInt64)
		if _, taken := s.config.Member.View().Lease(id); !taken {
			l.ID = id
		}
	}
	out, err := s.propose(ctx, proposal{}, func(h index.Head) kv.Command { return h.AppendGrant(nil, l) })
	if err != nil {
		return nil, err
	}
	s.metrics.leaseTTL.Observe(float64(l.TTL))
	return &pb.LeaseGrantResponse{Header: s.header(out.Result.Revision), ID: l.ID, TTL: l.TTL}, nil
}

func (s leaseService) revoke(ctx context.Context, q *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	out, err := s.propose(ctx, proposal{}, func(h index.Head) kv.Command { return h.AppendRevoke(nil, q.ID) })
	if err != nil {
		return nil, err
	}
	return &pb.LeaseRevokeResponse{Header: s.header(out.Result.Revision)}, nil
}

func (s leaseService) timeToLive(ctx context.Context, q *pb.LeaseTimeToLiveRequest) (answer, error) {
	left, err := s.calls.lease(ctx, kv.LeaseAsk{Lease: q.ID})
	if err != nil {
		return nil, err
	}
	v := s.config.Member.View()
	h := s.header(v.Revision())
	if q.Keys {
		if err := s.permits(ctx, v, kv.AccessRead, leaseAccess(q.ID, false)); err != nil {
			return nil, err
		}
	}
	if !q.Keys || left.TTL < 0 {
		return libraryMessage{&pb.LeaseTimeToLiveResponse{Header: h, ID: q.ID, TTL: left.TTL, GrantedTTL: left.Granted}}, nil
	}
	head := appendHeader(make([]byte, 0, headerBytes+3*(1+10)), ttlHeader, h)
	head = appendInt(appendInt(appendInt(head, ttlID, q.ID), ttlLeft, left.TTL), ttlGranted, left.Granted)
	return s.listed(ctx, v, head, func() lister {
		from := []byte(nil)
		return func(take taker) (done bool) {
			done = true
			v.LeaseKeys(q.ID, from, func(key []byte) bool {
				done = take(1+protowire.SizeBytes(len(key)), func(dst []byte) []byte {
					return protowire.AppendBytes(protowire.AppendTag(dst, ttlKeys, protowire.BytesType), key)
				})
				if !done {
					from = bytes.Clone(key)
				}
				return done
			})
			return done
		}
	})
}

// leases lists the leases of [index.View.ListsLease]. The leader lists them by expiry, as etcd's leader does; leases of
// the same second come in the order in which they were granted. A follower does not know the expiry. With more than
// etcdLeasesSorted leases, or while etcdLeasesAsking other lists query the clock, leases come in the order of their
// ids: each query takes one of the slots that all requests share.
func (s leaseService) leases(ctx context.Context, _ *pb.LeaseLeasesRequest) (answer, error) {
	v := s.config.Member.View()
	if err := s.permits(ctx, v, kv.AccessNone, nil); err != nil {
		return nil, err
	}
	h, user := s.header(v.Revision()), s.callerOf(ctx).name
	if n := v.LeaseCount(); s.config.Member.RaftStatus().Leader == s.config.ID && n > 1 && n <= etcdLeasesSorted {
		if s.admission.leaseLists.TryTake() {
			defer s.admission.leaseLists.Release()
			return s.leasesSorted(ctx, v, h, user)
		}
	}
	return s.listed(ctx, v, appendHeader(make([]byte, 0, headerBytes), leasesHeader, h), func() lister {
		from := int64(math.MinInt64)
		return func(take taker) (done bool) {
			done = true
			v.Leases(from, func(l kv.Lease) bool {
				if size := sizeInt(l.ID); v.ListsLease(user, l) {
					done = take(1+protowire.SizeBytes(size), func(dst []byte) []byte {
						dst = protowire.AppendVarint(protowire.AppendTag(dst, leasesLeases, protowire.BytesType), uint64(size))
						return appendInt(dst, leaseID, l.ID)
					})
				} else {
					done = take(0, func(dst []byte) []byte { return dst })
				}
				from = l.ID
				return done
			})
			return done
		}
	})
}

func (s leaseService) leasesSorted(ctx context.Context, v *index.View, h *pb.ResponseHeader, user string) (answer, error) {
	var all []kv.Lease
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		if v.ListsLease(user, l) {
			all = append(all, l)
		}
		return true
	})
	if err := s.sortLeases(ctx, all); err != nil && ctx.Err() != nil { // otherwise this member no longer leads
		return nil, err
	}
	list := &pb.LeaseLeasesResponse{Header: h}
	for _, l := range all {
		list.Leases = append(list.Leases, &pb.LeaseStatus{ID: l.ID})
	}
	return libraryMessage{list}, nil
}

// Field numbers of the lists.
const (
	ttlHeader, ttlID, ttlLeft, ttlGranted, ttlKeys = 1, 2, 3, 4, 5

	leasesHeader, leasesLeases = 1, 2
)

// taker is a function that receives one list entry: its size as a field, and a function that appends it. It returns false if the entry must
// wait for the next turn.
type taker func(n int, put func(dst []byte) []byte) bool

// lister is an iterator over a list that continues where the previous call's taker stopped. It reports whether the list is complete.
type lister func(take taker) (done bool)

// listed answers with a list of a View, which may be as large as the state. It measures the answer first and reserves the memory before it
// encodes anything.
func (s leaseService) listed(ctx context.Context, v *index.View, head []byte, begin func() lister) (answer, error) {
	defer runtime.KeepAlive(v)
	size, next := len(head), begin()
	most := s.builtMost(ctx)
	err := s.read(ctx, func() (bool, error) {
		done := next(someOf(func(n int, _ func([]byte) []byte) { size += n }))
		if size > most {
			return false, s.errAnswerTooLarge(ctx)
		}
		return done, nil
	})
	if err != nil {
		return nil, err
	}
	reserved, err := s.build(ctx, nil, size)
	if err != nil {
		return nil, err
	}
	if reserved == nil { // charged to the connection until it is charged to the answer
		own := front.AccountOf(ctx)
		own.Charge(int64(size))
		defer own.Charge(-int64(size))
	}
	var all []byte
	next = begin()
	err = s.read(ctx, func() (bool, error) {
		if all == nil {
			all = append(make([]byte, 0, size), head...)
		}
		return next(someOf(func(_ int, put func([]byte) []byte) { all = put(all) })), nil
	})
	if err != nil {
		reserved.Release()
		return nil, err
	}
	return reserving(message{all}, reserved), nil
}

// someOf takes the entries of one step of a turn.
func someOf(take func(n int, put func(dst []byte) []byte)) taker {
	rows, bytes := 0, 0
	return func(n int, put func(dst []byte) []byte) bool {
		if rows == limits.LeaseKeys || bytes > pieceBytes {
			return false
		}
		rows, bytes = rows+1, bytes+n
		take(n, put)
		return true
	}
}

// sortLeases queries the clock for each lease and sorts by the remaining time. A lease that has ended meanwhile comes first.
func (s leaseService) sortLeases(ctx context.Context, all []kv.Lease) error {
	asks := make([]*call, len(all))
	for i := range all {
		asks[i] = &call{ask: kv.LeaseAsk{Lease: all[i].ID}}
		if err := s.calls.submit(&s.calls.asks, asks[i]); err != nil {
			return err
		}
	}
	left := make(map[int64]int64, len(all))
	for i, one := range asks {
		out, err := s.calls.wait(ctx, one)
		if err != nil {
			return err
		}
		left[all[i].ID] = out.Lease.TTL
	}
	slices.SortStableFunc(all, func(a, b kv.Lease) int {
		return cmp.Or(cmp.Compare(left[a.ID], left[b.ID]), cmp.Compare(a.Granted, b.Granted))
	})
	return nil
}

// renewal is one keep-alive: its call to the leader's clock, or the error that prevented it.
type renewal struct {
	call   *call
	header *pb.ResponseHeader
	err    error
}

// etcdKeepAlives bounds the keep-alives of one stream in flight.
const etcdKeepAlives = 4096

// keepAlive serves a stream of keep-alives. Keep-alives that arrive while others are in flight join them, and are answered in order. The
// revision in an answer's header was read before the renewal, so it never includes a later revocation of the lease. A stream is not read
// while half of all request slots are taken. Otherwise one client with thousands of keep-alives on each of thousands of streams would take
// all slots.
func (s leaseService) keepAlive(stream grpc.ServerStream) error {
	asked := make(chan renewal, etcdKeepAlives)
	go func() { // ends with the stream, after this function has returned
		defer close(asked)
		err := s.contain("/etcdserverpb.Lease/LeaseKeepAlive", func() error { return s.receiveKeepAlives(stream, asked) })
		if !errors.Is(err, io.EOF) {
			select {
			case asked <- renewal{err: err}:
			case <-stream.Context().Done():
			}
		}
	}()
	for {
		select {
		case <-s.alive.Done():
			return errStopped
		case <-stream.Context().Done():
			return stream.Context().Err()
		case one, ok := <-asked:
			if !ok {
				return nil
			}
			if err := s.renewed(stream, one); err != nil {
				return err
			}
		}
	}
}

// receiveKeepAlives submits the keep-alives of a stream until it ends, and returns why.
func (s leaseService) receiveKeepAlives(stream grpc.ServerStream, asked chan<- renewal) error {
	for {
		q := &pb.LeaseKeepAliveRequest{}
		if err := stream.RecvMsg(q); err != nil {
			return err
		}
		if !s.calls.awaitHalf(stream.Context()) {
			return stream.Context().Err()
		}
		v := s.config.Member.View()
		one := renewal{header: s.header(v.Revision()), call: &call{ask: kv.LeaseAsk{Lease: q.ID, Renew: true}}}
		if one.err = s.permits(stream.Context(), v, kv.AccessWrite, leaseAccess(q.ID, true)); one.err == nil {
			one.err = s.calls.submit(&s.calls.asks, one.call)
		}
		select {
		case asked <- one:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (s leaseService) renewed(stream grpc.ServerStream, one renewal) error {
	if one.err != nil {
		return one.err
	}
	out, err := s.calls.wait(stream.Context(), one.call)
	if err != nil {
		return err
	}
	return stream.SendMsg(&pb.LeaseKeepAliveResponse{Header: one.header, ID: one.call.ask.Lease, TTL: out.Lease.TTL})
}
