package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3"

	"qkv/internal/limits"
)

// raft's clock for elections goes on as ever where nothing is slow, stands while the own disk is at something, and goes the
// slower the later votes have come, until there is a leader.
func TestElectionsWaitForDisks(t *testing.T) {
	const timeout = time.Second
	var e elections
	waits := false
	passes := func(what string, disk time.Duration, want int) {
		t.Helper()
		got := 0
		for range 300 {
			got += e.ticks(1, raft.None, disk, timeout, waits)
		}
		if got != want {
			t.Errorf("%s: %d of 300 ticks, want %d", what, got, want)
		}
	}
	passes("nothing is slow", 0, 300)
	passes("the disk has begun", timeout/2, 300)
	passes("the disk stands", timeout/2+1, 0)
	waits = true
	passes("the member applies nothing", 0, 0)
	waits = false
	for term := range uint64(20) {
		e.begun(term, time.Duration(term)*time.Second)
	}
	e.late(3, 20*time.Second)
	passes("a vote of a term that is forgotten", 0, 300)
	e.late(18, 23*time.Second)
	passes("a vote that took 5 s", 0, 50)
	e.late(19, 21*time.Second)
	passes("another one took 2 s", 0, 50)
	e.late(19, 19*time.Second+limits.DiskStall+1)
	passes("a vote that took longer than disks may", 0, 50)
	e.late(19, 19*time.Second+500*time.Millisecond)
	if got := e.ticks(7, raft.None, 0, timeout, false) + e.ticks(5, raft.None, 0, timeout, false); got != 2 {
		t.Errorf("%d of 12 ticks that come in two turns, want 2", got)
	}
	if len(e.asked) != electionsKept {
		t.Errorf("%d elections are kept", len(e.asked))
	}
	e.ended()
	passes("somebody leads", 0, 300)
}
