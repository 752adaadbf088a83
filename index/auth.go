package index

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Auth is the users, the roles and the auth revision at one moment. It is immutable, and safe for any goroutine. A nil *Auth is the state
// before the first change: no users, authentication is off. An unchanged pointer means that nothing has changed.
type Auth struct {
	enabled  bool
	revision uint64 // 1 before the first change
	secret   [limits.AuthSecretBytes]byte
	users    *btree.BTreeG[userEntry]
	roles    *btree.BTreeG[roleEntry]
	sum      uint64 // the sum of the checksums of all users and roles
}

// userEntry and roleEntry are items of trees: values, so that a lookup needs no memory.
type userEntry struct {
	name string
	*account
}

type roleEntry struct {
	name string
	*kv.UserRole
}

// account is a user with the merged permissions of its roles. It is immutable.
type account struct {
	kv.UserRecord
	access *access
}

// accounts are the owner's users and roles. Auth has copies of the trees. Invariants:
//
//  1. users and byName have each user once. granted has each pair of a user and one of its roles.
//  2. Each role of a user but root is in roles. An administrator may add the role root, too.
//  3. account.access has the merged permissions of the user's roles.
//  4. Auth.sum is the sum of the checksums of users and roles.
type accounts struct {
	*replicated // of the same State
	users       *btree.BTreeG[userEntry]
	roles       *btree.BTreeG[roleEntry]
	granted     *btree.BTreeG[grantEntry]
	byName      map[string]*account
	author      authorship
}

type grantEntry struct{ role, user string }

func newAccounts(r *replicated) accounts {
	options := btree.Options{Degree: btreeDegree, NoLocks: true}
	return accounts{
		replicated: r, users: btree.NewBTreeGOptions(func(a, b userEntry) bool { return a.name < b.name }, options),
		roles: btree.NewBTreeGOptions(func(a, b roleEntry) bool { return a.name < b.name }, options),
		granted: btree.NewBTreeGOptions(func(a, b grantEntry) bool {
			return a.role < b.role || a.role == b.role && a.user < b.user
		}, options),
		byName: map[string]*account{},
		author: authorship{numbers: map[string]uint32{}},
	}
}

// Enabled reports whether requests need a user.
func (a *Auth) Enabled() bool { return a != nil && a.enabled }

// Revision returns the auth revision: it grows with each change of users and roles and over a restore, and begins at 1.
func (a *Auth) Revision() uint64 {
	if a == nil {
		return 1
	}
	return a.revision
}

// Secret returns the secret that seals tokens, drawn when authentication was enabled; nil while it is off. The caller must not change it.
func (a *Auth) Secret() *[limits.AuthSecretBytes]byte {
	if !a.Enabled() {
		return nil
	}
	return &a.secret
}

// User returns a user. The caller must not change its slices.
func (a *Auth) User(name string) (u kv.UserRecord, ok bool) {
	if one := a.account(name); one != nil {
		return one.UserRecord, true
	}
	return kv.UserRecord{}, false
}

// Role returns a role. The role root exists in each state, and permits everything. The caller must not change the slices.
func (a *Auth) Role(name string) (r kv.UserRole, ok bool) {
	if name == kv.Root {
		all := []byte{0}
		return kv.UserRole{Name: kv.Root, Permissions: []kv.Permission{{Key: all, End: all, Type: kv.PermitReadWrite}}}, true
	}
	if a == nil {
		return kv.UserRole{}, false
	}
	if one, found := a.roles.Get(roleEntry{name: name}); found {
		return *one.UserRole, true
	}
	return kv.UserRole{}, false
}

// Users calls f with all users in order of their names, until f returns false.
func (a *Auth) Users(f func(u *kv.UserRecord) bool) {
	if a != nil {
		a.users.Scan(func(e userEntry) bool { return f(&e.UserRecord) })
	}
}

// Roles calls f with the roles that were added, in order of their names, until f returns false.
func (a *Auth) Roles(f func(r *kv.UserRole) bool) {
	if a != nil {
		a.roles.Scan(func(e roleEntry) bool { return f(e.UserRole) })
	}
}

func (a *Auth) account(name string) *account {
	if a == nil {
		return nil
	}
	e, _ := a.users.Get(userEntry{name: name})
	return e.account
}

// IsRoot reports whether a user has the role root.
func (a *Auth) IsRoot(name string) bool {
	one := a.account(name)
	return one != nil && one.access.root
}

// checkUser returns why the request of a user at an auth revision is refused whatever it does, or nil. one is the user's account, or nil.
func checkUser[Name string | []byte](a *Auth, one *account, name Name, auth uint64) *kv.Error {
	switch {
	case len(name) == 0:
		return kv.Errorf(kv.UserEmpty, "authentication is enabled, and the request has no user: it needs a client's certificate, a token, or a name and password")
	case auth < a.revision:
		return kv.Errorf(kv.AuthOld, "users or roles have changed since the request was authenticated: it was at auth revision %d, and %d is the newest; it certainly did not happen: send it again", auth, a.revision)
	case one == nil:
		return kv.Errorf(kv.NotAllowed, "permission denied: there is no user %q, the name in the certificate or token: an administrator can add it: `qkv user add NAME --role ROLE`, or `--role root` for another administrator", name)
	}
	return nil
}

// Own is the head of the commands that a member proposes by itself.
func Own() *Head { return &Head{By: kv.Principal{Auth: kv.AuthOwn}} }

// By is the principal of the requests of a user now; an empty name is a client without a user.
func (r *replicated) By(name string) kv.Principal {
	if len(name) > limits.AuthNameBytes {
		return kv.Principal{}
	}
	return kv.Principal{Name: name, Auth: r.auth.Revision()}
}

// Auth returns the users and roles.
func (r *replicated) Auth() *Auth { return r.auth }

// Toucher is a request that lists its accesses, see package kv.
type Toucher interface {
	Touches(f func(kv.Touch) bool) bool
}

// Permits returns why a user may not make a request in this View, or nil. need is the class of the request. Its accesses are checked one
// by one for the classes read and write; nothing else is needed for the other classes, and request may be nil.
func (v *View) Permits(by kv.Principal, need kv.Access, request Toucher) *kv.Error {
	if !v.auth.Enabled() {
		return nil
	}
	one := v.auth.account(by.Name)
	if err := checkUser(v.auth, one, by.Name, by.Auth); err != nil {
		return err
	}
	if by.Login != 0 && by.Login != one.Epoch {
		return kv.Errorf(kv.BadToken, "the login of %s has ended: the user has another password; log in again", by.Name)
	}
	return permits(one, need, request, v)
}

// permits returns why a user may not make a request of a class, or nil.
func permits(one *account, need kv.Access, request Toucher, in attached) (err *kv.Error) {
	switch {
	case need == kv.AccessNone || one.access.root:
		return nil
	case need == kv.AccessAdmin:
		return kv.Errorf(kv.NotAllowed, "permission denied: %s is no administrator: this needs the role %s", one.Name, kv.Root)
	}
	v := verdicts.Get().(*verdict)
	v.account, v.in = one, in
	request.Touches(v.touch)
	err = v.err
	v.account, v.in, v.err = nil, nil, nil
	verdicts.Put(v)
	return err
}

// verdict checks the accesses of one request. It is kept for the next one: a closure for each request would cost a put two allocations.
type verdict struct {
	account *account
	in      attached
	err     *kv.Error
	touch   func(kv.Touch) bool // check
}

var verdicts = sync.Pool{New: func() any {
	v := &verdict{}
	v.touch = v.check
	return v
}}

func (v *verdict) check(t kv.Touch) bool {
	if !v.account.access.permits(t, v.in) {
		v.err = denied(v.account, t)
	} else if t.Lease != 0 && t.Write && !v.account.access.root && v.in.attachedFrom(t.Lease, nil) == nil {
		if l, found := v.in.Lease(t.Lease); found && !v.in.owns(v.account.Name, l) {
			v.err = kv.Errorf(kv.NotAllowed, "permission denied: a lease without keys belongs to the user who granted it and to the administrators, and %s is neither", v.account.Name)
		}
	}
	return v.err == nil
}

func denied(one *account, t kv.Touch) *kv.Error {
	what := "read"
	if t.Write {
		what = "write"
	}
	open := string(t.End) == "\x00"
	switch {
	case t.Lease != 0:
		// a list names no lease of others
		return kv.Errorf(kv.NotAllowed, "permission denied: %s may not %s each key of the lease", one.Name, what)
	case open && string(t.Key) == "\x00":
		return kv.Errorf(kv.NotAllowed, "permission denied: %s may not %s every key: `qkv user list NAME` prints the user's roles, and `qkv role list ROLE` the keys of a role", one.Name, what)
	case open:
		return kv.Errorf(kv.NotAllowed, "permission denied: %s may not %s all keys from %q on: `qkv auth check` shows the grants of a user", one.Name, what, t.Key)
	case len(t.End) > 0:
		return kv.Errorf(kv.NotAllowed, "permission denied: %s may not %s all keys from %q to %q: `qkv auth check` shows the grants of a user", one.Name, what, t.Key, t.End)
	}
	return kv.Errorf(kv.NotAllowed, "permission denied: %s may not %s the key %q: an administrator can allow it with `qkv role grant ROLE --key KEY --%s`", one.Name, what, t.Key, what)
}

// permits returns why the author of a command may not make it, or nil. Authentication must be enabled. It decides by the state alone: the
// verdict is the same on every member. A command that a member proposes by itself has kv.AuthOwn.
func (l *accounts) permits(c *command, in attached) *kv.Error {
	if c.own() {
		return nil
	}
	one := l.byName[string(c.name)]
	if err := checkUser(l.auth, one, c.name, c.auth); err != nil {
		return err
	}
	return permits(one, kinds[c.kind].access, c, in)
}

// own reports whether a member proposes the command by itself. A command with a user is not a member's own by its auth revision: a user's
// token can name any. A revocation with a term is the leader's own: its clock ended the lease.
func (c *command) own() bool {
	return kinds[c.kind].own || c.auth == kv.AuthOwn && len(c.name) == 0 || c.term != 0
}

// refusesAuthor is accounts.permits in a View, for a command that is not proposed yet.
func (v *View) refusesAuthor(c *command) *kv.Error {
	if !v.auth.Enabled() || c.own() {
		return nil
	}
	return v.Permits(kv.Principal{Name: string(c.name), Auth: c.auth}, kinds[c.kind].access, c)
}

// Touches lists the accesses of a command, see package kv.
func (c *command) Touches(f func(kv.Touch) bool) bool {
	return kinds[c.kind].touches(c, f)
}

// apply applies a change of users and roles.
func (l *accounts) apply(c *command) kv.Result {
	a := l.auth.orEmpty(l)
	next := *a
	if err := l.change(&next, c); err != nil {
		return l.refused(err)
	}
	if next == *a { // such as to disable what is disabled: the pointer stays, and nil stays nil, as in a snapshot
		return kv.Result{Revision: l.revision}
	}
	l.freeze(&next)
	l.auth = &next
	return kv.Result{Revision: l.revision}
}

func (a *Auth) orEmpty(all *accounts) *Auth {
	if a != nil {
		return a
	}
	empty := &Auth{revision: 1}
	all.freeze(empty)
	return empty
}

// afterCut returns the users and roles of another cluster that begins with these. A history that was thrown away may
// have made later auth revisions, and logins at them. The new cluster never counts these revisions again, so their
// tokens never become valid. The new key ends the tokens of all earlier logins.
func (a *Auth) afterCut(all *accounts, cluster uint64, wall int64) *Auth {
	next := *a.orEmpty(all)
	next.revision = revisionAfterCut(next.revision, wall)
	if next.enabled {
		mac := hmac.New(sha256.New, next.secret[:])
		_, _ = mac.Write(binary.BigEndian.AppendUint64([]byte("qkv cluster"), cluster))
		copy(next.secret[:], mac.Sum(nil))
	}
	return &next
}

// revisionAfterCut is far above the auth revision of another store or cluster.
func revisionAfterCut(revision uint64, wall int64) uint64 {
	revision = min(max(revision, 1), math.MaxInt64)
	return revision + uint64(cutDistance(int64(revision), wall))
}

// freeze gives an Auth copies of the trees.
func (l *accounts) freeze(a *Auth) { a.users, a.roles = l.users.Copy(), l.roles.Copy() }

func sumOfUser(u *kv.UserRecord) uint64 { return xxhash.Sum64(appendUser([]byte{1}, u)) }
func sumOfRole(r *kv.UserRole) uint64   { return xxhash.Sum64(appendRole([]byte{2}, r)) }

// digest appends the users and roles to the input of the state's digest.
func (a *Auth) digest(dst []byte) []byte {
	if a == nil {
		return dst
	}
	dst = pack.AppendUint(pack.AppendBool(append(dst, "users"...), a.enabled), a.revision)
	dst = binary.LittleEndian.AppendUint64(dst, a.sum)
	return append(dst, a.secret[:]...)
}

const (
	authFields       = 6
	userFields       = 5
	roleFields       = 2
	permissionFields = 3
)

// appendAuth appends users, roles and authors in the format of a snapshot's meta data.
func (r *replicated) appendAuth(dst []byte) []byte {
	return pack.AppendStrings(r.auth.append(pack.AppendArray(dst, authFields)), r.authors.names)
}

func (a *Auth) append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendBool(dst, a.Enabled()), a.Revision())
	if a == nil {
		return pack.AppendArray(pack.AppendArray(pack.AppendBytes(dst, nil), 0), 0)
	}
	dst = pack.AppendBytes(dst, a.secret[:])
	dst = pack.AppendArray(dst, a.users.Len())
	a.Users(func(u *kv.UserRecord) bool {
		dst = appendUser(dst, u)
		return true
	})
	dst = pack.AppendArray(dst, a.roles.Len())
	a.Roles(func(r *kv.UserRole) bool {
		dst = appendRole(dst, r)
		return true
	})
	return dst
}

func appendUser(dst []byte, u *kv.UserRecord) []byte {
	dst = pack.AppendString(pack.AppendArray(dst, userFields), u.Name)
	dst = pack.AppendBool(pack.AppendBytes(dst, u.Password), u.NoPassword)
	return pack.AppendUint(pack.AppendStrings(dst, u.Roles), u.Epoch)
}

func appendRole(dst []byte, r *kv.UserRole) []byte {
	dst = pack.AppendString(pack.AppendArray(dst, roleFields), r.Name)
	dst = pack.AppendArray(dst, len(r.Permissions))
	for i := range r.Permissions {
		dst = appendPermission(dst, &r.Permissions[i])
	}
	return dst
}

func appendPermission(dst []byte, p *kv.Permission) []byte {
	dst = pack.AppendBytes(pack.AppendArray(dst, permissionFields), p.Key)
	return pack.AppendUint(pack.AppendBytes(dst, p.End), uint64(p.Type))
}

func readPermission(r *pack.Reader) kv.Permission {
	s := r.Struct(permissionFields)
	p := kv.Permission{Key: append([]byte(nil), r.Bytes()...), End: append([]byte(nil), r.Bytes()...), Type: kv.PermissionType(min(r.Uint(), 255))}
	r.End(s)
	return p
}

// read reads the output of appendAuth. It validates all of it.
func (l *accounts) read(r *pack.Reader) {
	whole := r.Struct(authFields)
	a := &Auth{enabled: r.Bool(), revision: r.Uint()}
	secret := r.Bytes()
	if copy(a.secret[:], secret) != len(secret) || a.revision == 0 {
		r.Fail("users and roles without their auth revision or secret")
		return
	}
	var content AuthContent
	for range r.Array() {
		fields := r.Struct(userFields)
		u := kv.UserRecord{Name: r.String(), Password: append([]byte(nil), r.Bytes()...), NoPassword: r.Bool(), Roles: r.Strings(), Epoch: r.Uint()}
		r.End(fields)
		content.Users = append(content.Users, u)
	}
	for range r.Array() {
		fields := r.Struct(roleFields)
		one := &kv.UserRole{Name: r.String()}
		for range r.Array() {
			one.Permissions = append(one.Permissions, readPermission(r))
		}
		r.End(fields)
		if _, twice := l.roles.Set(roleEntry{one.Name, one}); twice {
			r.Fail(fmt.Sprintf("the role %q twice", one.Name))
		}
		content.Roles = append(content.Roles, *one)
		a.sum += sumOfRole(one)
	}
	l.readAuthors(r)
	r.End(whole)
	if faults := content.Check(); r.Err() == nil && len(faults) > 0 {
		r.Fail(faults[0].Error())
	}
	if r.Err() != nil {
		return
	}
	for i := range content.Users {
		u := &content.Users[i]
		if l.byName[u.Name] != nil {
			r.Fail(fmt.Sprintf("the user %q twice", u.Name))
			return
		}
		l.setUser(u)
		a.sum += sumOfUser(u)
	}
	if l.freeze(a); a.enabled || a.revision > 1 || len(content.Users) > 0 || a.roles.Len() > 0 {
		l.auth = a
	}
}
