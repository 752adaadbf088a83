package actor

import (
	"testing"
	"time"
)

// A leader that is lost is told once, and the time without one when it is over.
func TestLeaderWatch(t *testing.T) {
	w := leaderWatch{grace: 10 * time.Second}
	for i, x := range []struct {
		now     time.Duration // in seconds
		leader  uint64
		want    leaderEvent
		without time.Duration // in seconds
	}{
		{0, 0, leaderSame, 0}, // built, before the first turn
		{100, 0, leaderSame, 0},
		{109, 0, leaderSame, 0},
		{110, 0, leaderNever, 10},
		{115, 0, leaderSame, 0},
		{120, 2, leaderRegained, 20},
		{121, 2, leaderSame, 0},
		{122, 0, leaderLost, 0},
		{123, 0, leaderSame, 0},
		{140, 0, leaderSame, 0}, // however long it takes
		{141, 1, leaderRegained, 19},
		{142, 2, leaderChanged, 0},
		{143, 2, leaderSame, 0},
	} {
		event, without := w.update(x.now*time.Second, x.leader)
		if event != x.want || without != x.without*time.Second {
			t.Errorf("line %d: event %d after %v, not %d after %ds", i, event, without, x.want, x.without)
		}
	}
	first := leaderWatch{grace: 10 * time.Second}
	if event, _ := first.update(time.Second, 3); event != leaderChanged {
		t.Errorf("the first leader is event %d", event)
	}
}
