package server

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// withSecret draws the secret with which members seal tokens, for the change that enables authentication.
func withSecret(c *kv.AuthChange) *kv.AuthChange {
	if c.Kind == kv.AuthEnable {
		c.Secret = make([]byte, limits.AuthSecretBytes)
		_, _ = rand.Read(c.Secret) // it never fails
	}
	return c
}

func hasRole(auth *index.Auth, user, role string) bool {
	u, _ := auth.User(user)
	_, has := slices.BinarySearch(u.Roles, role)
	return has
}

// self returns the connection's user in a View, or why its login has ended.
func (c *conn) self(v *index.View) (kv.Self, *kv.Error) {
	auth := v.Auth()
	self := kv.Self{Name: c.user, Proof: kv.ProofCertificate, Enabled: auth.Enabled(), Revision: auth.Revision()}
	if l, err := c.loginIn(auth); err != nil {
		return self, err
	} else if l != nil {
		self.Name, self.Proof = l.name, l.proof
	}
	if self.Name == "" {
		self.Proof = kv.ProofNone
		return self, nil
	}
	u, known := auth.User(self.Name)
	self.Known, self.Roles, self.Root = known, u.Roles, auth.IsRoot(self.Name)
	return self, nil
}

// appendSelf appends the connection's user. Its result is that of appendOne.
func (w *writer) appendSelf(v *index.View, x *slot, _ *kv.Completion) bool {
	self, err := w.s.conn.self(v)
	if err != nil {
		return w.appendError(x.id, err.Code, err.Message)
	}
	return w.appendValue(x.id, &self)
}

// appendUsers appends one user, or the next users in the order of their names.
func (b *body) appendUsers(to *buffer, v *index.View) bool {
	auth, q, id := v.Auth(), b.request.Ask, b.request.ID
	page := wire.List[kv.User]{Revision: auth.Revision()}
	size, most := 0, int(to.pageBytes())
	if q.Name != "" {
		u, ok := auth.User(q.Name)
		if !ok {
			return to.appendError(id, kv.UserNotFound, fmt.Sprintf("there is no user %q", q.Name))
		}
		page.All = []kv.User{wire.UserOf(&u)}
	} else {
		auth.Users(func(u *kv.UserRecord) bool {
			if u.Name < q.From {
				return true
			}
			one := wire.UserBytes(u)
			if page.More = len(page.All) > 0 && size+one > most; !page.More {
				page.All, size = append(page.All, wire.UserOf(u)), size+one
			}
			return !page.More
		})
	}
	return to.appendValue(id, &page)
}

// rolesPage is a page of roles under construction. A role with many permissions takes several pages.
type rolesPage struct {
	roles      []kv.UserRole
	size, most int
	more       bool
}

// add adds a role without its first skip permissions, and reports whether all of it fits.
func (p *rolesPage) add(r *kv.UserRole, skip int64) bool {
	head := 16 + len(r.Name)
	if p.more = len(p.roles) > 0 && p.size+head > p.most; p.more {
		return false
	}
	left := r.Permissions[min(max(skip, 0), int64(len(r.Permissions))):]
	fit := 0
	for p.size += head; fit < len(left); fit++ {
		one := wire.PermissionBytes(&left[fit])
		if p.more = fit > 0 && p.size+one > p.most; p.more {
			break
		}
		p.size += one
	}
	p.roles = append(p.roles, kv.UserRole{Name: r.Name, Permissions: left[:fit]})
	return !p.more
}

// appendRoles appends one role, or the next roles in the order of their names.
func (b *body) appendRoles(to *buffer, v *index.View) bool {
	auth, q, id := v.Auth(), b.request.Ask, b.request.ID
	page := rolesPage{most: int(to.pageBytes())}
	if q.Name != "" {
		r, ok := auth.Role(q.Name)
		if !ok {
			return to.appendError(id, kv.RoleNotFound, fmt.Sprintf("there is no role %q", q.Name))
		}
		page.add(&r, q.Skip)
	} else {
		auth.Roles(func(r *kv.UserRole) bool {
			if r.Name == kv.Root { // an administrator has added it: it permits everything nevertheless
				root, _ := auth.Role(kv.Root)
				r = &root
			}
			switch {
			case r.Name < q.From:
				return true
			case r.Name == q.From:
				return page.add(r, q.Skip)
			}
			return page.add(r, 0)
		})
	}
	return to.appendValue(id, &wire.List[kv.UserRole]{Revision: auth.Revision(), More: page.more, All: page.roles})
}

// authorsStep is how many authors are found in one step: each takes a search along the versions of a key.
const authorsStep = 16

// readAuthors finds the authors of some more changes, and appends all of them when they are complete.
func (b *body) readAuthors(to *buffer, v *index.View) bool {
	if b.view == nil {
		b.view, b.since = v, time.Now()
	}
	changes := b.request.Ask.Changes
	for range min(authorsStep, len(changes)-len(b.authors)) {
		c := &changes[len(b.authors)]
		b.authors = append(b.authors, b.view.AuthorOf(c.Key, c.Revision))
	}
	if len(b.authors) < len(changes) {
		return false
	}
	return to.appendValue(b.request.ID, &wire.List[string]{All: b.authors})
}
