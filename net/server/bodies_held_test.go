package server

import (
	"math"
	"testing"
	"time"

	"qkv/index"
	"qkv/internal/limits"
)

// TestBodyHeldTooLong has an answer that takes long end when others' memory waits for what it reads.
func TestBodyHeldTooLong(t *testing.T) {
	now := time.Now()
	held := &body{view: &index.View{}, since: now.Add(-limits.ClientStall - 1)}
	for _, c := range []struct {
		name    string
		body    *body
		retired int64
		want    bool
	}{
		{"no body", nil, math.MaxInt64, false},
		{"one that has not begun", &body{}, math.MaxInt64, false},
		{"a short one", &body{view: &index.View{}, since: now.Add(-limits.ClientStall)}, math.MaxInt64, false},
		{"a long one", held, limits.PagesRetired + 1, true},
		{"one for which nothing waits", held, limits.PagesRetired, false},
	} {
		if got := c.body.heldTooLong(now, c.retired); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
