package node

import (
	"slices"
	"testing"
	"time"
)

// The simulation damages no more logs than a cluster can lose, whether the damage has been found or not.
func TestDamagedLogsAreAMinority(t *testing.T) {
	for _, members := range []int{3, 5} {
		s := drawShape(1)
		s.members, s.faults, s.faulty, s.amnesiacs, s.crashesInRecovery, s.lagging = members, nil, time.Hour, 0, 0, ""
		s.limits.SnapshotBytes = 1 << 20 // or too little of the log is left
		restore := seedGlobalRandom(1)
		w := newWorld(1, s, nil)
		for _, h := range w.hosts {
			h.start()
		}
		for range s.clients {
			w.clients = append(w.clients, newClient(w))
		}
		w.until(time.Minute, func() bool {
			return !slices.ContainsFunc(w.hosts, func(h *host) bool { return h.member.actors.logWriter.Log.Stats().Segments < 3 })
		})
		damaged := 0
		for _, h := range w.hosts {
			w.rotLog(fault{strength: 0.1}, h)
			if h.rottedLog {
				damaged++
			}
			if h.ruined() {
				t.Errorf("%s has found its damage already", h.name())
			}
		}
		if damaged != (members-1)/2 {
			t.Errorf("%d of %d logs are damaged", damaged, members)
		}
		if w.failure != "" {
			t.Error(w.failure)
		}
		restore()
	}
}
