package server_test

import (
	"fmt"
	"slices"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server/servertest"
)

// slow is a member to which writes come, and are not made before the test says so.
type slow struct {
	*servertest.Member
	came chan kv.Proposal
}

// Propose implements server.Member.
func (s *slow) Propose(p kv.Proposal) { s.came <- p }

// TestLongWritesGoOneByOne deletes all of many keys again and again: the member gets one such write at a time, whatever becomes of the
// stream that it came on. Others' writes do not wait for it.
func TestLongWritesGoOneByOne(t *testing.T) {
	e := newEndpoint(t, nil)
	m := &slow{Member: e.member, came: make(chan kv.Proposal, 8)}
	e.server = servertest.Start(t, e.trust, m, nil)
	var puts []kv.Command
	for i := range limits.LongWriteRows + 1 {
		puts = append(puts, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k/%06d", i)}))
	}
	m.Member.Propose(kv.Proposal{ReplyTo: nobody{}, Requests: make([]uint64, len(puts)), Commands: puts})
	all := kv.Delete{Key: []byte("k/"), End: []byte("k0")}
	first, second := e.raw(t), e.raw(t)
	first.send(deleteWith(1, all, wait))
	held := <-m.came
	second.send(slices.Concat(deleteWith(1, all, wait), put(2, "a", "v")))
	second.want(1, kv.Overloaded)
	m.Member.Propose(<-m.came)
	second.want(2, kv.OK)
	_ = first.conn.CloseWithError(0, "")
	second.send(deleteWith(3, all, wait))
	second.want(3, kv.Overloaded)
	m.Member.Propose(held)
	second.send(deleteWith(4, all, wait))
	m.Member.Propose(<-m.came)
	second.want(4, kv.OK)
	var compares []kv.Compare
	for range limits.TxnOperations {
		compares = append(compares, kv.Compare{Key: []byte{0}, End: []byte{0}})
	}
	second.send(txn(5, kv.Txn{Compares: compares, Success: []kv.Op{{Delete: &all}}}))
	second.want(5, kv.TooManyOperations)
	e.idle(t)
}
