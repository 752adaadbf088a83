package index

import (
	"slices"

	"qkv/index/kv"
)

// restore checks the state, and that its snapshot makes the same state: the same digest, users, roles, authors and verdicts.
func (w *permissionWorld) restore() {
	w.counts["restored"]++
	if err := w.s.Check(); err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	w.compareUsers(w.v)
	v := w.s.ViewToSave()
	b, err := NewBuilder(NewReserve(), v.AppendMeta(nil), w.s.limits)
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	v.Scan(nil, func(key []byte, versions []Version) bool {
		err = b.Add(key, versions)
		return err == nil
	})
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	again, err := b.Finish()
	if err == nil {
		err = again.Check()
	}
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	if again.View().Digest() != v.Digest() {
		w.t.Fatalf("seed %d: the digest is %x after a restore, it was %x", w.seed, again.View().Digest(), v.Digest())
	}
	w.s, w.v = again, again.View()
	w.compareUsers(w.v)
	for range 10 {
		w.turn()
	}
	if err := w.s.Check(); err != nil {
		w.t.Fatalf("seed %d: after the restore: %v", w.seed, err)
	}
}

// compareUsers compares a View's users and roles with the model's.
func (w *permissionWorld) compareUsers(v *View) {
	var users, roles []string
	v.Auth().Users(func(u *kv.UserRecord) bool {
		users = append(users, u.Name)
		if of, epoch := w.model.RolesOf(u.Name); !slices.Equal(of, u.Roles) || epoch != u.Epoch {
			w.t.Errorf("seed %d: the user %s has the roles %v and the epoch %d, want %v and %d", w.seed, u.Name, u.Roles, u.Epoch, of, epoch)
		}
		return true
	})
	v.Auth().Roles(func(r *kv.UserRole) bool {
		roles = append(roles, r.Name)
		if n := w.model.Permissions(r.Name); n != len(r.Permissions) || !slices.IsSortedFunc(r.Permissions, comparePermissions) {
			w.t.Errorf("seed %d: the role %s has the permissions %v, want %d", w.seed, r.Name, r.Permissions, n)
		}
		return true
	})
	if !slices.Equal(users, w.model.Users()) || !slices.Equal(roles, w.model.Roles()) {
		w.t.Errorf("seed %d: users %v and roles %v, want %v and %v", w.seed, users, roles, w.model.Users(), w.model.Roles())
	}
}
