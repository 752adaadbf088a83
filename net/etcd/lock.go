package etcd

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/election"
	"qkv/internal/limits"
)

// The services of locks and elections. Their recipe is package election's, as for qkv's own clients; etcd has it in its server's
// module and not with its messages, which are therefore read and written here.

// asked is a request of these services: the fields that any of them has.
//
//	LockRequest, CampaignRequest   name 1, lease 2, value 3
//	UnlockRequest, LeaderRequest   key or name 1
//	ProclaimRequest                leader 1, value 2
//	ResignRequest                  leader 1
//	leader                         name 1, key 2, revision 3, lease 4
type asked struct {
	first  []byte
	second []byte
	third  []byte
	lease  int64 // where the second field is a number
	size   int   // of the message
}

// candidate is the leader that a request has in its first field.
func (a *asked) candidate() (c election.Candidate, err error) {
	if a.first == nil {
		return c, status.Error(codes.Unknown, `"leader" field must be provided`)
	}
	err = eachField(a.first, func(field protowire.Number, number int64, bytes []byte) {
		switch field {
		case 1:
			c.Name = string(bytes)
		case 2:
			c.Key = bytes
		case 3:
			c.Revision = number
		case 4:
			c.Lease = number
		}
	})
	return c, err
}

// decode implements decoder.
func (a *asked) decode(message []byte) error {
	a.size = len(message)
	return eachField(bytes.Clone(message), func(field protowire.Number, number int64, bytes []byte) {
		switch field {
		case 1:
			a.first = bytes
		case 2:
			a.second, a.lease = bytes, number
		case 3:
			a.third = bytes
		}
	})
}

// decoder is a message that is read by hand.
type decoder interface{ decode(message []byte) error }

// eachField hands out the fields of a message.
func eachField(m []byte, f func(field protowire.Number, number int64, bytes []byte)) error {
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		var number uint64
		var part []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(m)
		case protowire.BytesType:
			part, n = protowire.ConsumeBytes(m)
			part = part[:len(part):len(part)] // nil stays nil: the field is not there
		default:
			n = protowire.ConsumeFieldValue(field, kind, m)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		f(field, int64(number), part)
	}
	return nil
}

// own is a method of these services.
func (s *Server) own(name string, answer func(context.Context, *asked) (any, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		q := &asked{}
		if err := decode(q); err != nil {
			return nil, err
		}
		if err := s.admit(ctx, nil); err != nil {
			return nil, err
		}
		out, err := answer(ctx, q)
		return out, plainly(err)
	}}
}

// plainly makes an error what etcd's own client in its server makes of it: the text alone.
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

// headed is an answer of a header and fields behind it.
func headed(h *pb.ResponseHeader, rest []byte) message {
	return message{append(appendHeader(make([]byte, 0, 64+len(rest)), 1, h), rest...)}
}

// sessionSeconds is the TTL of the lease that a request without one gets, as in etcd. Nobody keeps it alive.
const sessionSeconds = 60

func (s *Server) session(ctx context.Context, lease int64) (int64, error) {
	if lease != 0 {
		return lease, nil
	}
	granted, err := s.grant(ctx, &pb.LeaseGrantRequest{TTL: sessionSeconds})
	if err != nil {
		return 0, err
	}
	return granted.(*pb.LeaseGrantResponse).ID, nil
}

func (s *Server) lock(ctx context.Context, q *asked) (any, error) {
	c, err := s.enter(ctx, string(q.first), q.lease, nil)
	if err == nil {
		err = s.await(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	return headed(s.newest(), appendBytes(nil, 2, c.Key)), nil
}

func (s *Server) enter(ctx context.Context, name string, lease int64, value []byte) (c election.Candidate, err error) {
	if lease, err = s.session(ctx, lease); err != nil {
		return c, err
	}
	return election.Enter(ctx, store{s}, name, lease, value)
}

// await waits for a candidate's turn. When nobody waits for that any more, its place is given up.
func (s *Server) await(ctx context.Context, c election.Candidate) error {
	ctx, cancel := s.untilStopped(ctx)
	defer cancel()
	err := c.Wait(ctx, store{s})
	if err == nil || errors.Is(err, election.ErrLost) {
		return err
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	defer done()
	_ = c.Withdraw(last, store{s}) // else the place goes with its lease
	return err
}

// untilStopped is a context that ends with the member, too.
func (s *Server) untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(s.alive, cancel)
	return ctx, func() {
		forget()
		cancel()
	}
}

// waits is an answer that may have to be waited for, for ever: a client has a place for each.
func (s *Server) waits(answer func(context.Context, *asked) (any, error)) func(context.Context, *asked) (any, error) {
	return func(ctx context.Context, q *asked) (any, error) {
		client, own := "", whoseShare(ctx)
		if own != nil {
			client = own.pacing.client
		}
		if !s.locks.take(client) {
			return nil, status.Errorf(codes.ResourceExhausted, "etcdserver: too many requests: at most %d wait for locks and elections on this member, and from one host no more than there are places left: end some, ask another member, or wait in the client, as etcd's library does", s.locks.most)
		}
		defer s.locks.give(client)
		defer own.rests()()
		return answer(ctx, q)
	}
}

// places are what clients have that wait.
//
//  1. All have at most most of them.
//  2. One that has as many as there are left gets no more: so one alone has half of them, and who comes next half of the rest.
type places struct {
	most int

	mu    sync.Mutex
	taken int
	by    map[string]int // client
}

func (p *places) take(client string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[client] >= p.most-p.taken {
		return false
	}
	if p.by == nil {
		p.by = map[string]int{}
	}
	p.by[client]++
	p.taken++
	return true
}

func (p *places) give(client string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[client]--; p.by[client] == 0 {
		delete(p.by, client)
	}
}

// newest is the header of an answer from what is there now.
func (s *Server) newest() *pb.ResponseHeader { return s.header(s.config.Member.View().Revision()) }

func (s *Server) unlock(ctx context.Context, q *asked) (any, error) {
	deleted, err := s.deleteRange(ctx, &pb.DeleteRangeRequest{Key: q.first})
	if err != nil {
		return nil, err
	}
	return headed(deleted.(*pb.DeleteRangeResponse).Header, nil), nil
}

func (s *Server) campaign(ctx context.Context, q *asked) (any, error) {
	c, err := s.enter(ctx, string(q.first), q.lease, q.third)
	if err != nil {
		return nil, err
	}
	header := s.newest()
	v := s.config.Member.View()
	if own, found, err := v.Get(c.Key, 0); err == nil && found && !bytes.Equal(own.Value, q.third) { // its lease had a place already
		if err := c.Proclaim(ctx, store{s}, q.third); err != nil {
			return nil, err
		}
	} else if found && own.ModRevision == c.Revision {
		header.Revision = c.Revision
	}
	if err := s.await(ctx, c); err != nil {
		return nil, err
	}
	leader := appendBytes(appendBytes(nil, 1, []byte(c.Name)), 2, c.Key)
	leader = appendInt(appendInt(leader, 3, c.Revision), 4, c.Lease)
	return headed(header, appendBytes(nil, 2, leader)), nil
}

func (s *Server) proclaim(ctx context.Context, q *asked) (any, error) {
	c, err := q.candidate()
	if err == nil {
		err = c.Proclaim(ctx, store{s}, q.second)
	}
	if errors.Is(err, election.ErrLost) {
		err = status.Error(codes.Unknown, "election: not leader")
	}
	if err != nil {
		return nil, err
	}
	return headed(s.newest(), nil), nil
}

func (s *Server) resign(ctx context.Context, q *asked) (any, error) {
	c, err := q.candidate()
	if err == nil {
		err = c.Withdraw(ctx, store{s})
	}
	if err != nil {
		return nil, err
	}
	return headed(s.newest(), nil), nil
}

func (s *Server) leader(ctx context.Context, q *asked) (any, error) {
	leader, found, revision, err := election.Leader(ctx, store{s}, string(q.first))
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, status.Error(codes.Unknown, "election: no leader")
	}
	return headed(s.header(revision), appendPair(nil, 2, &leader)), nil
}

// observe tells of each leader, until its client or the member ends it.
func (s *Server) observe(stream grpc.ServerStream) error {
	q := &asked{}
	if err := stream.RecvMsg(q); err != nil {
		return err
	}
	ctx, cancel := s.untilStopped(stream.Context())
	defer cancel()
	defer whoseShare(ctx).rests()()
	var failed error
	err := election.Observe(ctx, store{s}, string(q.first), func(leader kv.KeyValue) bool {
		failed = stream.SendMsg(headed(s.newest(), appendPair(nil, 2, &leader)))
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

// store is the member as the recipe sees it.
type store struct{ s *Server }

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
		case <-st.s.stopping:
			return result, errStopped
		case <-time.After(storePause):
		}
	}
}

// storePause is the pause before what found no leader is tried again.
const storePause = 50 * time.Millisecond

func (st store) txn(ctx context.Context, t *kv.Txn) (kv.TxnResult, error) {
	if err := t.Check(st.s.bounds(), limits.TxnOperations); err != nil {
		return kv.TxnResult{}, statusOf(err)
	}
	var out outcome
	var err error
	if t.ReadOnly() {
		out, err = st.s.evaluate(ctx, t, 0)
	} else {
		out, err = st.s.calls.write(ctx, index.AppendTxn(nil, t), true)
	}
	if err != nil {
		return kv.TxnResult{}, err
	}
	wide := st.s.widely(ctx)
	defer wide.end()
	found, err := wide.readAnswer(func() *index.AnswerReader {
		return index.NewAnswerReader(t, &out.Result, st.s.config.Limits.BuiltBytes)
	}, out.view, t.Ranges())
	if err != nil {
		return kv.TxnResult{}, err
	}
	if t.ReadOnly() {
		if err := st.s.mayKeep(ctx, found); err != nil {
			return kv.TxnResult{}, err
		}
	}
	keep(found)
	return *found, nil
}

// mayKeep refuses to read large values of elections while clients hold much: each stream that observes one holds such a value twice, and
// those of a connection that is closed go on until they hear of it.
func (s *Server) mayKeep(ctx context.Context, found *kv.TxnResult) error {
	most := s.wholeMost(ctx)
	for _, a := range found.Answers {
		if a.Range != nil && len(a.Range.KVs) > 0 && len(a.Range.KVs[0].Value) > most {
			return status.Errorf(codes.ResourceExhausted, "etcdserver: clients hold too much of this member's memory for a leader's value of %d bytes: try again", len(a.Range.KVs[0].Value))
		}
	}
	return nil
}

// keep copies what of an answer lies in the state's memory.
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
func (st store) Await(ctx context.Context, w kv.Watch) error {
	one := &awaiting{done: make(chan error, 1)}
	member := st.s.config.Member
	member.Watch(one, kv.WatchRequest{Kind: kv.WatchCreate, ID: 1, Watch: w})
	defer member.Watch(one, kv.WatchRequest{Kind: kv.WatchEnd})
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaiting is a stream of one watch, whose first event is waited for. That it was compacted is as good: there may have been one.
type awaiting struct{ done chan error }

// Deliver implements kv.WatchStream.
func (a *awaiting) Deliver(d *kv.WatchDelivery) bool {
	var err error
	switch {
	case d.Kind == kv.WatchEnded:
		err = statusOf(d.Err)
	case d.Kind == kv.WatchEvents && d.Count > 0, d.Kind == kv.WatchCanceled:
	default:
		return true
	}
	select {
	case a.done <- err:
	default: // once is enough
	}
	return true
}

// Format implements kv.WatchStream.
func (a *awaiting) Format() *kv.WatchFormat { return watchFormat }
