package etcd

import (
	"bytes"
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/election"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// lockService is v3lockpb.Lock and v3electionpb.Election. Both use the recipe of package election, like qkv's own clients. Their messages
// are etcd's, of which only the generated packages are linked.
type lockService struct {
	*core
	kv     kvService
	leases leaseService
}

// candidateOf returns the leader that a request names.
func candidateOf(k *electionpb.LeaderKey) (election.Candidate, error) {
	if k == nil {
		return election.Candidate{}, status.Error(codes.Unknown, `"leader" field must be provided`)
	}
	return election.Candidate{Name: string(k.Name), Key: k.Key, Revision: k.Rev, Lease: k.Lease}, nil
}

// lockMethod builds a method of these services.
func lockMethod[T any, Q request[T], A any](o offer, name string, handle func(context.Context, Q) (A, error)) grpc.MethodDesc {
	s, of := o.core, o.class(name)
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		q := Q(new(T))
		if err := decode(q); err != nil {
			return nil, err
		}
		err := s.mayServe(ctx, o.need(name), nil)
		if err == nil {
			ctx, err = s.authorize(ctx, of)
		}
		if err != nil {
			return nil, s.audited(ctx, name, q, err)
		}
		out, err := handle(ctx, q)
		if err != nil {
			return nil, plainly(s.audited(ctx, name, q, err))
		}
		return answerOf(out), nil
	}}
}

// plainly reduces an error to its text alone, as etcd's own client inside its server does.
func plainly(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, election.ErrLost):
		return status.Error(codes.Unknown, "mutex: session is expired")
	case status.Code(err) == codes.ResourceExhausted && !errors.Is(err, errTooManyRequests): // etcd has no such limit
		return err
	}
	return status.Error(codes.Unknown, status.Convert(err).Message())
}

// sessionSeconds is the TTL of the lease for a request without one, as in etcd. The server does not keep it alive.
const sessionSeconds = 60

func (s lockService) session(ctx context.Context, lease int64) (int64, error) {
	if lease != 0 {
		return lease, nil
	}
	granted, err := s.leases.grant(ctx, &pb.LeaseGrantRequest{TTL: sessionSeconds})
	if err != nil {
		return 0, err
	}
	return granted.ID, nil
}

func (s lockService) lock(ctx context.Context, q *lockpb.LockRequest) (*lockpb.LockResponse, error) {
	c, err := s.enter(ctx, string(q.Name), q.Lease, nil)
	if err == nil {
		err = s.await(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	return &lockpb.LockResponse{Header: s.newest(), Key: c.Key}, nil
}

func (s lockService) enter(ctx context.Context, name string, asked int64, value []byte) (c election.Candidate, err error) {
	lease, err := s.session(ctx, asked)
	if err != nil {
		return c, err
	}
	if c, err = election.Enter(ctx, store{s}, name, lease, value); err != nil && ctx.Err() != nil && asked == 0 {
		// it may have entered, or may enter yet; by a client's lease, its next request may have this place already
		s.withdraw(ctx, c)
	}
	return c, err
}

// await waits until a candidate leads. If ctx ends first, the candidacy is withdrawn.
func (s lockService) await(ctx context.Context, c election.Candidate) error {
	ctx, cancel := until(s.alive, ctx)
	defer cancel()
	err := c.Wait(ctx, store{s})
	if err != nil && !errors.Is(err, election.ErrLost) {
		s.withdraw(ctx, c)
	}
	return err
}

// withdraw withdraws a candidacy whose request has ended. On failure the lease's expiry does it.
func (s lockService) withdraw(ctx context.Context, c election.Candidate) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	defer done()
	_ = c.Withdraw(ctx, store{s})
}

// waits wraps a handler that may wait without end: each request of a client takes a slot.
func waits[Q, A any](s *core, handle func(context.Context, Q) (A, error)) func(context.Context, Q) (A, error) {
	return func(ctx context.Context, q Q) (out A, err error) {
		own := front.AccountOf(ctx)
		client := own.Client()
		if !s.admission.lockWaits.TryTake(client) {
			return out, status.Errorf(codes.ResourceExhausted, "etcdserver: too many requests: at most %d wait for locks and elections on this member, and from one host no more than there are places left: end some, ask another member, or wait in the client, as etcd's library does", s.admission.lockWaits.Total)
		}
		defer s.admission.lockWaits.Release(client)
		defer own.Rest()()
		return handle(ctx, q)
	}
}

// newest is the header of an answer from the current state.
func (s *core) newest() *pb.ResponseHeader { return s.header(s.config.Member.View().Revision()) }

func (s lockService) unlock(ctx context.Context, q *lockpb.UnlockRequest) (*lockpb.UnlockResponse, error) {
	_, out, err := s.kv.deleteKeys(ctx, &pb.DeleteRangeRequest{Key: q.Key})
	if err != nil {
		return nil, err
	}
	return &lockpb.UnlockResponse{Header: s.header(out.Result.Revision)}, nil
}

func (s lockService) campaign(ctx context.Context, q *electionpb.CampaignRequest) (*electionpb.CampaignResponse, error) {
	c, err := s.enter(ctx, string(q.Name), q.Lease, q.Value)
	if err != nil {
		return nil, err
	}
	header := s.newest()
	v := s.config.Member.View()
	// the lease had a candidacy already
	if own, found, err := v.Get(c.Key, 0); err == nil && found && !bytes.Equal(own.Value, q.Value) {
		if err := c.Proclaim(ctx, store{s}, q.Value); err != nil {
			return nil, err
		}
	} else if found && own.ModRevision == c.Revision {
		header.Revision = c.Revision
	}
	if err := s.await(ctx, c); err != nil {
		return nil, err
	}
	leader := &electionpb.LeaderKey{Name: []byte(c.Name), Key: c.Key, Rev: c.Revision, Lease: c.Lease}
	return &electionpb.CampaignResponse{Header: header, Leader: leader}, nil
}

func (s lockService) proclaim(ctx context.Context, q *electionpb.ProclaimRequest) (*electionpb.ProclaimResponse, error) {
	c, err := candidateOf(q.Leader)
	if err == nil {
		err = c.Proclaim(ctx, store{s}, q.Value)
	}
	if errors.Is(err, election.ErrLost) {
		err = status.Error(codes.Unknown, "election: not leader")
	}
	if err != nil {
		return nil, err
	}
	return &electionpb.ProclaimResponse{Header: s.newest()}, nil
}

func (s lockService) resign(ctx context.Context, q *electionpb.ResignRequest) (*electionpb.ResignResponse, error) {
	c, err := candidateOf(q.Leader)
	if err == nil {
		err = c.Withdraw(ctx, store{s})
	}
	if err != nil {
		return nil, err
	}
	return &electionpb.ResignResponse{Header: s.newest()}, nil
}

func (s lockService) leader(ctx context.Context, q *electionpb.LeaderRequest) (*electionpb.LeaderResponse, error) {
	leader, found, revision, err := election.Leader(ctx, store{s}, string(q.Name))
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, status.Error(codes.Unknown, "election: no leader")
	}
	return &electionpb.LeaderResponse{Header: s.header(revision), Kv: pairOf(&leader)}, nil
}

// observe sends each new leader, until the client or the member ends the stream.
func (s lockService) observe(stream grpc.ServerStream) error {
	q := &electionpb.LeaderRequest{}
	if err := stream.RecvMsg(q); err != nil {
		return err
	}
	ctx, cancel := until(s.alive, stream.Context())
	defer cancel()
	defer front.AccountOf(ctx).Rest()()
	var failed error
	err := election.Observe(ctx, store{s}, string(q.Name), func(leader kv.KeyValue) bool {
		failed = stream.SendMsg(&electionpb.LeaderResponse{Header: s.newest(), Kv: pairOf(&leader)})
		return failed == nil
	})
	if stream.Context().Err() == nil && ctx.Err() != nil {
		return errStopped
	}
	if failed != nil {
		return failed
	}
	return plainly(err)
}

// store is the member, as the recipe uses it.
type store struct{ s lockService }

// Txn implements election.Store.
func (st store) Txn(ctx context.Context, t kv.Txn) (kv.TxnResult, error) {
	for {
		result, err := st.txn(ctx, &t)
		if code := status.Code(err); code != codes.Unavailable || ctx.Err() != nil || errors.Is(err, errStopped) {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-st.s.alive.Done():
			return result, errStopped
		case <-time.After(storePause):
		}
	}
}

// storePause is the backoff before a call that found no leader is retried.
const storePause = 50 * time.Millisecond

func (st store) txn(ctx context.Context, t *kv.Txn) (kv.TxnResult, error) {
	if err := t.Check(st.s.bounds(), limits.TxnOperations); err != nil {
		return kv.TxnResult{}, statusOf(err)
	}
	var out outcome
	var err error
	if t.ReadOnly() {
		out, err = st.s.kv.evaluate(ctx, t, 0)
	} else {
		out, err = st.s.propose(ctx, proposal{body: true}, func(h index.Head) kv.Command { return h.AppendTxn(nil, t) })
	}
	if err != nil {
		return kv.TxnResult{}, err
	}
	wide := st.s.bufferedRead(ctx)
	defer wide.end()
	found, own, err := wide.readAnswer(func() *index.AnswerReader {
		return index.NewAnswerReader(t, &out.Result, st.s.config.Limits.BuiltBytes)
	}, out.view, t.Ranges())
	if err != nil {
		return kv.TxnResult{}, err
	}
	defer own.Release()
	if t.ReadOnly() {
		if err := st.s.mayKeep(ctx, found); err != nil {
			return kv.TxnResult{}, err
		}
	}
	keep(found)
	return *found, nil
}

// mayKeep refuses to read large values of elections while clients hold much memory. Each observing stream holds such a value twice, and
// the streams of a closed connection continue until they notice.
func (s lockService) mayKeep(ctx context.Context, found *kv.TxnResult) error {
	most := s.wholeMost(ctx)
	for _, a := range found.Answers {
		if a.Range != nil && len(a.Range.KVs) > 0 && len(a.Range.KVs[0].Value) > most {
			return status.Errorf(codes.ResourceExhausted, "etcdserver: clients hold too much of this member's memory for a leader's value of %d bytes: try again", len(a.Range.KVs[0].Value))
		}
	}
	return nil
}

// keep copies the parts of an answer that lie in the state's memory.
func keep(found *kv.TxnResult) {
	for _, a := range found.Answers {
		if a.Range == nil {
			continue
		}
		for i := range a.Range.KVs {
			pair := &a.Range.KVs[i]
			pair.Key, pair.Value = bytes.Clone(pair.Key), bytes.Clone(pair.Value)
		}
	}
}

// Await implements election.Store.
func (st store) Await(ctx context.Context, watches ...kv.Watch) error {
	one := &awaiting{done: make(chan error, 1)}
	member := st.s.config.Member
	by, _, err := st.s.watcher(ctx)
	if err != nil {
		return err
	}
	for i, w := range watches {
		member.Watch(one, kv.WatchRequest{Kind: kv.WatchCreate, ID: uint64(i) + 1, Watch: w, By: by})
	}
	defer member.Watch(one, kv.WatchRequest{Kind: kv.WatchEnd})
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaiting is a stream of watches that waits for the first event. A compaction counts as an event, because it may have hidden one, and so
// does a change of roles since the watch was permitted: the recipe then reads again. A change that takes the permission to read is an error.
type awaiting struct{ done chan error }

// Deliver implements kv.WatchStream.
func (a *awaiting) Deliver(d *kv.WatchDelivery) bool {
	var err error
	switch {
	case d.Kind == kv.WatchEnded, d.Kind == kv.WatchCanceled && d.Err != nil && d.Err.Code != kv.Compacted && d.Err.Code != kv.AuthOld:
		err = statusOf(d.Err)
	case d.Kind == kv.WatchEvents && d.Count > 0, d.Kind == kv.WatchCanceled:
	default:
		return true
	}
	select {
	case a.done <- err:
	default: // one signal is enough
	}
	return true
}

// Format implements kv.WatchStream.
func (a *awaiting) Format() *kv.WatchFormat { return watchFormat }
