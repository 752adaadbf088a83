package node

import (
	"testing"

	"qkv/actor"
)

// What is wrong is said once, and not any more when it is over.
func TestProblems(t *testing.T) {
	m := &member{status: &actor.Status{}}
	is := func(want string) {
		t.Helper()
		if got := m.problems(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	is("")
	m.status.Refuse(2, "n2 is another's")
	m.status.Refuse(2, "n2 is another's")
	is("n2 is another's")
	m.status.Refuse(2, "")
	is("")
	m.status.Alarm("1", "b")
	m.status.Alarm("2", "a")
	is("a; b")
}
