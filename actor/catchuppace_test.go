package actor

import (
	"testing"
	"time"

	"qkv/actor/space"
	"qkv/index"
	"qkv/internal/limits"
)

const paceMB = 1 << 20

// Who is behind gets a multiple of what is written, and all that there is while nobody writes.
func TestPaceFollowsTheWrites(t *testing.T) {
	for name, c := range map[string]struct {
		writes int64 // bytes a second
		busy   bool
		want   int64
	}{
		"nobody writes":       {0, false, catchUpMost},
		"no write ends":       {0, true, limits.CatchUpLeast},
		"a little is written": {1000, false, limits.CatchUpLeast},
		"much is written":     {100 * paceMB, true, catchUpGain * 100 * paceMB},
	} {
		p, sent := pace{least: limits.CatchUpLeast}, int64(0)
		const seconds = 4
		for now := time.Duration(0); now < 2*seconds*time.Second; now += TickInterval {
			p.written += int64(float64(c.writes) * TickInterval.Seconds())
			if got := p.tick(1, c.busy, now); now >= seconds*time.Second {
				sent += got
			}
		}
		if sent /= seconds; sent < c.want*99/100 || sent > c.want*101/100 {
			t.Errorf("%s: %d bytes a second, not %d", name, sent, c.want)
		}
	}
}

// After a pause of the process, not all of its time's bytes are sent at once.
func TestPaceAfterAPause(t *testing.T) {
	p := pace{least: limits.CatchUpLeast}
	p.tick(1, false, time.Second)
	if got, most := p.tick(1, false, time.Hour), int64(p.rate*catchUpBurst.Seconds())+1; got > most || p.credit > float64(most) {
		t.Errorf("%d bytes, and %.0f to read, at once; %d at most", got, p.credit, most)
	}
}

// Pieces of a file take as long as the rate wants. Before the first rate there is no bound.
func TestPiecesAreSentAsAllowed(t *testing.T) {
	s := &Status{}
	if got := s.SentPiece(100); got != 0 {
		t.Errorf("a piece without a bound takes %v", got)
	}
	s.pieceRate.Store(1000)
	if got := s.SentPiece(50); got != 50*time.Millisecond {
		t.Errorf("50 bytes at 1000 a second take %v", got)
	}
}

// A member that is behind, or gets a snapshot, saves none for its worth, but when its log has no room for more.
func TestNothingIsSavedWhileBehind(t *testing.T) {
	l := limits.Defaults()
	l.SnapshotBytes = 1
	for _, c := range []struct {
		name           string
		lags, receives bool
		records        float64 // of the state
		saves          bool
	}{
		{"level", false, false, 1.1, true},
		{"behind", true, false, 1.1, false},
		{"a snapshot comes", false, true, 1.1, false},
		{"behind, and the log is full", true, false, 3.1, true},
	} {
		s := newTestSnapshotter(t, index.NewState(l.Index).View())
		state := stateAt(t, 10, 100_000)
		room := Capacity{MustPost: 1000}
		l.CatchUpBytes = 4 * (state.View().LiveBytes() + state.View().HistoryBytes())
		a := NewApplier(ApplierConfig{
			Member: 1, State: state, Inbox: NewMailbox[ApplierMessage]("a", room), Consensus: s.consensus, Snapshotter: s.Inbox, Status: s.Status, Limits: l,
		})
		s.Status.reportDisk(func(d *space.Disk) { d.Lags = c.lags })
		s.Status.reportDisk(func(d *space.Disk) { d.Receives = c.receives })
		a.records = int64(c.records * float64(a.view.LiveBytes()+a.view.HistoryBytes()))
		if a.save(Time{Now: 1 << 40}); a.saving != c.saves {
			t.Errorf("%s, with records of %.1f times the state: a snapshot is ordered: %v", c.name, c.records, a.saving)
		}
	}
}

// Who needs longer than a time for what was committed is behind until it needs less.
func TestCatchesUp(t *testing.T) {
	var l replicationLag
	var now time.Duration
	const after = time.Second
	applied, commit := uint64(0), uint64(0)
	run := func(d time.Duration, ahead uint64) bool {
		for end := now + d; now < end; {
			now += TickInterval
			commit += 10
			applied = max(applied, commit-ahead)
			l.recordCommit(commit)
			l.tick(applied, now)
		}
		return l.catchesUp(applied, now, after)
	}
	if commit = 10_000; run(2*time.Second, 10) {
		t.Error("it is level, and behind")
	}
	commit += 3000 // three seconds' worth, as many as which it stays behind
	for i := range 30 {
		if got := run(300*time.Millisecond, 3000); got != (i > 3) && i != 3 {
			t.Errorf("after %v behind: %v", time.Duration(i+1)*300*time.Millisecond, got)
		}
	}
	if run(4*time.Second, 10) {
		t.Error("it is level again, and behind")
	}
}
