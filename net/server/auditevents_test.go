package server_test

import (
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// wantEvents fails unless exactly these events were recorded since the last call, in any order: the streams of a test are concurrent.
func wantEvents(t *testing.T, j *servertest.Journal, seen *int, want ...string) {
	t.Helper()
	got, _ := j.Take(seen)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("recorded:\n  %s\nwanted:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// The audit log of a member has its refusals, its logins, and the changes of users, roles, members and alarms: each once, with the user,
// the proof, the address and the operation. It has no value, no password and no token.
func TestAudit(t *testing.T) {
	j, seen := servertest.NewJournal(t), 0
	e := newEndpoint(t, func(c *server.Config) { c.Audit = j.Log })
	e.withPassword(t, "sesame")
	const changes = " from 127.0.0.1: native change of users "
	wantEvents(t, j, &seen, "test by certificate"+changes+"(change password of user ci): ok")

	other := []byte("app2/k")
	put := kv.AppendPut(nil, &kv.Put{Key: other, Value: []byte("classified")})
	read := kv.AppendRange(nil, &kv.Range{Key: other, End: []byte("app3/")})
	ci := e.as(t, "ci")
	ci.refused(kv.NotAllowed, "may not write", wire.OpPut, put)
	ci.refused(kv.NotAllowed, "may not read", wire.OpRange, read)
	ci.refused(kv.NotAllowed, "no administrator", wire.OpCompact, ask(wire.Ask{Revision: 1}))
	ci.allowed(wire.OpPut, putOfCI)
	e.as(t, "stranger").refused(kv.NotAllowed, `no user "stranger"`, wire.OpPut, put)
	wantEvents(t, j, &seen,
		"ci by certificate from 127.0.0.1: native put: not allowed",
		"ci by certificate from 127.0.0.1: native range [[app2/k, app3/)]: not allowed",
		"ci by certificate from 127.0.0.1: native compaction: not allowed",
		"stranger by certificate from 127.0.0.1: native put: not allowed")

	r := e.as(t, "")
	r.refused(kv.UserEmpty, "no user", wire.OpPut, put)
	r.refused(kv.AuthFailed, "wrong password", wire.OpLogin, login("ci", "open-sesame"))
	answer, err := wire.ReadAnswer[wire.Login](r.allowed(wire.OpLogin, login("ci", "sesame")))
	token := answer.Token
	if err != nil {
		t.Fatal(err)
	}
	r.refused(kv.NotAllowed, "ci may not", wire.OpPut, put)
	r.refused(kv.BadToken, "invalid token", wire.OpLogin, byToken("0"+token))
	same := e.as(t, "")
	same.allowed(wire.OpLogin, byToken(token))
	same.refused(kv.NotAllowed, "ci may not", wire.OpPut, put)
	wantEvents(t, j, &seen,
		" by none from 127.0.0.1: native put: no user",
		"ci by password from 127.0.0.1: native login: authentication failed",
		"ci by password from 127.0.0.1: native login: ok",
		"ci by password from 127.0.0.1: native put: not allowed",
		" by token from 127.0.0.1: native login: invalid token",
		"ci by token from 127.0.0.1: native login: ok",
		"ci by token from 127.0.0.1: native put: not allowed")

	// A login ends with its password: a write and a watch of it are refused, and recorded.
	watching := rawOf(t, same.conn)
	e.as(t, "test").allowed(wire.OpAuthChange, change(kv.AuthChange{Kind: kv.UserChangePassword, User: "ci"}, "open-sesame"))
	same.refused(kv.BadToken, "has ended", wire.OpPut, putOfCI)
	watching.send(watchOf(1, "app1/k"))
	if f := watching.delivered(kv.WatchCanceled); f.Err == nil || f.Err.Code != kv.BadToken {
		t.Errorf("the watch of a login that has ended: %+v", f)
	}
	wantEvents(t, j, &seen,
		"test by certificate"+changes+"(change password of user ci): ok",
		"ci by token from 127.0.0.1: native put [app1/k]: invalid token",
		"ci by token from 127.0.0.1: native watch [app1/k]: invalid token")

	root := e.as(t, "test")
	add := change(kv.AuthChange{Kind: kv.UserAdd, User: "new"}, "swordfish")
	root.allowed(wire.OpAuthChange, add)
	root.refused(kv.UserExists, "already", wire.OpAuthChange, add) // no want of a permission, so no event
	grants := grant("reads", "b/", "b0", kv.PermitRead)
	root.allowed(wire.OpAuthChange, change(grants, ""))
	member := kv.MemberChange{Kind: kv.AddLearner, ID: 9, Name: "n9", Peers: []string{"127.0.0.1:1"}}
	root.allowed(wire.OpChangeMember, ask(wire.Ask{Change: member}))
	root.allowed(wire.OpCompact, ask(wire.Ask{Revision: 1}))
	root.allowed(wire.OpReadmit, ask(wire.Ask{Member: 1}))
	root.refused(kv.BadRequest, "another member", wire.OpReadmit, ask(wire.Ask{Member: 2}))
	ci.refused(kv.NotAllowed, "no administrator", wire.OpAuthChange, change(grants, ""))
	wantEvents(t, j, &seen,
		"test by certificate"+changes+"(add user new): ok",
		"test by certificate"+changes+`(grant permission to role reads: read the keys from "b/" to "b0"): ok`,
		"test by certificate from 127.0.0.1: native "+wire.OpChangeMember.String()+" ("+member.String()+"): ok",
		"test by certificate from 127.0.0.1: native compaction: ok",
		"test by certificate from 127.0.0.1: native readmit: ok",
		"ci by certificate from 127.0.0.1: native change of users: not allowed")

	_, raw := j.Take(&seen)
	u, _ := e.member.View().Auth().User("new")
	for _, secret := range []string{"classified", "sesame", "swordfish", token, token[:20], string(u.Password)} {
		if strings.Contains(raw, secret) {
			t.Errorf("%.12s... is recorded", secret)
		}
	}
	e.idle(t)
}
