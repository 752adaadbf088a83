package etcd_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/auth"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/wire"
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
	eventually(t, func() bool { return u.Watches() == before+3 }) // a lock that waits watches its own key, too
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
	tokens := newJWTs(t)
	u := newUsers(t, func(c *etcd.Config) { c.Tokens = tokens })
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

// TestStreamOfAnEndedToken: each request of a stream needs a token that has not ended.
func TestStreamOfAnEndedToken(t *testing.T) {
	u := newUsers(t, nil)
	u.must("alice", "Lease.LeaseGrant", "ID: 17 TTL: 60")
	watch, alive := openIn(u.as("alice"), t, u.conn, "Watch.Watch"), openIn(u.as("alice"), t, u.conn, "Lease.LeaseKeepAlive")
	for _, want := range []string{"", "invalid auth token"} {
		watch.send(t, `create_request: { key: "app/1" }`)
		if got := watch.receive(t); !strings.Contains(got, "created:true") || strings.Contains(got, "invalid") != (want != "") {
			t.Errorf("a watch: %s, want %q", got, want)
		}
		alive.send(t, "ID: 17")
		if got := alive.receive(t); strings.Contains(got, "TTL:60") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("a keep-alive: %s, want %q", got, want)
		}
		u.must("root", "Auth.UserChangePassword", `name: "alice" password: "new"`)
		if want == "" {
			if got := watch.receive(t); !strings.Contains(got, "canceled:true") || !strings.Contains(got, "invalid auth token") {
				t.Errorf("the watch of the old password: %s", got)
			}
		}
	}
}

// TestEnableOvertakesACertificate: the name in a certificate, which is recorded while authentication is off, proves nothing when it is enabled
// before the write is applied: the member may take no user from certificates.
func TestEnableOvertakesACertificate(t *testing.T) {
	trust := servertest.NewTrust(t)
	u := newUsers(t, withCertificates(trust, etcd.UserByCommonName, false))
	u.must("root", "Auth.UserAdd", `name: "test" password: "test"`)
	u.must("root", "Auth.UserGrantRole", `user: "test" role: "root"`)
	u.must("root", "Auth.AuthDisable", "")
	conn := dialAs(t, u.server, trust.Client)
	u.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			u.overtake(&kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
		}
		return nil
	})
	if got := strings.TrimSpace(call(t.Context(), t, conn, "KV", "Put", `key: "app/1"`)); got != noUser {
		t.Errorf("the write of a certificate: %s", got)
	}
}

// TestListOfManyLeases: a list of leases takes several steps, and each step leaves out the leases of others.
func TestListOfManyLeases(t *testing.T) {
	u := newUsers(t, nil)
	own := index.Own()
	const most = limits.LeaseKeys + 1
	p := kv.Proposal{ReplyTo: discard{}}
	for id := int64(1); id <= most; id++ {
		p.Requests, p.Commands = append(p.Requests, uint64(id)), append(p.Commands, own.AppendGrant(nil, kv.Lease{ID: id, TTL: 600}))
	}
	u.Propose(p)
	u.must("root", "KV.Put", fmt.Sprintf(`key: "app/1" lease: %d`, most))
	for user, want := range map[string]int{"root": most, "alice": 1, "bob": 0} {
		if got := u.must(user, "Lease.LeaseLeases", ""); strings.Count(got, "ID:") != want || want == 1 && !strings.Contains(got, fmt.Sprintf("ID:%d", most)) {
			t.Errorf("%s sees %d leases, want %d", user, strings.Count(got, "ID:"), want)
		}
	}
}

// TestAdministratorNoMore: a hash and a snapshot wait for the snapshot before them, and then need an administrator again.
func TestAdministratorNoMore(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.UserAdd", `name: "boss" password: "boss"`)
	u.must("root", "Auth.UserGrantRole", `user: "boss" role: "root"`)
	u.tokens["boss"] = login(t, u.conn, "boss", "boss")
	for i := range 4 {
		u.must("root", "KV.Put", fmt.Sprintf(`key: "%d" value: "%01000000d"`, i, 0))
	}
	first, err := pb.NewMaintenanceClient(u.conn).Snapshot(u.as("root"), &pb.SnapshotRequest{})
	if err == nil {
		_, err = first.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, 2)
	eventually(t, func() bool { return u.server.Stats().Serving == 0 }) // the answer of the first has begun
	go func() {
		_, err := pb.NewMaintenanceClient(u.conn).Hash(u.as("boss"), &pb.HashRequest{})
		answers <- err
	}()
	go func() {
		second, err := pb.NewMaintenanceClient(u.conn).Snapshot(u.as("boss"), &pb.SnapshotRequest{})
		for err == nil {
			_, err = second.Recv()
		}
		answers <- err
	}()
	eventually(t, func() bool { return u.server.Stats().Serving == 2 })
	time.Sleep(50 * time.Millisecond) // both were admitted, and wait
	u.must("root", "Auth.UserRevokeRole", `name: "boss" role: "root"`)
	for err = nil; err == nil; {
		_, err = first.Recv()
	}
	for range 2 {
		if err := <-answers; !strings.Contains(fmt.Sprint(err), "permission denied") {
			t.Errorf("a request of an administrator no more: %v", err)
		}
	}
}

// TestPasswordChangesDuringAJWTLogin: a JWT has no epoch, so a login whose password has been changed meanwhile must not issue one.
func TestPasswordChangesDuringAJWTLogin(t *testing.T) {
	testlong.Skip(t)
	tokens := newJWTs(t)
	u := newUsers(t, func(c *etcd.Config) {
		var err error
		c.Tokens = tokens
		if c.Hasher, err = auth.NewHasher(limits.PasswordCostLeast + 5); err != nil {
			t.Fatal(err)
		}
	})
	answer, confirms := make(chan string, 1), make(chan struct{}, 1)
	u.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			confirms <- struct{}{}
		}
		return nil
	})
	go func() { answer <- u.ask("", "Auth.Authenticate", `name: "alice" password: "alice"`) }()
	<-confirms
	time.Sleep(5 * time.Millisecond) // it has read the old hash
	u.SetBefore(nil)
	u.ChangeAuth(kv.AuthChange{Kind: kv.UserChangePassword, User: "alice", Password: []byte("x")})
	if got := <-answer; !strings.Contains(got, "authentication failed") {
		t.Errorf("a login with the password of before: %s", got)
	}
}

// TestWatchOfACertificateThatIsNoUser: a watch from before authentication goes on only for a user, and without --client-cert-auth no
// certificate is one.
func TestWatchOfACertificateThatIsNoUser(t *testing.T) {
	trust := servertest.NewTrust(t)
	u := newUsers(t, withCertificates(trust, etcd.UserByCommonName, false))
	u.must("root", "Auth.UserAdd", `name: "test" password: "test"`)
	u.must("root", "Auth.UserGrantRole", `user: "test" role: "root"`)
	u.must("root", "Auth.AuthDisable", "")
	stream := openIn(t.Context(), t, dialAs(t, u.server, trust.Client), "Watch.Watch")
	stream.send(t, `create_request: { key: "app/1" }`)
	if got := stream.receive(t); !strings.Contains(got, "created:true") {
		t.Fatal(got)
	}
	u.must("", "Auth.AuthEnable", "")
	if got := stream.receive(t); !strings.Contains(got, "canceled:true") || !strings.Contains(got, "user name is empty") {
		t.Errorf("the watch of a certificate: %s", got)
	}
}

// TestProfilesNeedAToken: CVE-2018-16886. The name in the certificate of a request for a profile is no user either.
func TestProfilesNeedAToken(t *testing.T) {
	trust := servertest.NewTrust(t)
	u := newUsers(t, func(c *etcd.Config) {
		withCertificates(trust, etcd.UserByIdentity, true)(c)
		c.Profiles = true
	})
	u.must("root", "Auth.UserAdd", `name: "test"`)
	u.must("root", "Auth.UserGrantRole", `user: "test" role: "root"`)
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: wire.ClientTLS(trust.Client, "http/1.1", wire.Identity{Class: wire.ClassMember})}}
	defer secure.CloseIdleConnections()
	for token, want := range map[string]int{"": http.StatusForbidden, u.tokens["alice"]: http.StatusForbidden, u.tokens["root"]: http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+u.server.Addr().String()+"/debug/pprof/cmdline", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		answer, err := secure.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("with the token %.10q: %d, want %d", token, answer.StatusCode, want)
		}
	}
}
