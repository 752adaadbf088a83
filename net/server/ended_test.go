package server_test

import (
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/auth"
	"qkv/net/server"
	"qkv/net/wire"
)

// While authentication is off, a login that has ended makes no author: the changes are those of the certificate, as whoami answers.
func TestEndedLoginIsNoAuthor(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withPassword(t, "sesame")
	r := e.as(t, "reader")
	r.allowed(wire.OpLogin, login("ci", "sesame"))
	for _, c := range []struct {
		change kv.AuthChange
		author string
	}{
		{kv.AuthChange{Kind: kv.AuthDisable}, "ci"}, {kv.AuthChange{Kind: kv.UserDelete, User: "ci"}, "reader"}, {kv.AuthChange{Kind: kv.UserAdd, User: "ci"}, "reader"},
	} {
		e.member.ChangeAuth(c.change)
		r.allowed(wire.OpPut, putOfCI)
		v := e.member.View()
		if got := v.AuthorOf([]byte("app1/k"), v.Revision()); got != c.author {
			t.Errorf("after the change %q the author is %q, want %q, and whoami answers %q", &c.change, got, c.author, r.who())
		}
	}
}

// A new password ends the watches of a login by the old one. Those of a certificate of the same user go on.
func TestNewPasswordEndsWatches(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withPassword(t, "sesame")
	r, other := e.as(t, "reader"), e.as(t, "ci")
	r.allowed(wire.OpLogin, login("ci", "sesame"))
	watching, certified := rawOf(t, r.conn), rawOf(t, other.conn)
	for _, one := range []*raw{watching, certified} {
		one.send(watchOf(1, "app1/k"))
		one.delivered(kv.WatchCreated)
	}
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserChangePassword, User: "ci", Password: []byte("x")})
	if f := watching.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != kv.BadToken {
		t.Errorf("a watch of a login by the old password: %+v", f)
	}
	other.allowed(wire.OpPut, putOfCI)
	certified.delivered(kv.WatchEvents)
}

// A password that is changed while it is checked logs nobody in any more.
func TestPasswordChangesDuringLogin(t *testing.T) {
	hasher, err := auth.NewHasher(limits.PasswordCostLeast + 6)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, func(c *server.Config) { c.Hasher = hasher })
	e.withPassword(t, "sesame")
	r := e.as(t, "")
	begun := e.server.Stats().Requests
	r.send(wire.AppendRequest(nil, 1, wire.OpLogin, wait, login("ci", "sesame")))
	soon(t, "the login is under way", func() bool { return e.server.Stats().Requests > begun })
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserChangePassword, User: "ci", Password: []byte("x")})
	r.want(1, kv.AuthFailed)
}

// A change with a password is that of the connection's login, as every other change is.
func TestChangeWithPasswordOfALogin(t *testing.T) {
	e := newEndpoint(t, nil)
	e.withPassword(t, "sesame")
	e.member.ChangeAuth(kv.AuthChange{Kind: kv.UserGrantRole, User: "ci", Role: kv.Root})
	reader, root := e.as(t, "reader"), e.as(t, "test")
	reader.allowed(wire.OpLogin, login("ci", "sesame"))
	reader.allowed(wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserAdd, User: "one"}, "sesame"))
	root.allowed(wire.OpLogin, login("one", "sesame"))
	root.refused(kv.NotAllowed, "one is no administrator", wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserAdd, User: "two"}, "sesame"))
}
