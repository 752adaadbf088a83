package index

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A write that claims the largest window takes the space of one outcome.
func TestClaimedWindowTakesNoSpace(t *testing.T) {
	s := founded()
	for id := range uint64(64) {
		batch(t, s, 1, onceDel(1+id, limits.SessionWindow))
	}
	slots := 0
	for one := s.sessions.oldest; one != nil; one = one.newer {
		slots += len(one.outcomes.slots)
	}
	if s.numbers.sessions != 64 || s.numbers.outcomes != 64 || slots > 64*leastSlots {
		t.Errorf("%d sessions have %d outcomes in %d slots", s.numbers.sessions, s.numbers.outcomes, slots)
	}
}

// While authentication is enabled, one user without a role finds a bound before the sessions and outcomes of all are used up. Writers of
// other users go on.
func TestUserLeavesSessionsToOthers(t *testing.T) {
	u := newTwoUsers(t)
	u.s.sessions.rules.Sessions, u.s.sessions.rules.Outcomes = 40, 400
	u.change(kv.AuthChange{Kind: kv.UserAdd, User: "mallory", NoPassword: true})
	write := func(user string, session, sequence uint64) *kv.Error {
		h := Head{Once: kv.WriteName{Session: session, Sequence: sequence, Window: sequence, Opened: 1}, By: u.s.View().By(user)}
		results, err := u.s.Apply(u.s.applied+1, 1, AppendEnvelope(nil, Envelope{Level: FirstLevel, Wall: 1}, [][]byte{h.AppendRevoke(nil, int64(session)).Bytes}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if e := results[0].Err; e == nil || e.Code == kv.LeaseNotFound {
			return nil
		}
		return results[0].Err
	}
	sessions, writes := 0, 0
	for id := uint64(1); write("mallory", id, 1) == nil; id++ {
		sessions++
	}
	for n := uint64(2); write("mallory", 1, n) == nil; n++ {
		writes++
	}
	if sessions != 30 || sessions+writes != 300 {
		t.Errorf("one user has %d sessions of 40, and %d outcomes of 400", sessions, sessions+writes)
	}
	for n := uint64(1); n <= 20; n++ {
		for _, user := range []string{"a", "b"} {
			if err := write(user, uint64(1000)+uint64(user[0]), n); err != nil {
				t.Fatalf("write %d of %s: %v", n, user, err)
			}
		}
	}
	if err := u.s.Check(); err != nil {
		t.Error(err)
	}
	restored(t, u.s.ViewToSave())
}

// The table of outcomes has what a map has, and its memory follows the number of outcomes down again.
func TestOutcomesModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var table outcomes
		model, from, most := map[uint64]outcome{}, uint64(1), 1+r.Uint64N(300)
		for range 400 {
			switch n := from + r.Uint64N(most)*(1+r.Uint64N(2)*7); r.IntN(4) {
			case 0:
				first := from + r.Uint64N(1+most/4)
				table.forget(from, first, func(n uint64, o *outcome) {
					if n >= first || model[n] != *o {
						t.Fatalf("sequence %d is forgotten before %d", n, first)
					}
					delete(model, n)
				})
				from = first
			default:
				if _, has := model[n]; !has {
					model[n] = outcome{revision: int64(n), kind: kindPut}
					table.add(n, model[n])
				}
			}
			got := map[uint64]outcome{}
			for n, o := range table.all {
				if got[n] = *o; table.find(n) != o {
					t.Fatalf("sequence %d is not found", n)
				}
			}
			if !maps.Equal(got, model) || table.held != len(model) || table.find(from+3*most*8) != nil {
				t.Fatalf("the table has %v, the model %v", got, model)
			}
		}
		table.forget(from, 1<<62, func(uint64, *outcome) {})
		if table.held != 0 || len(table.slots) > leastSlots {
			t.Fatalf("%d outcomes in %d slots", table.held, len(table.slots))
		}
	}
}

// A session with many writes under way forgets the oldest one with each new write: that does not depend on how many there are.
func TestForgettingOneOfManyOutcomesIsCheap(t *testing.T) {
	const held, most = 1 << 16, 2 * time.Second // 3 ms; looking at all of them took 10 s
	var all outcomes
	for n := range uint64(held) {
		all.add(n, outcome{kind: 1})
	}
	begun := time.Now()
	for n := range uint64(held) {
		all.forget(n, n+1, func(uint64, *outcome) {})
		all.add(held+n, outcome{kind: 1})
	}
	if took := time.Since(begun); took > most {
		t.Errorf("%d writes took %v", held, took)
	}
	if all.held != held || all.find(held-1) != nil || all.find(held) == nil {
		t.Errorf("%d outcomes are left", all.held)
	}
}
