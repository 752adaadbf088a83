package wire

import (
	"qkv/index/kv"
	"qkv/internal/pack"
)

const (
	userFields       = 4
	roleFields       = 2
	permissionFields = 3
	selfFields       = 7
	grantFields      = 4
)

// UserBytes bounds a user in an answer.
func UserBytes(u *kv.User) int {
	n := 32 + len(u.Name)
	for _, role := range u.Roles {
		n += 5 + len(role)
	}
	return n
}

// PermissionBytes bounds a permission in an answer; a role takes 16 bytes and its name besides.
func PermissionBytes(p *kv.Permission) int { return 16 + len(p.Key) + len(p.End) }

func beginAnswer(dst []byte, id uint64, fields, guess int) (out []byte, start int) {
	dst, start = beginFrame(dst, guess)
	return pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2+fields), id), uint64(kv.OK)), start
}

// AppendUsers appends the frame that answers a list of users, of about bytes bytes.
func AppendUsers(dst []byte, id, revision uint64, more bool, users []kv.User, bytes int) []byte {
	guess := AnswerBytes + bytes
	dst, start := beginAnswer(dst, id, 3, guess)
	dst = pack.AppendArray(pack.AppendBool(pack.AppendUint(dst, revision), more), len(users))
	for i := range users {
		u, flags := &users[i], uint64(0)
		if u.NoPassword {
			flags |= flagNoPassword
		}
		if len(u.Password) > 0 {
			flags |= flagHasPassword
		}
		dst = pack.AppendStrings(pack.AppendString(pack.AppendArray(dst, userFields), u.Name), u.Roles)
		dst = pack.AppendUint(pack.AppendUint(dst, flags), u.Epoch)
	}
	return endFrame(dst, start, guess)
}

// Users reads the answer to a list of users.
func (p *Response) Users() (revision uint64, more bool, users []User, err error) {
	r, s := p.body(3, 3)
	revision, more = r.Uint(), r.Bool()
	users = readArray(&r, func(r *pack.Reader) User {
		s := r.Struct(userFields)
		u := User{Name: r.String(), Roles: r.Strings()}
		flags := r.Uint() // a later version's flag is ignored
		u.NoPassword, u.HasPassword = flags&flagNoPassword != 0, flags&flagHasPassword != 0
		u.Epoch = r.Uint()
		r.End(s)
		return u
	})
	return revision, more, users, p.end(&r, s)
}

// AppendRoles appends the frame that answers a list of roles, of about bytes bytes.
func AppendRoles(dst []byte, id, revision uint64, more bool, roles []kv.UserRole, bytes int) []byte {
	guess := AnswerBytes + bytes
	dst, start := beginAnswer(dst, id, 3, guess)
	dst = pack.AppendArray(pack.AppendBool(pack.AppendUint(dst, revision), more), len(roles))
	for i := range roles {
		dst = pack.AppendString(pack.AppendArray(dst, roleFields), roles[i].Name)
		dst = pack.AppendArray(dst, len(roles[i].Permissions))
		for j := range roles[i].Permissions {
			dst = appendPermission(pack.AppendArray(dst, permissionFields), &roles[i].Permissions[j])
		}
	}
	return endFrame(dst, start, guess)
}

// Roles reads the answer to a list of roles. The keys are parts of the frame.
func (p *Response) Roles() (revision uint64, more bool, roles []kv.UserRole, err error) {
	r, s := p.body(3, 3)
	revision, more = r.Uint(), r.Bool()
	roles = readArray(&r, func(r *pack.Reader) kv.UserRole {
		s := r.Struct(roleFields)
		one := kv.UserRole{Name: r.String()}
		one.Permissions = readArray(r, func(r *pack.Reader) kv.Permission {
			s := r.Struct(permissionFields)
			p := readPermission(r)
			r.End(s)
			return p
		})
		r.End(s)
		return one
	})
	return revision, more, roles, p.end(&r, s)
}

// AppendAuthStatus appends the frame that answers a question for the state of authentication.
func AppendAuthStatus(dst []byte, id uint64, a AuthStatus) []byte {
	const guess = 32
	dst, start := beginAnswer(dst, id, 2, guess)
	return endFrame(pack.AppendUint(pack.AppendBool(dst, a.Enabled), a.Revision), start, guess)
}

// AuthStatus reads the answer to a question for the state of authentication.
func (p *Response) AuthStatus() (AuthStatus, error) {
	r, s := p.body(2, 2)
	a := AuthStatus{Enabled: r.Bool(), Revision: r.Uint()}
	return a, p.end(&r, s)
}

// SelfBytes bounds what AppendSelf appends.
func SelfBytes(self *Self) int {
	return AnswerBytes + UserBytes(&kv.User{Name: self.Name, Roles: self.Roles})
}

// AppendSelf appends the frame that answers a question for the user of the connection.
func AppendSelf(dst []byte, id uint64, self *Self) []byte {
	guess := SelfBytes(self)
	dst, start := beginAnswer(dst, id, 1, guess)
	dst = pack.AppendUint(pack.AppendString(pack.AppendArray(dst, selfFields), self.Name), uint64(self.Proof))
	dst = pack.AppendBool(pack.AppendStrings(pack.AppendBool(dst, self.Known), self.Roles), self.Root)
	return endFrame(pack.AppendUint(pack.AppendBool(dst, self.Enabled), self.Revision), start, guess)
}

// Self reads the answer to a question for the user of the connection.
func (p *Response) Self() (Self, error) {
	r, s := p.body(1, 1)
	own := r.Struct(selfFields)
	self := Self{Name: r.String(), Proof: Proof(smallUint(&r)), Known: r.Bool(), Roles: r.Strings(), Root: r.Bool(), Enabled: r.Bool(), Revision: r.Uint()}
	r.End(own)
	return self, p.end(&r, s)
}

// AuthorsBytes bounds what AppendAuthors appends.
func AuthorsBytes(names []string) int {
	n := AnswerBytes
	for _, name := range names {
		n += 5 + len(name)
	}
	return n
}

// AppendAuthors appends the frame that answers a question for the authors of changes.
func AppendAuthors(dst []byte, id uint64, names []string) []byte {
	guess := AuthorsBytes(names)
	dst, start := beginAnswer(dst, id, 1, guess)
	return endFrame(pack.AppendStrings(dst, names), start, guess)
}

// Authors reads the answer to a question for the authors of changes.
func (p *Response) Authors() ([]string, error) {
	r, s := p.body(1, 1)
	names := r.Strings()
	return names, p.end(&r, s)
}

// AppendLogin appends the frame that answers a login. The token may be empty: the client keeps its password then.
func AppendLogin(dst []byte, id uint64, token string) []byte {
	guess := AnswerBytes + len(token)
	dst, start := beginAnswer(dst, id, 1, guess)
	return endFrame(pack.AppendString(dst, token), start, guess)
}

// Login reads the answer to a login.
func (p *Response) Login() (token string, err error) {
	r, s := p.body(1, 1)
	token = r.String()
	return token, p.end(&r, s)
}

// AuthCheckBytes bounds what AppendAuthCheck appends.
func AuthCheckBytes(c *AuthCheck) int {
	n := AnswerBytes
	for i := range c.Grants {
		n += 16 + len(c.Grants[i].Role) + PermissionBytes(&c.Grants[i].Permission)
	}
	return n
}

// AppendAuthCheck appends the frame that answers the question whether a user has a permission.
func AppendAuthCheck(dst []byte, id uint64, c *AuthCheck) []byte {
	guess := AuthCheckBytes(c)
	dst, start := beginAnswer(dst, id, 3, guess)
	dst = pack.AppendArray(pack.AppendBool(pack.AppendBool(dst, c.Allowed), c.Root), len(c.Grants))
	for i := range c.Grants {
		dst = appendPermission(pack.AppendString(pack.AppendArray(dst, grantFields), c.Grants[i].Role), &c.Grants[i].Permission)
	}
	return endFrame(dst, start, guess)
}

// AuthCheck reads the answer to the question whether a user has a permission. The keys are parts of the frame.
func (p *Response) AuthCheck() (AuthCheck, error) {
	r, s := p.body(3, 3)
	c := AuthCheck{Allowed: r.Bool(), Root: r.Bool()}
	c.Grants = readArray(&r, func(r *pack.Reader) Grant {
		s := r.Struct(grantFields)
		g := Grant{Role: r.String(), Permission: readPermission(r)}
		r.End(s)
		return g
	})
	return c, p.end(&r, s)
}
