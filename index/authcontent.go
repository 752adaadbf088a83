package index

import (
	"fmt"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// AuthContent is the users and roles of another store. The epochs of its users do not count: that store's tokens are void.
type AuthContent struct {
	Enabled  bool
	Revision uint64
	Users    []kv.UserRecord // each once; their roles are ascending
	Roles    []kv.UserRole   // each once; their permissions are ascending
}

// Check returns all reasons why a state cannot have these users and roles.
func (c *AuthContent) Check() (faults []error) {
	fault := func(format string, values ...any) { faults = append(faults, fmt.Errorf(format, values...)) }
	if len(c.Users) > authUsers || len(c.Roles) > authRoles {
		fault("%d users and %d roles: the limits are %d and %d", len(c.Users), len(c.Roles), authUsers, authRoles)
	}
	roles := map[string]bool{kv.Root: true}
	for i := range c.Roles {
		r := &c.Roles[i]
		if err := (&kv.AuthChange{Kind: kv.RoleAdd, Role: r.Name}).Check(requestBounds); err != nil {
			fault("the role %.40q: %w", r.Name, err)
		}
		if len(r.Permissions) > authPermissions {
			fault("the role %.40q has %d permissions, over the limit of %d", r.Name, len(r.Permissions), authPermissions)
		}
		for j := range r.Permissions {
			if err := r.Permissions[j].Check(requestBounds); err != nil {
				fault("a permission of the role %.40q: %w", r.Name, err)
			}
		}
		roles[r.Name] = true
	}
	for i := range c.Users {
		u := &c.Users[i]
		if err := (&kv.AuthChange{Kind: kv.UserAdd, User: u.Name, Password: u.Password}).Check(requestBounds); err != nil {
			fault("the user %.40q: %w", u.Name, err)
		}
		if len(u.Roles) > authRolesOfUser {
			fault("the user %.40q has %d roles, over the limit of %d", u.Name, len(u.Roles), authRolesOfUser)
		}
		for _, name := range u.Roles {
			if !roles[name] {
				fault("the user %.40q has the role %.40q, which does not exist", u.Name, name)
			}
		}
	}
	return faults
}

// RestoreAuth gives a state without users the users and roles of another store, which must pass Check. The secret seals the tokens if
// authentication is enabled. It is no command: only the maker of a new data folder may call it, after all commands.
func (s *State) RestoreAuth(c *AuthContent, secret [limits.AuthSecretBytes]byte, wall int64) {
	a := &Auth{enabled: c.Enabled, revision: revisionAfterCut(c.Revision, wall)}
	if c.Enabled {
		a.secret = secret
	}
	for i := range c.Roles {
		r := &c.Roles[i]
		s.accounts.roles.Set(roleEntry{r.Name, r})
		a.sum += sumOfRole(r)
	}
	for i := range c.Users {
		u := c.Users[i]
		u.Epoch = a.revision
		s.accounts.setUser(&u)
		a.sum += sumOfUser(&u)
	}
	s.accounts.freeze(a)
	s.auth = a
}
