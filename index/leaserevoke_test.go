package index

import (
	"math"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A lease without keys is revoked by the user who granted it, or by an administrator. A lease with keys is revoked by every user who may
// write them. Refusals name no lease.
func TestLeaseWithoutKeysIsItsGranters(t *testing.T) {
	u := newTwoUsers(t)
	u.change(kv.AuthChange{Kind: kv.UserAdd, User: "mallory", NoPassword: true})
	ask, by := u.ask, u.by
	for id := int64(0x1234567); id < 0x1234567+5; id++ {
		if err := ask(by("a").AppendGrant(nil, kv.Lease{ID: id, TTL: 60}).Bytes); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(user string, id int64) {
		t.Helper()
		if err := ask(by(user).AppendRevoke(nil, id).Bytes); err == nil || err.Code != kv.NotAllowed || strings.Contains(err.Message, "1234") {
			t.Errorf("%s revokes %x: %v", user, id, err)
		}
	}
	permitted := func(user string, id int64) {
		t.Helper()
		if err := ask(by(user).AppendRevoke(nil, id).Bytes); err != nil {
			t.Errorf("%s revokes %x: %v", user, id, err)
		}
	}
	refused("b", 0x1234567)
	refused("mallory", 0x1234567)
	u.s = restored(t, u.s.ViewToSave()) // the granter is saved
	refused("mallory", 0x1234567)
	permitted("a", 0x1234567)
	permitted("root", 0x1234568)
	if err := ask(by("a").AppendPut(nil, &kv.Put{Key: []byte("k"), Lease: 0x1234569}).Bytes); err != nil {
		t.Fatal(err)
	}
	refused("mallory", 0x1234569)
	if err := u.s.View().Permits(u.s.View().By("mallory"), kv.AccessRead, touching{Lease: 0x1234569}); err == nil || strings.Contains(err.Message, "1234") {
		t.Errorf("the keys of a lease: %v", err)
	}
	permitted("b", 0x1234569)
	if err := ask(AppendRevoke(nil, 0x123456a, 1, u.s.applied).Bytes); err != nil && err.Code == kv.NotAllowed { // by the leader's clock
		t.Errorf("the leader's clock revokes: %v", err)
	}
	if err := ask(by("mallory").AppendRevoke(nil, 99).Bytes); err == nil || err.Code != kv.LeaseNotFound {
		t.Errorf("a lease that does not exist: %v", err)
	}
}

// ask applies a command, and returns why it is refused, or nil.
func (u *twoUsers) ask(command []byte) *kv.Error {
	u.t.Helper()
	results, err := u.s.Apply(u.s.applied+1, 1, AppendEnvelope(nil, Envelope{Level: u.s.level, Wall: 1}, [][]byte{command}), nil)
	if err != nil {
		u.t.Fatal(err)
	}
	return results[0].Err
}

func (u *twoUsers) by(user string) *Head { return &Head{By: u.s.View().By(user)} }

// The first key of a lease is attached by the user who granted the lease, or by an administrator: another user's key
// would keep the owner from renewing and revoking the lease. Afterwards every user who may write the keys attaches
// more, as in etcd. A lease that no user has granted is the administrators'.
func TestFirstKeyOfALeaseIsItsOwners(t *testing.T) {
	const free, old, later = 1, 2, 3 // old and free are granted without a user
	u := newTwoUsers(t)
	for id := int64(free); id <= old; id++ {
		if err := u.ask(Own().AppendGrant(nil, kv.Lease{ID: id, TTL: 60}).Bytes); err != nil {
			t.Fatal(err)
		}
	}
	next := int64(later)
	put := &kv.Put{Key: []byte("k")}
	forms := map[string]func(h *Head) []byte{
		"put": func(h *Head) []byte { return h.AppendPut(nil, put).Bytes },
		"transaction": func(h *Head) []byte {
			return h.AppendTxn(nil, &kv.Txn{Success: []kv.Op{{Txn: &kv.Txn{Success: []kv.Op{{Put: put}}}}}}).Bytes
		},
	}
	renews := func(user string, id int64) bool {
		v := u.s.View()
		return v.Permits(v.By(user), kv.AccessWrite, touching{Lease: id, Write: true}) == nil
	}
	for range 2 {
		for name, form := range forms {
			for _, c := range []struct {
				user string
				mine bool // a grants the lease
				may  bool
			}{{"b", true, false}, {"a", true, true}, {"root", true, true}, {"a", false, false}, {"root", false, true}} {
				put.Lease = free
				if c.mine {
					put.Lease = next
					next++
					if err := u.ask(u.by("a").AppendGrant(nil, kv.Lease{ID: put.Lease, TTL: 60}).Bytes); err != nil {
						t.Fatal(err)
					}
				}
				if renews(c.user, put.Lease) != c.may {
					t.Errorf("%s renews the lease without keys, want %v", c.user, c.may)
				}
				before := u.s.revision
				err := u.ask(form(u.by(c.user)))
				if c.may != (err == nil) || !c.may && (err.Code != kv.NotAllowed || u.s.revision != before) {
					t.Errorf("%s of %s with a lease of a, %v: %v, want %v", name, c.user, c.mine, err, c.may)
				}
				if c.mine && c.may { // it has a key now, which b may write
					if err := u.ask(form(u.by("b"))); err != nil || !renews("b", put.Lease) {
						t.Errorf("b shares the lease: %v", err)
					}
				}
				put.Lease = 0
				if err := u.ask(u.by("root").AppendPut(nil, put).Bytes); err != nil { // detached again
					t.Fatal(err)
				}
			}
		}
		u.s = restored(t, u.s.ViewToSave()) // the owners are saved
	}
	if put.Lease = 1 << 40; u.ask(u.by("b").AppendPut(nil, put).Bytes).Code != kv.LeaseNotFound {
		t.Error("a lease that does not exist")
	}
	u.change(kv.AuthChange{Kind: kv.AuthDisable})
	if put.Lease = old; u.ask(new(Head).AppendPut(nil, put).Bytes) != nil {
		t.Error("without authentication")
	}
}

// A list of leases has a user's own leases, and leases with a key that the user may read.
func TestListedLeases(t *testing.T) {
	u := newTwoUsers(t) // both may read k
	role := kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "far", Permission: kv.Permission{Key: []byte("z"), Type: kv.PermitRead}}
	write := kv.AuthChange{Kind: kv.RoleGrantPermission, Role: "far", Permission: kv.Permission{Key: []byte("y"), Type: kv.PermitWrite}}
	u.change(kv.AuthChange{Kind: kv.RoleAdd, Role: "far"}, role, write, kv.AuthChange{Kind: kv.UserAdd, User: "far", NoPassword: true},
		kv.AuthChange{Kind: kv.UserGrantRole, User: "far", Role: "far"}, kv.AuthChange{Kind: kv.UserGrantRole, User: "far", Role: "r"},
		kv.AuthChange{Kind: kv.UserAdd, User: "lonely", NoPassword: true})
	keys := [][]string{{}, {"k"}, {"j", "l"}, {"a", "b", "x", "y", "z", "zz"}, {"a", "y", "zz"}}
	for i, all := range keys {
		id := int64(i) + 1
		if err := u.ask(u.by("a").AppendGrant(nil, kv.Lease{ID: id, TTL: 60}).Bytes); err != nil {
			t.Fatal(err)
		}
		for _, key := range all {
			if err := u.ask(u.by("root").AppendPut(nil, &kv.Put{Key: []byte(key), Lease: id}).Bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Each key has one lease: the last one. Lease 4 has lost a and y.
	for user, want := range map[string][]int64{
		"root": {1, 2, 3, 4, 5}, "a": {1, 2, 3, 4, 5}, "b": {2}, "far": {2, 4}, "lonely": nil, "nobody": nil, "": nil,
	} {
		v := u.s.View()
		var got []int64
		v.Leases(math.MinInt64, func(l kv.Lease) bool {
			if v.ListsLease(user, l) {
				got = append(got, l.ID)
			}
			return true
		})
		if !slices.Equal(got, want) {
			t.Errorf("the leases for %q: %d, want %d", user, got, want)
		}
	}
	u.change(kv.AuthChange{Kind: kv.AuthDisable})
	if v := u.s.View(); !v.ListsLease("", kv.Lease{ID: 1}) {
		t.Error("without authentication")
	}
}

// Keys whose lease has expired are counted, and keys of leases that a client revokes are not.
func TestExpiredKeysAreCounted(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	apply := func(command []byte) {
		t.Helper()
		results, err := s.Apply(s.applied+1, 1, AppendEnvelope(nil, Envelope{Level: FirstLevel, Wall: 1}, [][]byte{command}), nil)
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	grant := func(id int64) (granted uint64) {
		apply(new(Head).AppendGrant(nil, kv.Lease{ID: id, TTL: 60}).Bytes)
		granted = s.applied
		for _, key := range []string{"a", "b"} {
			apply(new(Head).AppendPut(nil, &kv.Put{Key: []byte(key), Lease: id}).Bytes)
		}
		return granted
	}
	grant(1)
	apply(AppendRevoke(nil, 1, 0, 0).Bytes)
	if n := s.View().Counts().ExpiredKeys; n != 0 {
		t.Errorf("%d keys have expired, although a client revoked their lease", n)
	}
	granted := grant(2)
	apply(AppendRevoke(nil, 2, 1, granted).Bytes)
	if n := s.View().Counts().ExpiredKeys; n != 2 {
		t.Errorf("%d keys have expired, want 2", n)
	}
}
