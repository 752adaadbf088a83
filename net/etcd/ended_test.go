package etcd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/auth"
	"qkv/net/etcd"
)

const endedInText = "Unknown: etcdserver: invalid auth token"

// TestLockOfAnEndedToken: a lock that waits, and an election's observer, end with the password that their token proved.
func TestLockOfAnEndedToken(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Lease.LeaseGrant", "ID: 17 TTL: 60")
	u.must("root", "Lock.Lock", `name: "app/l" lease: 17`)
	u.must("root", "Election.Campaign", `name: "app/e" lease: 17 value: "one"`)
	waits, before := make(chan string, 1), u.Watches()
	go func() { waits <- call(u.as("alice"), t, u.conn, "Lock", "Lock", `name: "app/l"`) }()
	stream := openIn(u.as("alice"), t, u.conn, "Election.Observe")
	stream.send(t, `name: "app/e"`)
	if got := stream.receive(t); !strings.Contains(got, `value:"one"`) {
		t.Fatal(got)
	}
	eventually(t, func() bool { return u.Watches() == before+2 })
	u.must("root", "Auth.UserChangePassword", `name: "alice" password: "new"`)
	u.must("root", "Lease.LeaseRevoke", "ID: 17")
	u.must("root", "Election.Campaign", `name: "app/e" value: "two"`)
	if got := stream.receive(t); strings.TrimSpace(got) != endedInText {
		t.Errorf("an observer whose token has ended: %s", got)
	}
	select {
	case got := <-waits:
		if strings.TrimSpace(got) != endedInText {
			t.Errorf("a lock whose token has ended: %s", got)
		}
	case <-time.After(wait):
		t.Error("the lock waits on")
	}
}

// TestTokenEndsBeforeItsWrite: a write whose user is deleted while it is proposed is not that of the next user of the same name.
func TestTokenEndsBeforeItsWrite(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.UserRevokeRole", `name: "alice" role: "app"`)
	u.SetBefore(func(int, int) *kv.Error {
		for _, c := range []kv.AuthChange{
			{Kind: kv.UserDelete, User: "alice"},
			{Kind: kv.UserAdd, User: "alice", Password: []byte("another")},
			{Kind: kv.UserGrantRole, User: "alice", Role: "app"},
		} {
			u.overtake(&c)
		}
		return nil
	})
	if got := u.ask("alice", "KV.Put", `key: "app/1"`); got != badToken {
		t.Errorf("the write of a user who was deleted: %s", got)
	}
}

// TestJWTOfAnEarlierUser: a JWT that is older than the users tells nothing, not even about the user whom it names.
func TestJWTOfAnEarlierUser(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	scheme, err := auth.ParseScheme("jwt,sign-method=HS256,priv-key="+secret, 0, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	u := newUsers(t, func(c *etcd.Config) { c.Tokens = scheme.Tokens(nil) })
	about := []string{`Auth.UserGet name: "alice"`, `Auth.RoleGet role: "app"`}
	for _, one := range about {
		rpc, input, _ := strings.Cut(one, " ")
		u.must("alice", rpc, input)
	}
	u.must("root", "Auth.UserDelete", `name: "alice"`)
	u.tokens["root"] = login(t, u.conn, "root", "root")
	u.must("root", "Auth.UserAdd", `name: "alice" password: "another"`)
	u.tokens["root"] = login(t, u.conn, "root", "root")
	u.must("root", "Auth.UserGrantRole", `user: "alice" role: "app"`)
	u.refuse("alice", "InvalidArgument: etcdserver: revision of auth store is old", about...)
}
