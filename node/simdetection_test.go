package node

import (
	"os"
	"strconv"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// A leader that is cut off without a word is replaced long before the election timeout, once its followers know their links; and so is
// the next one, which had been cut off itself.
func TestLostLeaderIsReplaced(t *testing.T) {
	w, leader := quietCluster(t, shape{}, func(*limits.Tunable) {})
	for range 4 { // the clocks differ by a fifth, so that heartbeats seem late
		w.run(15 * time.Second) // 5 of them without the last leader, and more than 40 heartbeats
		lost, at := leader, w.sim.Now()
		w.blockPaths(fault{kind: isolate, lasts: 5 * time.Second}, func(from, to *host) bool { return from == lost || to == lost })
		if !w.until(7*w.shape.election/10, func() bool { return w.leader() != nil && w.leader() != lost }) {
			t.Fatalf("%s was lost %v ago, with an election timeout of %v, and nobody else leads: %s", lost.name(), w.sim.Now()-at, w.shape.election, w.failure)
		}
		leader = w.leader()
	}
	w.run(10 * time.Second)
	w.well(t)
}

// Links whose delays vary, some of them fifty-fold, elect nobody. QKV_QUIET_HOURS lets it run longer.
func TestQuietLinksElectNobody(t *testing.T) {
	testlong.Skip(t)
	run := 10 * time.Minute
	if text := os.Getenv("QKV_QUIET_HOURS"); text != "" {
		hours, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		run = time.Duration(hours) * time.Hour
	}
	w, leader := quietCluster(t, shape{calm: true}, func(*limits.Tunable) {})
	w.shape.spread = 1
	for term, end := w.watch.newest, w.sim.Now()+run; w.sim.Now() < end; w.run(time.Minute) {
		if w.leader() != leader || w.watch.newest != term || w.failure != "" {
			t.Fatalf("%v before the end: %s led in term %d, and now the term is %d: %s", end-w.sim.Now(), leader.name(), term, w.watch.newest, w.failure)
		}
	}
}

// Hosts that pause now and then, for less than an election timeout, are suspected by mistake a few times, and lead in peace then.
func TestPausedHostsKeepLeading(t *testing.T) {
	w, _ := quietCluster(t, shape{calm: true}, func(*limits.Tunable) {})
	w.run(10 * time.Second)
	first, half := w.watch.newest, uint64(0)
	for i := range 36 {
		if w.hosts[i%3].pause(400 * time.Millisecond); i == 18 {
			half = w.watch.newest
		}
		w.run(10 * time.Second)
	}
	if half == first || half-first > 6 || w.watch.newest != half {
		t.Errorf("36 pauses: %d elections during the first 18, %d later", half-first, w.watch.newest-half)
	}
	w.well(t)
}

// A leader that becomes busy, so that each of its turns waits for 60 ms, goes on leading.
func TestBusyLeaderIsNotSuspected(t *testing.T) {
	w, leader := quietCluster(t, shape{calm: true}, func(*limits.Tunable) {})
	w.run(10 * time.Second)
	term, busy := w.watch.newest, leader.life
	w.sim.Lag(func(l *simLife, name string) time.Duration {
		if l == busy && name == "consensus" {
			return 60 * time.Millisecond
		}
		return 0
	})
	w.run(time.Minute)
	if w.watch.newest != term || w.leader() != leader {
		t.Errorf("%s led in term %d and became busy, and now the term is %d", leader.name(), term, w.watch.newest)
	}
	w.well(t)
}
