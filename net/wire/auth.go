package wire

import (
	"qkv/index/kv"
	"qkv/internal/limits"
)

// checkAuthChange leaves out the secret of AuthEnable, which the member draws.
func checkAuthChange(q *Request, b kv.Bounds) *kv.Error {
	c, password := &q.Ask.Auth, len(q.Ask.Password) > 0
	switch {
	case c.Kind == kv.AuthEnable:
		return nil
	case password && c.NoPassword, password && c.Kind != kv.UserAdd && c.Kind != kv.UserChangePassword:
		return kv.Errorf(kv.BadRequest, "a password with a change that takes none: %s", c)
	case !password && c.Kind == kv.UserChangePassword:
		return kv.Errorf(kv.BadRequest, "the new password of the user %s is empty", c.User)
	}
	return c.Check(b)
}

func checkAuthors(q *Request, b kv.Bounds) *kv.Error {
	for i := range q.Ask.Changes {
		if err := (&kv.Range{Key: q.Ask.Changes[i].Key}).Check(b); err != nil {
			return err
		}
	}
	return nil
}

func checkLogin(q *Request, _ kv.Bounds) *kv.Error {
	switch a := q.Ask; {
	case (a.Token == "") == (a.Name == ""):
		return kv.Errorf(kv.BadRequest, "a login has either a token, or a user with a password")
	case len(a.Name) > limits.AuthNameBytes:
		return kv.Errorf(kv.AuthFailed, "authentication failed: the name of the user has %d bytes, over the limit of %d", len(a.Name), limits.AuthNameBytes)
	}
	return nil
}
