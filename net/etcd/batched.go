package etcd

import (
	"bytes"
	"cmp"
	"context"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
	"qkv/net/etcd/h2"
)

// batched serves the plainest requests without a goroutine for each: puts, gets and deletions of one key, and small transactions. A
// connection's reader translates a request and gives it to calls. One goroutine encodes the answers to all requests that the member
// completes together.
//
//		reader ──► takePut, takeGet, ... ──► calls ──► Member ──► Complete ──► completed ──► run ──► h2.Batch
//		             └─► handler: a request that is not plain, or that would be refused
//
//	 1. A request counts like one with a handler: in the metrics of RPCs from its beginning, and in core.requests until its end.
//	 2. Neither a reader nor run waits, or copies a large value. A retry, a large value, a value in files, and a request that needs an
//	    identified caller after all continue in a goroutine of their own, which counts as a handler.
//	 3. Requests are served here only while authentication is off. If it is enabled meanwhile, the handler serves the request again: a get
//	    when it is answered, a write when its command was refused.
//	 4. run reuses its slice of outcomes: a goroutine that answers later has copies of what it needs.
//	 5. run ends after stop. Close calls stop after all connections have ended: completions that come later have no client.
type batched struct {
	s  *core
	kv kvService

	put, get, deletion, txn batchedMethod

	mu   sync.Mutex
	done []completedCall
	wake chan struct{} // has a token if done has requests, or is over
	over bool
}

// batchedMethod is an RPC whose plain requests need no handler.
type batchedMethod struct {
	name       string
	meter      *rpcMeter
	calls      *queue
	handle     grpc.MethodHandler   // of its other requests, without meter
	newRequest func() proto.Message // to decode a request into
	answer     func(*h2.Batch, *batchedCall, *outcome)
}

// completedCall is a request that the member has answered.
type completedCall struct {
	call *call
	outcome
}

// batchedCall is a batched request in service.
type batchedCall struct {
	of         *batched
	method     *batchedMethod
	request    *h2.Request
	began      time.Time
	command    kv.Command     // of a write
	key        []byte         // of a get
	txnRequest *pb.TxnRequest // of a transaction
	txn        *kv.Txn
}

func newBatched(s *core) *batched {
	b := &batched{s: s, kv: kvService{s}, wake: make(chan struct{}, 1)}
	keys := offer{s, "etcdserverpb.KV"}
	of := func(calls *queue, m grpc.MethodDesc, asked func() proto.Message, answer func(*h2.Batch, *batchedCall, *outcome)) batchedMethod {
		return batchedMethod{name: m.MethodName, meter: s.metrics.of(keys.service, m.MethodName, unaryKind), calls: calls, handle: m.Handler, newRequest: asked, answer: answer}
	}
	writes, reads := &s.calls.writes, &s.calls.reads
	b.put = of(writes, method(keys, "Put", b.kv.put), func() proto.Message { return &putRequest{} }, b.answerPut)
	b.get = of(reads, method(keys, "Range", b.kv.rangeKeys), func() proto.Message { return &pb.RangeRequest{} }, b.answerGet)
	b.deletion = of(writes, method(keys, "DeleteRange", b.kv.deleteRange), func() proto.Message { return &pb.DeleteRangeRequest{} }, b.answerDelete)
	b.txn = of(writes, method(keys, "Txn", b.kv.txn), func() proto.Message { return &pb.TxnRequest{} }, b.answerTxn)
	return b
}

func (b *batched) methods() map[string]func(*h2.Request, []byte) bool {
	return map[string]func(*h2.Request, []byte) bool{
		"/etcdserverpb.KV/Put": b.takePut, "/etcdserverpb.KV/Range": b.takeGet, "/etcdserverpb.KV/DeleteRange": b.takeDelete, "/etcdserverpb.KV/Txn": b.takeTxn,
	}
}

// requester has the parts of requests' metadata that decide whether a handler serves them.
type requester struct {
	plain    bool // nothing in it asks for a handler
	requires bool // a leader
}

func (b *batched) prepare(ctx context.Context) any {
	one := &requester{plain: true}
	if version := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(version) > 0 {
		one.plain = utf8.ValidString(version[0])
	}
	one.requires = len(metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)) > 0
	return one
}

// servableView returns the newest View if the request can be served without a handler, and nil if a handler has to wait, to check or to
// refuse: before the end of the member's start, at a learner, without a leader that the request requires, or with authentication.
func (b *batched) servableView(r *h2.Request) *index.View {
	s, by := b.s, r.Prepared().(*requester)
	if !by.plain || s.alive.Err() != nil || !s.config.Start.Current() || s.config.Member.Refuse() != nil {
		return nil
	}
	if by.requires && s.config.Member.RaftStatus().Leader == 0 {
		return nil
	}
	v := s.config.Member.View()
	if own := v.Members().Get(s.config.ID); own == nil || isLearner(own) || v.Auth().Enabled() {
		return nil
	}
	return v
}

func (b *batched) takePut(r *h2.Request, message []byte) bool {
	var q pb.PutRequest
	if !decodeBytes(message, &q.Key, &q.Value) || proto.Size(&q)+requestOverhead > b.s.config.MaxRequestBytes {
		return false
	}
	p, err := b.kv.putOf(&q)
	return err == nil && b.write(b.begin(&b.put, r), false, func(h index.Head) kv.Command {
		return h.AppendPut(buffers.Get(commandOver+len(p.Key)+len(p.Value)+len(h.By.Name)), &p)
	})
}

// write gives the member a write, whose answer may be read from the View that has it.
func (b *batched) write(p *batchedCall, body bool, command func(index.Head) kv.Command) bool {
	v := b.servableView(p.request)
	if v == nil {
		return false
	}
	p.command = command(b.s.unidentified(p.request.Context(), v))
	return len(p.command.Bytes) <= limits.RequestBytes && b.submit(&call{command: p.command, body: body, batched: p})
}

func (b *batched) takeDelete(r *h2.Request, message []byte) bool {
	var key []byte
	if !decodeBytes(message, &key) || len(message)+requestOverhead > b.s.config.MaxRequestBytes {
		return false
	}
	d, err := b.kv.deleteOf(&pb.DeleteRangeRequest{Key: key})
	return err == nil && b.write(b.begin(&b.deletion, r), false, func(h index.Head) kv.Command { return h.AppendDelete(nil, &d) })
}

// takeTxn takes a transaction of few parts that visits no range of keys.
func (b *batched) takeTxn(r *h2.Request, message []byte) bool {
	parts := 0
	if !countParts(message, 1, &parts) || parts > etcdTxnFew || len(message)+requestOverhead > b.s.config.MaxRequestBytes {
		return false
	}
	p := b.begin(&b.txn, r)
	p.txnRequest = &pb.TxnRequest{}
	if proto.Unmarshal(message, p.txnRequest) != nil {
		return false
	}
	t, err := b.kv.txnOf(p.txnRequest)
	if err != nil || t.Ranges() || t.ReadOnly() {
		return false
	}
	p.txn = t
	return b.write(p, true, func(h index.Head) kv.Command { return h.AppendTxn(nil, t) })
}

// readOf reads a request for one key.
func readOf(from []byte) (key []byte, serializable, ok bool) {
	for len(from) > 0 {
		field, kind, tag := protowire.ConsumeTag(from)
		if tag < 0 {
			return nil, false, false
		}
		from = from[tag:]
		switch {
		case field == 1 && kind == protowire.BytesType:
			found, n := protowire.ConsumeBytes(from)
			if n < 0 {
				return nil, false, false
			}
			key, from = found, from[n:]
		case field == 7 && kind == protowire.VarintType:
			found, n := protowire.ConsumeVarint(from)
			if n < 0 {
				return nil, false, false
			}
			serializable, from = found != 0, from[n:]
		default:
			return nil, false, false
		}
	}
	return key, serializable, len(key) > 0
}

func (b *batched) takeGet(r *h2.Request, message []byte) bool {
	key, serializable, ok := readOf(message)
	if !ok || len(key) > limits.KeyBytes || b.servableView(r) == nil {
		return false
	}
	p := b.begin(&b.get, r)
	p.key = key
	if !serializable {
		return b.submit(&call{batched: p})
	}
	p.count()
	var one h2.Batch // the reader writes it
	b.answerGet(&one, p, nil)
	return true
}

func (b *batched) begin(m *batchedMethod, r *h2.Request) *batchedCall {
	return &batchedCall{of: b, method: m, request: r, began: time.Now()}
}

// submit gives a request to the member. It returns false if the request is refused, which its handler tells the client.
func (b *batched) submit(one *call) bool {
	p := one.batched
	if b.s.calls.register(one) != nil {
		return false
	}
	p.count() // its outcome may come at once
	if err := b.s.calls.submitRegistered(p.method.calls, one); err != nil {
		p.finish(nil, err)
	}
	return true
}

// count counts the beginning of a request.
func (p *batchedCall) count() {
	s, m := p.of.s, p.method.meter
	m.started.Inc()
	m.in.Inc()
	s.metrics.count(p.request.Context(), m)
	s.metrics.received.Add(float64(len(p.request.Message())))
	if p.key != nil {
		s.metrics.ranges.Add(1)
	}
	s.requests.Add(1)
}

// ended counts the end of a request.
func (p *batchedCall) ended(err error) {
	p.of.s.requests.Add(-1)
	p.method.meter.ended(p.began, err)
	if err == nil {
		p.method.meter.out.Inc()
	}
}

// completed takes over requests that the member has completed.
func (b *batched) completed(all []completedCall) {
	b.mu.Lock()
	if !b.over {
		b.done = append(b.done, all...)
	}
	b.mu.Unlock()
	signal(b.wake)
}

// stop ends run, after the answers to all completed requests.
func (b *batched) stop() {
	b.mu.Lock()
	b.over = true
	b.mu.Unlock()
	signal(b.wake)
}

func (b *batched) run() {
	var spare []completedCall
	var batch h2.Batch
	for over := false; !over; {
		<-b.wake
		b.mu.Lock()
		all := b.done
		b.done, over = spare[:0], b.over
		b.mu.Unlock()
		for i := range all {
			all[i].call.batched.request.Contain(func() { b.answer(&batch, &all[i]) })
		}
		batch.Flush()
		clear(all)
		spare = all
	}
}

func (b *batched) answer(batch *h2.Batch, d *completedCall) {
	p := d.call.batched
	refusal := d.Result.Err
	switch {
	case p.request.Over(): // as a handler, whose context has ended
		err := cmp.Or(p.request.Own().Err(), context.Canceled)
		b.s.calls.count(p.method.calls, errLate)
		p.ended(err)
		batch.Fail(p.request, err)
	case refusal != nil && refusal.Code == kv.Unavailable: // it did not happen
		p.runInBackground(func() { p.retry(refusal) })
	case overtaken(&d.outcome): // it did not happen, and its caller has to be identified
		p.runInBackground(p.handle)
	case refusal != nil:
		b.s.calls.count(p.method.calls, refusal)
		err := b.s.audited(p.request.Context(), p.method.name, p.message(), statusOf(refusal))
		p.ended(err)
		batch.Fail(p.request, err)
	default:
		p.method.answer(batch, p, &d.outcome)
	}
}

// runInBackground continues a request in a goroutine of its own.
func (p *batchedCall) runInBackground(f func()) {
	p.of.s.running.Go(p.request.Background(f))
}

// retry retries a request that found no leader, as calls.do does.
func (p *batchedCall) retry(refusal *kv.Error) {
	b, ctx, to := p.of, p.request.Own(), p.method.calls
	until := p.began.Add(b.s.config.Timeout)
	err := b.s.calls.backOff(ctx, to, refusal, until)
	var out outcome
	if err == nil {
		out, err = b.s.calls.doUntil(ctx, to, &call{command: p.command, body: p.txn != nil}, until)
	}
	switch {
	case overtaken(&out):
		p.handle()
	case err != nil:
		p.finish(nil, b.s.audited(ctx, p.method.name, p.message(), err))
	default:
		var batch h2.Batch
		p.method.answer(&batch, p, &out)
		batch.Flush()
	}
}

// handle serves a request by its method's handler.
func (p *batchedCall) handle() {
	s := p.of.s
	ctx := p.request.Own()
	s.requests.Add(-1) // the handler counts it again
	if p.key != nil {
		s.metrics.ranges.Add(^uint64(0))
	}
	out, err := p.method.handle(nil, ctx, p.decode, nil)
	s.requests.Add(1)
	if err != nil {
		p.finish(nil, err)
		return
	}
	p.finish(out.(answer), nil)
}

// finish answers a request outside run.
func (p *batchedCall) finish(out answer, err error) {
	p.ended(err)
	if err == nil {
		p.request.Send(out.charge(front.AccountOf(p.request.Context())))
		return
	}
	var batch h2.Batch
	batch.Fail(p.request, err)
	batch.Flush()
}

// decode decodes the request for its handler. Its bytes are counted already.
func (p *batchedCall) decode(to any) error {
	return libraryCodec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(p.request.Message())}, to)
}

// message returns the request as its handler gets it.
func (p *batchedCall) message() proto.Message {
	q := p.method.newRequest()
	_ = p.decode(q) // it was decoded before
	return q
}

func (b *batched) answerPut(batch *h2.Batch, p *batchedCall, out *outcome) {
	buffers.Put(p.command.Bytes)
	var room [headerBytes]byte
	b.send(batch, p, appendHeader(room[:0], putHeader, b.s.header(out.Result.Revision)))
}

func (b *batched) answerDelete(batch *h2.Batch, p *batchedCall, out *outcome) {
	var room [headerBytes + countBytes]byte
	m := appendHeader(room[:0], deleteHeader, b.s.header(out.Result.Revision))
	b.send(batch, p, appendInt(m, deleteCount, out.Result.Deleted))
}

func (b *batched) answerTxn(batch *h2.Batch, p *batchedCall, out *outcome) {
	defer runtime.KeepAlive(out.view)
	reads := index.NewAnswerReader(p.txn, &out.Result, b.s.config.Limits.BuiltBytes)
	reads.Measure()
	found, err := readAnswer(reads, out.view)
	if err != nil {
		p.finish(nil, doneAt(out.Result.Revision, err))
		return
	}
	result := txnAnswerOf(p.txnRequest, found)
	result.Header = b.s.header(out.Result.Revision)
	if unread, _ := reads.Measured(); unread > 0 || proto.Size(result) > etcdPieceBytes {
		done := *out
		p.runInBackground(func() { p.finish(b.kv.answerTxn(p.request.Own(), p.txnRequest, p.txn, &done)) })
		return
	}
	m, err := proto.Marshal(result)
	if err != nil {
		p.finish(nil, err)
		return
	}
	b.send(batch, p, m)
}

// send answers with a small message, which is copied.
func (b *batched) send(batch *h2.Batch, p *batchedCall, m []byte) {
	p.ended(nil)
	if batch.Answer(p.request, m) {
		b.s.metrics.sent.Add(float64(len(m)))
		return
	}
	p.request.Send(message{bytes.Clone(m)}.charge(front.AccountOf(p.request.Context())))
}

func (b *batched) answerGet(batch *h2.Batch, p *batchedCall, _ *outcome) {
	v := b.s.config.Member.View()
	defer runtime.KeepAlive(v)
	if v.Auth().Enabled() { // since the request came
		p.runInBackground(p.handle)
		return
	}
	pair, unread, is, err := v.Peek(p.key, 0)
	found := kv.RangeResult{Revision: v.Revision()}
	if is {
		found.KVs, found.Count = []kv.KeyValue{pair}, 1
	}
	switch {
	case err != nil:
		err = statusOf(err)
		p.ended(err)
		batch.Fail(p.request, err)
	case unread != nil || len(pair.Value) > etcdPieceBytes:
		b.answerInBackground(p, v, found, unread)
	default:
		m := b.kv.pointMessage(&found)
		p.ended(nil)
		if batch.Answer(p.request, m[0]) {
			b.s.metrics.sent.Add(float64(len(m[0])))
			return
		}
		p.request.Send(m.charge(front.AccountOf(p.request.Context())))
	}
}

// answerInBackground answers with a value that takes long to copy, or that is in files.
func (b *batched) answerInBackground(p *batchedCall, v *index.View, found kv.RangeResult, unread *index.Unread) {
	p.runInBackground(func() {
		defer runtime.KeepAlive(v)
		pair := &found.KVs[0]
		if len(pair.Value) > b.s.wholeMost(p.request.Context()) { // it is encoded as the client reads it
			p.handle()
			return
		}
		var err error
		if unread != nil {
			pair.Value, err = unread.Read()
		}
		p.finish(b.kv.pointMessage(&found), statusOf(err))
	})
}
