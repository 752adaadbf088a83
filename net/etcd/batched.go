package etcd

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"

	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
	"qkv/net/etcd/h2"
)

// batched serves the plainest requests, puts and gets of one key, without a goroutine for each. A connection's reader translates a request
// and gives it to calls. One goroutine encodes the answers of what the member completes together. Every other request is served by its
// handler, also if something is in the way only now: authentication, a member that has no leader, a request that is refused.
type batched struct {
	s        *core
	kv       kvService
	put, get *rpcMeter

	mu   sync.Mutex
	done []batchedDone
	wake chan struct{}
	over bool
}

// batchedDone is a request that the member has answered.
type batchedDone struct {
	call    *call
	outcome kv.Completion
}

// plainCall is a batched request under way.
type plainCall struct {
	of      *batched
	request *h2.Request
	meter   *rpcMeter
	began   time.Time
	size    int    // of the request
	key     []byte // of a get
	command kv.Command
}

func newBatched(s *core) *batched {
	b := &batched{s: s, kv: kvService{s}, wake: make(chan struct{}, 1)}
	b.put = s.metrics.of("etcdserverpb.KV", "Put", unaryKind)
	b.get = s.metrics.of("etcdserverpb.KV", "Range", unaryKind)
	return b
}

func (b *batched) methods() map[string]func(*h2.Request, []byte) bool {
	return map[string]func(*h2.Request, []byte) bool{"/etcdserverpb.KV/Put": b.takePut, "/etcdserverpb.KV/Range": b.takeGet}
}

// requester is what the metadata of requests says.
type requester struct {
	account  *front.Account
	ctx      context.Context
	plain    bool // nothing in it asks for a handler
	requires bool // a leader
}

func (b *batched) prepare(ctx context.Context) any {
	one := &requester{account: front.AccountOf(ctx), ctx: ctx, plain: true}
	if version := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(version) > 0 {
		one.plain = utf8.ValidString(version[0])
	}
	one.requires = len(metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)) > 0
	return one
}

// plain reports whether nothing is in the way of serving a request at once.
func (b *batched) plain(r *h2.Request) bool {
	s, by := b.s, r.Prepared().(*requester)
	if !by.plain || s.alive.Err() != nil || !s.config.Start.Current() || s.config.Member.Refuse() != nil {
		return false
	}
	v := s.config.Member.View()
	own := v.Members().Get(s.config.ID)
	if own == nil || isLearner(own) || v.Auth().Enabled() {
		return false
	}
	return !by.requires || s.config.Member.RaftStatus().Leader != 0
}

func (b *batched) takePut(r *h2.Request, message []byte) bool {
	var q putRequest
	if !decodeBytes(message, &q.Key, &q.Value) || !b.plain(r) {
		return false
	}
	s := b.s
	p, err := b.kv.putOf(&q.PutRequest)
	if err != nil || s.checkSize(r.Context(), &q) != nil {
		return false
	}
	h, err := s.head(r.Context())
	if err != nil {
		return false
	}
	command := h.AppendPut(buffers.Get(64+len(p.Key)+len(p.Value)+len(h.By.Name)), &p)
	one := &call{command: command, plain: &plainCall{of: b, request: r, meter: b.put, began: time.Now(), size: len(message)}}
	if len(command.Bytes) > limits.RequestBytes || s.calls.hand(&s.calls.writes, one) != nil {
		return false
	}
	return true
}

// ended counts a request that needed no handler.
func (b *batched) ended(p *plainCall, err error) {
	p.meter.started.Inc()
	p.meter.in.Inc()
	b.s.metrics.count(p.request.Context(), p.meter)
	b.s.metrics.received.Add(float64(p.size))
	p.meter.ended(p.began, err)
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
	if !ok || len(key) > limits.KeyBytes || !b.plain(r) {
		return false
	}
	p := &plainCall{of: b, request: r, meter: b.get, began: time.Now(), size: len(message), key: key}
	if serializable {
		var one h2.Batch
		b.answerGet(&one, p)
		return true // the reader writes it
	}
	if b.s.calls.hand(&b.s.calls.reads, &call{plain: p}) != nil {
		return false
	}
	return true
}

// completed takes over requests that the member has completed.
func (b *batched) completed(all []batchedDone) {
	b.mu.Lock()
	b.done = append(b.done, all...)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *batched) run() {
	var spare []batchedDone
	var batch h2.Batch
	for {
		select {
		case <-b.wake:
		case <-b.s.alive.Done():
		}
		b.mu.Lock()
		all := b.done
		b.done = spare[:0]
		b.mu.Unlock()
		for i := range all {
			b.answer(&batch, &all[i])
		}
		batch.Flush()
		clear(all)
		spare = all
		if b.s.alive.Err() != nil && len(all) == 0 {
			time.Sleep(5 * time.Millisecond)
			select {
			case <-b.stopped():
				return
			default:
			}
		}
	}
}

func (b *batched) stopped() <-chan struct{} { return b.s.ended }

func (b *batched) answer(batch *h2.Batch, d *batchedDone) {
	p := d.call.plain
	switch refusal := d.outcome.Result.Err; {
	case refusal != nil && (refusal.Code == kv.Unavailable || refusal.Code == kv.AuthOld || refusal.Code == kv.UserEmpty): // it did not happen
		p.request.Serve()
	case refusal != nil:
		b.s.calls.count(p.queue(), refusal)
		err := statusOf(refusal)
		b.ended(p, err)
		batch.Fail(p.request, err)
	case p.key != nil:
		b.answerGet(batch, p)
	default:
		buffers.Put(d.call.command.Bytes)
		var room [headerBytes]byte
		b.send(batch, p, appendHeader(room[:0], putHeader, b.s.header(d.outcome.Result.Revision)))
	}
}

func (p *plainCall) queue() *queue {
	if p.key != nil {
		return &p.of.s.calls.reads
	}
	return &p.of.s.calls.writes
}

func (b *batched) answerGet(batch *h2.Batch, p *plainCall) {
	v := b.s.config.Member.View()
	defer runtime.KeepAlive(v)
	b.s.metrics.ranges.Add(1)
	found, err := v.Range(kv.Range{Key: p.key}, 0)
	if err != nil {
		failed := statusOf(err)
		b.ended(p, failed)
		batch.Fail(p.request, failed)
		return
	}
	if len(found.KVs) > 0 && len(found.KVs[0].Value) > b.s.wholeMost(p.request.Context()) {
		p.request.Serve() // it is encoded as the client reads it
		return
	}
	b.send(batch, p, b.kv.pointMessage(&found)[0])
}

func (b *batched) send(batch *h2.Batch, p *plainCall, m []byte) {
	b.ended(p, nil)
	p.meter.out.Inc()
	if batch.Answer(p.request, m) {
		b.s.metrics.sent.Add(float64(len(m)))
		return
	}
	p.request.Send(message{bytes.Clone(m)}.charge(front.AccountOf(p.request.Context())))
}
