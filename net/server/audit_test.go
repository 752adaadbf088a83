package server_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// late is a member that holds back the proposals that come after the first hold.
type late struct {
	*servertest.Member
	hold atomic.Pointer[chan struct{}]
}

// Propose implements server.Member.
func (m *late) Propose(p kv.Proposal) {
	hold := m.hold.Load()
	if hold == nil {
		m.Member.Propose(p)
		return
	}
	go func() {
		<-*hold
		m.Member.Propose(p)
	}()
}

// A change is recorded although its client has left before the answer.
func TestChangeOfAClientThatIsGoneIsAudited(t *testing.T) {
	record := servertest.NewJournal(t)
	m := &late{Member: servertest.NewMember()}
	e := &endpoint{trust: servertest.NewTrust(t), member: m.Member}
	e.server = servertest.Start(t, e.trust, m, func(c *server.Config) { c.Audit = record.Log })
	e.withUsers()
	r := e.as(t, "test")
	r.allowed(wire.OpWhoAmI, ask(wire.Ask{}))
	hold := make(chan struct{})
	m.hold.Store(&hold)
	r.send(wire.AppendRequest(nil, 1, wire.OpAuthChange, wait, change(kv.AuthChange{Kind: kv.UserGrantRole, User: "lonely", Role: kv.Root}, "")))
	soon(t, "the change is proposed", func() bool { return e.server.Stats().Requests > 0 })
	_ = r.conn.CloseWithError(0, "")
	soon(t, "the client is gone", func() bool { return e.server.Stats().Connections == 0 })
	close(hold)
	soon(t, "the change is made", func() bool { return e.member.View().Auth().IsRoot("lonely") })
	soon(t, "the change is recorded", func() bool {
		all, _ := record.Take(new(int))
		if len(all) == 0 {
			return false
		}
		last := all[len(all)-1]
		return strings.HasPrefix(last, "test by ") && strings.HasSuffix(last, " change of users (grant role to user lonely: root): ok")
	})
}

// soon waits until a condition holds.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wait); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", wait, what)
		}
	}
}
