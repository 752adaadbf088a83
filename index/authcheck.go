package index

import (
	"reflect"

	"qkv/index/kv"
)

// accounts checks the users, roles and authors for Check.
func (w *walk) accounts() (err error) {
	l, a := &w.s.accounts, w.s.auth
	grants, sum := 0, uint64(0)
	l.users.Scan(func(e userEntry) bool {
		roles := make([]*kv.UserRole, 0, len(e.Roles))
		for _, name := range e.Roles {
			one, found := l.roles.Get(roleEntry{name: name})
			if !found {
				one.UserRole = &kv.UserRole{Name: name}
			}
			_, granted := l.granted.Get(grantEntry{name, e.name})
			if !granted || !found && name != kv.Root {
				err = broken(12, "the user %s has the role %s, noted: %v", e.name, name, granted)
			}
			roles = append(roles, one.UserRole)
		}
		if l.byName[e.name] != e.account || !reflect.DeepEqual(*e.access, *newAccess(roles)) {
			err = broken(12, "the user %s has other permissions than its roles", e.name)
		}
		grants += len(e.Roles)
		sum += sumOfUser(&e.UserRecord)
		return err == nil
	})
	l.roles.Scan(func(e roleEntry) bool {
		sum += sumOfRole(e.UserRole)
		return true
	})
	switch {
	case err != nil:
		return err
	case a == nil && l.users.Len()+l.roles.Len() > 0, a != nil && (a.sum != sum || a.users.Len() != l.users.Len() || a.roles.Len() != l.roles.Len()):
		return broken(12, "%d users and %d roles are not those of the Views", l.users.Len(), l.roles.Len())
	case grants != l.granted.Len() || l.users.Len() != len(l.byName):
		return broken(12, "%d users by name and %d grants, there are %d and %d", len(l.byName), l.granted.Len(), l.users.Len(), grants)
	case len(l.author.numbers) != len(w.s.authors.names):
		return broken(13, "%d authors have numbers, of %d", len(l.author.numbers), len(w.s.authors.names))
	}
	for i, name := range w.s.authors.names {
		if l.author.numbers[name] != uint32(i+1) {
			return broken(13, "the author %s has the number %d, not %d", name, l.author.numbers[name], i+1)
		}
	}
	return nil
}
