package node

import (
	"testing"
	"time"

	"qkv/index"
	"qkv/internal/limits"
)

// TestLevelRises makes up the feature level 2, and upgrades two of three members: the level stays at 1 until the third one is upgraded too.
func TestLevelRises(t *testing.T) {
	defer func(most uint64) { index.MaxLevel = most }(index.MaxLevel)
	w, _ := quietCluster(t, shape{}, func(*limits.Tunable) {})
	index.MaxLevel = 2
	levels := func() (all []uint64) {
		for _, h := range w.hosts {
			all = append(all, h.member.status.View().Level())
		}
		return all
	}
	for n, h := range w.hosts {
		h.kill()
		if n == len(w.hosts)-1 {
			h.level = index.FirstLevel // once more with the old program
			h.start()
			w.run(20 * time.Second)
			if got := levels(); w.failure != "" || got[0] != 1 || got[1] != 1 || got[2] != 1 {
				t.Fatalf("levels %v with a member of the old level: %s", got, w.failure)
			}
			h.kill()
			h.level = 0
		}
		h.start()
		w.run(5 * time.Second)
	}
	if !w.until(20*time.Second, func() bool { got := levels(); return got[0] == 2 && got[1] == 2 && got[2] == 2 }) {
		t.Fatalf("levels %v: %s", levels(), w.failure)
	}
}
