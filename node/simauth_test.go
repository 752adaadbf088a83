package node

import (
	"math/rand/v2"
	"time"

	"qkv/index"
	"qkv/index/authmodel"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// drawAuth draws a life with users and roles.
func drawAuth(r *rand.Rand, s *shape) { s.auth = r.IntN(10) < 3 }

// granted is a role's permission.
func granted(role string, kind kv.PermissionType, key, end string) kv.AuthChange {
	return kv.AuthChange{Kind: kv.RoleGrantPermission, Role: role, Permission: kv.Permission{Key: []byte(key), End: []byte(end), Type: kind}}
}

// wantedUsers are the changes that make the users and roles with which the clients get along: those of before the first fault, and
// again after the last one.
var wantedUsers = func() (all []kv.AuthChange) {
	for _, role := range []string{"all", "low", "one", "read", "leases", "once"} {
		all = append(all, kv.AuthChange{Kind: kv.RoleAdd, Role: role})
	}
	all = append(all,
		granted("all", kv.PermitReadWrite, "k", "k8"), granted("all", kv.PermitReadWrite, "k8", "l"), // together they are everything
		granted("low", kv.PermitReadWrite, "k", "k8"), granted("one", kv.PermitWrite, "k1", ""), granted("read", kv.PermitRead, "k", "l"),
		granted("leases", kv.PermitReadWrite, leaseKeys, "l0"), granted("once", kv.PermitReadWrite, onceKeys, "o0"))
	for _, u := range [][]string{{kv.Root, kv.Root}, {"admin", kv.Root}, {"u1", "all"}, {"u2", "low", "read"}, {"u3", "read"}, {"u4", "one"}, {"leaser", "leases"}, {"repeater", "once"}, {"x"}} {
		all = append(all, kv.AuthChange{Kind: kv.UserAdd, User: u[0], NoPassword: true})
		for _, role := range u[1:] {
			all = append(all, kv.AuthChange{Kind: kv.UserGrantRole, User: u[0], Role: role})
		}
	}
	return append(all, kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
}()

// drawUser draws the user of a client. In a life without users, the names are only those of authors.
func (w *world) drawUser() string {
	switch n := w.random.IntN(100); {
	case n < 55:
		return "u1"
	case n < 66:
		return "u2"
	case n < 72:
		return "u3"
	case n < 76:
		return "u4"
	case n < 84:
		return "admin"
	case n < 88:
		return kv.Root
	case n < 92:
		return "x"
	case n < 96:
		return "ghost" // no user
	}
	return ""
}

// drawUserOf is mostly the user who has a kind of keys.
func (w *world) drawUserOf(kind string) string {
	if w.probably(0.75) {
		return kind
	}
	return w.drawUser()
}

// authority changes users and roles, as administrators do.
type authority struct {
	w           *world
	established bool // all that is wanted was there once
	stopped     bool
	open        int // changes without an answer
}

func (a *authority) begin() { a.w.sim.After(a.w.between(0, time.Second), a.turn) }

// missing returns a change that is wanted and not there, or nil.
func (a *authority) missing() *kv.AuthChange {
	v := a.w.watch.verdicts
	if v == nil {
		return nil
	}
	for i := range wantedUsers {
		c := &wantedUsers[i]
		if c.Kind == kv.RoleGrantPermission && v.auth.Has(c.Role, &c.Permission) {
			continue
		}
		after := v.auth.Clone()
		if after.Change(kv.Root, c) == kv.OK && (after.Revision != v.auth.Revision || after.Enabled != v.auth.Enabled) {
			return c
		}
	}
	return nil
}

func (a *authority) turn() {
	w := a.w
	if a.stopped || w.healed != 0 {
		return
	}
	next := a.missing()
	a.established = a.established || next == nil
	switch {
	case !a.established:
		if a.open == 0 {
			a.propose(kv.Root, next)
		}
		w.sim.After(w.between(2*time.Millisecond, 60*time.Millisecond), a.turn)
		return
	case next != nil && w.probably(0.55):
		a.propose(kv.Root, next)
	default:
		by := kv.Root
		if w.probably(0.2) {
			by = w.drawUser()
		}
		a.propose(by, a.draw())
	}
	w.sim.After(w.between(10*time.Millisecond, w.shape.faulty/20), a.turn)
}

// draw draws a change.
func (a *authority) draw() *kv.AuthChange {
	r := a.w.random
	user := pick(r, "u1", "u1", "u2", "u3", "u4", "leaser", "repeater", "admin", "x")
	role := pick(r, "all", "all", "low", "one", "read", "leases", "once")
	ranges := pick(r, [2]string{"k", "k8"}, [2]string{"k8", "l"}, [2]string{"k", "l"}, [2]string{"k", "\x00"}, [2]string{"k1", ""}, [2]string{a.w.key(), ""}, [2]string{leaseKeys, "l0"}, [2]string{onceKeys, "o0"})
	c := granted(role, kv.PermissionType(r.IntN(3)), ranges[0], ranges[1])
	switch n := r.IntN(100); {
	case n < 20:
		return &c
	case n < 40:
		c.Kind = kv.RoleRevokePermission
		return &c
	case n < 50:
		return &kv.AuthChange{Kind: kv.UserGrantRole, User: user, Role: role}
	case n < 62:
		return &kv.AuthChange{Kind: kv.UserRevokeRole, User: user, Role: role}
	case n < 70:
		return &kv.AuthChange{Kind: kv.UserDelete, User: user}
	case n < 76:
		return &kv.AuthChange{Kind: kv.UserAdd, User: user, Password: []byte("another")}
	case n < 82:
		return &kv.AuthChange{Kind: kv.UserChangePassword, User: user, Password: []byte("new")}
	case n < 88:
		return &kv.AuthChange{Kind: kv.RoleDelete, Role: role}
	case n < 92:
		return &kv.AuthChange{Kind: kv.RoleAdd, Role: role}
	case n < 95:
		return &kv.AuthChange{Kind: kv.AuthDisable}
	case n < 98:
		return &kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes), Strict: true}
	}
	return &kv.AuthChange{Kind: kv.UserRevokeRole, User: kv.Root, Role: kv.Root} // refused while authentication is enabled, or repaired
}

// propose lets any member propose a change.
func (a *authority) propose(by string, c *kv.AuthChange) {
	w := a.w
	at := w.any()
	if !at.alive() || c == nil {
		return
	}
	view := at.member.status.View()
	command := (&index.Head{By: view.By(by)}).AppendAuthChange(nil, c)
	if !at.member.actors.consensus.Fits(int64(len(command.Bytes))) {
		return
	}
	timeout := w.between(200*time.Millisecond, clientTimeout)
	r := &authReply{a: a}
	a.open++
	w.sim.After(timeout*5/4+overdue, r.end)
	endpoint{at.member}.Propose(kv.Proposal{ReplyTo: r, Requests: []uint64{1}, Commands: []kv.Command{command}, Timeout: timeout})
}

// authReply waits for the answer to a change. Whatever it says, the judge follows the log.
type authReply struct {
	a    *authority
	over bool
}

// Complete implements kv.ReplyTo.
func (r *authReply) Complete([]kv.Completion) { r.a.w.sim.Post(r.end) }

func (r *authReply) end() {
	if !r.over {
		r.over = true
		r.a.open--
	}
}

// complete makes the users and roles again that are wanted.
func (a *authority) complete() {
	w := a.w
	a.stopped = true
	if !w.until(2*elections*w.shape.election+time.Minute, func() bool {
		next := a.missing()
		if next != nil && a.open == 0 {
			a.propose(kv.Root, next)
		}
		return next == nil && a.open == 0
	}) {
		w.failf("the users and roles do not come to rest, %v is missing: %v", a.missing(), w.places())
	}
}

// user is the user of a client, and how it proves who it is: by the certificate of its connection, or by a token that it keeps.
type user struct {
	name  string
	keeps bool
	token kv.Principal
}

// by is the principal of a request to a member with this View.
func (u *user) by(view *index.View) kv.Principal {
	now := view.By(u.name)
	if !u.keeps {
		return now
	}
	if u.token.Name != u.name {
		u.token = now
	}
	return kv.Principal{Name: now.Name, Auth: min(u.token.Auth, now.Auth)}
}

// refused lets the client authenticate again if its token is old.
func (u *user) refused(code kv.Code) {
	if code == kv.AuthOld {
		u.token = kv.Principal{}
	}
}

// accessOf is the read of an operation, for the model.
func accessOf(key, end []byte) []authmodel.Access { return []authmodel.Access{{Key: key, End: end}} }

// readable tells whether a watch is permitted in a View. Once it is created, only its user counts.
func (w *world) readable(view *index.View, one *askedWatch) kv.Code {
	at, _ := view.Applied()
	m, by := w.watch.verdicts.behind(at), one.by
	if one.created {
		by.Auth = m.Revision
	}
	return m.Verdict(by, kv.AccessRead, accessOf(one.request.Key, one.request.End))
}

// refusedForGood tells whether the user of a watch may not read it, now that nobody changes users and roles any more.
func (w *world) refusedForGood(one *simWatch) bool {
	v := w.watch.verdicts
	return v != nil && v.auth.Enabled && (one.user == "" || !v.auth.May(one.user, accessOf(one.request.Key, one.request.End)[0]))
}
