package server_test

import (
	"sync/atomic"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// young is a member of a new cluster, whose feature level rises after some questions for its View.
type young struct {
	*servertest.Member
	first *index.View
	left  atomic.Int64
	early atomic.Bool // something was proposed before that
}

func newYoung() *young {
	s := index.NewState(limits.Defaults().Index)
	s.Found(index.Founders(map[string]uint64{"test": 1}))
	y := &young{Member: servertest.NewMember(), first: s.View()}
	y.left.Store(20)
	return y
}

// View implements server.Member.
func (y *young) View() *index.View {
	if y.left.Add(-1) >= 0 {
		return y.first
	}
	return y.Member.View()
}

// Propose implements server.Member.
func (y *young) Propose(p kv.Proposal) {
	if y.left.Load() > 0 {
		y.early.Store(true)
	}
	y.Member.Propose(p)
}

// In a cluster that has just begun, a change of users waits until the feature level permits it, with a password or without.
func TestChangeOfUsersWaitsForTheLevel(t *testing.T) {
	for name, q := range map[string][]byte{
		"password": change(kv.AuthChange{Kind: kv.UserAdd, User: "ci"}, "sesame"),
		"grant":    change(kv.AuthChange{Kind: kv.RoleAdd, Role: "app1"}, ""),
	} {
		t.Run(name, func(t *testing.T) {
			y := newYoung()
			e := &endpoint{trust: servertest.NewTrust(t), member: y.Member}
			e.server = servertest.Start(t, e.trust, y, nil)
			e.as(t, "test").allowed(wire.OpAuthChange, q)
			if y.early.Load() || y.left.Load() > 0 {
				t.Error("the change was proposed at the first feature level")
			}
			_, user := y.Member.View().Auth().User("ci")
			_, role := y.Member.View().Auth().Role("app1")
			if !user && !role {
				t.Error("the change was not made")
			}
			e.idle(t)
		})
	}
}
