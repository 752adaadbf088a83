package index

import (
	"fmt"
	"strings"
	"testing"

	"qkv/internal/limits"
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
		c.apply(t, AppendDigest(nil, uint64(member), entry, digest))
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
		c[member].sum ^= 1 << bit
	}
	c.apply(t, put("a", "2"), AppendCheck(nil), put("c", "1"))
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
		{"one has said it", []int{1}, []int{0}, [3]bool{}, [3]string{1: "the states of n0 and n1 differ; who is right"}},
		{"two agree", []int{2}, []int{0, 1}, [3]bool{2: true}, [3]string{2: "the state of n2 is not what the others have"}},
		{"one differs from two", []int{2}, []int{2, 1, 0}, [3]bool{2: true}, [3]string{
			"the state of n2 is not what the others have", "the state of n2 is not what the others have", "the state of n2 is not what the others have",
		}},
		{"the third decides", []int{0}, []int{0, 1}, [3]bool{}, [3]string{
			"the states of n0 and n1 differ; who is right", "the states of n0 and n1 differ; who is right", "the states of n0 and n1 and n2 differ; who is right",
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

// A process that did not apply the entry of a check has no digest there, and judges nobody by what it has now.
func TestCheckAfterASnapshot(t *testing.T) {
	c := beginCheck(t)
	c[2] = restored(t, c[2].View())
	c[2].sum ^= 1
	if c.say(t, 2) {
		t.Error("it says a digest that it has not computed")
	}
	c.say(t, 0)
	c.say(t, 1)
	if v := c.verdict(2); v.Stop || v.Text != "" {
		t.Errorf("%+v", v)
	}
	// The next check finds it, and what is said of an older one counts no more.
	before := c[0].check.entry
	c.apply(t, AppendCheck(nil))
	c.apply(t, AppendDigest(nil, 0, before, 0))
	for member := range c {
		if !c.say(t, member) {
			t.Errorf("n%d says nothing", member)
		}
	}
	if v := c.verdict(2); !v.Stop {
		t.Errorf("%+v", v)
	}
}
