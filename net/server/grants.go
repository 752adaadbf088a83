package server

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire"
)

// For the verdict on a request, the permissions of all roles of a user are merged (package index). To explain a verdict, the permissions
// that it follows from are searched here, each with its role.

// after returns the first key after a range; nil: the range has no end.
func after(key, end []byte) []byte {
	switch {
	case len(end) == 0:
		return append(bytes.Clone(key), 0)
	case len(end) == 1 && end[0] == 0:
		return nil
	}
	return end
}

// below reports whether a key is below the end of a range, as after returns it.
func below(key, end []byte) bool { return end == nil || bytes.Compare(key, end) < 0 }

// grantsOf returns the permissions of a user's roles that overlap a range, in the order of their keys. They permit writing, or reading.
func grantsOf(auth *index.Auth, u *kv.UserRecord, key, end []byte, write bool) (grants []kv.Grant) {
	last := after(key, end)
	for _, name := range u.Roles {
		role, _ := auth.Role(name)
		for _, p := range role.Permissions {
			allows := p.Type.Reads()
			if write {
				allows = p.Type.Writes()
			}
			if allows && below(p.Key, last) && below(key, after(p.Key, p.End)) {
				grants = append(grants, kv.Grant{Role: name, Permission: p})
			}
		}
	}
	slices.SortFunc(grants, func(a, b kv.Grant) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), cmp.Compare(a.Role, b.Role))
	})
	return grants
}

// covering returns the fewest of some sorted permissions that together cover a range; false if they do not cover it.
func covering(grants []kv.Grant, key, end []byte) (cover []kv.Grant, whole bool) {
	from, last := key, after(key, end) // the keys below from are covered
	for next := 0; ; {
		var best *kv.Grant
		var reach []byte // of best
		for ; next < len(grants) && bytes.Compare(grants[next].Key, from) <= 0; next++ {
			one := &grants[next]
			if to := after(one.Key, one.End); best == nil || reach != nil && (to == nil || bytes.Compare(to, reach) > 0) {
				best, reach = one, to
			}
		}
		if best == nil || !below(from, reach) {
			return nil, false
		}
		cover = append(cover, *best)
		if from = reach; from == nil || last != nil && bytes.Compare(from, last) >= 0 {
			return cover, true
		}
	}
}

// checkPermission answers the question whether a user would be permitted an access, if authentication is enabled.
func checkPermission(auth *index.Auth, u *kv.UserRecord, p *kv.Permission) kv.AuthCheck {
	if auth.IsRoot(u.Name) {
		return kv.AuthCheck{Allowed: true, Root: true}
	}
	answer := kv.AuthCheck{Allowed: true}
	for _, write := range []bool{false, true} {
		if write && !p.Type.Writes() || !write && !p.Type.Reads() {
			continue
		}
		grants := grantsOf(auth, u, p.Key, p.End, write)
		cover, whole := covering(grants, p.Key, p.End)
		if whole {
			grants = cover
		}
		answer.Allowed = answer.Allowed && whole
		answer.Grants = append(answer.Grants, grants...)
	}
	return answer
}

// appendAuthCheck appends the answer to the question for a permission. Permissions that do not fit a page are left out.
func (b *body) appendAuthCheck(to *buffer, v *index.View) bool {
	q, id := b.request.Ask, b.request.ID
	u, ok := v.Auth().User(q.Name)
	if !ok {
		return to.appendError(id, kv.UserNotFound, fmt.Sprintf("there is no user %q", q.Name))
	}
	answer := checkPermission(v.Auth(), &u, &q.Permission)
	size, most := 0, int(to.pageBytes())
	for i := range answer.Grants {
		if size += 16 + len(answer.Grants[i].Role) + wire.PermissionBytes(&answer.Grants[i].Permission); i > 0 && size > most {
			answer.Grants = answer.Grants[:i]
			break
		}
	}
	return to.appendValue(id, &answer)
}
