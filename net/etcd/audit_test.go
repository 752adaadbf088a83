package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
)

// TestChangeOfAClientThatIsGoneIsAudited: a client that leaves before the answer cannot make a change that is not recorded.
func TestChangeOfAClientThatIsGoneIsAudited(t *testing.T) {
	record := servertest.NewJournal(t)
	u := newUsers(t, func(c *etcd.Config) { c.Audit = record.Log })
	ctx, cancel := context.WithCancel(u.as("root"))
	u.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			cancel()
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	})
	call(ctx, t, u.conn, "Auth", "UserGrantRole", `user: "bob" role: "root"`)
	eventually(t, func() bool { return u.View().Auth().IsRoot("bob") })
	eventually(t, func() bool {
		all, _ := record.Take(new(int))
		return slices.ContainsFunc(all, func(event string) bool {
			return strings.HasPrefix(event, "root by ") && strings.HasSuffix(event, " UserGrantRole (bob root): ok")
		})
	})
}

// TestEveryAdminRPCIsAudited: of the RPCs that only an administrator may make, these alone leave no line of a success: they read the cluster's
// configuration or this member's state, or change nothing.
func TestEveryAdminRPCIsAudited(t *testing.T) {
	silent := map[string]bool{"AuthStatus": true, "Defragment": true, "Downgrade": true, "Hash": true, "HashKV": true, "UserList": true, "RoleList": true, "MemberList": true}
	for rpc, admin := range etcd.AdminRPCs() {
		if name := rpc[strings.LastIndexByte(rpc, '/')+1:]; admin && etcd.IsChange(name) == silent[name] {
			t.Errorf("%s is audited: %v", name, etcd.IsChange(name))
		}
	}
}

// pooling is a member that fills pooled buffers of one size whenever it is asked for its View, as other requests do.
type pooling struct {
	etcd.Member
	size int
}

func (m pooling) View() *index.View {
	taken := make([][]byte, 100)
	for i := range taken {
		b := buffers.Get(m.size)
		taken[i] = append(b, bytes.Repeat([]byte("#"), cap(b))...)
	}
	for _, b := range taken {
		buffers.Put(b)
	}
	return m.Member.View()
}

// TestKeyOfARefusedPutIsAudited: a large put lies in a pooled buffer, which is no other request's before the put's refusal is recorded.
func TestKeyOfARefusedPutIsAudited(t *testing.T) {
	const size = 8 << 10 // of one class of buffers
	record := servertest.NewJournal(t)
	u := newUsers(t, func(c *etcd.Config) { c.Audit, c.Member = record.Log, pooling{c.Member, size} })
	seen := 0
	record.Take(&seen)
	for i := range 4 { // more of them would be summed up
		u.refuse("alice", denied, fmt.Sprintf(`KV.Put key: "other/%d" value: "%0*d"`, i, size-100, 0))
		want := fmt.Sprintf("alice by token from 127.0.0.1: etcd Put [other/%d]: not allowed", i)
		if got, _ := record.Take(&seen); !slices.Equal(got, []string{want}) {
			t.Fatalf("recorded %q, want %q", got, want)
		}
	}
}

// keeping is a member whose answers to writes a test keeps back: those that it has not made, or what they show of dropped history.
type keeping struct {
	*member
	came chan kv.Proposal
	old  atomic.Pointer[index.View] // in place of the newest; nil: none
}

func (m *keeping) Propose(p kv.Proposal) {
	if m.came != nil {
		m.came <- p
		return
	}
	p.ReplyTo = undropped{p.ReplyTo, m}
	m.member.Propose(p)
}

func (m *keeping) View() *index.View {
	if v := m.old.Load(); v != nil {
		return v
	}
	return m.member.View()
}

// undropped keeps the View that has compacted history and has not dropped it.
type undropped struct {
	kv.ReplyTo
	of *keeping
}

func (u undropped) Complete(done []kv.Completion) {
	if v := u.of.member.View(); !v.Dropped() {
		u.of.old.Store(v)
	}
	u.ReplyTo.Complete(done)
}

// closes closes a server, and fails if that does not end. release then lets it end.
func closes(t *testing.T, s *etcd.Server, release func()) {
	t.Helper()
	closed := make(chan struct{})
	go func() {
		s.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(wait / 6):
		t.Error("the server does not end")
		release()
		<-closed
	}
}

// TestCloseDuringARecordedChange: a server ends while a change waits that the member, which has ended, never answers, although the change
// does not end with its client.
func TestCloseDuringARecordedChange(t *testing.T) {
	record := servertest.NewJournal(t)
	m := &keeping{member: newMember(), came: make(chan kv.Proposal, 1)}
	s := start(t, m, func(c *etcd.Config) { c.Audit = record.Log })
	conn, answered := dial(t, s), make(chan string, 1)
	go func() {
		answered <- call(t.Context(), t, conn, "Cluster", "MemberAdd", `peerURLs: "http://127.0.0.1:1"`)
	}()
	p := <-m.came
	closes(t, s, func() { kv.Refuse(p.ReplyTo, p.Requests, kv.CommandDone, kv.Errorf(kv.TooManyMembers, "too late")) })
	if got := <-answered; strings.Contains(got, "header") {
		t.Errorf("a change that was not made: %s", got)
	}
}

// TestCloseDuringAPhysicalCompaction: a server ends while a compaction waits for history to be dropped. The compaction has happened, and is
// recorded.
func TestCloseDuringAPhysicalCompaction(t *testing.T) {
	record := servertest.NewJournal(t)
	m := &keeping{member: newMember()}
	s := start(t, m, func(c *etcd.Config) { c.Audit = record.Log })
	conn, answered := dial(t, s), make(chan string, 1)
	for range 3 {
		call(t.Context(), t, conn, "KV", "Put", `key: "k"`)
	}
	go func() { answered <- call(t.Context(), t, conn, "KV", "Compact", `revision: 3 physical: true`) }()
	eventually(t, func() bool { return m.old.Load() != nil })
	closes(t, s, func() { m.old.Store(nil) })
	<-answered
	all, _ := record.Take(new(int))
	if want := " by none from 127.0.0.1: etcd Compact (revision 3): ok"; !slices.Equal(all, []string{want}) {
		t.Errorf("recorded %q, want %q", all, want)
	}
}
