package client

import (
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/net/wire"
)

// TestHealth is what follows from a member's words: it is asked once a second, is ill without a leader, and when it has not
// applied for stuckAfter what was committed.
func TestHealth(t *testing.T) {
	var h health
	at := time.Now()
	status := func(leader, commit, applied uint64) *kv.Status {
		return &kv.Status{Role: "follower", Leader: leader, Values: figures.Values{int64(figures.Commit), int64(commit), int64(figures.Applied), int64(applied)}}
	}
	for _, step := range []struct {
		what   string
		passes time.Duration
		told   *kv.Status
		due    bool // before it is told
		ill    bool // after it
	}{
		{"it is not known", 0, status(2, 100, 90), true, false},
		{"a moment later", wellFor / 2, nil, false, false},
		{"its leader is lost", wellFor, status(0, 100, 90), true, true},
		{"it is as ill a moment later", wellFor / 2, nil, false, true},
		{"there is a leader again", wellFor, status(2, 200, 99), true, false},
		{"a group behind", stuckAfter - 4*wellFor, status(2, 300, 99), true, false},
		{"stuck", 4 * wellFor, status(2, 400, 99), true, true},
		{"what was committed then is applied", wellFor, status(2, 400, 100), true, false},
		{"behind another group", stuckAfter - wellFor, status(2, 500, 399), true, false},
		{"stuck again", wellFor, status(2, 500, 399), true, true},
		{"it is restarted, and starts", wellFor, &kv.Status{Role: "follower", Leader: 2, Stage: wire.Starting}, true, true},
	} {
		at = at.Add(step.passes)
		if due := h.due(at); due != step.due {
			t.Errorf("%s: to be asked %v", step.what, due)
		}
		if step.told != nil {
			if h.ill() {
				t.Errorf("%s: ill before it has answered", step.what)
			}
			if h.due(at.Add(time.Hour)) {
				t.Errorf("%s: to be asked again before it has answered", step.what)
			}
			h.heard(step.told, at)
		}
		if h.ill() != step.ill {
			t.Errorf("%s: ill %v", step.what, h.ill())
		}
	}
	h.due(at.Add(wellFor))
	if h.heard(nil, at.Add(wellFor)); h.ill() {
		t.Error("ill without a word")
	}
}
