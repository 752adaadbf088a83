package index

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// trio is three members that apply the same log, each with a state of its own.
type trio [3]*State

func (c *trio) apply(t *testing.T, commands ...[]byte) {
	for _, s := range c {
		batch(t, s, 1, commands...)
	}
}

// say lets a member say its digest to all, if it has one to say.
func (c *trio) say(t *testing.T, member int) bool {
	entry, digest, ok := c[member].View().PendingDigest(uint64(member))
	if ok {
		c.apply(t, AppendDigest(nil, uint64(member), entry, digest).Bytes)
	}
	return ok
}

func (c *trio) verdict(member int) Verdict {
	return c[member].View().Compare(uint64(member), len(c), func(id uint64) string { return fmt.Sprintf("n%d", id) })
}

// beginCheck makes three members of which some have another state, by a bit in the sum of the keys, and a check.
func beginCheck(t *testing.T, differ ...int) *trio {
	c := &trio{NewState(limits.Defaults().Index), NewState(limits.Defaults().Index), NewState(limits.Defaults().Index)}
	c.apply(t, put("a", "1"), put("b", "1"))
	for bit, member := range differ {
		c[member].totals.sum ^= 1 << bit
	}
	c.apply(t, put("a", "2"), AppendCheck(nil).Bytes, put("c", "1"))
	c.apply(t, put("a", "3"))
	return c
}

func TestStatesAreCompared(t *testing.T) {
	for _, test := range []struct {
		what   string
		differ []int
		say    []int
		stop   [3]bool
		text   [3]string // part of each one's verdict
	}{
		{"nobody differs", nil, []int{0, 1, 2}, [3]bool{}, [3]string{}},
		{"nobody has said anything", []int{1}, nil, [3]bool{}, [3]string{}},
		{"one has said it", []int{1}, []int{0}, [3]bool{}, [3]string{1: "the states of n0 and n1 differ; the digest of another"}},
		{"two agree", []int{2}, []int{0, 1}, [3]bool{2: true}, [3]string{2: "the state of n2 differs from the majority's"}},
		{"one differs from two", []int{2}, []int{2, 1, 0}, [3]bool{2: true}, [3]string{
			"the state of n2 differs from the majority's", "the state of n2 differs from the majority's", "the state of n2 differs from the majority's",
		}},
		{"the third decides", []int{0}, []int{0, 1}, [3]bool{}, [3]string{
			"the states of n0 and n1 differ; the digest of another", "the states of n0 and n1 differ; the digest of another", "the states of n0 and n1 and n2 differ; the digest of another",
		}},
		{"all differ", []int{0, 1}, []int{0, 1, 2}, [3]bool{true, true, true}, [3]string{
			"the states of n0 and n1 and n2 differ, and no majority", "the states of n0 and n1 and n2 differ, and no majority", "the states of n0 and n1 and n2 differ, and no majority",
		}},
	} {
		c := beginCheck(t, test.differ...)
		for _, member := range test.say {
			if !c.say(t, member) {
				t.Fatalf("%s: n%d has nothing to say", test.what, member)
			}
			if c.say(t, member) {
				t.Errorf("%s: n%d says it again", test.what, member)
			}
		}
		for member := range c {
			v := c.verdict(member)
			if v.Stop != test.stop[member] || !strings.Contains(v.Text, test.text[member]) || (v.Text == "") != (test.text[member] == "") {
				t.Errorf("%s: n%d: %+v, want stop %v and %q", test.what, member, v, test.stop[member], test.text[member])
			}
		}
	}
}

// A process that did not apply the entry of a check has no digest for it, and its current digest is not used instead.
func TestCheckAfterASnapshot(t *testing.T) {
	c := beginCheck(t)
	c[2] = restored(t, c[2].ViewToSave())
	c[2].totals.sum ^= 1
	if c.say(t, 2) {
		t.Error("it says a digest that it has not computed")
	}
	c.say(t, 0)
	c.say(t, 1)
	if v := c.verdict(2); v.Stop || v.Text != "" {
		t.Errorf("%+v", v)
	}
	// The next check detects the difference, and digests for an older check no longer count.
	before := c[0].check.entry
	c.apply(t, AppendCheck(nil).Bytes)
	c.apply(t, AppendDigest(nil, 0, before, 0).Bytes)
	for member := range c {
		if !c.say(t, member) {
			t.Errorf("n%d says nothing", member)
		}
	}
	if v := c.verdict(2); !v.Stop {
		t.Errorf("%+v", v)
	}
}

// Two builds that differ in every constant have the same state: no build constant influences a command.
func TestTwoBuilds(t *testing.T) {
	testlong.Skip(t)
	one := NewState(limits.Defaults().Index)
	other := NewState(limits.Index{CompactionWork: 1, SlabBytes: 1 << 10, EvacuationBytes: 1, CountedRows: 1})
	random := rand.New(rand.NewPCG(1, 2))
	apart := 0
	for i := range int64(2000) {
		commands := randomBatch(random, 50)
		if i%10 == 0 {
			commands = append(commands, new(Head).AppendCompact(nil, one.revision-random.Int64N(100)).Bytes, new(Head).AppendGrant(nil, kv.Lease{ID: i + 1, TTL: 5}).Bytes)
		}
		batch(t, one, i*3e5, commands...)
		batch(t, other, i*3e5, commands...)
		if random.IntN(3) > 0 {
			one.View() // only so much is dropped as a View has said
		}
		if i%20 == 0 {
			other.View()
			for range random.IntN(50) {
				other.Reclaim()
			}
		}
		if i == 1000 {
			other = restored(t, other.ViewToSave())
		}
		if a, b := one.View().Digest(), other.View().Digest(); a != b {
			t.Fatalf("entry %d: the digests are %016x and %016x", i, a, b)
		}
		if one.history.slots.first != other.history.slots.first {
			apart++
		}
	}
	if one.View().Compacted() == 0 || apart < 100 {
		t.Errorf("compacted to %d, and the two were apart in what they had dropped behind %d entries only", one.View().Compacted(), apart)
	}
}

// The level of all members is the lowest announced level; a member without an announcement counts as 0.
func TestLevelOfAllMembers(t *testing.T) {
	for _, c := range []struct {
		levels []uint64
		want   uint64
	}{{nil, 0}, {[]uint64{3}, 3}, {[]uint64{3, 2, 4}, 2}, {[]uint64{3, 0}, 0}} {
		var m Members
		for i, level := range c.levels {
			m.records = append(m.records, kv.Member{ID: uint64(i + 1), Level: level})
		}
		if got := m.Level(); got != c.want {
			t.Errorf("%d: level %d", c.levels, got)
		}
	}
}
