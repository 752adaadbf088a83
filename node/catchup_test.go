package node

import (
	"testing"
	"time"

	"qkv/internal/limits"
)

// TestCatchUpLeavesRoom lets a follower come back under load to a leader whose machine does one thing at a time: what it writes
// to its log, and what it sends to the one that came back. The puts keep most of what they had, and the follower is level soon.
func TestCatchUpLeavesRoom(t *testing.T) {
	const value, inFlight, machine = 4000, 4, 24_000_000 // bytes a second
	w, leader := quietCluster(t, shape{segmentBytes: 2 << 20, historyBytes: 1 << 20}, func(l *limits.Tunable) {
		l.SnapshotBytes = 1 << 40
		l.WindowBytes, l.CatchUpLeast, l.MessageEntriesBytes = 2<<20, 1<<20, 64<<10 // as much smaller as the machine is slower
	})
	f := newFlood(w, value)
	f.follow()
	putsIn := func(d time.Duration) float64 { // a second
		before, begun := f.puts, w.sim.Now()
		for w.sim.Now() < begun+d && w.failure == "" {
			f.fill(inFlight)
			w.run(time.Millisecond)
		}
		return float64(f.puts-before) / d.Seconds()
	}
	away := w.hosts[0]
	if away == leader {
		away = w.hosts[1]
	}
	leader.drive.rate = machine
	putsIn(2 * time.Second)
	away.kill()
	before := putsIn(10 * time.Second)
	sent := 0
	w.listen = func(from, to *host, frame []byte) {
		if from == leader && to == away && len(frame) >= value {
			sent += len(frame)
			d := &leader.drive
			d.writtenUntil = max(d.writtenUntil, w.sim.Now()) + time.Duration(len(frame))*time.Second/machine
		}
	}
	level := func() bool {
		at, _ := away.member.status.View().Applied()
		want, _ := leader.member.status.View().Applied()
		return at+50 > want
	}
	away.start()
	begun, puts := w.sim.Now(), f.puts
	for w.sim.Now() < begun+20*time.Second && w.failure == "" && !level() {
		putsIn(100 * time.Millisecond)
	}
	lasted := w.sim.Now() - begun
	during := float64(f.puts-puts) / lasted.Seconds()
	t.Logf("%.0f puts a second, then %.0f while %d MB were sent in %v", before, during, sent>>20, lasted)
	if w.failure != "" || !level() || w.leader() != leader {
		t.Fatalf("level %v, leader %v: %s", level(), w.leader() == leader, w.failure)
	}
	if sent < 20<<20 {
		t.Errorf("only %d bytes were sent", sent)
	}
	if during < before*6/10 {
		t.Errorf("%.0f puts a second while it caught up, %.0f before", during, before)
	}
}
