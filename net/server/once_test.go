package server_test

import (
	"slices"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// A write that comes again is answered as it was when it came first, with what it read then, as long as that is in the history.
func TestWritesThatComeAgain(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	opened := e.member.View().SessionClock()
	write := func(id uint64, op wire.Op, sequence uint64, body []byte) []byte {
		return wire.AppendWrite(nil, id, op, wait, &kv.WriteName{Session: 1 << 60, Sequence: sequence, Window: sequence, Opened: opened}, body)
	}
	over := func(id uint64, value string) []byte {
		return write(id, wire.OpPut, 1, kv.AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte(value), PrevKV: true}))
	}
	both := kv.AppendTxn(nil, &kv.Txn{Success: []kv.Op{{Delete: &kv.Delete{Key: []byte("k"), End: []byte{0}, PrevKV: true}}, readOp("k", 0)}})
	grant := wire.AppendLeaseBody(nil, wire.OpGrant, &wire.LeaseRequest{TTL: 60})
	r.send(slices.Concat(put(1, "k", "1"), over(2, "2"), over(3, "2"), write(4, wire.OpTxn, 2, both), put(5, "k", "9"), write(6, wire.OpGrant, 3, grant)))
	r.want(1, kv.OK)
	for id := range uint64(2) {
		if got := r.previous(2 + id); !slices.Equal(got, []string{"1"}) {
			t.Errorf("the put of 2 was over %q", got)
		}
	}
	r.want(5, kv.OK)
	granted := func(id uint64) kv.Lease {
		p := r.want(id, kv.OK)
		_, l, err := p.Granted()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	lease := granted(6)
	first := r.txn(4)
	r.send(slices.Concat(over(7, "2"), write(8, wire.OpGrant, 3, grant), write(9, wire.OpTxn, 2, both)))
	if got := r.previous(7); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the put of 2 was over %q when it came again", got)
	}
	if again := granted(8); again != lease || e.member.View().LeaseCount() != 1 {
		t.Errorf("lease %+v is %+v when it is granted again", lease, again)
	}
	if again := r.txn(9); again.Revision != first.Revision || again.Answers[0].Delete.Deleted != 1 || string(again.Answers[0].Delete.Prev[0].Value) != "2" || again.Answers[1].Range.Count != 0 {
		t.Errorf("the transaction: %+v, and when it came again %+v", first, again)
	}
	pair, _, err := e.member.View().Get([]byte("k"), 0)
	if err != nil || string(pair.Value) != "9" || pair.Version != 1 {
		t.Errorf("k is %+v, %v", pair, err)
	}

	// What is compacted cannot be read again, what has no more to say is answered.
	r.send(slices.Concat(compact(10, 5), write(11, wire.OpTxn, 2, both), write(12, wire.OpPut, 4, kv.AppendPut(nil, &kv.Put{Key: []byte("k")}))))
	r.want(10, kv.OK)
	r.want(12, kv.OK)
	r.want(11, kv.AnswerGone)
	r.send(over(13, "2"))
	r.want(13, kv.AnswerGone)

	// Names that are refused.
	r.send(slices.Concat(
		wire.AppendWrite(nil, 14, wire.OpPut, wait, &kv.WriteName{Session: 7, Sequence: 5, Window: 1}, kv.AppendPut(nil, &kv.Put{Key: []byte("k")})),
		wire.AppendWrite(nil, 15, wire.OpPut, wait, &kv.WriteName{Session: 7, Sequence: 5, Window: 6}, kv.AppendPut(nil, &kv.Put{Key: []byte("k")})),
	))
	r.want(15, kv.BadRequest)
	r.want(14, kv.NameEnded)
	wide := kv.WriteName{Session: 7, Sequence: 1 << 40, Window: limits.SessionWindow + 1, Opened: opened}
	r.send(wire.AppendWrite(nil, 16, wire.OpPut, wait, &wide, kv.AppendPut(nil, &kv.Put{Key: []byte("k")})))
	r.want(16, kv.Overloaded)
	e.idle(t)
}

// A grant that comes again to another member is answered with the TTL that the lease has, whatever that one would raise it to.
func TestGrantThatComesAgainElsewhere(t *testing.T) {
	first := newEndpoint(t, func(c *server.Config) { c.LeaseLeast = 2 })
	second := *first
	second.server = servertest.Start(t, first.trust, first.member, func(c *server.Config) { c.LeaseLeast = 5 })
	name := kv.WriteName{Session: 1 << 60, Sequence: 1, Window: 1, Opened: first.member.View().SessionClock()}
	for i, e := range []*endpoint{first, &second} {
		r := e.raw(t)
		r.send(wire.AppendWrite(nil, 1, wire.OpGrant, wait, &name, wire.AppendLeaseBody(nil, wire.OpGrant, &wire.LeaseRequest{TTL: 1})))
		p := r.want(1, kv.OK)
		if _, l, err := p.Granted(); l.TTL != 2 || err != nil {
			t.Errorf("member %d says %+v, %v", i+1, l, err)
		}
	}
}
