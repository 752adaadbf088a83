package index

import (
	"bytes"
	"cmp"
	"slices"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// These limits are part of feature level 1.
const (
	// authUsers and authRoles bound the users and roles: some 60 MB of memory at the most.
	authUsers = 1 << 17
	authRoles = 1 << 16
	// authRolesOfUser bounds the roles of one user, and authPermissions the permissions of one role: a change of a role compiles the
	// permissions of each of its users anew, at about 0.1 us for each permission.
	authRolesOfUser = 1 << 10
	authPermissions = 1 << 14
)

// change makes a change of users and roles, and counts it in the auth revision, or returns why it is refused. The rules are etcd's.
func (l *accounts) change(a *Auth, c *command) *kv.Error {
	q := c.authChange
	before := a.revision
	a.revision++
	switch q.Kind {
	case kv.AuthEnable:
		a.revision = before
		return l.enable(a, c)
	case kv.AuthDisable:
		if !a.enabled {
			a.revision = before
		}
		a.enabled, a.secret = false, [limits.AuthSecretBytes]byte{}
		return nil
	case kv.UserAdd:
		return l.addUser(a, q)
	case kv.UserDelete:
		return l.deleteUser(a, q.User)
	case kv.UserChangePassword:
		return l.changePassword(a, q)
	case kv.UserGrantRole:
		err, changed := l.grantRole(a, q.User, q.Role)
		if !changed {
			a.revision = before
		}
		return err
	case kv.UserRevokeRole:
		return l.revokeRole(a, q.User, q.Role)
	case kv.RoleAdd:
		return l.addRole(a, q.Role)
	case kv.RoleDelete:
		return l.deleteRole(a, q.Role)
	case kv.RoleGrantPermission:
		return l.grantPermission(a, q)
	case kv.RoleRevokePermission:
		return l.revokePermission(a, q)
	}
	return kv.Errorf(kv.BadRequest, "there is no change of users of kind %d", q.Kind)
}

func (l *accounts) enable(a *Auth, c *command) *kv.Error {
	root := l.byName[kv.Root]
	author := l.byName[string(c.name)]
	switch {
	case a.enabled:
		return nil
	case root == nil:
		return kv.Errorf(kv.RootUserMissing, "there is no user %s: `qkv user add %s --role %s` adds it", kv.Root, kv.Root, kv.Root)
	case !root.access.root:
		return kv.Errorf(kv.RootRoleMissing, "the user %s does not have the role %s: `qkv user grant %s %s` grants it", kv.Root, kv.Root, kv.Root, kv.Root)
	case c.authChange.Strict && len(c.name) == 0:
		return kv.Errorf(kv.AuthManagement, "the request has no user, so it would lock its own author out: enable authentication with a certificate of a user that has the role %s", kv.Root)
	case c.authChange.Strict && (author == nil || !author.access.root):
		return kv.Errorf(kv.AuthManagement, "%s would be locked out: `qkv user add %s --role %s` makes it an administrator first", c.name, c.name, kv.Root)
	}
	a.enabled = true
	copy(a.secret[:], c.authChange.Secret)
	return nil
}

// setUser replaces a user in all tables, with the merged permissions of its roles. It reports whether all its roles are there.
func (l *accounts) setUser(u *kv.UserRecord) bool {
	roles := make([]*kv.UserRole, 0, len(u.Roles))
	for _, name := range u.Roles {
		one, found := l.roles.Get(roleEntry{name: name})
		switch {
		case found:
			roles = append(roles, one.UserRole)
		case name == kv.Root:
			roles = append(roles, &kv.UserRole{Name: kv.Root})
		default:
			return false
		}
		l.granted.Set(grantEntry{name, u.Name})
	}
	one := &account{*u, newAccess(roles)}
	l.users.Set(userEntry{u.Name, one})
	l.byName[u.Name] = one
	return true
}

// replaceUser replaces a user by its changed copy.
func (l *accounts) replaceUser(a *Auth, before, u *kv.UserRecord) {
	a.sum += sumOfUser(u) - sumOfUser(before)
	l.setUser(u)
}

func (l *accounts) addUser(a *Auth, q *kv.AuthChange) *kv.Error {
	switch {
	case l.byName[q.User] != nil:
		return kv.Errorf(kv.UserExists, "there is a user %q already", q.User)
	case l.users.Len() == authUsers:
		return kv.Errorf(kv.AuthManagement, "there are %d users, the limit", authUsers)
	}
	u := kv.UserRecord{Name: q.User, Password: bytes.Clone(q.Password), NoPassword: q.NoPassword, Epoch: a.revision}
	a.sum += sumOfUser(&u)
	l.setUser(&u)
	return nil
}

func noUser(name string) *kv.Error { return kv.Errorf(kv.UserNotFound, "there is no user %q", name) }

func noRole(name string) *kv.Error { return kv.Errorf(kv.RoleNotFound, "there is no role %q", name) }

func (l *accounts) deleteUser(a *Auth, name string) *kv.Error {
	one := l.byName[name]
	switch {
	case a.enabled && name == kv.Root:
		return kv.Errorf(kv.AuthManagement, "the user %s cannot be deleted while authentication is enabled", kv.Root)
	case one == nil:
		return noUser(name)
	}
	a.sum -= sumOfUser(&one.UserRecord)
	for _, role := range one.Roles {
		l.granted.Delete(grantEntry{role, name})
	}
	l.users.Delete(userEntry{name: name})
	delete(l.byName, name)
	return nil
}

func (l *accounts) changePassword(a *Auth, q *kv.AuthChange) *kv.Error {
	one := l.byName[q.User]
	if one == nil {
		return noUser(q.User)
	}
	u := one.UserRecord
	if u.Epoch = a.revision; !u.NoPassword { // such a user stays without one, as in etcd
		u.Password = bytes.Clone(q.Password)
	}
	l.replaceUser(a, &one.UserRecord, &u)
	return nil
}

func (l *accounts) grantRole(a *Auth, name, role string) (err *kv.Error, changed bool) {
	one := l.byName[name]
	_, there := l.roles.Get(roleEntry{name: role})
	switch {
	case one == nil:
		return noUser(name), false
	case !there && role != kv.Root:
		return noRole(role), false
	case len(one.Roles) == authRolesOfUser:
		return kv.Errorf(kv.AuthManagement, "the user %q has %d roles, the limit", name, authRolesOfUser), false
	}
	at, has := slices.BinarySearch(one.Roles, role)
	if has {
		return nil, false
	}
	u := one.UserRecord
	u.Roles = slices.Insert(slices.Clip(u.Roles), at, role)
	l.replaceUser(a, &one.UserRecord, &u)
	return nil, true
}

func (l *accounts) revokeRole(a *Auth, name, role string) *kv.Error {
	one := l.byName[name]
	switch {
	case a.enabled && name == kv.Root && role == kv.Root:
		return kv.Errorf(kv.AuthManagement, "the user %s cannot lose the role %s while authentication is enabled", kv.Root, kv.Root)
	case one == nil:
		return noUser(name)
	}
	at, has := slices.BinarySearch(one.Roles, role)
	if !has {
		return kv.Errorf(kv.RoleNotGranted, "the user %q does not have the role %q", name, role)
	}
	l.takeRole(a, one, at)
	return nil
}

// takeRole takes the role at a position from a user.
func (l *accounts) takeRole(a *Auth, one *account, at int) {
	u := one.UserRecord
	l.granted.Delete(grantEntry{u.Roles[at], u.Name})
	u.Roles = slices.Delete(slices.Clone(u.Roles), at, at+1)
	l.replaceUser(a, &one.UserRecord, &u)
}

func (l *accounts) addRole(a *Auth, name string) *kv.Error {
	_, there := l.roles.Get(roleEntry{name: name})
	switch {
	case there:
		return kv.Errorf(kv.RoleExists, "there is a role %q already", name)
	case l.roles.Len() == authRoles:
		return kv.Errorf(kv.AuthManagement, "there are %d roles, the limit", authRoles)
	}
	r := &kv.UserRole{Name: name}
	a.sum += sumOfRole(r)
	l.roles.Set(roleEntry{name, r})
	return nil
}

// usersOf returns the names of a role's users.
func (l *accounts) usersOf(role string) (names []string) {
	l.granted.Ascend(grantEntry{role: role}, func(e grantEntry) bool {
		if e.role == role {
			names = append(names, e.user)
		}
		return e.role == role
	})
	return names
}

func (l *accounts) deleteRole(a *Auth, name string) *kv.Error {
	one, there := l.roles.Get(roleEntry{name: name})
	switch {
	case a.enabled && name == kv.Root:
		return kv.Errorf(kv.AuthManagement, "the role %s cannot be deleted while authentication is enabled", kv.Root)
	case !there:
		return noRole(name)
	}
	for _, user := range l.usersOf(name) {
		has := l.byName[user]
		at, _ := slices.BinarySearch(has.Roles, name)
		l.takeRole(a, has, at)
	}
	a.sum -= sumOfRole(one.UserRole)
	l.roles.Delete(one)
	return nil
}

func comparePermissions(a, b kv.Permission) int {
	return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.End, b.End))
}

// setRole replaces a role by its changed copy, and compiles the permissions of its users anew; other users are not visited.
func (l *accounts) setRole(a *Auth, before, r *kv.UserRole) {
	a.sum += sumOfRole(r) - sumOfRole(before)
	l.roles.Set(roleEntry{r.Name, r})
	for _, user := range l.usersOf(r.Name) {
		u := l.byName[user].UserRecord
		l.setUser(&u)
	}
}

func (l *accounts) grantPermission(a *Auth, q *kv.AuthChange) *kv.Error {
	e, there := l.roles.Get(roleEntry{name: q.Role})
	if !there {
		return noRole(q.Role)
	}
	p := kv.Permission{Key: bytes.Clone(q.Permission.Key), End: bytes.Clone(q.Permission.End), Type: q.Permission.Type}
	r := kv.UserRole{Name: e.Name, Permissions: slices.Clone(e.Permissions)}
	at, has := slices.BinarySearchFunc(r.Permissions, p, comparePermissions)
	switch {
	case has:
		r.Permissions[at].Type = p.Type
	case len(r.Permissions) == authPermissions:
		return kv.Errorf(kv.AuthManagement, "the role %q has %d permissions, the limit", q.Role, authPermissions)
	default:
		r.Permissions = slices.Insert(r.Permissions, at, p)
	}
	l.setRole(a, e.UserRole, &r)
	return nil
}

func (l *accounts) revokePermission(a *Auth, q *kv.AuthChange) *kv.Error {
	e, there := l.roles.Get(roleEntry{name: q.Role})
	if !there {
		return noRole(q.Role)
	}
	at, has := slices.BinarySearchFunc(e.Permissions, q.Permission, comparePermissions)
	if !has {
		return kv.Errorf(kv.PermissionNotGranted, "the role %q has no permission of exactly this range: `qkv role list ROLE` prints its permissions", q.Role)
	}
	r := kv.UserRole{Name: e.Name, Permissions: slices.Delete(slices.Clone(e.Permissions), at, at+1)}
	l.setRole(a, e.UserRole, &r)
	return nil
}
