package etcd_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
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
