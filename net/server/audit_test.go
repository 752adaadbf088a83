package server_test

import (
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// openAudit opens an audit log in a temporary folder. lines flushes it and returns its lines as "USER OPERATION RESULT: MESSAGE".
func openAudit(t *testing.T) (l *audit.Log, lines func() []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	l, err := audit.Open(audit.Config{
		FS: disk.OS(), File: file, FileBytes: limits.AuditFileBytes, Files: limits.AuditFiles, Member: "n1", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, func() (all []string) {
		l.Flush()
		r := audit.NewReader(disk.OS(), file)
		defer r.Close()
		for {
			raw, err := r.Next()
			if err == io.EOF {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			one, _ := audit.ParseLine(raw)
			all = append(all, one.User+" "+one.Operation+" "+one.Result+": "+one.Message)
		}
	}
}

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
	record, lines := openAudit(t)
	m := &late{Member: servertest.NewMember()}
	e := &endpoint{trust: servertest.NewTrust(t), member: m.Member}
	e.server = servertest.Start(t, e.trust, m, func(c *server.Config) { c.Audit = record })
	e.withUsers()
	r := e.as(t, "test")
	r.allowed(wire.OpWhoAmI, wire.AppendMembersBody(nil, false))
	hold := make(chan struct{})
	m.hold.Store(&hold)
	r.send(wire.AppendRequest(nil, 1, wire.OpAuthChange, wait, change(kv.AuthChange{Kind: kv.UserGrantRole, User: "lonely", Role: kv.Root}, "")))
	soon(t, "the change is proposed", func() bool { return e.server.Stats().Requests > 0 })
	_ = r.conn.CloseWithError(0, "")
	soon(t, "the client is gone", func() bool { return e.server.Stats().Connections == 0 })
	close(hold)
	soon(t, "the change is made", func() bool { return e.member.View().Auth().IsRoot("lonely") })
	soon(t, "the change is recorded", func() bool {
		all := lines()
		return all[len(all)-1] == "test change of users ok: grant role to user lonely: root"
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
