package etcd_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd"
)

// users is a member with authentication: root with the role root, alice who may read and write app/, and bob without a role. Their
// passwords are their names.
type users struct {
	*member
	t      testing.TB
	server *etcd.Server
	conn   grpc.ClientConnInterface
	tokens map[string]string
}

// setUsers makes the users, and enables authentication.
const setUsers = `UserAdd name: "root" password: "root"
UserGrantRole user: "root" role: "root"
RoleAdd name: "app"
RoleGrantPermission name: "app" perm: { permType: READWRITE key: "app/" range_end: "app0" }
UserAdd name: "alice" password: "alice"
UserGrantRole user: "alice" role: "app"
UserAdd name: "bob" password: "bob"
AuthEnable`

func newUsers(t testing.TB, change func(*etcd.Config)) *users {
	t.Helper()
	m := newMember()
	u := &users{member: m, t: t, server: start(t, m, change), tokens: map[string]string{}}
	u.conn = dial(t, u.server)
	for line := range strings.Lines(setUsers) {
		rpc, input, _ := strings.Cut(strings.TrimSpace(line), " ")
		u.must("", "Auth."+rpc, input)
	}
	for _, name := range []string{"root", "alice", "bob"} {
		u.tokens[name] = login(t, u.conn, name, name)
	}
	return u
}

// as is the context of a user's requests; "" has no token.
func (u *users) as(name string) context.Context { return withToken(u.t.Context(), u.tokens[name]) }

// ask makes a request as a user, and returns the answer as text.
func (u *users) ask(name, rpc, input string) string {
	u.t.Helper()
	service, method, _ := strings.Cut(rpc, ".")
	ctx, cancel := context.WithTimeout(u.as(name), wait)
	defer cancel()
	return strings.TrimSpace(call(ctx, u.t, u.conn, service, method, input))
}

// must is ask for a request that must succeed.
func (u *users) must(name, rpc, input string) string {
	u.t.Helper()
	got := u.ask(name, rpc, input)
	if strings.Contains(got, "etcdserver:") {
		u.t.Fatalf("%s %s: %s", rpc, input, got)
	}
	return got
}

const (
	denied = "PermissionDenied: etcdserver: permission denied"
	noUser = "InvalidArgument: etcdserver: user name is empty"
)

// refuse wants each request of a list, "RPC REQUEST", to be refused to a user.
func (u *users) refuse(name, want string, requests ...string) {
	u.t.Helper()
	for _, one := range requests {
		rpc, input, _ := strings.Cut(one, " ")
		if got := u.ask(name, rpc, input); got != want {
			u.t.Errorf("%s of %q: %s, want %s", one, name, got, want)
		}
	}
}

// requestOf has, for the RPCs that refuse an empty request for another reason, one that only a permission can refuse.
var requestOf = map[string]string{
	"KV.Range": `key: "x"`, "KV.RangeStream": `key: "x"`, "KV.Put": `key: "x"`, "KV.DeleteRange": `key: "x"`, "KV.Txn": `success: { request_range: { key: "x" } }`,
	"Watch.Watch": `create_request: { key: "x" }`, "Lease.LeaseGrant": "TTL: 60", "Lease.LeaseRevoke": "ID: 77", "Lease.LeaseTimeToLive": "ID: 77 keys: true", "Lease.LeaseKeepAlive": "ID: 77",
	"Cluster.MemberAdd": `peerURLs: "http://127.0.0.1:1"`, "Cluster.MemberUpdate": `ID: 1 peerURLs: "http://127.0.0.1:1"`, "Cluster.MemberRemove": "ID: 1", "Cluster.MemberPromote": "ID: 1",
	"Maintenance.Alarm": "action: ACTIVATE memberID: 1 alarm: NOSPACE", "Maintenance.MoveLeader": "targetID: 1", "Maintenance.Downgrade": `version: "3.6"`,
	"Auth.UserGet": `name: "alice"`, "Auth.RoleGet": `role: "app"`, "Auth.UserAdd": `name: "x" password: "x"`,
	"Auth.RoleGrantPermission": `name: "app" perm: { key: "x" }`,
	"Lock.Lock":                `name: "x"`, "Lock.Unlock": `key: "x"`, "Election.Campaign": `name: "x"`, "Election.Leader": `name: "x"`, "Election.Observe": `name: "x"`,
	"Election.Proclaim": `leader: { name: "x" key: "x/1" rev: 1 lease: 1 }`, "Election.Resign": `leader: { name: "x" key: "x/1" rev: 1 lease: 1 }`,
}

// nobodyMay are the RPCs that need no user, and usersMay those that a user without any role may call, beside them.
var (
	nobodyMay = []string{"Auth.AuthStatus", "Auth.Authenticate", "Health.Check", "Health.List", "Health.Watch"}
	usersMay  = []string{"Cluster.MemberList", "Maintenance.Status", "Lease.LeaseGrant", "Lease.LeaseRevoke", "Lease.LeaseTimeToLive", "Lease.LeaseKeepAlive", "Lease.LeaseLeases"}
)

// TestEveryRPCNeedsAPermission: each RPC that is registered is in the table, and the table has no other. While authentication is enabled,
// each is refused without a user, and to a user without roles, except for two short lists.
func TestEveryRPCNeedsAPermission(t *testing.T) {
	u := newUsers(t, nil)
	open, left := etcd.Classes(), etcd.Classes()
	for service, info := range u.server.Registered() {
		for _, m := range info.Methods {
			full := "/" + service + "/" + m.Name
			if _, there := left[full]; !there {
				t.Errorf("%s has no permission in the table", full)
			}
			delete(left, full)
			rpc := service[strings.LastIndexByte(service, '.')+1:] + "." + m.Name
			free := slices.Contains(nobodyMay, rpc)
			if open[full] && !free {
				t.Errorf("%s needs no user", full)
			}
			if free {
				continue
			}
			if got := u.outcome("", rpc, m); !strings.Contains(got, "user name is empty") {
				t.Errorf("%s without a user: %s", full, got)
			}
			got := u.outcome("bob", rpc, m)
			if refused := strings.Contains(got, "permission denied"); refused == slices.Contains(usersMay, rpc) {
				t.Errorf("%s of a user without roles: %s", full, got)
			}
		}
	}
	for rpc := range left {
		t.Errorf("%s is in the table, and not registered", rpc)
	}
}

// outcome calls an RPC as a user, and returns the first answer or error.
func (u *users) outcome(user, rpc string, m grpc.MethodInfo) string {
	u.t.Helper()
	if !m.IsClientStream && !m.IsServerStream {
		return u.ask(user, rpc, requestOf[rpc])
	}
	ctx, cancel := context.WithCancel(u.as(user))
	defer cancel()
	stream := openIn(ctx, u.t, u.conn, rpc)
	stream.send(u.t, requestOf[rpc])
	return stream.receive(u.t)
}

// TestUndeclaredRPCIsRefused: an RPC that the table does not have is refused to everybody, whether authentication is enabled or not.
func TestUndeclaredRPCIsRefused(t *testing.T) {
	if got := etcd.CallUndeclared(t.Context(), newMember()); status.Convert(got).Message() != "etcdserver: permission denied" {
		t.Errorf("%v", got)
	}
}

// withReader makes carol, who may read app/ and not write it.
func (u *users) withReader() {
	u.t.Helper()
	u.must("root", "Auth.RoleAdd", `name: "reads"`)
	u.must("root", "Auth.RoleGrantPermission", `name: "reads" perm: { permType: READ key: "app/" range_end: "app0" }`)
	u.must("root", "Auth.UserAdd", `name: "carol" password: "carol"`)
	u.must("root", "Auth.UserGrantRole", `user: "carol" role: "reads"`)
	u.tokens["carol"] = login(u.t, u.conn, "carol", "carol")
}

// TestWrites: the verdict on a write falls by all that it touches: keys, previous values, and all keys of a lease.
// CVE-2026-44283 (GHSA-x35m-3gp4-4fh5), CVE-2026-33343 (GHSA-rfx7-8w68-q57q), #8031.
func TestWrites(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.RoleAdd", `name: "blind"`)
	u.must("root", "Auth.RoleGrantPermission", `name: "blind" perm: { permType: WRITE key: "blind" }`)
	u.must("root", "Auth.UserGrantRole", `user: "bob" role: "blind"`)
	u.must("root", "Lease.LeaseGrant", "ID: 5 TTL: 60")
	u.must("root", "KV.Put", `key: "secret" value: "s" lease: 5`)
	u.must("root", "KV.Put", `key: "app/1" value: "v"`)
	u.must("alice", "Lease.LeaseGrant", "ID: 6 TTL: 60")
	u.must("alice", "KV.Put", `key: "app/2" lease: 6`)
	u.withReader()
	nested := func(op string) string {
		return fmt.Sprintf("KV.Txn success: { request_txn: { failure: { request_txn: { success: { %s } } } } }", op)
	}
	u.refuse("alice", denied,
		`KV.Put key: "secret" value: "x"`,
		`KV.Put key: "app/1" lease: 5`,
		`KV.DeleteRange key: "secret"`,
		`KV.DeleteRange key: "app/" range_end: "\000"`,
		"Lease.LeaseRevoke ID: 5",
		`KV.Txn success: { request_put: { key: "app/1" lease: 5 } }`,
		`KV.Txn failure: { request_put: { key: "secret" } }`,
		`KV.Txn compare: { key: "secret" target: VALUE value: "s" } success: { request_put: { key: "app/1" } }`,
		`KV.Txn compare: { key: "app/" range_end: "b" target: VERSION result: GREATER } success: { request_put: { key: "app/1" } }`,
		nested(`request_put: { key: "secret" }`),
		nested(`request_put: { key: "app/1" lease: 5 }`),
		nested(`request_range: { key: "secret" }`),
		nested(`request_delete_range: { key: "a" range_end: "b" }`),
	)
	u.refuse("alice", "Unknown: etcdserver: permission denied", `Lock.Unlock key: "secret"`)
	u.refuse("carol", denied,
		`KV.Put key: "app/1"`,
		`KV.Put key: "app/1" lease: 6`,
		`KV.DeleteRange key: "app/1"`,
		`KV.DeleteRange key: "app/" range_end: "app0" prev_kv: true`,
		"Lease.LeaseRevoke ID: 6",
		`KV.Txn success: { request_put: { key: "app/1" } }`,
		nested(`request_put: { key: "app/1" }`),
		nested(`request_delete_range: { key: "app/1" }`),
	)
	u.refuse("carol", "Unknown: etcdserver: permission denied", `Lock.Unlock key: "app/1"`)
	u.must("carol", "KV.Txn", `compare: { key: "app/1" target: VALUE value: "v" } success: { request_range: { key: "app/" range_end: "app0" } }`)
	u.refuse("bob", denied,
		`KV.Range key: "blind"`,
		`KV.Put key: "blind" prev_kv: true`,
		`KV.DeleteRange key: "blind" prev_kv: true`,
		`KV.Txn success: { request_put: { key: "blind" prev_kv: true } }`,
		`KV.Txn success: { request_delete_range: { key: "blind" prev_kv: true } }`,
		nested(`request_put: { key: "blind" prev_kv: true }`),
		nested(`request_delete_range: { key: "blind" prev_kv: true }`),
		`KV.Put key: "blind" lease: 6`,
	)
	u.must("bob", "KV.Put", `key: "blind" value: "first"`)
	u.must("bob", "KV.DeleteRange", `key: "blind"`)
	u.must("alice", "Lease.LeaseRevoke", "ID: 6")
	if got := u.must("root", "KV.Range", `key: "secret"`); !strings.Contains(got, `value:"s"`) {
		t.Errorf("after writes that were refused: %s", got)
	}
}

// TestCompareThatAlwaysHolds: etcd demands the permission to read also for a comparison with an unknown result, which compares nothing.
func TestCompareThatAlwaysHolds(t *testing.T) {
	u := newUsers(t, nil)
	u.refuse("alice", denied,
		`KV.Txn compare: { key: "secret" result: 9 } success: { request_put: { key: "app/1" } }`,
		`KV.Txn compare: { key: "secret" result: 9 target: 9 } success: { request_range: { key: "app/1" } }`,
	)
	if got := u.must("alice", "KV.Txn", `compare: { key: "app/none" result: 9 } compare: { key: "app/" range_end: "app0" result: 9 }`); !strings.Contains(got, "succeeded:true") {
		t.Errorf("it does not hold: %s", got)
	}
}

// TestLeases: GHSA-q8m4-xhhv-38mg, CVE-2023-32082. The names of a lease's keys are for those who may read them, and its life is in the
// hands of those who may write them.
func TestLeases(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Lease.LeaseGrant", "ID: 5 TTL: 60")
	u.must("root", "KV.Put", `key: "secret" lease: 5`)
	u.must("alice", "Lease.LeaseGrant", "ID: 6 TTL: 60")
	u.must("alice", "KV.Put", `key: "app/1" lease: 6`)
	u.must("root", "KV.Put", `key: "app/1" lease: 6`)
	u.withReader()
	u.refuse("carol", denied, "Lease.LeaseRevoke ID: 6", "Lease.LeaseTimeToLive ID: 5 keys: true")
	if got := u.must("carol", "Lease.LeaseTimeToLive", "ID: 6 keys: true"); !strings.Contains(got, `keys:"app/1"`) {
		t.Errorf("keys that carol may read: %s", got)
	}
	u.refuse("", noUser, "Lease.LeaseGrant TTL: 60", "Lease.LeaseRevoke ID: 6", "Lease.LeaseTimeToLive ID: 6", "Lease.LeaseLeases")
	u.refuse("alice", denied, "Lease.LeaseTimeToLive ID: 5 keys: true")
	u.refuse("bob", denied, "Lease.LeaseTimeToLive ID: 6 keys: true", "Lease.LeaseRevoke ID: 6")
	if got := u.must("alice", "Lease.LeaseTimeToLive", "ID: 5"); strings.Contains(got, "secret") || !strings.Contains(got, "TTL:60") {
		t.Errorf("without the keys: %s", got)
	}
	if got := u.must("alice", "Lease.LeaseTimeToLive", "ID: 6 keys: true"); !strings.Contains(got, `keys:"app/1"`) {
		t.Errorf("its own keys: %s", got)
	}
	if got := u.must("alice", "Lease.LeaseTimeToLive", "ID: 7 keys: true"); !strings.Contains(got, "TTL:-1") {
		t.Errorf("a lease that is not there: %s", got)
	}
	// The list has a user's own leases, and leases with a key that the user may read.
	for user, want := range map[string]string{"root": "56", "alice": "6", "carol": "6", "bob": ""} {
		got := u.must(user, "Lease.LeaseLeases", "")
		if strings.Contains(got, "ID:5") != strings.Contains(want, "5") || strings.Contains(got, "ID:6") != strings.Contains(want, "6") {
			t.Errorf("the leases for %s: %s, want %s", user, got, want)
		}
	}
	for _, c := range []struct{ user, id, want string }{
		{"alice", "6", "TTL:60"}, {"alice", "7", "ID:7"}, {"root", "5", "TTL:60"}, {"alice", "5", denied}, {"bob", "6", denied}, {"", "6", noUser}, {"carol", "6", denied},
	} {
		stream := openIn(u.as(c.user), t, u.conn, "Lease.LeaseKeepAlive")
		stream.send(t, "ID: "+c.id)
		if got := stream.receive(t); !strings.Contains(got, c.want) {
			t.Errorf("%q keeps lease %s alive: %s, want %s", c.user, c.id, got, c.want)
		}
	}
	// A lease without keys is its granter's: another user does not attach the first key, renew it, revoke it or see it.
	u.must("alice", "Lease.LeaseGrant", "ID: 8 TTL: 60")
	u.refuse("bob", denied, `KV.Put key: "blind" lease: 8`, `KV.Txn success: { request_put: { key: "blind" lease: 8 } }`, "Lease.LeaseRevoke ID: 8")
	for user, want := range map[string]string{"bob": denied, "alice": "TTL:60", "root": "TTL:60"} {
		stream := openIn(u.as(user), t, u.conn, "Lease.LeaseKeepAlive")
		stream.send(t, "ID: 8")
		if got := stream.receive(t); !strings.Contains(got, want) {
			t.Errorf("%q keeps a lease without keys alive: %s, want %s", user, got, want)
		}
		if got := u.must(user, "Lease.LeaseLeases", ""); strings.Contains(got, "ID:8") == (user == "bob") {
			t.Errorf("the leases for %s: %s", user, got)
		}
	}
	u.must("alice", "KV.Put", `key: "app/2" lease: 8`)
	u.must("alice", "Lease.LeaseRevoke", "ID: 8")
}

// TestLeaseKeysOfTheirTime: the keys of a lease are listed with the roles of their own time, and not with those from before the leader was
// asked.
func TestLeaseKeysOfTheirTime(t *testing.T) {
	u := newUsers(t, nil)
	u.must("alice", "Lease.LeaseGrant", "ID: 6 TTL: 60")
	u.must("alice", "KV.Put", `key: "app/1" lease: 6`)
	u.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			u.overtake(&kv.AuthChange{Kind: kv.UserRevokeRole, User: "alice", Role: "app"})
		}
		return nil
	})
	u.refuse("alice", denied, "Lease.LeaseTimeToLive ID: 6 keys: true")
}

// TestAdministration: GHSA-q8m4-xhhv-38mg (CVE-2026-33413), #14663, #8458. Compaction, members and maintenance are the administrator's.
func TestAdministration(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "KV.Put", `key: "a"`)
	for _, name := range []string{"", "alice"} {
		want := map[string]string{"": noUser, "alice": denied}[name]
		u.refuse(name, want, "KV.Compact revision: 2", "Maintenance.Hash", "Maintenance.HashKV", "Maintenance.Defragment", "Maintenance.Snapshot",
			"Maintenance.MoveLeader targetID: 1", `Maintenance.Downgrade version: "3.6"`, "Maintenance.Alarm action: DEACTIVATE memberID: 1 alarm: NOSPACE",
			`Cluster.MemberAdd peerURLs: "http://127.0.0.1:9"`, "Cluster.MemberRemove ID: 1", `Cluster.MemberUpdate ID: 1 peerURLs: "http://127.0.0.1:9"`, "Cluster.MemberPromote ID: 1",
			"Auth.AuthDisable", "Auth.UserList", `Auth.UserChangePassword name: "root" password: "x"`)
	}
	u.refuse("", noUser, "Cluster.MemberList", "Maintenance.Status", "Maintenance.Alarm action: GET")
	for _, rpc := range []string{"Cluster.MemberList", "Maintenance.Status", "Maintenance.Alarm"} {
		u.must("bob", rpc, "")
	}
	for rpc, input := range map[string]string{"KV.Compact": "revision: 2", "Maintenance.Hash": "", "Maintenance.HashKV": "", "Maintenance.Defragment": "", "Maintenance.Snapshot": ""} {
		u.must("root", rpc, input)
	}
	if u.View().Compacted() != 2 {
		t.Error("the administrator's compaction has no effect")
	}
}

// TestAlarmDoesNotOpenTheDoor: #22386. While NOSPACE is raised, nobody may do more than before.
func TestAlarmDoesNotOpenTheDoor(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Maintenance.Alarm", "action: ACTIVATE memberID: 1 alarm: NOSPACE")
	u.refuse("", noUser, "Auth.AuthDisable", `KV.Put key: "app/1"`, `KV.DeleteRange key: "app/1"`, "Lease.LeaseGrant TTL: 60")
	u.refuse("alice", denied, "Auth.AuthDisable", `KV.Put key: "secret"`, `KV.DeleteRange key: "secret"`, `KV.Txn success: { request_put: { key: "secret" } }`)
	u.refuse("alice", "ResourceExhausted: etcdserver: mvcc: database space exceeded", `KV.Put key: "app/1"`)
	if !u.View().Auth().Enabled() {
		t.Error("authentication is off")
	}
}

// TestWatches: GHSA-xg4h-6gfc-h4m8. A watch needs the permission to read its whole range, from its creation to its end.
func TestWatches(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.RoleAdd", `name: "one"`)
	u.must("root", "Auth.RoleGrantPermission", `name: "one" perm: { permType: READ key: "k" }`)
	u.must("root", "Auth.UserGrantRole", `user: "bob" role: "one"`)
	stream := openIn(u.as("bob"), t, u.conn, "Watch.Watch")
	refused := `watch_id:-1 created:true canceled:true cancel_reason:"rpc error: code = PermissionDenied desc = etcdserver: permission denied"`
	for _, c := range []struct{ request, want string }{
		{`key: "k"`, "watch_id:0 created:true"},
		{`key: "k" range_end: "\000"`, refused},
		{`key: "k" range_end: "l"`, refused},
		{`range_end: "\000"`, refused},
		{`key: "other"`, refused},
		{`key: "other" start_revision: -1`, "required revision has been compacted"},
		{`key: "l" range_end: "k"`, refused}, // before the complaint about its range
		{`key: "k" range_end: "k"`, refused},
	} {
		stream.send(t, "create_request: { "+c.request+" }")
		want := strings.Replace(c.want, "watch_id:0 ", "", 1)
		if got := stream.receive(t); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", c.request, got, want)
		}
	}
	u.must("root", "KV.Put", `key: "k" value: "1"`)
	if got := stream.receive(t); !strings.Contains(got, `value:"1"`) {
		t.Errorf("an event: %s", got)
	}
	u.must("root", "Auth.RoleRevokePermission", `role: "one" key: "k"`)
	u.must("root", "KV.Put", `key: "k" value: "2"`)
	if got := stream.receive(t); !strings.Contains(got, `canceled:true cancel_reason:"rpc error: code = PermissionDenied desc = etcdserver: permission denied"`) || strings.Contains(got, "created") {
		t.Errorf("after the permission was taken: %s", got)
	}
	stream.send(t, `cancel_request: { watch_id: 0 }`)
	stream.send(t, `create_request: { key: "k" }`)
	if got := stream.receive(t); !strings.Contains(got, refused) {
		t.Errorf("the same watch again: %s", got)
	}
	nobody := openIn(t.Context(), t, u.conn, "Watch.Watch")
	nobody.send(t, `create_request: { key: "k" }`)
	if got := nobody.receive(t); !strings.Contains(got, "created:true canceled:true") || !strings.Contains(got, "user name is empty") {
		t.Errorf("a watch without a user: %s", got)
	}
}

// TestWatchWhileAuthenticationIsEnabled: a watch from before ends, unless its client has a certificate of a user who may read.
func TestWatchWhileAuthenticationIsEnabled(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.AuthDisable", "")
	stream := openIn(t.Context(), t, u.conn, "Watch.Watch")
	stream.send(t, `create_request: { key: "k" }`)
	if got := stream.receive(t); !strings.Contains(got, "created:true") || strings.Contains(got, "canceled") {
		t.Fatalf("a watch without authentication: %s", got)
	}
	u.must("", "Auth.AuthEnable", "")
	u.tokens["root"] = login(t, u.conn, "root", "root")
	u.must("root", "KV.Put", `key: "k"`)
	if got := stream.receive(t); !strings.Contains(got, "canceled:true") || !strings.Contains(got, "user name is empty") {
		t.Errorf("a watch from before: %s", got)
	}
}

// TestLocksOfUsers: a lock and an election are puts, ranges, watches and leases of the caller.
func TestLocksOfUsers(t *testing.T) {
	u := newUsers(t, nil)
	const text = "Unknown: etcdserver: permission denied"
	u.refuse("alice", text, `Lock.Lock name: "l"`, `Election.Campaign name: "l"`, `Election.Leader name: "l"`, `Election.Observe name: "l"`,
		`Election.Resign leader: { name: "l" key: "l/1" rev: 1 }`, `Election.Proclaim leader: { name: "l" key: "l/1" rev: 1 }`)
	u.refuse("", "Unknown: etcdserver: user name is empty", `Lock.Lock name: "app/l"`, `Election.Leader name: "app/l"`)
	u.must("alice", "Lease.LeaseGrant", "ID: 17 TTL: 60")
	u.must("alice", "Lock.Lock", `name: "app/l" lease: 17`)
	waits := make(chan string, 1)
	before := u.Watches()
	go func() {
		waits <- call(u.as("alice"), t, u.conn, "Lock", "Lock", `name: "app/l"`)
	}()
	eventually(t, func() bool { return u.Watches() > before })
	u.must("root", "Auth.UserRevokeRole", `name: "alice" role: "app"`)
	select {
	case got := <-waits:
		if strings.TrimSpace(got) != text {
			t.Errorf("a lock that alice may not take any more: %s", got)
		}
	case <-time.After(wait):
		t.Error("the lock waits on")
	}
}

// TestObserveUntilTheRoleIsTaken: an election's observer ends with the permission.
func TestObserveUntilTheRoleIsTaken(t *testing.T) {
	u := newUsers(t, nil)
	u.must("alice", "Lease.LeaseGrant", "ID: 17 TTL: 60")
	u.must("alice", "Election.Campaign", `name: "app/e" lease: 17 value: "v"`)
	stream := openIn(u.as("alice"), t, u.conn, "Election.Observe")
	stream.send(t, `name: "app/e"`)
	if got := stream.receive(t); !strings.Contains(got, `value:"v"`) {
		t.Fatal(got)
	}
	u.must("root", "Auth.RoleRevokePermission", `role: "app" key: "app/" range_end: "app0"`)
	if got := stream.receive(t); strings.TrimSpace(got) != "Unknown: etcdserver: permission denied" {
		t.Errorf("after the permission was taken: %s", got)
	}
}

// TestStreamedRangeLosesItsPermission: each chunk of a range is read with the roles of its own time.
func TestStreamedRangeLosesItsPermission(t *testing.T) {
	u := newUsers(t, nil)
	for i := range 40 {
		u.must("root", "KV.Put", fmt.Sprintf(`key: "app/%02d" value: "%0100000d"`, i, 0))
	}
	ctx, cancel := context.WithTimeout(u.as("alice"), wait)
	defer cancel()
	// The smallest windows, which never grow: the member cannot send all chunks before the change.
	conn := dial(t, u.server, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	stream, err := pb.NewKVClient(conn).RangeStream(ctx, &pb.RangeRequest{Key: []byte("app/"), RangeEnd: []byte("app0")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = stream.Recv(); err != nil {
		t.Fatal(err)
	}
	u.must("root", "Auth.UserRevokeRole", `name: "alice" role: "app"`)
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Convert(err).Message() != "etcdserver: permission denied" {
		t.Error(err)
	}
}

// TestStreamedRangeWhileAuthenticationIsEnabled: a range that began without authentication, and so without a user, ends with it. Enabling
// does not change the auth revision.
func TestStreamedRangeWhileAuthenticationIsEnabled(t *testing.T) {
	u := newUsers(t, nil)
	for i := range 40 {
		u.must("root", "KV.Put", fmt.Sprintf(`key: "app/%02d" value: "%0100000d"`, i, 0))
	}
	u.must("root", "Auth.AuthDisable", "")
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	conn := dial(t, u.server, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	stream, err := pb.NewKVClient(conn).RangeStream(ctx, &pb.RangeRequest{Key: []byte("app/"), RangeEnd: []byte("app0")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = stream.Recv(); err != nil {
		t.Fatal(err)
	}
	u.must("", "Auth.AuthEnable", "")
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Convert(err).Message() != "etcdserver: user name is empty" {
		t.Error(err)
	}
}

// overtake makes a change as root, before the writes that the member is about to apply.
func (u *users) overtake(c *kv.AuthChange) {
	u.SetBefore(nil)
	h := index.Head{By: u.View().By("root")}
	u.Propose(kv.Proposal{ReplyTo: discard{}, Requests: []uint64{1}, Commands: []kv.Command{h.AppendAuthChange(nil, c)}})
}

// TestChangeOvertakesAWrite: #11651. A write that a change of roles overtakes is judged by the newest roles, and its client hears nothing of
// the change: also while somebody changes them all the time.
func TestChangeOvertakesAWrite(t *testing.T) {
	u := newUsers(t, nil)
	n := 0
	for _, c := range []string{`KV.Put key: "app/1" prev_kv: true`, "Lease.LeaseGrant TTL: 60", `KV.DeleteRange key: "app/1"`, `KV.Txn success: { request_put: { key: "app/2" } }`} {
		u.SetBefore(func(writes, _ int) *kv.Error {
			if writes > 0 {
				n++
				u.overtake(&kv.AuthChange{Kind: kv.RoleAdd, Role: fmt.Sprint("r", n)})
			}
			return nil
		})
		rpc, input, _ := strings.Cut(c, " ")
		u.must("alice", rpc, input)
	}
	if n != 4 {
		t.Fatalf("%d changes", n)
	}
	u.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			u.overtake(&kv.AuthChange{Kind: kv.UserRevokeRole, User: "alice", Role: "app"})
		}
		return nil
	})
	u.refuse("alice", denied, `KV.Put key: "app/1"`)
}

// TestEnableOvertakesAWrite: a write without a user that authentication overtakes is refused.
func TestEnableOvertakesAWrite(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.AuthDisable", "")
	enable := func(writes, _ int) *kv.Error {
		if writes > 0 {
			u.overtake(&kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
		}
		return nil
	}
	u.SetBefore(enable)
	u.refuse("", noUser, `KV.Put key: "app/1"`)
	if _, found, _ := u.View().Get([]byte("app/1"), 0); found {
		t.Error("it was done")
	}
}

// TestAuthorsOfRequests: the change of a key has the name of the token's user.
func TestAuthorsOfRequests(t *testing.T) {
	u := newUsers(t, nil)
	u.must("alice", "KV.Put", `key: "app/1"`)
	u.must("root", "KV.Put", `key: "app/1"`)
	v := u.View()
	if a, b := v.AuthorOf([]byte("app/1"), v.Revision()-1), v.AuthorOf([]byte("app/1"), v.Revision()); a != "alice" || b != "root" {
		t.Errorf("the authors are %q and %q", a, b)
	}
}

// TestWhereTheTokenIs: the metadata "token" comes before "authorization", which may begin with "Bearer ".
func TestWhereTheTokenIs(t *testing.T) {
	u := newUsers(t, nil)
	const bad = "Unauthenticated: etcdserver: invalid auth token"
	for _, c := range []struct {
		metadata []string
		want     string
	}{
		{[]string{"token", u.tokens["alice"]}, "header:"},
		{[]string{"token", "Bearer " + u.tokens["alice"]}, "header:"},
		{[]string{"authorization", u.tokens["alice"]}, "header:"},
		{[]string{"authorization", "Bearer " + u.tokens["alice"]}, "header:"},
		{[]string{"token", u.tokens["bob"], "authorization", u.tokens["alice"]}, denied},
		{[]string{"token", u.tokens["alice"], "authorization", "rubbish"}, "header:"},
		{[]string{"token", "rubbish", "authorization", u.tokens["alice"]}, bad},
		{[]string{"token", ""}, bad},
		{[]string{"authorization", "Basic YWxpY2U6YWxpY2U="}, bad},
		{[]string{"token", u.tokens["alice"] + "0"}, bad},
		{[]string{"token", "0" + u.tokens["alice"]}, bad},
		{nil, noUser},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), c.metadata...)
		for _, rpc := range []string{"KV.Put", "KV.Range"} {
			if got := call(ctx, t, u.conn, "KV", strings.TrimPrefix(rpc, "KV."), `key: "app/1"`); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s with %q: %s, want %s", rpc, c.metadata, got, c.want)
			}
		}
		if got := call(ctx, t, u.conn, "Auth", "AuthStatus", ""); strings.HasPrefix(got, bad) != (c.want == bad) {
			t.Errorf("AuthStatus with %q: %s", c.metadata, got)
		}
	}
}

// parse checks that the requests of requestOf are of their messages.
func TestRequestsOfTheTest(t *testing.T) {
	for rpc, text := range requestOf {
		service, name, _ := strings.Cut(rpc, ".")
		if err := prototext.Unmarshal([]byte(text), newMessage(t, descriptor(t, service, name).Input())); err != nil {
			t.Errorf("%s %s: %v", rpc, text, err)
		}
	}
}

// TestRevokeOfNoLease: no lease has the id 0, so its revocation needs no key.
func TestRevokeOfNoLease(t *testing.T) {
	newUsers(t, nil).refuse("alice", "NotFound: etcdserver: requested lease not found", "Lease.LeaseRevoke", "Lease.LeaseRevoke ID: 4711")
}

// TestErrorInThePasswordComesFirst: as in etcd, before an error in the user's name.
func TestErrorInThePasswordComesFirst(t *testing.T) {
	u := newUsers(t, nil)
	long := strings.Repeat("x", limits.PasswordBytes+1)
	u.refuse("root", "Unknown: bcrypt: password length exceeds 72 bytes",
		fmt.Sprintf("Auth.UserAdd password: %q", long), fmt.Sprintf("Auth.UserChangePassword password: %q", long))
	u.refuse("root", noUser, `Auth.UserAdd password: "p"`)
	u.refuse("root", "FailedPrecondition: etcdserver: user name not found", `Auth.UserChangePassword password: "p"`)
}
