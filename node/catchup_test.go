package node

import (
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// TestCatchUpLeavesRoom lets a follower come back under load to a leader whose machine does one thing at a time: what it writes
// to its log, and what it sends to the one that came back. The puts keep most of what they had, and the follower is level soon.
func TestCatchUpLeavesRoom(t *testing.T) {
	testlong.Skip(t)
	const value, inFlight, machine = 4000, 4, 24_000_000 // bytes a second
	w, leader := quietCluster(t, shape{segmentBytes: 2 << 20, historyBytes: 1 << 20, calm: true}, func(l *limits.Tunable) {
		l.SnapshotBytes, l.Index.ExtentBytes = 1<<40, 1<<40                         // nothing but the log is written
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
	if w.failure != "" || lasted == 0 || w.leader() != leader {
		t.Fatalf("level after %v, leader %v: %s", lasted, w.leader() == leader, w.failure)
	}
	whole := mean(tenths[:int(lasted/(100*time.Millisecond))])
	worst := before // of all seconds
	for i := range tenths[9:] {
		worst = min(worst, mean(tenths[i:i+10]))
	}
	t.Logf("%.0f puts a second, then %.0f (in the worst second %.0f) while %d MB were sent in %v", before, whole, worst, sent>>20, lasted)
	if sent < 20<<20 {
		t.Errorf("only %d bytes were sent", sent)
	}
	// Twice the write rate, for the one that came back, leaves 0.81 of the puts of this machine, and 0.73 in the worst second.
	if whole < before*0.78 || worst < before*2/3 {
		t.Errorf("%.0f puts a second while it caught up and %.0f in the worst second, %.0f before", whole, worst, before)
	}
}

func mean(all []float64) float64 {
	sum := 0.
	for _, one := range all {
		sum += one
	}
	return sum / float64(len(all))
}

// TestCatchUpByOneSnapshot lets a follower come back that needs a snapshot, under a load that goes on at its rate, where saves are so far
// apart that the log behind the newest one is twice as large as the state. It gets a snapshot and then the log, and not one snapshot after
// the other.
func TestCatchUpByOneSnapshot(t *testing.T) {
	testlong.Skip(t)
	const smaller = 64 // all sizes, and what is written in a second, than they are by default and of a machine that is used
	const value, state, rate, machine = 4000, 160 << 20 / smaller, 100_000_000 / smaller, 300_000_000 / smaller
	w, leader := quietCluster(t, shape{segmentBytes: 64 << 20 / smaller, historyBytes: state - 64*(value+80), calm: true, piece: 256 << 10 / (smaller / 4)}, func(l *limits.Tunable) {
		l.Index.ExtentBytes, l.Index.BaseLeast = limits.ExtentBytes/smaller, limits.BaseLeast/smaller
		l.SnapshotBytes /= smaller
		l.CatchUpBytes /= smaller
		l.CatchUpLeast /= smaller
		l.WindowBytes /= smaller / 4 // what is on its way does not get smaller
		l.InflightBytes /= smaller / 4
		l.MessageEntriesBytes /= smaller / 4
		l.SnapshotStepBytes /= smaller / 4
	})
	f := newFlood(w, value)
	f.follow()
	due := 0.
	load := func(d time.Duration) {
		for ends := w.sim.Now() + d; w.sim.Now() < ends && w.failure == ""; {
			w.run(5 * time.Millisecond)
			due += 0.005 * rate / value
			f.fill(f.open + int(due))
			due -= float64(int(due))
		}
	}
	away := w.hosts[0]
	if away == leader {
		away = w.hosts[1]
	}
	leader.drive.rate = machine
	w.listen = func(from, to *host, frame []byte) {
		if from == leader && to == away && len(frame) >= value {
			d := &leader.drive
			d.writtenUntil = max(d.writtenUntil, w.sim.Now()) + time.Duration(len(frame))*time.Second/machine
		}
	}
	load(33440 * time.Millisecond)
	sent := uint64(0)
	for _, lasts := range []time.Duration{14280 * time.Millisecond, 16 * time.Second} { // the saves are not always as unlucky
		away.kill()
		load(lasts)
		away.start()
		begun, installs, level := w.sim.Now(), uint64(0), false
		for w.sim.Now() < begun+30*time.Second && w.failure == "" && !level && installs < 4 {
			load(100 * time.Millisecond)
			at, _ := away.member.status.View().Applied()
			want, _ := leader.member.status.View().Applied()
			installs, level = away.member.status.Observer.Counters.InstallsDone.Load(), at+50 > want
		}
		t.Logf("away for %v: level %v after %v and %d snapshots", lasts, level, w.sim.Now()-begun, installs)
		if sent += installs; w.failure != "" || !level || w.leader() != leader || installs > 2 {
			t.Fatalf("leader %v: %s", w.leader() == leader, w.failure)
		}
	}
	if sent == 0 {
		t.Error("the log was enough both times: the test shows nothing")
	}
}
