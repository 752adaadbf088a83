package server_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/auth"
	"qkv/net/server"
	"qkv/net/wire"
)

func login(user, password string) []byte {
	return ask(wire.Ask{Name: user, Password: []byte(password)})
}

func byToken(token string) []byte { return ask(wire.Ask{Token: token}) }

func change(c kv.AuthChange, password string) []byte {
	return ask(wire.Ask{Auth: c, Password: []byte(password)})
}

var putOfCI = kv.AppendPut(nil, &kv.Put{Key: []byte("app1/k")})

// withPassword enables authentication, and gives ci a password by the request of an administrator.
func (e *endpoint) withPassword(t *testing.T, password string) {
	t.Helper()
	e.withUsers()
	e.as(t, "test").allowed(wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserChangePassword, User: "ci"}, password))
}

// who returns the user of a connection.
func (r *raw) who() string {
	r.t.Helper()
	self, err := wire.ReadAnswer[kv.Self](r.allowed(wire.OpWhoAmI, ask(wire.Ask{})))
	if err != nil {
		r.t.Fatal(err)
	}
	return self.Name + " by " + self.Proof.String()
}

// From a login on, a connection is that user's on all its streams, with a password or with the token of it, and at any member.
func TestLogin(t *testing.T) {
	testlong.Skip(t)
	e := newEndpoint(t, nil)
	e.withPassword(t, "sesame")
	r := e.as(t, "")
	r.refused(kv.UserEmpty, "no user", wire.OpPut, putOfCI)
	for _, wrong := range [][2]string{{"ci", "sesam"}, {"ci", ""}, {"ghost", "sesame"}, {"lonely", ""}, {"lonely", "x"}} {
		r.refused(kv.AuthFailed, "unknown user, or wrong password", wire.OpLogin, login(wrong[0], wrong[1]))
		r.refused(kv.UserEmpty, "no user", wire.OpPut, putOfCI)
	}
	answer, err := wire.ReadAnswer[wire.Login](r.allowed(wire.OpLogin, login("ci", "sesame")))
	token := answer.Token
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	r.allowed(wire.OpPut, putOfCI)
	if other := rawOf(t, r.conn); other.who() != "ci by password" {
		t.Error("another stream of the connection has another user")
	}
	r.refused(kv.NotAllowed, "ci may not write", wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: []byte("app2/k")}))
	if e.member.View().AuthorOf([]byte("app1/k"), e.member.View().Revision()) != "ci" {
		t.Error("the write is not that of the user")
	}
	same := e.as(t, "")
	if _, err := wire.ReadAnswer[wire.Login](same.allowed(wire.OpLogin, byToken(token))); err != nil {
		t.Error(err)
	}
	same.allowed(wire.OpPut, putOfCI)
	for _, forged := range []string{"x", token + "0", strings.ToLower(token), token[1:], strings.Repeat("x", 100_000)} {
		same.refused(kv.BadToken, "invalid token", wire.OpLogin, byToken(forged))
	}
	if got := same.who(); got != "ci by token" {
		t.Errorf("after refused logins the user is %s", got)
	}
	e.idle(t)
}

// A login ends with the password that proved it, and with its user, for writes, reads, watches and all else; and so do its tokens.
func TestLoginEnds(t *testing.T) {
	for name, end := range map[string][]kv.AuthChange{
		"another password": {{Kind: kv.UserChangePassword, User: "ci", Password: []byte("x")}},
		"deleted":          {{Kind: kv.UserDelete, User: "ci"}},
		"added again":      {{Kind: kv.UserDelete, User: "ci"}, {Kind: kv.UserAdd, User: "ci"}, {Kind: kv.UserGrantRole, User: "ci", Role: "app1"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, nil)
			e.withPassword(t, "sesame")
			r, w := e.as(t, ""), e.as(t, "")
			answer, _ := wire.ReadAnswer[wire.Login](r.allowed(wire.OpLogin, login("ci", "sesame")))
			token := answer.Token
			w.allowed(wire.OpLogin, byToken(token))
			r.allowed(wire.OpPut, putOfCI)
			watching := rawOf(t, w.conn)
			e.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleAdd, Role: "another"}) // ends nothing
			r.allowed(wire.OpPut, putOfCI)
			e.member.ChangeAuth(end...)
			for request, x := range bodies("app1/") {
				want := kv.BadToken
				if x.op.Access() == kv.AccessAnyone && x.op != wire.OpWhoAmI {
					continue
				}
				if p := r.do(x.op, x.body); p.Code != want {
					t.Errorf("%s: %v, want %v", request, p.Code, want)
				}
			}
			watching.send(watchOf(1, "app1/k"))
			if f := watching.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != kv.BadToken {
				t.Errorf("a watch: %+v", f)
			}
			e.as(t, "").refused(kv.BadToken, "invalid token", wire.OpLogin, byToken(token))
			e.member.ChangeAuth(kv.AuthChange{Kind: kv.AuthDisable})
			r.allowed(wire.OpPut, putOfCI)
			e.idle(t)
		})
	}
}

// Who logs in where authentication is off is told so. When it is enabled, the connection does not go on as its certificate's user, which it
// did not ask for.
func TestLoginWhileOff(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.as(t, "ci")
	r.refused(kv.AuthNotEnabled, "not enabled", wire.OpLogin, login("lonely", "sesame"))
	r.refused(kv.AuthNotEnabled, "not enabled", wire.OpLogin, byToken("token"))
	r.allowed(wire.OpPut, putOfCI)
	if got := r.who(); got != "ci by certificate" {
		t.Error(got)
	}
	e.withPassword(t, "sesame")
	r.refused(kv.BadToken, "Log in again", wire.OpPut, putOfCI)
	r.allowed(wire.OpLogin, login("ci", "sesame"))
	r.allowed(wire.OpPut, putOfCI)
}

// The clear password of a change never reaches the log: the member hashes it, after it has checked that the client may change users. No member
// hashes when it applies the change (etcd #6530, #6640).
func TestPasswordIsHashed(t *testing.T) {
	testlong.Skip(t)
	e := newEndpoint(t, nil)
	e.withUsers()
	root := e.as(t, "test")
	e.as(t, "ci").refused(kv.NotAllowed, "no administrator", wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserAdd, User: "new"}, "sesame"))
	root.allowed(wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserAdd, User: "new"}, "sesame"))
	u, _ := e.member.View().Auth().User("new")
	if hash := string(u.Password); !strings.HasPrefix(hash, "$2a$") || strings.Contains(hash, "sesame") {
		t.Errorf("the password is stored as %q", hash)
	}
	root.refused(kv.UserExists, "already", wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserAdd, User: "new"}, "other"))
	root.refused(kv.BadRequest, "at most 72", wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserChangePassword, User: "new"}, strings.Repeat("x", 73)))
	root.refused(kv.BadRequest, "at most 72", wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserChangePassword, User: "new"}, strings.Repeat("x", limits.AskBytes-100)))
	r := e.as(t, "")
	r.refused(kv.AuthFailed, "wrong", wire.OpLogin, login("new", strings.Repeat("x", limits.AskBytes-100)))
	r.allowed(wire.OpLogin, login("new", "sesame"))

	// A retry of the same write is hashed once more, and applied once.
	once := kv.WriteName{Session: 9, Sequence: 1, Window: 1, Opened: e.member.View().SessionClock()}
	body := change(kv.AuthChange{Kind: kv.UserAdd, User: "twice"}, "sesame")
	for id := range uint64(2) {
		root.send(wire.AppendWrite(nil, id, wire.OpAuthChange, wait, &once, body))
		root.want(id, kv.OK)
	}
	e.idle(t)
}

// Enabling draws a secret of its own each time: the tokens of before are void.
func TestEnableDrawsSecret(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withPassword(t, "sesame")
	answer, _ := wire.ReadAnswer[wire.Login](e.as(t, "").allowed(wire.OpLogin, login("ci", "sesame")))
	token := answer.Token
	root := e.as(t, "test")
	root.allowed(wire.OpAuthChange, change(kv.AuthChange{Kind: kv.AuthDisable}, ""))
	root.allowed(wire.OpAuthChange, change(kv.AuthChange{Kind: kv.AuthEnable, Strict: true}, ""))
	e.as(t, "").refused(kv.BadToken, "invalid token", wire.OpLogin, byToken(token))
	root.allowed(wire.OpAuthChange, change(kv.AuthChange{Kind: kv.AuthDisable}, ""))
	for name, text := range map[string]string{"ci": "ci would be locked out", "": "no user"} {
		e.as(t, name).refused(kv.AuthManagement, text, wire.OpAuthChange, change(kv.AuthChange{Kind: kv.AuthEnable, Strict: true}, ""))
	}
}

// A token that stands for a login which this member has not applied waits for it, as long as the request lasts.
func TestLoginAtALaggingMember(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withPassword(t, "sesame")
	u, _ := e.member.View().Auth().User("ci")
	applied, _ := e.member.View().Applied()
	token := auth.Seal(e.member.View().Auth().Secret(), auth.Claims{User: "ci", Epoch: u.Epoch, Applied: applied + 3, Issued: time.Now()})
	r := e.as(t, "")
	r.send(wire.AppendRequest(nil, 1, wire.OpLogin, 50*time.Millisecond, byToken(token)))
	r.want(1, kv.Unavailable)
	r.send(wire.AppendRequest(nil, 2, wire.OpLogin, wait, byToken(token)))
	e.until(t, "the login is not under way", func() bool { return e.server.Stats().Requests == 1 })
	root := e.as(t, "test")
	for range 3 {
		root.allowed(wire.OpPut, putOfCI)
	}
	r.want(2, kv.OK)
	r.allowed(wire.OpPut, putOfCI)
}

// A JWT is void after each change of users and roles, as in etcd; a login by it ends like any other.
func TestLoginByJWT(t *testing.T) {
	secret := []byte("a secret of thirty two bytes....")
	scheme, err := auth.ParseScheme("jwt,sign-method=HS256,priv-key=key", 0, func(string) ([]byte, error) { return secret, nil })
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, func(c *server.Config) { c.Tokens = scheme.Tokens(nil) })
	e.withPassword(t, "sesame")
	answer, err := wire.ReadAnswer[wire.Login](e.as(t, "").allowed(wire.OpLogin, login("ci", "sesame")))
	token := answer.Token
	if parsed, _, bad := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{}); err != nil || bad != nil || parsed.Claims.(jwt.MapClaims)["username"] != "ci" {
		t.Fatal(token, err, bad)
	}
	r := e.as(t, "")
	r.allowed(wire.OpLogin, byToken(token))
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.RoleAdd, Role: "new"})
	r.allowed(wire.OpPut, putOfCI)
	e.as(t, "").refused(kv.BadToken, "invalid token", wire.OpLogin, byToken(token))
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserChangePassword, User: "ci", Password: []byte("x")})
	r.refused(kv.BadToken, "ended", wire.OpPut, putOfCI)
}

// TestLoginEndsWithItsJWT: a connection that has logged in by a JWT is closed at the JWT's end, with its watches.
func TestLoginEndsWithItsJWT(t *testing.T) {
	scheme, err := auth.ParseScheme("jwt,sign-method=HS256,priv-key=key,ttl=3s", 0, func(string) ([]byte, error) { return []byte("a secret of thirty two bytes...."), nil })
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, func(c *server.Config) { c.Tokens = scheme.Tokens(nil) })
	e.withPassword(t, "sesame")
	answer, err := wire.ReadAnswer[wire.Login](e.as(t, "").allowed(wire.OpLogin, login("ci", "sesame")))
	token := answer.Token
	if err != nil {
		t.Fatal(err)
	}
	begun, r := time.Now(), e.as(t, "")
	r.allowed(wire.OpLogin, byToken(token))
	r.allowed(wire.OpPut, putOfCI)
	select {
	case <-r.conn.Context().Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the connection outlives its token")
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("the connection was closed after %v", took)
	}
	e.as(t, "").refused(kv.BadToken, "invalid token", wire.OpLogin, byToken(token))
}

// A connection keeps nothing of the logins by tokens that a later one replaces.
func TestLoginsByJWTKeepNothing(t *testing.T) {
	scheme, err := auth.ParseScheme("jwt,sign-method=HS256,priv-key=key", 0, func(string) ([]byte, error) { return []byte("a secret of thirty two bytes...."), nil })
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, func(c *server.Config) { c.Tokens = scheme.Tokens(nil) })
	e.withPassword(t, "sesame")
	answer, err := wire.ReadAnswer[wire.Login](e.as(t, "").allowed(wire.OpLogin, login("ci", "sesame")))
	if err != nil {
		t.Fatal(err)
	}
	body, r := byToken(answer.Token), e.as(t, "")
	logins := func(n int) (live uint64) {
		for range n {
			r.allowed(wire.OpLogin, body)
		}
		e.idle(t)
		runtime.GC()
		runtime.GC() // of what the pools have let go
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.Mallocs - m.Frees
	}
	const n = 1000
	before := logins(100)
	if more := int64(logins(n) - before); more > 3*n {
		t.Errorf("%d logins have left %d objects", n, more)
	}
}

// Many logins at a time: the few that the Hasher takes are answered, and the rest refused at once; meanwhile other requests of the same
// streams are served. Nothing is left of them.
func TestLoginFlood(t *testing.T) {
	testlong.Skip(t)
	hasher, err := auth.NewHasher(limits.PasswordCostLeast + 5)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, func(c *server.Config) { c.Hasher = hasher })
	e.withPassword(t, "sesame")
	const streams, logins = 8, 100
	var wrong, refused, put, last atomic.Int64
	var all sync.WaitGroup
	for i := range streams {
		r := e.as(t, "ci")
		all.Go(func() {
			var frames []byte
			for id := range uint64(logins) {
				frames = append(frames, wire.AppendRequest(nil, id, wire.OpLogin, wait, login(fmt.Sprint("ghost", i), "x"))...)
			}
			r.send(append(frames, wire.AppendRequest(nil, logins, wire.OpPut, wait, putOfCI)...))
			for n := range logins + 1 {
				p, err := r.next()
				switch {
				case err != nil:
					t.Error(err)
					return
				case p.ID == logins && p.Code == kv.OK:
					put.Add(1)
					if n == logins {
						last.Add(1)
					}
				case p.Code == kv.AuthFailed:
					wrong.Add(1)
				case p.Code == kv.Overloaded:
					refused.Add(1)
				default:
					t.Errorf("%d: %v", p.ID, p.Failed())
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d passwords were checked, %d refused", wrong.Load(), refused.Load())
	if wrong.Load()+refused.Load() != streams*logins || wrong.Load() == 0 || refused.Load() < streams*logins/2 || put.Load() != streams {
		t.Errorf("%d checked, %d refused, %d puts", wrong.Load(), refused.Load(), put.Load())
	}
	if last.Load() == streams { // a refusal is immediate: on a slow disk it overtakes a put
		t.Error("every put was answered after its connection's logins")
	}
	e.idle(t)
}

// A login whose client has gone is dropped, and a member that stops answers the logins under way.
func TestLoginOfAClientThatIsGone(t *testing.T) {
	hasher, err := auth.NewHasher(limits.PasswordCostLeast + 5)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, func(c *server.Config) { c.Hasher = hasher })
	e.withPassword(t, "sesame")
	for range 20 {
		r := e.as(t, "ci")
		r.send(wire.AppendRequest(nil, 1, wire.OpLogin, wait, login("ci", "sesame")))
		_ = r.conn.CloseWithError(0, "")
	}
	e.idle(t)
	r := e.as(t, "ci")
	r.send(wire.AppendRequest(nil, 1, wire.OpLogin, wait, login("ci", "sesame")))
	e.until(t, "the login is not under way", func() bool { return e.server.Stats().Requests == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	go e.server.Drain(ctx)
	r.want(1, kv.OK)
}
