package node

import (
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// flood keeps puts in flight at whoever leads, in virtual time, and notes what is acknowledged.
type flood struct {
	w        *world
	at       *host
	command  func(request uint64) kv.Command
	requests uint64
	first    uint64 // of those that are in flight at the present leader
	open     int
	timeout  time.Duration
	failed   int
	problem  string // of the last one that failed
	puts     int
	began    map[uint64]time.Duration // of the requests in flight
	took     []time.Duration
	last     time.Duration // of the newest acknowledgement
	longest  time.Duration // between two of them
}

func newFlood(w *world, bytes int) *flood {
	value := []byte(strings.Repeat("x", bytes))
	put := func(request uint64) kv.Command {
		return new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k" + strconv.FormatUint(request%64, 10)), Value: value})
	}
	return &flood{w: w, command: put, timeout: time.Minute, last: w.sim.Now(), began: map[uint64]time.Duration{}}
}

// fill begins puts until so many are in flight.
func (f *flood) fill(most int) {
	for f.open < most && f.w.failure == "" {
		f.requests++
		f.open++
		f.began[f.requests] = f.w.sim.Now()
		endpoint{f.at.member}.Propose(kv.Proposal{
			ReplyTo: f, Requests: []uint64{f.requests}, Commands: []kv.Command{f.command(f.requests)}, Timeout: f.timeout,
		})
	}
}

// follow goes to another leader, and lets go of what is in flight at the one before.
func (f *flood) follow() {
	if leader := f.w.leader(); leader != nil && leader != f.at {
		f.at, f.first, f.open = leader, f.requests+1, 0
	}
}

// Complete implements kv.ReplyTo.
func (f *flood) Complete(done []kv.Completion) {
	done = slices.Clone(done) // it is read later
	f.w.sim.Post(func() {
		now := f.w.sim.Now()
		for _, d := range done {
			if d.Request >= f.first {
				f.open--
			}
			if d.Result.Err == nil {
				f.puts++
				f.took = append(f.took, now-f.began[d.Request])
				f.longest = max(f.longest, now-f.last)
				f.last = now
			} else {
				f.failed++
				f.problem = d.Result.Err.Error()
			}
		}
	})
}

// worst returns the longest of all waits but one in a hundred, and forgets them.
func (f *flood) worst() time.Duration {
	slices.Sort(f.took)
	at := f.took[(len(f.took)-1)*99/100]
	f.took = nil
	return at
}

// quietCluster starts a cluster in which nothing goes wrong by itself, and waits for a leader.
func quietCluster(t *testing.T, s shape, tune func(l *limits.Tunable)) (*world, *host) {
	t.Helper()
	t.Cleanup(seedGlobalRandom(1))
	s.members, s.clients, s.keys, s.ordered = 3, 1, 16, true
	s.heartbeat, s.election, s.faulty, s.think = 100*time.Millisecond, time.Second, time.Hour, time.Hour
	s.delay, s.sync = time.Millisecond, time.Millisecond
	s.limits = limits.Defaults()
	tune(&s.limits)
	w := newWorld(1, s, nil)
	for i, h := range w.hosts {
		h.wall, h.skew = 0, 1-0.1*float64(i)
		h.start()
	}
	if !w.until(20*time.Second, func() bool { return w.leader() != nil }) {
		t.Fatalf("nobody leads: %s", w.failure)
	}
	w.run(time.Second)
	return w, w.leader()
}

// leader is the member that leads the newest term, nil for none.
func (w *world) leader() *host {
	for _, h := range w.hosts {
		if h.alive() && h.leads && h.member.status.Raft().Term == w.watch.newest {
			return h
		}
	}
	return nil
}

// TestSlowDisks lets members write to slow disks, with 8 MB in flight, while snapshots are saved there and segments made. A
// disk that is slow is not one that stands: nobody ends, leadership moves at most once, and only away from a disk that is
// slower than another, and what the disks can do is done.
func TestSlowDisks(t *testing.T) {
	testlong.Skip(t)
	const inFlight, value, rate = 1000, 8000, 2_000_000
	// Most of the heap is what the simulated disks hold, which has no pointers: collections are cheap, and garbage would double the heap.
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	const history = 32 << 20
	past := 2 * history // bytes
	if os.Getenv("QKV_FULL") != "" {
		past = 2 << 30
	}
	for _, test := range []struct {
		name         string
		leader, rest int64 // bytes a second
		moves        uint64
		share        float64 // of the rest's rate
		gap, lasts   time.Duration
	}{
		{"all write 2 MB a second", rate, rate, 0, 0.7, 3 * time.Second, time.Minute},
		{"all write 200 KB a second", rate / 10, rate / 10, 0, 0.7, time.Minute, 10 * time.Minute}, // a group takes 21 s
		{"the leader writes a tenth of the others", rate / 10, rate, 1, 0.7, 15 * time.Second, 2 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, _ := quietCluster(t, shape{segmentBytes: 8 << 20, historyBytes: history}, func(l *limits.Tunable) {
				l.SnapshotBytes = 16 << 20
				l.SnapshotStepBytes = 1 << 20 // as much is synced at once: what the page cache takes before a sync costs no time
			})
			f := newFlood(w, value)
			for f.puts*value < past && w.failure == "" { // at full speed until the state is as heavy as it gets, and longer
				f.follow()
				f.fill(inFlight)
				w.run(10 * time.Millisecond)
			}
			w.run(10 * time.Second) // until all members have that
			for _, h := range w.hosts {
				h.drive.rate = test.rest
			}
			leader := w.leader()
			leader.drive.rate = test.leader
			puts, made := f.puts, leader.member.actors.logWriter.Log.Stats().Inline
			handed := uint64(0)
			w.hear = func(_, message string) {
				if message == "handing leadership over" {
					handed++
				}
			}
			begun, term, lasts := w.sim.Now(), w.watch.newest, test.lasts
			f.last, f.longest = begun, 0
			moved := uint64(0)
			for w.sim.Now() < begun+lasts && w.failure == "" {
				if f.follow(); f.at != leader {
					leader, moved = f.at, moved+1
				}
				f.fill(inFlight)
				w.run(10 * time.Millisecond)
			}
			f.puts -= puts
			share := float64(f.puts*value) / lasts.Seconds() / float64(test.rest)
			stats := leader.member.actors.logWriter.Log.Stats()
			files, err := leader.disk.List("data/snap")
			saving := err == nil && slices.ContainsFunc(files, func(name string) bool { return strings.HasSuffix(name, ".snap.tmp") })
			t.Logf("%d puts of %d bytes: %.0f %% of the disks' rate, the longest gap %v, terms %d to %d; a snapshot is being saved %v, %d segments, of which the log made %d",
				f.puts, value, 100*share, f.longest, term, w.watch.newest, saving, stats.Segments, stats.Inline-made)
			if w.failure != "" {
				t.Fatal(w.failure)
			}
			if moved > test.moves || handed > test.moves {
				t.Errorf("leadership moved %d times, and was handed over %d times", moved, handed)
			}
			if test.leader == rate && (!saving || stats.Inline == made) {
				t.Error("no snapshot is being saved, or the log made no segment")
			}
			if share < test.share || f.longest > test.gap {
				t.Errorf("%.0f %% of the disks' rate, the longest gap %v", 100*share, f.longest)
			}
			for _, h := range w.hosts {
				if !h.alive() {
					t.Errorf("%s has ended", h.name())
				}
			}
		})
	}
}

// TestColdReadsHoldUpNothing lets a follower come back far behind, and each read of the log on the leader's disk take 30 ms:
// puts do not wait for that, and the follower is level soon.
func TestColdReadsHoldUpNothing(t *testing.T) {
	testlong.Skip(t)
	const value, behind = 8000, 1000
	s := shape{segmentBytes: 8 << 20}
	w, leader := quietCluster(t, s, func(l *limits.Tunable) { l.WindowBytes = 512 << 10 })
	f := newFlood(w, value)
	f.follow()
	put := func(during func() bool) {
		for during() && w.failure == "" {
			f.fill(1)
			w.run(time.Millisecond)
		}
	}
	away := w.hosts[0]
	if away == leader {
		away = w.hosts[1]
	}
	away.kill()
	put(func() bool { return f.puts < behind })
	f.worst()
	put(func() bool { return f.puts < behind+500 })
	before := f.worst()
	reads := w.totals.ColdReads
	leader.drive.read = 30 * time.Millisecond
	away.start()
	begun := w.sim.Now()
	level := func() bool {
		at, _ := away.member.status.View().Applied()
		want, _ := leader.member.status.View().Applied()
		return at+10 > want
	}
	put(func() bool { return w.sim.Now() < begun+20*time.Second && !level() })
	during, lasted := f.worst(), w.sim.Now()-begun
	reads = w.totals.ColdReads - reads
	t.Logf("puts took %v before and %v during %v of catching up by %d reads", before, during, lasted, reads)
	if w.failure != "" {
		t.Fatal(w.failure)
	}
	if reads < 50 {
		t.Errorf("only %d reads: the follower did not catch up from the disk", reads)
	}
	if during > 2*before {
		t.Errorf("puts took %v before and %v while a follower caught up", before, during)
	}
	if !level() || w.leader() != leader {
		t.Errorf("level %v, the leader is %v", level(), w.leader())
	}

	// Nobody else lets the leader hear of the follower: when a chunk is there it goes on by itself.
	leader.drive.read = 0
	away.kill()
	put(func() bool { return f.puts < 6*behind })
	w.run(time.Second)
	leader.drive.read = 30 * time.Millisecond
	away.start()
	begun = w.sim.Now()
	reads = w.totals.ColdReads
	defer func() { t.Logf("alone in %v by %d reads", w.sim.Now()-begun, w.totals.ColdReads-reads) }()
	if !w.until(20*time.Second, level) || w.sim.Now()-begun > 13*time.Second {
		t.Errorf("level after %v: has each chunk waited for a heartbeat?", w.sim.Now()-begun)
	}
}

// TestStartWithSlowReads takes the power from all members, whose logs hold much that is in no snapshot. With 30 ms a read
// they find a leader as soon as ever, and apply what they have.
func TestStartWithSlowReads(t *testing.T) {
	testlong.Skip(t)
	w, leader := quietCluster(t, shape{segmentBytes: 8 << 20}, func(l *limits.Tunable) { l.WindowBytes = 512 << 10 })
	f := newFlood(w, 8000)
	f.follow()
	for f.puts < 2000 && w.failure == "" {
		f.fill(20)
		w.run(time.Millisecond)
	}
	want, _ := leader.member.status.View().Applied()
	for _, h := range w.hosts {
		h.down(func() { h.disk.Crash(simdisk.Prefix) })
	}
	reads := w.totals.ColdReads
	begun := w.sim.Now()
	for _, h := range w.hosts {
		h.drive.read = 30 * time.Millisecond
		h.start()
	}
	leads := w.until(20*time.Second, func() bool { return w.leader() != nil })
	elected := w.sim.Now() - begun
	level := w.until(20*time.Second, func() bool {
		for _, h := range w.hosts {
			if at, _ := h.member.status.View().Applied(); at < want {
				return false
			}
		}
		return true
	})
	t.Logf("a leader after %v, level after %v, by %d reads", elected, w.sim.Now()-begun, w.totals.ColdReads-reads)
	if !leads || !level || w.failure != "" || w.totals.ColdReads-reads < 100 {
		t.Fatalf("leads %v, level %v, %d reads: %s", leads, level, w.totals.ColdReads-reads, w.failure)
	}
	if elected > 5*w.shape.election {
		t.Errorf("a leader after %v", elected)
	}
}

// TestFollowerComesBackUnderLoad lets a follower come back that is behind the log, while the leader saves many snapshots in
// the time that one takes on its way. It gets one, and from there on the log.
func TestFollowerComesBackUnderLoad(t *testing.T) {
	testlong.Skip(t)
	w, leader := quietCluster(t, shape{segmentBytes: 1 << 20, bulk: 200_000, piece: 16 << 10}, func(l *limits.Tunable) {
		l.WindowBytes, l.SnapshotBytes, l.CatchUpBytes = 1<<20, 1<<20, 256<<20
	})
	f := newFlood(w, 8000)
	f.follow()
	acknowledged := map[int]int{} // in each second
	load := func(during func() bool) {
		for during() && w.failure == "" {
			f.fill(8)
			before := f.puts
			w.run(time.Millisecond)
			acknowledged[int(w.sim.Now()/time.Second)] += f.puts - before
		}
	}
	load(func() bool { return f.puts < 64 })
	absent := []byte(strings.Repeat("a", 4000))
	f.command = func(uint64) kv.Command { return new(index.Head).AppendDelete(nil, &kv.Delete{Key: absent, End: nil}) } // the log grows, the state does not
	away := w.hosts[0]
	if away == leader {
		away = w.hosts[1]
	}
	away.kill()
	gone := w.sim.Now()
	load(func() bool { return w.sim.Now() < gone+12*time.Second }) // what is usual has slow seconds, too
	installs, saves := w.totals.Installs, w.totals.Snapshots
	leader.drive.read = 30 * time.Millisecond
	away.start()
	begun := w.sim.Now()
	level := func() bool {
		at, _ := away.member.status.View().Applied()
		want, _ := leader.member.status.View().Applied()
		return at+50 > want
	}
	load(func() bool { return w.sim.Now() < begun+30*time.Second && !level() })
	lasted := w.sim.Now() - begun
	installs, saves = w.totals.Installs-installs, w.totals.Snapshots-saves
	t.Logf("level after %v, with %d snapshots installed, while %d were saved", lasted, installs, saves)
	if w.failure != "" || !level() || w.leader() != leader {
		t.Fatalf("level %v, leader %v: %s", level(), w.leader() == leader, w.failure)
	}
	if installs != 1 || saves < 10 {
		t.Errorf("%d snapshots were installed while %d were saved", installs, saves)
	}
	load(func() bool { return w.sim.Now() < begun+lasted+3*time.Second })
	usual, seconds := 0, 0
	for second := int(gone/time.Second) + 1; second < int(begun/time.Second); second++ {
		usual, seconds = usual+acknowledged[second], seconds+1
	}
	usual /= seconds
	// The rate of one second depends on the segments and snapshots of its disks: five seconds are compared.
	const window = 5
	least := math.MaxInt
	for second := int(begun/time.Second) + 1; second+window <= int(w.sim.Now()/time.Second); second++ {
		writes := 0
		for i := range window {
			writes += acknowledged[second+i]
		}
		least = min(least, writes/window)
	}
	t.Logf("usually %d writes a second were made, and at least %d in 5 s", usual, least)
	if least < usual*45/100 {
		t.Errorf("only %d of usually %d writes a second were made for 5 s: %v", least, usual, acknowledged)
	}
	if bytes := leader.member.actors.logWriter.Log.Stats().Bytes; bytes > 16<<20 {
		t.Errorf("the log still has %d bytes", bytes)
	}
}

// TestWritesAtALaggingMember puts at a member whose own disk is so slow that it applies nothing for long. It says so, at
// once after a while; and it sends nothing again that the leader has.
func TestWritesAtALaggingMember(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: 8 << 20}, func(*limits.Tunable) {})
	lagging := w.hosts[0]
	if lagging == leader {
		lagging = w.hosts[1]
	}
	forwarded := 0
	w.listen = func(from, _ *host, frame []byte) {
		if m, err := peerframe.Read(frame, 1, 2); err == nil && from == lagging {
			if _, ok := m.(peerframe.Forward); ok {
				forwarded++
			}
		}
	}
	lagging.drive.stall(w.sim.Now(), 12*time.Second)
	f := newFlood(w, 8000)
	f.at = lagging
	f.timeout = 4 * time.Second
	f.fill(100)
	w.run(1500 * time.Millisecond)
	if f.failed != 0 || forwarded == 0 {
		t.Fatalf("%d failed and %d forwarded at first", f.failed, forwarded)
	}
	sent := forwarded
	w.run(4 * time.Second)
	if forwarded != sent {
		t.Errorf("%d batches were sent again that the leader has", forwarded-sent)
	}
	if f.failed != 100 || !strings.Contains(f.problem, "entries behind the leader "+leader.name()) || !strings.Contains(f.problem, "may have happened") {
		t.Errorf("%d failed: %s", f.failed, f.problem)
	}
	begun := w.sim.Now()
	f.fill(1)
	w.until(10*time.Second, func() bool { return f.failed > 100 })
	if took := w.sim.Now() - begun; took > 100*time.Millisecond || !strings.Contains(f.problem, "certainly did not happen") {
		t.Errorf("after %v: %s", took, f.problem)
	}
	w.run(10 * time.Second)
	puts := f.puts
	f.fill(1)
	if !w.until(time.Second, func() bool { return f.puts > puts }) {
		t.Errorf("when its disk is well again: %s", f.problem)
	}
	if w.failure != "" {
		t.Error(w.failure)
	}
}
