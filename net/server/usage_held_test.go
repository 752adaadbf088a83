package server

import (
	"math"
	"testing"
	"time"

	"qkv/internal/limits"
)

// TestUsageHeldTooLong has a count take a newer View after a while, earlier if memory waits for the old one.
func TestUsageHeldTooLong(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		held    time.Duration
		retired int64
		want    bool
	}{
		{0, math.MaxInt64, false},
		{limits.ClientStall, math.MaxInt64, false},
		{limits.ClientStall + 1, limits.PagesRetired, false},
		{limits.ClientStall + 1, limits.PagesRetired + 1, true},
		{limits.PagesHeld, 0, false},
		{limits.PagesHeld + 1, 0, true},
	} {
		u := &usage{since: now.Add(-c.held)}
		if got := u.heldTooLong(now, c.retired); got != c.want {
			t.Errorf("held for %v, with %d bytes retired: %v", c.held, c.retired, got)
		}
	}
}
