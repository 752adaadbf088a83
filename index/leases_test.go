package index

import (
	"testing"

	"qkv/index/kv"
)

// A leader's checkpoint of a lease applies only to the lease that existed when the leader measured it. It does not apply
// to a lease that the client granted later with the same id: that lease would expire too soon under the next leader.
func TestNoteOfAnotherLease(t *testing.T) {
	s := founded()
	grant := new(Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 60}).Bytes
	batch(t, s, 1, grant)
	before, _ := s.View().Lease(7)
	batch(t, s, 2, new(Head).AppendRevoke(nil, 7).Bytes, grant)
	note := func(granted uint64, want int64) {
		t.Helper()
		batch(t, s, 3, AppendCheckpoint(nil, []kv.Lease{{ID: 7, Remaining: 5, Granted: granted}}, 1).Bytes)
		if l, _ := s.View().Lease(7); l.Remaining != want {
			t.Errorf("of lease %+v %d s are noted to be left, not %d", l, l.Remaining, want)
		}
	}
	now, _ := s.View().Lease(7)
	note(before.Granted, 0)
	note(now.Granted, 5)
}
