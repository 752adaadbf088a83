package kv

import (
	"bytes"
	"fmt"
	"strconv"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// AppendAuthChange appends the fields of a change in a command's body:
//
//	kind user role password flags key end type secret     flags: 1 no password, 2 strict
func AppendAuthChange(dst []byte, c *AuthChange) []byte {
	dst = pack.AppendString(pack.AppendUint(dst, uint64(c.Kind)), c.User)
	dst = pack.AppendBytes(pack.AppendString(dst, c.Role), c.Password)
	dst = pack.AppendUint(dst, flagsOf(c.NoPassword, c.Strict))
	dst = pack.AppendBytes(pack.AppendBytes(dst, c.Permission.Key), c.Permission.End)
	return pack.AppendBytes(pack.AppendUint(dst, uint64(c.Permission.Type)), c.Secret)
}

// ReadAuthChange reads the output of AppendAuthChange. The slices are parts of the input.
func ReadAuthChange(r *pack.Reader) AuthChange {
	c := AuthChange{Kind: AuthChangeKind(small(r)), User: r.String(), Role: r.String(), Password: r.Bytes()}
	flags := readFlags(r, 2)
	c.NoPassword, c.Strict = flags&1 != 0, flags&2 != 0
	c.Permission = Permission{Key: r.Bytes(), End: r.Bytes(), Type: PermissionType(small(r))}
	c.Secret = r.Bytes()
	return c
}

// Check returns why a change is refused whatever the users and roles are, or nil.
func (c *AuthChange) Check(b Bounds) *Error {
	switch c.Kind {
	case AuthEnable:
		if len(c.Secret) != limits.AuthSecretBytes {
			return Errorf(BadRequest, "a secret of %d bytes seals no token: it has %d", len(c.Secret), limits.AuthSecretBytes)
		}
	case UserAdd, UserChangePassword, UserDelete, UserGrantRole, UserRevokeRole:
		if err := checkAuthName(UserEmpty, "user", c.User); err != nil {
			return err
		}
	case RoleAdd, RoleDelete, RoleGrantPermission, RoleRevokePermission:
		if err := checkAuthName(RoleEmpty, "role", c.Role); err != nil {
			return err
		}
	}
	if c.Kind == RoleGrantPermission {
		return c.Permission.Check(b)
	}
	if len(c.Password) > limits.AuthPasswordBytes || len(c.Role) > limits.AuthNameBytes {
		return Errorf(AuthManagement, "a role's name of %d bytes or a hash of %d: the limits are %d and %d", len(c.Role), len(c.Password), limits.AuthNameBytes, limits.AuthPasswordBytes)
	}
	if cost := hashCost(c.Password); cost > limits.PasswordCostMost {
		return Errorf(AuthManagement, "the hash of the password has the bcrypt cost %d, over the limit of %d: each login would take minutes. Set the password again with a lower cost", cost, limits.PasswordCostMost)
	}
	return nil
}

// hashCost returns the cost of a hash by bcrypt, as in $2a$10$...; 0 if it is none.
func hashCost(hash []byte) int {
	if parts := bytes.SplitN(hash, []byte("$"), 4); len(parts) == 4 && len(parts[2]) == 2 {
		cost, _ := strconv.Atoi(string(parts[2]))
		return cost
	}
	return 0
}

func checkAuthName(empty Code, what, name string) *Error {
	switch {
	case name == "":
		return &Error{Code: empty, Message: fmt.Sprintf("the name of the %s is empty", what)}
	case len(name) > limits.AuthNameBytes:
		return Errorf(AuthManagement, "the name of the %s has %d bytes, over the limit of %d", what, len(name), limits.AuthNameBytes)
	}
	return nil
}
