package node

import (
	"testing"
	"time"

	"qkv/internal/limits"
)

// Where a quorum's disks are slow, the leader's among them, leadership stays: nobody would do better, and a new leader would have to
// wait for votes of such disks. Writes go on at the rate of the disks, and members with a slow disk do not end.
func TestSlowQuorumKeepsItsLeader(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: 8 << 20}, func(*limits.Tunable) {})
	f := newFlood(w, 100)
	f.at = leader
	handed := 0
	w.hear = func(_, message string) {
		if message == "handing leadership over" {
			handed++
		}
	}
	slow := 0
	for _, h := range w.hosts {
		if h == leader || slow == 0 {
			h.drive.median = time.Hour // each sync takes the five seconds that are the most
		}
		if h != leader {
			slow++
		}
	}
	term := w.watch.newest
	f.last, f.longest = w.sim.Now(), 0
	for begun := w.sim.Now(); w.sim.Now() < begun+2*time.Minute && w.failure == ""; {
		f.fill(10)
		w.run(10 * time.Millisecond)
	}
	t.Logf("%d puts, the longest gap %v, terms %d to %d", f.puts, f.longest, term, w.watch.newest)
	if w.failure != "" {
		t.Fatal(w.failure)
	}
	if handed > 0 || w.watch.newest != term {
		t.Errorf("leadership was handed over %d times, terms went from %d to %d", handed, term, w.watch.newest)
	}
	if longest := max(f.longest, w.sim.Now()-f.last); f.puts < 100 || longest > 11*time.Second {
		t.Errorf("%d puts, and none for %v", f.puts, longest)
	}
}

// A cluster whose leader is gone elects another one, also where votes take as long as slow disks do, several election timeouts.
func TestSlowQuorumElects(t *testing.T) {
	for name, slow := range map[string][]bool{"all disks are slow": {true, true}, "one of two is": {true, false}} {
		t.Run(name, func(t *testing.T) {
			w, leader := quietCluster(t, shape{segmentBytes: 8 << 20}, func(*limits.Tunable) {})
			leader.kill()
			for _, h := range w.hosts {
				if h != leader {
					if slow[0] {
						h.drive.median = time.Hour // each sync takes the five seconds that are the most
					}
					slow = slow[1:]
				}
			}
			begun := w.sim.Now()
			if !w.until(5*time.Minute, func() bool { l := w.leader(); return l != nil && l != leader }) {
				t.Fatalf("nobody leads after %v, in term %d: %s", w.sim.Now()-begun, w.watch.newest, w.failure)
			}
			t.Logf("%s leads after %v, in term %d", w.leader().name(), w.sim.Now()-begun, w.watch.newest)
		})
	}
}
