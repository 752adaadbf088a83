package wire

import "qkv/index/kv"

// UserBytes is the approximate size of a user in an answer.
func UserBytes(u *kv.UserRecord) int {
	n := 32 + len(u.Name)
	for _, role := range u.Roles {
		n += 5 + len(role)
	}
	return n
}

// PermissionBytes is the approximate size of a permission in an answer; a role takes 16 bytes and its name besides.
func PermissionBytes(p *kv.Permission) int { return 24 + len(p.Key) + len(p.End) }

// List answers a question for several things of one kind.
type List[T any] struct {
	Revision uint64 `msgpack:"r"` // of users and roles: the auth revision
	More     bool   `msgpack:"m"` // the client asks again, behind the last one
	All      []T    `msgpack:"a"`
}

// UserOf returns a user for clients.
func UserOf(u *kv.UserRecord) kv.User {
	return kv.User{Name: u.Name, Roles: u.Roles, HasPassword: len(u.Password) > 0, NoPassword: u.NoPassword, Epoch: u.Epoch}
}

// Login answers a login. The token may be empty: the client keeps its password then.
type Login struct {
	Token string `msgpack:"t"`
}
