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
	w, leader := quietCluster(t, shape{segmentBytes: 2 << 20, historyBytes: 1 << 20, calm: true}, func(l *limits.Tunable) {
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
	begun := w.sim.Now()
	lasted, ends := time.Duration(0), begun+45*time.Second
	var tenths []float64 // puts a second in each tenth of one
	for w.sim.Now() < ends && w.failure == "" {
		tenths = append(tenths, putsIn(100*time.Millisecond))
		if lasted == 0 && level() {
			lasted, ends = w.sim.Now()-begun, w.sim.Now()+2*time.Second // what was sent at last is felt later
		}
	}
	worst := before // of all seconds
	for i := range tenths[9:] {
		sum := 0.
		for _, rate := range tenths[i : i+10] {
			sum += rate
		}
		worst = min(worst, sum/10)
	}
	t.Logf("%.0f puts a second, then %.0f in the worst one while %d MB were sent in %v", before, worst, sent>>20, lasted)
	if w.failure != "" || lasted == 0 || w.leader() != leader {
		t.Fatalf("level after %v, leader %v: %s", lasted, w.leader() == leader, w.failure)
	}
	if sent < 20<<20 {
		t.Errorf("only %d bytes were sent", sent)
	}
	if worst < before*7/10 {
		t.Errorf("%.0f puts in a second while it caught up, %.0f before", worst, before)
	}
}
