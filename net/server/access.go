package server

import (
	"sync/atomic"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire"
)

// userOf returns the user of a certificate. A member's certificate is no user.
func userOf(name wire.Identity) string {
	if name.Class == wire.ClassClient {
		return name.Name
	}
	return ""
}

// login is the user that a connection has logged in as. It ends when the user is deleted or gets another password.
type login struct {
	name  string
	epoch uint64 // of the user at that time
	proof kv.Proof
	until time.Time // a JWT's end; zero: the login has none
	// checked is the auth revision at which the login was last found valid; another revision checks it again.
	checked atomic.Uint64
}

var errLoginEnded = kv.Errorf(kv.BadToken, "the login of this connection has ended: the user was deleted, or has another password. Log in again")

var errTokenEnded = kv.Errorf(kv.BadToken, "the login of this connection has ended with its token. Log in again")

func (l *login) check(auth *index.Auth) *kv.Error {
	if !l.until.IsZero() && !time.Now().Before(l.until) {
		return errTokenEnded
	}
	revision := auth.Revision()
	if l.checked.Load() == revision {
		return nil
	}
	if u, ok := auth.User(l.name); !ok || u.Epoch != l.epoch {
		return errLoginEnded
	}
	l.checked.Store(revision)
	return nil
}

// loginIn returns the connection's login, or nil, and why it has ended. While authentication is off, a login that has ended counts for
// nothing: the user is the certificate's.
func (c *conn) loginIn(auth *index.Auth) (*login, *kv.Error) {
	l := c.login.Load()
	if l == nil {
		return nil, nil
	}
	err := l.check(auth)
	if err != nil && !auth.Enabled() {
		return nil, nil
	}
	return l, err
}

// author returns the author of the connection's requests in a View, or why its login has ended.
func (c *conn) author(v *index.View) (kv.Principal, *kv.Error) {
	l, err := c.loginIn(v.Auth())
	if l == nil {
		return v.By(c.user), nil
	}
	by := v.By(l.name)
	by.Login = l.epoch
	return by, err
}

// permits returns why the connection's user may not make a request of a class in a View, or nil. Nothing but the class counts for the
// classes other than read and write.
func (c *conn) permits(v *index.View, need kv.Access, request index.Toucher) *kv.Error {
	if need == kv.AccessAnyone || !v.Auth().Enabled() {
		return nil
	}
	by, err := c.author(v)
	if err != nil {
		return err
	}
	return v.Permits(by, need, request)
}

// permitsRequest is permits for a whole request.
func (c *conn) permitsRequest(v *index.View, q *wire.Request) *kv.Error {
	return c.audited(q.Op, touching(q), c.verdict(v, q))
}

// touching returns the accesses of a request, if its class is read or write.
func touching(q *wire.Request) index.Toucher {
	if need := q.Op.Access(); need == kv.AccessRead || need == kv.AccessWrite {
		return q
	}
	return nil
}

// verdict is permitsRequest without the audit log. A question of the class self is permitted to an administrator, and to a user whom it
// concerns.
func (c *conn) verdict(v *index.View, q *wire.Request) *kv.Error {
	if need := q.Op.Access(); need != kv.AccessSelf {
		return c.permits(v, need, q)
	}
	if err := c.permits(v, kv.AccessNone, q); err != nil || !v.Auth().Enabled() {
		return err
	}
	by, err := c.author(v)
	if err != nil {
		return err
	}
	if concerns := rules[q.Op].concerns; v.Auth().IsRoot(by.Name) || concerns(v.Auth(), q.Ask, by.Name) {
		return nil
	}
	return kv.Errorf(kv.NotAllowed, "permission denied: %s may ask only about itself and its own roles: all others need the role %s", by.Name, kv.Root)
}

// permitsRead returns why a read may not be answered from a View, or nil. Writes are not checked here: the state checks them when it
// applies them.
func (c *conn) permitsRead(v *index.View, x *slot) *kv.Error {
	switch {
	case x.read != nil && x.read.body != nil:
		if x.read.ofWrite() {
			return nil
		}
		return c.permitsRequest(v, &x.read.body.request)
	case x.read != nil:
		return c.audited(x.op, &x.read.Range, c.permits(v, x.op.Access(), &x.read.Range))
	case x.op.Write(), x.op.Access() == kv.AccessWrite: // a keep-alive was checked before the leader's clock was asked
		return nil
	case x.lease != nil:
		return c.permitsRequest(v, &wire.Request{Op: x.op, Ask: &wire.Ask{Lease: *x.lease}})
	}
	return c.audited(x.op, nil, c.permits(v, x.op.Access(), nil))
}

// permitsStep is permitsRead for a read in steps over several Views: it checks again when users or roles have changed.
func (c *conn) permitsStep(v *index.View, x *slot) *kv.Error {
	auth := v.Auth()
	if !auth.Enabled() || x.read.permitted == auth {
		return nil
	}
	err := c.permitsRead(v, x)
	if err == nil {
		x.read.permitted = auth
	}
	return err
}

// permitsEarly returns why a request is refused before anything is done for it, or nil: requests that no View answers, and writes whose
// refusal for other reasons tells how many keys there are, or that cost much before they are applied.
func (r *reader) permitsEarly(q *wire.Request, path wire.Path) *kv.Error {
	switch path {
	case wire.PathMember, wire.PathLeader, wire.PathClock, wire.PathBackup:
	case wire.PathLog:
		if !hasRanges(q) && !rules[q.Op].early {
			return nil
		}
	default:
		return nil
	}
	return r.s.conn.permitsRequest(r.s.conn.server.config.Member.View(), q)
}
