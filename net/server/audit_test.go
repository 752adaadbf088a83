package server_test

import (
	"slices"
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
	held atomic.Int64
}

// Propose implements server.Member.
func (m *late) Propose(p kv.Proposal) {
	hold := m.hold.Load()
	if hold == nil {
		m.Member.Propose(p)
		return
	}
	m.held.Add(1)
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
	soon(t, "the change is proposed", func() bool { return m.held.Load() > 0 })
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

// A write that is refused where it is applied is recorded although its client has left before the answer.
func TestRefusalOfAClientThatIsGoneIsAudited(t *testing.T) {
	record := servertest.NewJournal(t)
	m := &late{Member: servertest.NewMember()}
	e := &endpoint{trust: servertest.NewTrust(t), member: m.Member}
	e.server = servertest.Start(t, e.trust, m, func(c *server.Config) { c.Audit = record.Log })
	e.withUsers()
	r := e.as(t, "ci")
	r.allowed(wire.OpWhoAmI, ask(wire.Ask{}))
	hold := make(chan struct{})
	m.hold.Store(&hold)
	r.send(put(1, "app2/k", "v"))
	soon(t, "the write is proposed", func() bool { return m.held.Load() > 0 })
	_ = r.conn.CloseWithError(0, "")
	soon(t, "the client is gone", func() bool { return e.server.Stats().Connections == 0 })
	close(hold)
	soon(t, "the refusal is recorded", func() bool {
		all, _ := record.Take(new(int))
		return slices.Equal(all, []string{"ci by certificate from 127.0.0.1: native put: not allowed"})
	})
}

// A refusal is recorded once, although its answer does not fit after the answers before it.
func TestRefusalIsAuditedOnce(t *testing.T) {
	j, seen := servertest.NewJournal(t), 0
	e := newEndpoint(t, func(c *server.Config) { c.Audit = j.Log })
	e.withUsers()
	key := "app2/" + strings.Repeat("\xff", 500) // of whose refusals the small buffer has only one
	for what, request := range map[string]func(id uint64) []byte{
		"put": func(id uint64) []byte { return put(id, key, "") }, "range": func(id uint64) []byte { return get(id, key) },
		"local range": func(id uint64) []byte { return getSerializable(id, key) },
	} {
		r := e.as(t, "ci")
		r.allowed(wire.OpWhoAmI, ask(wire.Ask{}))
		end := e.server.Hunger()
		r.send(slices.Concat(request(1), request(2), request(3)))
		for id := range uint64(3) {
			r.want(1+id, kv.NotAllowed)
		}
		end()
		if got, _ := j.Take(&seen); len(got) != 3 {
			t.Errorf("3 refusals of a %s: recorded:\n  %.120s", what, strings.Join(got, "\n  "))
		}
		time.Sleep(1100 * time.Millisecond) // a client has ten lines a second
	}
}

// Refused logins and logins that have ended prove nothing while authentication is off: the author of a change is the certificate's user, for
// the audit log as for the history.
func TestProofWhileOff(t *testing.T) {
	j, seen := servertest.NewJournal(t), 0
	e := newEndpoint(t, func(c *server.Config) { c.Audit = j.Log })
	add := func(role string) []byte { return change(kv.AuthChange{Kind: kv.RoleAdd, Role: role}, "") }
	const made = "test by certificate from 127.0.0.1: native change of users (add role "
	r := e.as(t, "test")
	r.allowed(wire.OpAuthChange, add("first"))
	r.refused(kv.AuthNotEnabled, "not enabled", wire.OpLogin, login("ci", "sesame"))
	r.allowed(wire.OpAuthChange, add("second"))
	wantEvents(t, j, &seen, made+"first): ok", made+"second): ok")

	e.withPassword(t, "sesame")
	other := e.as(t, "test")
	other.allowed(wire.OpLogin, login("ci", "sesame"))
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.AuthDisable}, kv.AuthChange{Kind: kv.UserDelete, User: "ci"})
	_, _ = j.Take(&seen)
	other.allowed(wire.OpAuthChange, add("third"))
	wantEvents(t, j, &seen, made+"third): ok")
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
