package index

import (
	"fmt"
	"slices"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// The alarms of a View do not change when alarms are raised later.
func TestAlarmsOfAView(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	s.Found(Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3, "n4": 4, "n5": 5}))
	for member := uint64(5); member > 0; member-- {
		view := s.View()
		before := slices.Clone(view.Alarms())
		for _, name := range []kv.AlarmName{kv.NoSpaceAlarm, kv.CorruptAlarm} {
			batch(t, s, 1, new(Head).AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: member, Name: name}).Bytes)
			if !slices.Equal(view.Alarms(), before) {
				t.Fatalf("a View with the alarms %v has %v", before, view.Alarms())
			}
			view = s.View()
			before = slices.Clone(view.Alarms())
		}
	}
	if n := len(s.View().Alarms()); n != 10 {
		t.Errorf("%d alarms", n)
	}
}

// TestConvicted: CORRUPT is raised for a member that differs from the majority, in the same entry on all members. It ends
// when a later check finds the member equal, or when the member is removed.
func TestConvicted(t *testing.T) {
	ids := map[uint64]string{1: "n1", 2: "n2", 3: "n3"}
	states := map[uint64]*State{}
	for id := range ids {
		states[id] = NewState(limits.Defaults().Index)
		states[id].Found(Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}))
	}
	apply := func(change bool, commands ...[]byte) {
		for _, s := range states {
			applied, _ := s.Applied()
			do := s.Apply
			if change {
				do = s.ApplyChange
			}
			if _, err := do(applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1}, commands), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	say := func(id uint64) {
		if entry, digest, ok := states[id].View().PendingDigest(id); ok {
			apply(false, AppendDigest(nil, id, entry, digest).Bytes)
		}
	}
	want := func(what string, of ...uint64) {
		t.Helper()
		var all []kv.Alarm
		for _, id := range of {
			all = append(all, kv.Alarm{Member: id, Name: kv.CorruptAlarm})
		}
		for id, s := range states {
			if got := s.View().Alarms(); !slices.Equal(got, all) {
				t.Errorf("%s: n%d has the alarms %v, want %v", what, id, got, all)
			}
		}
	}
	states[2].totals.sum++
	apply(false, put("a", "1"), AppendCheck(nil).Bytes)
	say(2)
	say(1)
	want("it is unknown which state is right")
	say(3)
	want("two agree", 2)
	apply(false, new(Head).AppendAlarm(nil, kv.AlarmChange{}).Bytes)
	want("disarmed")
	apply(false, AppendCheck(nil).Bytes)
	say(3)
	say(1)
	say(2)
	want("it differs again", 2)
	states[2].totals.sum--
	apply(false, AppendCheck(nil).Bytes)
	say(1)
	say(3)
	want("nothing is said of it", 2)
	say(2)
	want("it is right again")
	states[2].totals.sum++
	apply(false, AppendCheck(nil).Bytes)
	say(1)
	say(2)
	say(3)
	want("and wrong again", 2)
	apply(true, new(Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: 2}).Bytes)
	want("it is gone")
	states[3].totals.sum++
	apply(false, AppendCheck(nil).Bytes)
	say(3)
	apply(true, new(Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.RemoveMember, ID: 3}).Bytes)
	say(1)
	want("it was gone before the others had said what they have")
}

// TestVerifier turns one bit of each field that can be read of each version, and has each found.
func TestVerifier(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	batch(t, s, 1, new(Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 60}).Bytes)
	for i := range 40 {
		batch(t, s, 1, put(fmt.Sprint("old", i), "v"), put(fmt.Sprint("k", i%7), fmt.Sprint(i)), del(fmt.Sprint("k", (i+3)%7), ""),
			new(Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "leased", i%3), Value: []byte("x"), Lease: 7}).Bytes)
	}
	batch(t, s, 1, new(Head).AppendCompact(nil, 60).Bytes)
	batch(t, s, 1, del("old3", ""), put("k1", "2"))
	reclaimed(s)
	verified := func() error {
		v := s.View()
		for f := NewVerifier(v); ; v = s.View() {
			if done, err := f.Step(v, 3); done {
				return err
			}
		}
	}
	if err := verified(); err != nil {
		t.Fatal(err)
	}
	turned := 0
	s.keys.tree.Scan(func(r ref) bool {
		for at := ref(r.record().head.Load()); at != 0; at = at.version().older() {
			v := at.version()
			turn := func(what string, flip func()) {
				turned++
				flip()
				if verified() == nil {
					t.Errorf("%s of %q at revision %d is not missed", what, r.record().key(), v.mod)
				}
				flip()
			}
			turn("the sum", func() { v.sum ^= 1 << (turned % 64) })
			turn("the sub revision", func() { v.sub ^= 1 << 20 })
			if value := v.value(); len(value) > 0 {
				turn("the value", func() { value[len(value)-1] ^= 1 })
			}
		}
		return true
	})
	if err := verified(); err != nil || turned < 200 {
		t.Errorf("%d bits were turned: %v", turned, err)
	}
}

// TestVerifierOfHalfARevision: the verifier skips the changes that compaction has dropped from the middle of a large
// revision, wherever it stands. A state loaded from a snapshot does not have them.
func TestVerifierOfHalfARevision(t *testing.T) {
	const keys = 40
	l := limits.Defaults().Index
	l.CompactionWork = 1
	s := NewState(l)
	for range 2 {
		for i := range keys {
			batch(t, s, 1, put(fmt.Sprintf("k%02d", i), "v"))
		}
		batch(t, s, 1, del("k", "l"))
	}
	before := NewVerifier(s.View())
	batch(t, s, 1, new(Head).AppendCompact(nil, s.View().Revision()).Bytes, put("other", "v"))
	s.View() // from here on it may be dropped
	half := 0
	for more := true; more; {
		more = s.Reclaim()
		batch(t, s, 1, put("other", "v")) // shows how far that is
		v := s.View()
		if v.history.sub > 0 {
			half++
		}
		if _, err := before.Step(v, 1); err != nil {
			t.Fatalf("one that began before: %v", err)
		}
		for what, v := range map[string]*View{"as it became": v, "as it was loaded": restored(t, v).View()} {
			for f, done := NewVerifier(v), false; !done; {
				var err error
				if done, err = f.Step(v, 3); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
		}
	}
	if half < keys/4 {
		t.Fatalf("compaction stood in the middle of a revision %d times", half)
	}
}
