package kv

import "fmt"

// Principal identifies the author of a request: a user, and the auth revision at which the user was authenticated. The zero Principal
// is a client of which nothing is known. If authentication is enabled, its requests are refused.
type Principal struct {
	Name string // of the user; "": no user
	// Auth is the auth revision that the endpoint saw when it authenticated the user. A request that is older than the newest change of
	// users or roles is refused with AuthOld, and may be sent again.
	Auth uint64
	// Login is the user's epoch at the login by a password or by its token: a new password ends the login, also for requests that live
	// on. 0: another proof, such as a certificate. Commands do not contain it.
	Login uint64
}

// AuthOwn is the Auth of a command that a member proposes by itself, such as the revocation of an expired lease. No endpoint gives it to
// a client's request.
const AuthOwn = 1<<64 - 1

// Root is the name of the role that may do everything. Authentication can be enabled if a user of this name has the role.
const Root = "root"

// PermissionType is what a permission allows, with etcd's numbers.
type PermissionType uint8

// The types of permissions. Write does not include Read.
const (
	PermitRead PermissionType = iota
	PermitWrite
	PermitReadWrite
	permissionTypes
)

// String returns the type as the command line prints it.
func (t PermissionType) String() string {
	switch t {
	case PermitRead:
		return "read"
	case PermitWrite:
		return "write"
	default:
		return "read and write"
	}
}

// Reads and Writes report what the type includes.
func (t PermissionType) Reads() bool  { return t == PermitRead || t == PermitReadWrite }
func (t PermissionType) Writes() bool { return t == PermitWrite || t == PermitReadWrite }

// Permission allows access to a key, or to a range of keys as in a [Range].
type Permission struct {
	Key  []byte         `msgpack:"k"`
	End  []byte         `msgpack:"e"`
	Type PermissionType `msgpack:"t"`
}

// rangeText describes the keys of the permission.
func (p *Permission) rangeText() string {
	switch {
	case len(p.End) == 0:
		return fmt.Sprintf("the key %q", p.Key)
	case len(p.End) == 1 && p.End[0] == 0:
		return fmt.Sprintf("the keys from %q on", p.Key)
	}
	return fmt.Sprintf("the keys from %q to %q", p.Key, p.End)
}

// UserRecord is a user in the replicated state, with its password. Only members use it: they describe users to clients as a [User].
type UserRecord struct {
	Name       string
	Password   []byte   // hash by bcrypt; empty: the user has no password
	NoPassword bool     // the user never has a password
	Roles      []string // ascending
	// Epoch is the auth revision at which the user was created or got its password. Tokens of an earlier epoch are void.
	Epoch uint64
}

// UserRole is a named set of permissions that users are granted.
type UserRole struct {
	Name        string       `msgpack:"n"`
	Permissions []Permission `msgpack:"p"` // ascending by Key, then End
}

// AuthChangeKind is the kind of an AuthChange.
type AuthChangeKind uint8

// The kinds of changes. A number is never reused.
const (
	AuthEnable AuthChangeKind = iota + 1
	AuthDisable
	UserAdd
	UserDelete
	UserChangePassword
	UserGrantRole
	UserRevokeRole
	RoleAdd
	RoleDelete
	RoleGrantPermission
	RoleRevokePermission
	authChangeKinds
)

var authChangeNames = [authChangeKinds]string{
	AuthEnable: "enable authentication", AuthDisable: "disable authentication", UserAdd: "add user", UserDelete: "delete user",
	UserChangePassword: "change password of user", UserGrantRole: "grant role to user", UserRevokeRole: "revoke role of user",
	RoleAdd: "add role", RoleDelete: "delete role", RoleGrantPermission: "grant permission to role",
	RoleRevokePermission: "revoke permission of role",
}

// AuthChange is a change of users, roles or of the authentication itself. The fields that its kind does not need are empty.
type AuthChange struct {
	Kind       AuthChangeKind `msgpack:"k"`
	User       string         `msgpack:"u"`
	Role       string         `msgpack:"r"`
	Password   []byte         `msgpack:"-"` // hash by bcrypt
	NoPassword bool           `msgpack:"n"`
	Permission Permission     `msgpack:"p"`
	// Secret seals the tokens that members issue, for AuthEnable: limits.AuthSecretBytes random bytes.
	Secret []byte `msgpack:"-"`
	// Strict refuses AuthEnable unless the author of the request has the role root.
	Strict bool `msgpack:"s"`
}

// String describes the change without passwords and secrets.
func (c *AuthChange) String() string {
	if c.Kind == 0 || c.Kind >= authChangeKinds {
		return "unknown change of users"
	}
	text := authChangeNames[c.Kind]
	switch c.Kind {
	case AuthEnable, AuthDisable:
		return text
	case UserGrantRole, UserRevokeRole:
		return text + " " + c.User + ": " + c.Role
	case RoleAdd, RoleDelete:
		return text + " " + c.Role
	case RoleGrantPermission:
		return fmt.Sprintf("%s %s: %s %s", text, c.Role, c.Permission.Type, c.Permission.rangeText())
	case RoleRevokePermission:
		return fmt.Sprintf("%s %s: %s", text, c.Role, c.Permission.rangeText())
	default:
		return text + " " + c.User
	}
}
