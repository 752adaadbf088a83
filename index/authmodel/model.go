package authmodel

import (
	"maps"
	"slices"

	"qkv/index/kv"
)

// Model is the users and roles at one moment. It is for one goroutine.
type Model struct {
	Enabled  bool
	Revision uint64 // the auth revision

	users map[string]user
	roles map[string]map[keys]kv.PermissionType
}

type user struct {
	roles map[string]bool
	epoch uint64 // the auth revision at which the user was added or got its password
}

// keys are the keys of a permission or an access, as in a kv.Range.
type keys struct{ key, end string }

// New returns the model before the first change.
func New() *Model {
	return &Model{Revision: 1, users: map[string]user{}, roles: map[string]map[keys]kv.PermissionType{}}
}

// Clone returns a copy.
func (m *Model) Clone() *Model {
	c := &Model{Enabled: m.Enabled, Revision: m.Revision, users: map[string]user{}, roles: map[string]map[keys]kv.PermissionType{}}
	for name, u := range m.users {
		c.users[name] = user{maps.Clone(u.roles), u.epoch}
	}
	for name, r := range m.roles {
		c.roles[name] = maps.Clone(r)
	}
	return c
}

// Users returns the names of the users, ascending.
func (m *Model) Users() []string { return slices.Sorted(maps.Keys(m.users)) }

// Roles returns the names of the roles that were added, ascending.
func (m *Model) Roles() []string { return slices.Sorted(maps.Keys(m.roles)) }

// RolesOf returns the roles of a user, ascending, and the user's epoch.
func (m *Model) RolesOf(name string) (roles []string, epoch uint64) {
	return slices.Sorted(maps.Keys(m.users[name].roles)), m.users[name].epoch
}

// Permissions returns the number of permissions of a role.
func (m *Model) Permissions(role string) int { return len(m.roles[role]) }

// Change makes a change, whose author may make it, and returns its outcome. The change passes its Check.
func (m *Model) Change(author string, c *kv.AuthChange) kv.Code {
	code, counts := m.change(author, c)
	if code == kv.OK && counts {
		m.Revision++
	}
	return code
}

// change does that without the auth revision; counts tells whether the change raises it.
func (m *Model) change(author string, c *kv.AuthChange) (code kv.Code, counts bool) {
	u, isUser := m.users[c.User]
	role, isRole := m.roles[c.Role]
	switch c.Kind {
	case kv.AuthEnable:
		return m.enable(author, c.Strict), false
	case kv.AuthDisable:
		counts, m.Enabled = m.Enabled, false
		return kv.OK, counts
	case kv.UserAdd:
		if isUser {
			return kv.UserExists, false
		}
		m.users[c.User] = user{map[string]bool{}, m.Revision + 1}
	case kv.UserDelete, kv.UserChangePassword, kv.UserGrantRole, kv.UserRevokeRole:
		return m.changeUser(c, u, isUser, isRole)
	case kv.RoleAdd:
		if isRole {
			return kv.RoleExists, false
		}
		m.roles[c.Role] = map[keys]kv.PermissionType{}
	case kv.RoleDelete:
		switch {
		case m.Enabled && c.Role == kv.Root:
			return kv.AuthManagement, false
		case !isRole:
			return kv.RoleNotFound, false
		}
		delete(m.roles, c.Role)
		for _, one := range m.users {
			delete(one.roles, c.Role)
		}
	case kv.RoleGrantPermission, kv.RoleRevokePermission:
		granted := keys{string(c.Permission.Key), string(c.Permission.End)}
		_, has := role[granted]
		switch {
		case !isRole:
			return kv.RoleNotFound, false
		case c.Kind == kv.RoleGrantPermission:
			role[granted] = c.Permission.Type
		case !has:
			return kv.PermissionNotGranted, false
		default:
			delete(role, granted)
		}
	default:
		return kv.BadRequest, false
	}
	return kv.OK, true
}

func (m *Model) enable(author string, strict bool) kv.Code {
	root, isUser := m.users[kv.Root]
	switch {
	case m.Enabled:
		return kv.OK
	case !isUser:
		return kv.RootUserMissing
	case !root.roles[kv.Root]:
		return kv.RootRoleMissing
	case strict && !m.users[author].roles[kv.Root]:
		return kv.AuthManagement
	}
	m.Enabled = true
	return kv.OK
}

func (m *Model) changeUser(c *kv.AuthChange, u user, isUser, isRole bool) (code kv.Code, counts bool) {
	root := m.Enabled && c.User == kv.Root
	switch {
	case c.Kind == kv.UserDelete && root, c.Kind == kv.UserRevokeRole && root && c.Role == kv.Root:
		return kv.AuthManagement, false
	case !isUser:
		return kv.UserNotFound, false
	case c.Kind == kv.UserDelete:
		delete(m.users, c.User)
	case c.Kind == kv.UserChangePassword:
		u.epoch = m.Revision + 1
		m.users[c.User] = u
	case c.Kind == kv.UserGrantRole && !isRole && c.Role != kv.Root:
		return kv.RoleNotFound, false
	case c.Kind == kv.UserGrantRole && u.roles[c.Role]:
		return kv.OK, false
	case c.Kind == kv.UserGrantRole:
		u.roles[c.Role] = true
	case !u.roles[c.Role]:
		return kv.RoleNotGranted, false
	default:
		delete(u.roles, c.Role)
	}
	return kv.OK, true
}

// Has reports whether a role has exactly this permission.
func (m *Model) Has(role string, p *kv.Permission) bool {
	kind, has := m.roles[role][keys{string(p.Key), string(p.End)}]
	return has && kind == p.Type
}
