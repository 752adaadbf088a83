package wire

import (
	"fmt"
	"math"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// AuthRequest is the body of an op of users and roles. Its byte slices are parts of the frame.
type AuthRequest struct {
	// Change is that of a change of users; its Password and Secret are empty.
	Change kv.AuthChange
	// Password is the clear password of a change of users or of a login. It is never printed, and never enters the log.
	Password []byte

	Name       string        // of the user or role; of users and roles: "" for all
	From       string        // of users and roles: the first name to list
	Skip       int64         // of roles: the permissions of the first role that are left out
	Token      string        // of a login without a password
	Permission kv.Permission // of a question for an access
	Changes    []Change      // of a question for authors
}

// Change identifies a change of a key by its revision.
type Change struct {
	Key      []byte
	Revision int64
}

// The flags of the body of a change of users.
const (
	flagNoPassword = 1
	flagStrict     = 2
)

// AppendAuthChangeBody appends the body of a change of users. The password is clear: the member hashes it.
func AppendAuthChangeBody(dst []byte, c *kv.AuthChange, password []byte) []byte {
	flags := uint64(0)
	if c.NoPassword {
		flags |= flagNoPassword
	}
	if c.Strict {
		flags |= flagStrict
	}
	dst = pack.AppendString(pack.AppendString(pack.AppendUint(dst, uint64(c.Kind)), c.User), c.Role)
	dst = pack.AppendUint(pack.AppendBytes(dst, password), flags)
	return appendPermission(dst, &c.Permission)
}

func readAuthChange(r *pack.Reader, q *Request) {
	q.Auth = &AuthRequest{Change: kv.AuthChange{Kind: kv.AuthChangeKind(smallUint(r)), User: r.String(), Role: r.String()}}
	q.Auth.Password = r.Bytes()
	flags := readFlags(r, flagNoPassword|flagStrict)
	q.Auth.Change.NoPassword, q.Auth.Change.Strict = flags&flagNoPassword != 0, flags&flagStrict != 0
	q.Auth.Change.Permission = readPermission(r)
}

// smallUint reads a number of 8 bits; a larger one becomes 255, which is unknown.
func smallUint(r *pack.Reader) uint8 { return uint8(min(r.Uint(), math.MaxUint8)) }

func appendPermission(dst []byte, p *kv.Permission) []byte {
	return pack.AppendUint(pack.AppendBytes(pack.AppendBytes(dst, p.Key), p.End), uint64(p.Type))
}

func readPermission(r *pack.Reader) kv.Permission {
	return kv.Permission{Key: r.Bytes(), End: r.Bytes(), Type: kv.PermissionType(smallUint(r))}
}

// checkAuthChange leaves out the secret of AuthEnable, which the member draws.
func checkAuthChange(q *Request, b kv.Bounds) *kv.Error {
	c, password := q.Auth.Change, len(q.Auth.Password) > 0
	switch {
	case c.Kind == kv.AuthEnable:
		return nil
	case password && c.NoPassword, password && c.Kind != kv.UserAdd && c.Kind != kv.UserChangePassword:
		return kv.Errorf(kv.BadRequest, "a password with a change that takes none: %s", &c)
	case !password && c.Kind == kv.UserChangePassword:
		return kv.Errorf(kv.BadRequest, "the new password of the user %s is empty", c.User)
	}
	return c.Check(b)
}

// AppendUsersBody appends the body of a list of users: of one user, or, with an empty name, of all whose names are from or above.
func AppendUsersBody(dst []byte, name, from string, serializable bool) []byte {
	return AppendMembersBody(pack.AppendString(pack.AppendString(dst, name), from), serializable)
}

// AppendRolesBody appends the body of a list of roles, likewise. The first role is listed without its first skip permissions.
func AppendRolesBody(dst []byte, name, from string, skip int64, serializable bool) []byte {
	dst = pack.AppendString(pack.AppendString(dst, name), from)
	return AppendMembersBody(pack.AppendInt(dst, skip), serializable)
}

// AppendAuthorsBody appends the body of a question for the authors of changes.
func AppendAuthorsBody(dst []byte, changes []Change, serializable bool) []byte {
	dst = pack.AppendArray(dst, len(changes))
	for i := range changes {
		dst = pack.AppendInt(pack.AppendBytes(pack.AppendArray(dst, 2), changes[i].Key), changes[i].Revision)
	}
	return AppendMembersBody(dst, serializable)
}

// readChanges refuses too many changes before it reads them: decoded, they are ten times their frame.
func readChanges(r *pack.Reader) []Change {
	if ahead := *r; ahead.Array() > limits.AuthorsAsked {
		r.Fail(fmt.Sprintf("a question for the authors of more than %d changes", limits.AuthorsAsked))
		return nil
	}
	return readArray(r, readChange)
}

func readChange(r *pack.Reader) Change {
	s := r.Struct(2)
	c := Change{Key: r.Bytes(), Revision: r.Int()}
	r.End(s)
	return c
}

func checkAuthors(q *Request, b kv.Bounds) *kv.Error {
	for i := range q.Auth.Changes {
		if err := (&kv.Range{Key: q.Auth.Changes[i].Key}).Check(b); err != nil {
			return err
		}
	}
	return nil
}

// AppendLoginBody appends the body of a login with a password, or with a token of an earlier login.
func AppendLoginBody(dst []byte, user string, password []byte, token string) []byte {
	return pack.AppendString(pack.AppendBytes(pack.AppendString(dst, user), password), token)
}

func checkLogin(q *Request, _ kv.Bounds) *kv.Error {
	switch a := q.Auth; {
	case (a.Token == "") == (a.Name == ""):
		return kv.Errorf(kv.BadRequest, "a login has either a token, or a user with a password")
	case len(a.Name) > limits.AuthNameBytes:
		return kv.Errorf(kv.AuthFailed, "authentication failed: the name of the user has %d bytes, over the limit of %d", len(a.Name), limits.AuthNameBytes)
	}
	return nil
}

// AppendAuthCheckBody appends the body of the question whether a user has a permission.
func AppendAuthCheckBody(dst []byte, user string, p *kv.Permission, serializable bool) []byte {
	return AppendMembersBody(appendPermission(pack.AppendString(dst, user), p), serializable)
}
