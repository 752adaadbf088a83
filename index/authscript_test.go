package index

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/datadriven"

	"qkv/index/kv"
)

// byOf reads an author: a user's name, with @ and an auth revision if that is not the newest, "nobody", or "member".
func (sc *script) byOf(s string) kv.Principal {
	switch s {
	case "member":
		return kv.Principal{Auth: kv.AuthOwn}
	case "nobody":
		return sc.s.View().By("")
	}
	name, at, old := strings.Cut(s, "@")
	by := sc.s.View().By(name)
	if old {
		by.Auth, _ = strconv.ParseUint(at, 10, 64)
	}
	return by
}

// authChangeOf reads a change of users, or returns nil.
func authChangeOf(f []string) *kv.AuthChange {
	for len(f) < 5 {
		f = append(f, "")
	}
	switch f[0] {
	case "enable":
		return &kv.AuthChange{Kind: kv.AuthEnable, Secret: []byte(strings.Repeat("s", 32)), Strict: f[1] == "strict"}
	case "disable":
		return &kv.AuthChange{Kind: kv.AuthDisable}
	case "user-add":
		return &kv.AuthChange{Kind: kv.UserAdd, User: f[1], Password: []byte(f[2]), NoPassword: f[2] == ""}
	case "user-delete":
		return &kv.AuthChange{Kind: kv.UserDelete, User: f[1]}
	case "password":
		return &kv.AuthChange{Kind: kv.UserChangePassword, User: f[1], Password: []byte(f[2])}
	case "grant-role":
		return &kv.AuthChange{Kind: kv.UserGrantRole, User: f[1], Role: f[2]}
	case "revoke-role":
		return &kv.AuthChange{Kind: kv.UserRevokeRole, User: f[1], Role: f[2]}
	case "role-add":
		return &kv.AuthChange{Kind: kv.RoleAdd, Role: f[1]}
	case "role-delete":
		return &kv.AuthChange{Kind: kv.RoleDelete, Role: f[1]}
	case "permit", "forbid": // role, type, key, end
		types := map[string]kv.PermissionType{"read": kv.PermitRead, "write": kv.PermitWrite, "both": kv.PermitReadWrite}
		change := &kv.AuthChange{Kind: kv.RoleGrantPermission, Role: f[1], Permission: kv.Permission{Key: []byte(f[3]), End: []byte(f[4]), Type: types[f[2]]}}
		if f[0] == "forbid" {
			change.Kind = kv.RoleRevokePermission
		}
		return change
	}
	return nil
}

// auth prints the users and roles, the author of changes, or whether a user may do something.
func (sc *script) auth(d *datadriven.TestData) string {
	v := sc.view(d)
	var out strings.Builder
	switch a := v.Auth(); d.Cmd {
	case "users":
		fmt.Fprintf(&out, "enabled %v, revision %d\n", a.Enabled(), a.Revision())
		a.Users(func(u *kv.UserRecord) bool {
			fmt.Fprintf(&out, "user %s, password %q, epoch %d:%s\n", u.Name, u.Password, u.Epoch, strings.Join(append([]string{""}, u.Roles...), " "))
			return true
		})
		a.Roles(func(r *kv.UserRole) bool {
			fmt.Fprintf(&out, "role %s:", r.Name)
			for _, p := range r.Permissions {
				fmt.Fprintf(&out, " %s %q-%q", p.Type, p.Key, p.End)
			}
			out.WriteString("\n")
			return true
		})
		fmt.Fprintf(&out, "authors %q\n", v.authors.names)
	case "who":
		for _, line := range strings.Split(d.Input, "\n") {
			f := strings.Fields(line)
			revision, _ := strconv.ParseInt(f[1], 10, 64)
			fmt.Fprintf(&out, "%s at %d: %q\n", f[0], revision, v.AuthorOf([]byte(f[0]), revision))
		}
	case "may":
		for _, line := range strings.Split(d.Input, "\n") {
			f := append(strings.Fields(unquote(line)), "", "")
			t := kv.Touch{Key: []byte(f[2]), End: []byte(f[3]), Write: f[1] == "write"}
			if f[1] == "lease" {
				id, _ := strconv.ParseInt(f[2], 10, 64)
				t = kv.Touch{Lease: id, Write: true}
			}
			access := kv.AccessRead
			if f[1] == "admin" {
				access = kv.AccessAdmin
			}
			fmt.Fprintf(&out, "%s: %v\n", line, text(v.Permits(sc.byOf(f[0]), access, touching(t))))
		}
	}
	return out.String()
}

// touching is a request with one access.
type touching kv.Touch

func (t touching) Touches(f func(kv.Touch) bool) bool { return f(kv.Touch(t)) }

func text(err *kv.Error) string {
	if err == nil {
		return "yes"
	}
	return err.Code.String()
}
