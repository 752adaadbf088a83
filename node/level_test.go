package node

import (
	"testing"
	"time"

	"qkv/index"
	"qkv/internal/limits"
)

// TestLevelRises makes up a later feature level, and upgrades two of three members: the level stays until the third one
// is upgraded too.
func TestLevelRises(t *testing.T) {
	before := index.MaxLevel
	defer func() { index.MaxLevel = before }()
	w, _ := quietCluster(t, shape{}, func(*limits.Tunable) {})
	index.MaxLevel = before + 1
	levels := func() (all []uint64) {
		for _, h := range w.hosts {
			all = append(all, h.member.status.View().Level())
		}
		return all
	}
	for n, h := range w.hosts {
		h.kill()
		if n == len(w.hosts)-1 {
			h.level = before // once more with the old program
			h.start()
			w.run(20 * time.Second)
			if got := levels(); w.failure != "" || got[0] != before || got[1] != before || got[2] != before {
				t.Fatalf("levels %v with a member of the old level: %s", got, w.failure)
			}
			h.kill()
			h.level = 0
		}
		h.start()
		w.run(5 * time.Second)
	}
	if !w.until(20*time.Second, func() bool { got := levels(); return got[0] == before+1 && got[1] == before+1 && got[2] == before+1 }) {
		t.Fatalf("levels %v: %s", levels(), w.failure)
	}
}
