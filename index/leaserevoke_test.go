package index

import (
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
	ask := func(command []byte) *kv.Error {
		results, err := u.s.Apply(u.s.applied+1, 1, AppendEnvelope(nil, Envelope{Level: FirstLevel, Wall: 1}, [][]byte{command}), nil)
		if err != nil {
			t.Fatal(err)
		}
		return results[0].Err
	}
	by := func(user string) *Head { return &Head{By: u.s.View().By(user)} }
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
		t.Errorf("a list of leases: %v", err)
	}
	permitted("b", 0x1234569)
	if err := ask(AppendRevoke(nil, 0x123456a, 1, u.s.applied).Bytes); err != nil && err.Code == kv.NotAllowed { // by the leader's clock
		t.Errorf("the leader's clock revokes: %v", err)
	}
	if err := ask(by("mallory").AppendRevoke(nil, 99).Bytes); err == nil || err.Code != kv.LeaseNotFound {
		t.Errorf("a lease that does not exist: %v", err)
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
