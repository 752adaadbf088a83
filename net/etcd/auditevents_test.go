package etcd_test

import (
	"slices"
	"strings"
	"testing"

	"qkv/net/etcd"
	"qkv/net/server/servertest"
)

// TestAudit: the audit log has the refusals, the logins, and the changes of users, roles, members and alarms of etcd's clients: each once,
// with the user, the proof, the address and the RPC. It has no value, no password and no token.
func TestAudit(t *testing.T) {
	j, seen := servertest.NewJournal(t), 0
	u := newUsers(t, func(c *etcd.Config) { c.Audit = j.Log })
	want := func(want ...string) {
		t.Helper()
		got, _ := j.Take(&seen)
		for i, one := range want {
			user, rest, _ := strings.Cut(one, ": ")
			want[i] = user + " from 127.0.0.1: etcd " + rest
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("recorded:\n  %s\nwanted:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	want(" by none: UserAdd (root): ok", " by none: UserGrantRole (root root): ok", " by none: RoleAdd (app): ok",
		" by none: RoleGrantPermission [[app/, app0)] (app READWRITE): ok", " by none: UserAdd (alice): ok",
		" by none: UserGrantRole (alice app): ok", " by none: UserAdd (bob): ok", " by none: AuthEnable: ok",
		"root by password: login: ok", "alice by password: login: ok", "bob by password: login: ok")

	u.refuse("alice", denied, `KV.Put key: "other" value: "classified"`, `KV.Range key: "other" range_end: "z"`, "Maintenance.Defragment")
	u.refuse("", noUser, `KV.Range key: "app/1"`)
	u.must("alice", "KV.Put", `key: "app/1" value: "classified"`)
	u.tokens["forged"] = "0" + u.tokens["alice"]
	u.refuse("forged", "Unauthenticated: etcdserver: invalid auth token", `KV.Range key: "app/1"`)
	want("alice by token: Put [other]: not allowed", "alice by token: Range [[other, z)]: not allowed", "alice by token: Defragment: not allowed",
		" by none: Range [app/1]: no user", " by none: Range [app/1]: invalid token")

	u.refuse("", "InvalidArgument: etcdserver: authentication failed, invalid user ID or password", `Auth.Authenticate name: "alice" password: "open-sesame"`, `Auth.Authenticate name: "ghost" password: "open-sesame"`)
	want("alice by password: login: authentication failed", "ghost by password: login: authentication failed")

	u.must("root", "Auth.UserAdd", `name: "carol" password: "swordfish"`)
	u.refuse("root", "FailedPrecondition: etcdserver: user name already exists", `Auth.UserAdd name: "carol" password: "swordfish"`) // no want of a permission, so no event
	u.must("root", "Auth.UserChangePassword", `name: "carol" password: "sturgeon"`)
	u.must("root", "Auth.RoleRevokePermission", `role: "app" key: "app/" range_end: "app0"`)
	u.must("root", "Cluster.MemberAdd", `peerURLs: "http://127.0.0.1:1" isLearner: true`)
	u.must("root", "Maintenance.Alarm", `action: ACTIVATE memberID: 1 alarm: NOSPACE`)
	u.must("root", "Maintenance.Alarm", `action: GET`)
	u.must("root", "KV.Compact", `revision: 1`)
	u.refuse("bob", denied, `Auth.UserDelete name: "carol"`)
	want("root by token: UserAdd (carol): ok", "root by token: UserChangePassword (carol): ok",
		"root by token: RoleRevokePermission [[app/, app0)] (app): ok", "root by token: MemberAdd (http://127.0.0.1:1): ok",
		"root by token: Alarm (ACTIVATE NOSPACE): ok", "root by token: Compact (revision 1): ok", "bob by token: UserDelete: not allowed")

	stream := openIn(u.as("alice"), t, u.conn, "Watch.Watch")
	stream.send(t, `create_request: { key: "other" range_end: "z" }`)
	if got := stream.receive(t); !strings.Contains(got, "permission denied") {
		t.Errorf("a watch without a permission: %s", got)
	}
	want("alice by token: Watch [[other, z)]: not allowed")

	_, raw := j.Take(&seen)
	carol, _ := u.View().Auth().User("carol")
	for _, secret := range []string{"classified", "sesame", "swordfish", "sturgeon", u.tokens["alice"], u.tokens["root"][:20], string(carol.Password)} {
		if strings.Contains(raw, secret) {
			t.Errorf("%.12s... is recorded", secret)
		}
	}
}
