package client

import (
	"context"
	"errors"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// RootRole is the name of the role that permits everything. Authentication needs a user of this name that has the role.
const RootRole = kv.Root

// ChangeUsers makes any change of users, roles, or authentication itself, as it stands in the log. The member hashes the password; the
// change's own fields Password and Secret are ignored. Programs need [Admin.AddUser] and the methods beside it, which say what the errors
// mean. All of them need the role root once authentication is enabled, and are idempotent writes, as a put is. They fail with the code
// AuthManagement if a limit of users, roles or permissions is reached: its message names the limit.
func (a *Admin) ChangeUsers(ctx context.Context, change kv.AuthChange, password string) error {
	return a.c.change(ctx, wire.OpAuthChange, wire.Ask{Auth: change, Password: []byte(password)})
}

// AddUser adds a user without roles. With an empty password, it is known by its certificate alone: client-NAME. A password has up to 72
// bytes. The code of the error is UserExists, UserEmpty for an empty name, or BadRequest.
func (a *Admin) AddUser(ctx context.Context, name, password string) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.UserAdd, User: name}, password)
}

// DeleteUser deletes a user. Its logins and tokens end. The code of the error is UserNotFound, or AuthManagement for the user root while
// authentication is enabled.
func (a *Admin) DeleteUser(ctx context.Context, name string) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.UserDelete, User: name}, "")
}

// SetPassword gives a user another password of 1 to 72 bytes. Its logins and tokens end. The code of the error is UserNotFound, or
// BadRequest for a password of another length.
func (a *Admin) SetPassword(ctx context.Context, name, password string) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.UserChangePassword, User: name}, password)
}

// GrantRole gives a user a role; one that the user has already is no error. It counts from the user's next request on. The code of the
// error is UserNotFound or RoleNotFound.
func (a *Admin) GrantRole(ctx context.Context, user, role string) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.UserGrantRole, User: user, Role: role}, "")
}

// RevokeRole takes a role from a user. Its open watches that need the role end with an Error with the code NotAllowed. The code of the
// error is UserNotFound, RoleNotGranted, or AuthManagement for the role root of the user root while authentication is enabled.
func (a *Admin) RevokeRole(ctx context.Context, user, role string) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.UserRevokeRole, User: user, Role: role}, "")
}

// AddRole adds a role without permissions. The code of the error is RoleExists, or RoleEmpty for an empty name.
func (a *Admin) AddRole(ctx context.Context, role string) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.RoleAdd, Role: role}, "")
}

// DeleteRole deletes a role, and takes it from all users. The code of the error is RoleNotFound, or AuthManagement for the role root while
// authentication is enabled.
func (a *Admin) DeleteRole(ctx context.Context, role string) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.RoleDelete, Role: role}, "")
}

// GrantPermission adds a permission to a role: p.Type for the key p.Key, or for the range from it up to p.End, as in a [kv.Range]. The zero
// Type permits reads. If the role has a permission of exactly this range, its type changes. The code of the error is RoleNotFound, or
// AuthManagement for an empty key or range.
func (a *Admin) GrantPermission(ctx context.Context, role string, p kv.Permission) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.RoleGrantPermission, Role: role, Permission: p}, "")
}

// RevokePermission takes the permission of exactly this range from a role; an empty end means the single key. The code of the error is
// RoleNotFound or PermissionNotGranted.
func (a *Admin) RevokePermission(ctx context.Context, role string, key, end []byte) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.RoleRevokePermission, Role: role, Permission: kv.Permission{Key: key, End: end}}, "")
}

// EnableAuth makes every request of every client need a user: the name in its certificate, or Config.User. It is refused unless this client
// still has the role root afterwards: the code of the error is then AuthManagement. It is RootUserMissing or RootRoleMissing if there is no
// user [RootRole] with that role. Enabling it twice is no error.
func (a *Admin) EnableAuth(ctx context.Context) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.AuthEnable, Strict: true}, "")
}

// DisableAuth makes every client with a certificate of the CA an administrator. Users and roles are kept. Disabling it twice is no error.
func (a *Admin) DisableAuth(ctx context.Context) error {
	return a.ChangeUsers(ctx, kv.AuthChange{Kind: kv.AuthDisable}, "")
}

// change makes a rare write.
func (c *Client) change(ctx context.Context, op wire.Op, q wire.Ask) error {
	x := c.newCall(ctx, op)
	x.body = wire.AppendAsk(x.body[:0], &q)
	_, err := c.written(ctx, x)
	return err
}

// asked sends a rare question, and reads its answer.
func asked[T any](ctx context.Context, c *Client, op wire.Op, q wire.Ask) (answer T, err error) {
	x := c.newCall(ctx, op)
	x.body = wire.AppendAsk(x.body[:0], &q)
	if err := c.do(ctx, x); err != nil {
		return answer, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return answer, err
	}
	return wire.ReadAnswer[T](&p)
}

// AuthStatus reports whether authentication is enabled. It needs no user, and is linearizable.
func (a *Admin) AuthStatus(ctx context.Context) (kv.AuthStatus, error) {
	return asked[kv.AuthStatus](ctx, a.c, wire.OpAuthStatus, wire.Ask{})
}

// WhoAmI returns the user of this client, and how the member knows it. It needs no permission. Without authentication, [kv.Self.Enabled] is
// false.
func (c *Client) WhoAmI(ctx context.Context) (kv.Self, error) {
	return asked[kv.Self](ctx, c, wire.OpWhoAmI, wire.Ask{})
}

// CheckPermission reports whether a user would be permitted an access, and by which roles. A missing permission is not an error:
// [kv.AuthCheck.Allowed] is false. Only a user with the role root may ask about other users. The code of the error is UserNotFound.
func (a *Admin) CheckPermission(ctx context.Context, user string, p kv.Permission) (kv.AuthCheck, error) {
	return asked[kv.AuthCheck](ctx, a.c, wire.OpAuthCheck, wire.Ask{Name: user, Permission: p})
}

// listed reads pages until the last one, all of one auth revision: if it has changed meanwhile, it begins again. next returns the
// request after the given results, and join adds a page to them.
func listed[T any](ctx context.Context, c *Client, op wire.Op, next func(all []T) wire.Ask, join func(all, page []T) []T) ([]T, error) {
	var all []T
	for revision := uint64(0); ; {
		page, err := asked[wire.List[T]](ctx, c, op, next(all))
		switch {
		case err != nil:
			return nil, err
		case len(all) > 0 && page.Revision != revision:
			all = nil
			continue
		case page.More && len(page.All) == 0:
			return nil, errEmptyPage
		}
		revision, all = page.Revision, join(all, page.All)
		if !page.More {
			return all, nil
		}
	}
}

// Users returns all users in the order of their names. It needs the role root.
func (a *Admin) Users(ctx context.Context) ([]kv.User, error) {
	next := func(all []kv.User) wire.Ask {
		from := ""
		if n := len(all); n > 0 {
			from = all[n-1].Name + "\x00"
		}
		return wire.Ask{From: from}
	}
	return listed(ctx, a.c, wire.OpUsers, next, func(all, page []kv.User) []kv.User { return append(all, page...) })
}

// User returns one user. Without the role root, only the own one. The code of the error is UserNotFound.
func (a *Admin) User(ctx context.Context, name string) (kv.User, error) {
	page, err := asked[wire.List[kv.User]](ctx, a.c, wire.OpUsers, wire.Ask{Name: name})
	if err == nil && len(page.All) != 1 {
		err = errEmptyPage
	}
	if err != nil {
		return kv.User{}, err
	}
	return page.All[0], nil
}

// Roles returns all roles that were added, in the order of their names. It needs the role root.
func (a *Admin) Roles(ctx context.Context) ([]kv.UserRole, error) { return a.c.roles(ctx, "") }

// Role returns one role. Without the role root, only an own one. The code of the error is RoleNotFound.
func (a *Admin) Role(ctx context.Context, name string) (kv.UserRole, error) {
	all, err := a.c.roles(ctx, name)
	if err == nil && len(all) != 1 {
		err = errEmptyPage
	}
	if err != nil {
		return kv.UserRole{}, err
	}
	return all[0], nil
}

// roles returns one role, or, with an empty name, all. A page may end within a role: the next one continues it.
func (c *Client) roles(ctx context.Context, name string) ([]kv.UserRole, error) {
	next := func(all []kv.UserRole) wire.Ask {
		from, skip := "", int64(0)
		if n := len(all); n > 0 {
			from, skip = all[n-1].Name, int64(len(all[n-1].Permissions))
		}
		return wire.Ask{Name: name, From: from, Skip: skip}
	}
	return listed(ctx, c, wire.OpRoles, next, func(all, page []kv.UserRole) []kv.UserRole {
		if n := len(all); n > 0 && len(page) > 0 && page[0].Name == all[n-1].Name {
			all[n-1].Permissions = append(all[n-1].Permissions, page[0].Permissions...)
			page = page[1:]
		}
		return append(all, page...)
	})
}

// AuthorsOf returns the authors of changes: the names of the users who made them, or, without authentication, of the clients' certificates.
// The result has one name for each change, in the same order. A name is empty if no client made the change, or if it is not known any more,
// as for a compacted revision. AuthorsOf needs the permission to read the keys.
func (c *Client) AuthorsOf(ctx context.Context, changes []kv.Change) ([]string, error) {
	all := make([]string, 0, len(changes))
	for len(all) < len(changes) {
		part := changes[len(all):]
		part = part[:authorsTogether(part)]
		answer, err := asked[wire.List[string]](ctx, c, wire.OpAuthorsOf, wire.Ask{Changes: part})
		if err != nil {
			return nil, err
		}
		if len(answer.All) != len(part) {
			return nil, errShortAuthors
		}
		all = append(all, answer.All...)
	}
	return all, nil
}

var (
	errEmptyPage    = errors.New("the member answered with an empty page, which is not the last one")
	errShortAuthors = errors.New("the member answered for other changes than the requested ones")
)

// authorsBytes bounds the keys in one request for authors.
const authorsBytes = 512 << 10

// authorsTogether returns how many of some changes fit one request.
func authorsTogether(changes []kv.Change) int {
	bytes := 0
	for i := range changes {
		if bytes += len(changes[i].Key) + 16; i == limits.AuthorsAsked || i > 0 && bytes > authorsBytes {
			return i
		}
	}
	return len(changes)
}
