package node

import (
	"bytes"
	"log/slog"
	"strings"
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

// A refusal is logged once as long as its reason is the same, and again after it was over.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	var logged bytes.Buffer
	m := &member{
		logger: slog.New(slog.NewTextHandler(&logged, nil)), ids: ids{members: map[uint64]Member{2: {Name: "n2"}, 3: {Name: "n3"}}},
	}
	for range 3 {
		m.once(&m.refused, 2, "refused", "forgot")
		m.once(&m.refused, 3, "refused", "forgot")
		m.once(&m.refusing, 2, "refuses", "forgot")
	}
	m.once(&m.refused, 2, "refused", "copied")
	m.refused.Delete(uint64(3))
	m.once(&m.refused, 3, "refused", "forgot")
	if got := strings.Count(logged.String(), "\n"); got != 5 {
		t.Errorf("%d lines, not 5:\n%s", got, &logged)
	}
}
