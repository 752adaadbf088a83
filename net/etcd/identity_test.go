package etcd_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/auth"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

const badToken = "Unauthenticated: etcdserver: invalid auth token"

// withCertificates serves with TLS beside plain text, to certificates of a trust domain.
func withCertificates(trust servertest.Trust, user func(tls.ConnectionState) string, count bool) func(*etcd.Config) {
	return func(c *etcd.Config) {
		c.Listeners[0].TLS, c.Listeners[0].User, c.CertificateUsers = wire.EtcdTLS(trust.Member), user, count
	}
}

// dialAs dials with the certificate of the trust's client, or of its member.
func dialAs(t testing.TB, s *etcd.Server, with *wire.Credentials) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(wire.ClientTLS(with, "h2", wire.Identity{Class: wire.ClassMember}))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestCertificatesOfUsers: the name in a client's certificate is its user, after a token. A member's certificate is no user's.
// CVE-2018-16886: a request of a gateway never has the certificate's user.
func TestCertificatesOfUsers(t *testing.T) {
	trust := servertest.NewTrust(t)
	u := newUsers(t, withCertificates(trust, etcd.UserByIdentity, true))
	client, member := dialAs(t, u.server, trust.Client), dialAs(t, u.server, trust.Member)
	put := func(c grpc.ClientConnInterface, md ...string) string {
		return strings.TrimSpace(call(metadata.AppendToOutgoingContext(t.Context(), md...), t, c, "KV", "Put", `key: "app/1"`))
	}
	if got := put(client); got != denied {
		t.Errorf("a name that is no user: %s", got)
	}
	if got := strings.TrimSpace(call(t.Context(), t, client, "Auth", "UserList", "")); got != "FailedPrecondition: etcdserver: user name not found" {
		t.Errorf("administration by a name that is no user: %s", got)
	}
	u.must("root", "Auth.UserAdd", `name: "test" options: { no_password: true }`)
	u.must("root", "Auth.UserGrantRole", `user: "test" role: "app"`)
	for _, c := range []struct {
		conn grpc.ClientConnInterface
		md   []string
		want string
	}{
		{client, nil, "header:"},
		{client, []string{"token", u.tokens["bob"]}, denied},
		{client, []string{"token", "rubbish"}, badToken},
		{client, []string{"grpcgateway-accept", "*/*"}, noUser},
		{client, []string{"grpcgateway-accept", "", "token", u.tokens["alice"]}, "header:"},
		{member, nil, noUser},
		{member, []string{"token", u.tokens["alice"]}, "header:"},
		{u.conn, nil, noUser},
	} {
		if got := put(c.conn, c.md...); !strings.HasPrefix(got, c.want) {
			t.Errorf("with %q: %s, want %s", c.md, got, c.want)
		}
	}
	v := u.View()
	if got := v.AuthorOf([]byte("app/1"), 2); got != "test" {
		t.Errorf("the author is %q", got)
	}
}

// TestCertificatesWithoutClientCertAuth: without --client-cert-auth no certificate is a user's.
func TestCertificatesWithoutClientCertAuth(t *testing.T) {
	trust := servertest.NewTrust(t)
	u := newUsers(t, withCertificates(trust, etcd.UserByCommonName, false))
	u.must("root", "Auth.UserAdd", `name: "test"`)
	u.must("root", "Auth.UserGrantRole", `user: "test" role: "root"`)
	if got := strings.TrimSpace(call(t.Context(), t, dialAs(t, u.server, trust.Client), "KV", "Put", `key: "app/1"`)); got != noUser {
		t.Error(got)
	}
}

// TestAuthorsWithoutAuthentication: the name in a certificate is recorded with a change. It proves nothing once authentication is enabled.
func TestAuthorsWithoutAuthentication(t *testing.T) {
	trust := servertest.NewTrust(t)
	m := newMember()
	s := start(t, m, withCertificates(trust, etcd.UserByCommonName, false))
	for _, c := range []*grpc.ClientConn{dial(t, s), dialAs(t, s, trust.Client), dialAs(t, s, trust.Member)} {
		if got := call(t.Context(), t, c, "KV", "Put", `key: "k"`); !strings.HasPrefix(got, "header:") {
			t.Fatal(got)
		}
	}
	for revision, want := range map[int64]string{2: "", 3: "test", 4: ""} {
		if got := m.View().AuthorOf([]byte("k"), revision); got != want {
			t.Errorf("the author of revision %d is %q, want %q", revision, got, want)
		}
	}
}

func certificate(name string, uris ...string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}}
	for _, text := range uris {
		u, _ := url.Parse(text)
		c.URIs = append(c.URIs, u)
	}
	return c
}

// TestNamesInCertificates has names of all kinds: of qkv's and of other CAs, empty, and twice.
func TestNamesInCertificates(t *testing.T) {
	for _, c := range []struct {
		of                   *x509.Certificate
		byIdentity, byCommon string
	}{
		{certificate("ci"), "", "ci"},
		{certificate(""), "", ""},
		{certificate("cut off", "qkv://c/client/ci"), "ci", "cut off"},
		{certificate("n1", "qkv://c/member/n1"), "", ""},
		{certificate("root", "qkv://c/client/a", "qkv://c/client/root"), "", "root"},
		{certificate("root", "qkv://c/member/a", "spiffe://c/x"), "", ""},
		{certificate("root", "qkv://c/ca"), "", ""},
	} {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.of}, VerifiedChains: [][]*x509.Certificate{{c.of}}}
		if a, b := etcd.UserByIdentity(state), etcd.UserByCommonName(state); a != c.byIdentity || b != c.byCommon {
			t.Errorf("%q %v: %q and %q, want %q and %q", c.of.Subject.CommonName, c.of.URIs, a, b, c.byIdentity, c.byCommon)
		}
		if state.VerifiedChains = nil; etcd.UserByCommonName(state) != "" {
			t.Errorf("%q: a certificate that is not verified", c.of.Subject.CommonName)
		}
	}
}

// TestGatewayHasNoCertificate: CVE-2018-16886. JSON needs a token: the certificate's name is never its user, and a client that seems to
// expect that is told so.
func TestGatewayHasNoCertificate(t *testing.T) {
	trust := servertest.NewTrust(t)
	u := newUsers(t, withCertificates(trust, etcd.UserByIdentity, true))
	u.must("root", "Auth.UserAdd", `name: "test"`)
	u.must("root", "Auth.UserGrantRole", `user: "test" role: "root"`)
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: wire.ClientTLS(trust.Client, "http/1.1", wire.Identity{Class: wire.ClassMember})}}
	defer secure.CloseIdleConnections()
	ask := func(c *http.Client, scheme, path, body, header, token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+"://"+u.server.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			r.Header.Set(header, token)
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		all, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(all)
	}
	const put = `{"key":"YXBwLzE="}` // app/1
	code, body := ask(http.DefaultClient, "http", "/v3/auth/authenticate", `{"name":"alice","password":"alice"}`, "", "")
	var login struct{ Token string }
	if err := json.Unmarshal([]byte(body), &login); err != nil || code != http.StatusOK || login.Token == "" {
		t.Fatalf("log in: %d %s", code, body)
	}
	for _, c := range []struct {
		client        *http.Client
		scheme        string
		header, token string
		want          int
		said          string
	}{
		{http.DefaultClient, "http", "", "", 400, "user name is empty"},
		{http.DefaultClient, "http", "Authorization", login.Token, 200, "header"},
		{http.DefaultClient, "http", "Authorization", "Bearer " + login.Token, 200, "header"},
		{http.DefaultClient, "http", "Grpc-Metadata-Token", login.Token, 200, "header"},
		{http.DefaultClient, "http", "Authorization", "rubbish", 401, "invalid auth token"},
		{secure, "https", "", "", 400, "no user of requests over HTTP"},
		{secure, "https", "Authorization", login.Token, 200, "header"},
		{secure, "https", "Authorization", u.tokens["bob"], 403, "permission denied"},
	} {
		if code, body := ask(c.client, c.scheme, "/v3/kv/put", put, c.header, c.token); code != c.want || !strings.Contains(body, c.said) {
			t.Errorf("%s with %s %.10s: %d %s, want %d %s", c.scheme, c.header, c.token, code, body, c.want, c.said)
		}
	}
	if code, body := ask(secure, "https", "/v3/auth/authenticate", `{"name":"alice","password":"alice"}`, "", ""); code != http.StatusOK {
		t.Errorf("a login beside a certificate: %d %s", code, body)
	}
	u.must("root", "Auth.AuthDisable", "")
	if code, body := ask(secure, "https", "/v3/kv/put", put, "", ""); code != http.StatusOK {
		t.Errorf("without authentication: %d %s", code, body)
	}
}

// TestProfilesAreTheAdministrators: health, metrics and the version need no user; Go's profiles need the role root. Nothing shows requests
// (CVE-2021-28235).
func TestProfilesAreTheAdministrators(t *testing.T) {
	u := newUsers(t, func(c *etcd.Config) { c.Profiles = true })
	page := func(path, token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+u.server.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		all, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(all)
	}
	for path, want := range map[string]int{"/health": 200, "/livez": 200, "/readyz": 200, "/metrics": 200, "/version": 200, "/debug/requests": 404, "/debug/events": 404, "/debug/vars": 404} {
		if code, body := page(path, ""); code != want {
			t.Errorf("%s: %d %.100s", path, code, body)
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile", "/debug/pprof/symbol", "/debug/pprof/trace"} {
		for token, said := range map[string]string{"": "user name is empty", "rubbish": "invalid auth token", u.tokens["alice"]: "permission denied"} {
			if code, body := page(path, token); code != http.StatusForbidden || !strings.Contains(body, said) {
				t.Errorf("%s: %d %.100s, want %s", path, code, body, said)
			}
		}
	}
	if code, body := page("/debug/pprof/cmdline", "Bearer "+u.tokens["root"]); code != http.StatusOK {
		t.Errorf("of the administrator: %d %s", code, body)
	}
	u.must("root", "Auth.AuthDisable", "")
	if code, _ := page("/debug/pprof/cmdline", ""); code != http.StatusOK {
		t.Errorf("without authentication: %d", code)
	}
}

// TestEndOfTokens: a token ends with its user, with the user's password, with authentication, and with its time. Other changes of users and
// roles do not end it.
func TestEndOfTokens(t *testing.T) {
	u := newUsers(t, nil)
	works := func(name, when, want string) {
		t.Helper()
		if got := u.ask(name, "KV.Range", `key: "app/1"`); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	u.must("root", "Auth.RoleAdd", `name: "other"`)
	u.must("root", "Auth.UserGrantRole", `user: "alice" role: "other"`)
	works("alice", "after other changes", "header:")
	u.must("root", "Auth.UserChangePassword", `name: "alice" password: "new"`)
	works("alice", "after a new password", badToken)
	u.tokens["alice"] = login(t, u.conn, "alice", "new")
	works("alice", "a new login", "header:")
	u.must("root", "Auth.UserDelete", `name: "alice"`)
	works("alice", "after the user's end", badToken)
	u.must("root", "Auth.UserAdd", `name: "alice" password: "new"`)
	u.must("root", "Auth.UserGrantRole", `user: "alice" role: "app"`)
	works("alice", "the token of an earlier user of the same name", badToken)
	u.tokens["alice"] = login(t, u.conn, "alice", "new")
	u.must("root", "Auth.AuthDisable", "")
	u.must("", "Auth.AuthEnable", "")
	works("alice", "after authentication was disabled and enabled", badToken)
	for name, hash := range map[string]string{"a hash of another client": "JDJhJDA0JC4uLi4uLi4uLi4uLi4uLi4uLi4uLi4uTzEyNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMQ==", "no password": ""} {
		u.tokens["root"] = login(t, u.conn, "root", "root")
		u.must("root", "Auth.UserChangePassword", fmt.Sprintf(`name: "alice" hashedPassword: %q`, hash))
		for _, password := range []string{"new", ""} {
			if got := u.ask("", "Auth.Authenticate", fmt.Sprintf(`name: "alice" password: %q`, password)); got != "InvalidArgument: etcdserver: authentication failed, invalid user ID or password" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

// TestTokenEndsUnderAWatch: #11954, #12615, #8287, #13413, #16112, #19296. A watch goes on when the token of its stream ends. A new watch of the stream needs another token,
// and clientv3 opens another stream for it.
func TestTokenEndsUnderAWatch(t *testing.T) {
	const ttl = 300 * time.Millisecond
	u := newUsers(t, func(c *etcd.Config) {
		scheme, err := auth.ParseScheme("simple", ttl, os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		tokens := c.Member
		c.Tokens = scheme.Tokens(func() *auth.Key { return tokens.View().Auth().Secret() })
	})
	stream := openIn(u.as("alice"), t, u.conn, "Watch.Watch")
	stream.send(t, `create_request: { key: "app/1" }`)
	if got := stream.receive(t); !strings.Contains(got, "created:true") {
		t.Fatal(got)
	}
	eventually(t, func() bool {
		time.Sleep(ttl + ttl/10)
		return u.ask("alice", "KV.Range", `key: "app/1"`) == badToken
	})
	u.tokens["alice"] = login(t, u.conn, "alice", "alice")
	u.must("alice", "KV.Put", `key: "app/1"`)
	if got := stream.receive(t); !strings.Contains(got, `key:"app/1"`) {
		t.Errorf("an event after the token's end: %s", got)
	}
	stream.send(t, `create_request: { key: "app/1" }`)
	if got := stream.receive(t); !strings.Contains(got, "canceled:true") || !strings.Contains(got, "invalid auth token") {
		t.Errorf("another watch of the stream: %s", got)
	}
}

// lagger is a member that shows an older state until it has asked the leader.
type lagger struct {
	*member
	before *index.View
	asked  atomic.Bool
}

func (m *lagger) View() *index.View {
	if m.asked.Load() {
		return m.member.View()
	}
	return m.before
}

func (m *lagger) ReadIndex(to kv.ReplyTo, requests []uint64, timeout time.Duration) {
	m.asked.Store(true)
	m.member.ReadIndex(to, requests, timeout)
}

// TestTokenOfAMemberThatIsAhead: a member that has not applied the state in which a login was checked waits for it, also for a request that
// this member answers alone.
func TestTokenOfAMemberThatIsAhead(t *testing.T) {
	u := newUsers(t, nil)
	m := &lagger{member: u.member, before: u.View()}
	behind := dial(t, start(t, m, nil))
	u.must("root", "Auth.UserChangePassword", `name: "alice" password: "new"`)
	u.tokens["alice"] = login(t, u.conn, "alice", "new")
	if got := call(u.as("alice"), t, behind, "KV", "Range", `key: "app/1" serializable: true`); !strings.HasPrefix(got, "header:") {
		t.Errorf("%s", got)
	}
	if !m.asked.Load() {
		t.Error("the member did not ask the leader")
	}
	m.asked.Store(false)
	m.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			return kv.Errorf(kv.Corrupt, "no")
		}
		return nil
	})
	if got := call(u.as("alice"), t, behind, "KV", "Range", `key: "app/1" serializable: true`); !strings.HasPrefix(got, "DataLoss: ") {
		t.Errorf("a member that cannot catch up: %s", got)
	}
}

// TestPasswordChangesDuringALogin: a login is never by a password that is not the user's any more.
func TestPasswordChangesDuringALogin(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.UserAdd", `name: "carol" password: "first"`)
	first, _ := u.View().Auth().User("carol")
	var logins sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		logins.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				answer, err := pb.NewAuthClient(u.conn).Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "carol", Password: "first"})
				if err != nil {
					continue
				}
				// From the moment on at which the second password is set, the token must be void.
				before := u.View()
				user, _ := before.Auth().User("carol")
				got := call(withToken(t.Context(), answer.Token), t, u.conn, "Auth", "UserGet", `name: "carol"`)
				if user.Epoch != first.Epoch && strings.HasPrefix(got, "header:") {
					t.Error("a token of the first password works after the second one was set")
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	u.must("root", "Auth.UserChangePassword", `name: "carol" password: "second"`)
	time.Sleep(50 * time.Millisecond)
	close(stop)
	logins.Wait()
}

// TestTooManyLogins: passwords are hashed a few at a time, and further ones refused at once. A request with a token needs no hash (#9615, #11735,
// #14692). Short passwords are allowed, as in etcd (CVE-2020-15115): this bounds how many can be tried.
func TestTooManyLogins(t *testing.T) {
	u := newUsers(t, func(c *etcd.Config) {
		hasher, err := auth.NewHasher(limits.PasswordCostLeast + 4)
		if err != nil {
			t.Fatal(err)
		}
		c.Hasher = hasher
	})
	const all = 400
	answers := make(chan string, all)
	for range all {
		go func() { answers <- u.ask("", "Auth.Authenticate", `name: "alice" password: "wrong"`) }()
	}
	counts := map[string]int{}
	for range all {
		counts[<-answers]++
	}
	if counts["InvalidArgument: etcdserver: authentication failed, invalid user ID or password"] == 0 || counts["ResourceExhausted: etcdserver: too many requests"] == 0 || len(counts) != 2 {
		t.Errorf("%v", counts)
	}
	u.must("alice", "KV.Put", `key: "app/1"`)
}

// newJWTs returns tokens that are JWTs, signed with a secret.
func newJWTs(t *testing.T) auth.Tokens {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	scheme, err := auth.ParseScheme("jwt,sign-method=HS256,priv-key="+secret, 0, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	return scheme.Tokens(nil)
}

// TestJWT: the claims of a JWT are its user and its auth revision, which a change of users or roles makes old.
func TestJWT(t *testing.T) {
	tokens := newJWTs(t)
	u := newUsers(t, func(c *etcd.Config) { c.Tokens = tokens })
	sign := func(name string, revision uint64) {
		t.Helper()
		token, err := tokens.Assign(auth.Claims{User: name, Revision: revision}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		u.tokens["signed"] = token
	}
	const old = "InvalidArgument: etcdserver: revision of auth store is old"
	now := u.View().Auth().Revision()
	for _, c := range []struct {
		name     string
		revision uint64
		want     string
	}{
		{"alice", now, "header:"}, {"alice", now + 9, "header:"}, {"alice", now - 1, old}, {"alice", 0, badToken}, {"root", 0, badToken}, {"mallory", now, denied}, {"bob", now, denied},
	} {
		sign(c.name, c.revision)
		for _, rpc := range []string{"KV.Range", "KV.Put"} {
			if got := u.ask("signed", rpc, `key: "app/1"`); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s of %s at revision %d: %s, want %s", rpc, c.name, c.revision, got, c.want)
			}
		}
	}
	if got := u.must("alice", "KV.Put", `key: "app/1"`); !strings.HasPrefix(got, "header:") {
		t.Error(got)
	}
	u.must("root", "Auth.RoleAdd", `name: "other"`)
	u.refuse("alice", old, `KV.Put key: "app/1"`, `KV.Range key: "app/1"`)
	u.tokens["alice"] = login(t, u.conn, "alice", "alice")
	u.must("alice", "KV.Put", `key: "app/1"`)
}

// TestNothingShowsASecret: CVE-2021-28235. Neither the log, in all its detail, nor an error, nor the metrics have a password, a hash or a
// token.
func TestNothingShowsASecret(t *testing.T) {
	var log lockedBuffer
	u := newUsers(t, func(c *etcd.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const password, other = "correct-horse", "battery-staple"
	said := []string{
		u.ask("root", "Auth.UserAdd", `name: "carol" password: "`+password+`"`),
		u.ask("root", "Auth.UserAdd", `name: "carol" password: "`+password+`"`),
		u.ask("root", "Auth.UserAdd", `name: "long" password: "`+strings.Repeat(password, 9)+`"`),
		u.ask("root", "Auth.UserChangePassword", `name: "carol" password: "`+other+`"`),
		u.ask("root", "Auth.UserChangePassword", `name: "none" password: "`+other+`"`),
		u.ask("root", "Auth.UserChangePassword", `name: "carol" hashedPassword: "`+other+`"`),
		u.ask("", "Auth.UserAdd", `name: "dave" password: "`+password+`"`),
		u.ask("", "Auth.Authenticate", `name: "carol" password: "`+password+`"`),
		u.ask("", "Auth.Authenticate", `name: "none" password: "`+password+`"`),
	}
	token := login(t, u.conn, "carol", other)
	for _, bad := range []string{token + "0", "0" + token, token[:20], "correct-horse.9"} {
		u.tokens["bad"] = bad
		said = append(said, u.ask("bad", "KV.Put", `key: "k"`), u.ask("bad", "Auth.AuthStatus", ""))
	}
	_, metrics := get(t, u.server, "/metrics")
	said = append(said, log.String(), metrics)
	hash, _ := u.View().Auth().User("carol")
	if !strings.Contains(log.String(), "token is refused") || !strings.Contains(log.String(), "login is refused") {
		t.Errorf("the log: %s", log.String())
	}
	for _, secret := range []string{password, other, token[:20], token[20:60], string(hash.Password), "horse.9"} {
		for _, one := range said {
			if strings.Contains(one, secret) {
				t.Errorf("%.12s... is shown: %s", secret, one)
			}
		}
	}
}

// lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestLargeAnswerLosesItsPermission: the rest of a large answer that is read from a newer state is not sent if the permission was taken.
func TestLargeAnswerLosesItsPermission(t *testing.T) {
	u := newUsers(t, func(c *etcd.Config) { c.Limits.AnswerHeld = time.Nanosecond })
	fill(u.as("root"), t, pb.NewKVClient(u.conn), 'a')
	u.must("root", "Auth.RoleGrantPermission", `name: "app" perm: { key: "big/" range_end: "big0" }`)
	h := attack(t, u.server)
	id, err := h.begin("/etcdserverpb.KV/Range", [2]string{"token", u.tokens["alice"]})
	if err == nil {
		err = h.frames.WriteData(id, true, message(&pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0")}))
	}
	if err != nil {
		t.Fatal(err)
	}
	answers := answersOf(h)
	if err := answers.begun(1); err != nil {
		t.Fatal(err)
	}
	u.must("root", "Auth.UserRevokeRole", `name: "alice" role: "app"`)
	time.Sleep(200 * time.Millisecond) // the state of the first read is not held any more
	if got, err := answers.take(1); err == nil {
		t.Errorf("%d answers came whole", len(got))
	}
}
