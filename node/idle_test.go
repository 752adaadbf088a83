package node

import (
	"testing"

	"qkv/internal/limits"
)

// Memory is given back once, when much was applied and then nothing for a while.
func TestIdleWatch(t *testing.T) {
	var w idleWatch
	gives := func(applied uint64, looks int, retired int64) (n int) {
		for range looks {
			if w.look(applied, retired) {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		applied uint64
		looks   int
		retired int64
		want    int
	}{
		{limits.IdleEntries - 1, 100, 0, 0},
		{limits.IdleEntries, limits.IdleLooks, 0, 0},
		{limits.IdleEntries, 1, 0, 1},
		{limits.IdleEntries, 100, 0, 0},
		{limits.IdleEntries + 10, 100, 0, 0},
		{2*limits.IdleEntries + 10, 100, 0, 1},
		{2*limits.IdleEntries + 11, 100, limits.IdleBytes, 2},
	} {
		if got := gives(step.applied, step.looks, step.retired); got != step.want {
			t.Errorf("%+v: %d times", step, got)
		}
	}
}
