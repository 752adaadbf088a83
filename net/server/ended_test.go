package server_test

import (
	"testing"

	"qkv/index/kv"
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
