package web

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// TestHoldersOfHiddenKeys lists leases as a user who may read a few of their many keys. No step looks at more keys than a step of a range,
// and the keys behind the hidden ones are found.
func TestHoldersOfHiddenKeys(t *testing.T) {
	testlong.Skip(t)
	const leaseCount, each = 5, 3 * limits.RangeRows
	s, apply := stateToFill(t)
	for id := int64(1); id <= leaseCount; id++ {
		apply(index.Own().AppendGrant(nil, kv.Lease{ID: id, TTL: 60}).Bytes)
		for k := range each {
			apply(index.Own().AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "hidden/%d/%04d", id, k), Value: []byte("v"), Lease: id}).Bytes)
		}
	}
	for _, id := range []int64{2, 4} {
		apply(index.Own().AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "mine/%x", id), Value: []byte("v"), Lease: id}).Bytes)
	}
	withUsers(apply)
	looked := 0
	l := newLeases("me", func(v *index.View, key []byte) bool {
		looked++
		return v.Permits(v.By("me"), kv.AccessRead, &scope{key: key}) == nil
	})
	for done := false; !done; {
		before := looked
		var err error
		if done, err = l.step(s.View()); err != nil {
			t.Fatal(err)
		}
		if looked-before > limits.RangeRows {
			t.Fatalf("a step has looked at %d keys", looked-before)
		}
	}
	if len(l.All) != 2 || l.All[0].ID != "2" || l.All[1].ID != "4" || l.More {
		t.Fatalf("%+v", l)
	}
	for i := range l.All {
		if one := &l.All[i]; len(one.Keys) != 1 || len(one.Locks) != 1 || one.Locks[0].Holds != (i == 0) || one.More {
			t.Errorf("%+v", one)
		}
	}
	if want := leaseCount*each + 2; looked != want {
		t.Errorf("%d keys were looked at, want %d: each once", looked, want)
	}
}

// TestHoldersOfOthers lists leases without keys: a user sees its own, and an administrator sees all.
func TestHoldersOfOthers(t *testing.T) {
	s, apply := stateToFill(t)
	withUsers(apply)
	for id, user := range []string{"", "me", "root", "other", ""} {
		h := index.Own()
		if user != "" {
			h = &index.Head{By: s.View().By(user)}
		}
		apply(h.AppendGrant(nil, kv.Lease{ID: int64(id) + 1, TTL: 60}).Bytes)
	}
	apply(index.Own().AppendPut(nil, &kv.Put{Key: []byte("hidden"), Lease: 5}).Bytes)
	for user, want := range map[string]string{"me": "2", "root": "12345", "other": "4", "nobody": ""} {
		l := newLeases(user, func(v *index.View, key []byte) bool {
			return v.Permits(v.By(user), kv.AccessRead, &scope{key: key}) == nil
		})
		for done := false; !done; {
			var err error
			if done, err = l.step(s.View()); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		for _, one := range l.All {
			got += one.ID
		}
		if got != want {
			t.Errorf("the leases for %s: %s, want %s", user, got, want)
		}
	}
}

// withUsers enables authentication: me may read below mine/, other may read nothing.
func withUsers(apply func([]byte)) {
	for _, c := range []kv.AuthChange{
		{Kind: kv.UserAdd, User: "root", NoPassword: true},
		{Kind: kv.UserGrantRole, User: "root", Role: kv.Root},
		{Kind: kv.UserAdd, User: "other", NoPassword: true},
		{Kind: kv.UserAdd, User: "me", NoPassword: true},
		{Kind: kv.RoleAdd, Role: "mine"},
		{Kind: kv.UserGrantRole, User: "me", Role: "mine"},
		{Kind: kv.RoleGrantPermission, Role: "mine", Permission: kv.Permission{Key: []byte("mine/"), End: []byte("mine0"), Type: kv.PermitRead}},
		{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)},
	} {
		apply(index.Own().AppendAuthChange(nil, &c).Bytes)
	}
}

// TestHolderThatIsNotListed has more leases than a page lists. The oldest candidacy for a lock belongs to the last lease: the listed
// candidacies wait. The page says that there are more leases.
func TestHolderThatIsNotListed(t *testing.T) {
	s, apply := stateToFill(t)
	const most = dashboardLeases + 1
	for id := int64(1); id <= most; id++ {
		apply(new(index.Head).AppendGrant(nil, kv.Lease{ID: id, TTL: 60}).Bytes)
	}
	for _, key := range []string{fmt.Sprintf("lock/%x", most), "lock/1", "lock/2", "lock/no-candidacy", "other/2", "other/3"} {
		var id int64
		_, _ = fmt.Sscanf(key[strings.IndexByte(key, '/')+1:], "%x", &id)
		if strings.HasSuffix(key, "no-candidacy") {
			id = 0
		}
		apply(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: []byte("v"), Lease: id}).Bytes)
	}
	l := newLeases("", func(*index.View, []byte) bool { return true })
	for done := false; !done; {
		var err error
		if done, err = l.step(s.View()); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.All) != dashboardLeases || !l.More {
		t.Errorf("%d leases, more: %v", len(l.All), l.More)
	}
	got := map[string]bool{}
	for i := range l.All {
		for _, one := range l.All[i].Locks {
			if !one.Known {
				t.Errorf("%s of lease %s is not known", one.Name, l.All[i].ID)
			}
			got[string(one.Name)+" "+l.All[i].ID] = one.Holds
		}
	}
	want := map[string]bool{"lock 1": false, "lock 2": false, "other 2": true, "other 3": false}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// stateToFill returns an empty state, and a function that applies a command to it.
func stateToFill(t *testing.T) (*index.State, func(command []byte)) {
	s, entry := index.NewState(limits.Index{}), uint64(0)
	return s, func(command []byte) {
		t.Helper()
		entry++
		results, err := s.Apply(entry, 1, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{command}), nil)
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
}
