package actor

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"qkv/actor/space"
	"qkv/index"
	"qkv/internal/limits"
)

// pacedLeader is a leader that writes, and sends somebody what it lacks, as a pace says. The more it sends, the longer its
// writes take.
type pacedLeader struct {
	pace
	now    time.Duration
	last   uint64
	told   int64 // bytes that were sent
	writes int64 // bytes a second
	least  time.Duration
	spare  float64 // bytes a second that make a write take twice as long
	unused bool    // who is behind takes nothing
	rested float64 // bytes a second that were sent lately
	stands bool    // nothing is committed
}

// run lets a time pass, and returns how much was sent to each in it.
func (l *pacedLeader) run(d time.Duration, behind int) (sent int64) {
	pieces := l.told
	for end := l.now + d; l.now < end; {
		l.now += TickInterval
		allowed := l.tick(behind, 0, pieces, l.now)
		if behind == 0 || l.unused {
			allowed = 0
		}
		sent += allowed
		all := allowed * int64(behind)
		pieces += all
		l.rested += (float64(all)/TickInterval.Seconds() - l.rested) / 10
		if l.writes > 0 {
			l.last++
			l.ordered(l.last, int64(float64(l.writes)*TickInterval.Seconds()), l.now)
			if !l.stands {
				l.committed(l.last, l.now+time.Duration(float64(l.least)*(1+l.rested/l.spare)))
			}
		}
	}
	l.told = pieces
	return sent
}

const paceMB = 1 << 20

// Who is behind gets what the leader's writes leave, and never less than a multiple of what is written.
func TestPaceFollowsTheWrites(t *testing.T) {
	const second, least = time.Second, limits.CatchUpLeast
	for _, c := range []struct {
		name        string
		leader      pacedLeader
		behind      int
		after       func(l *pacedLeader)
		least, most int64 // bytes a second in the end
	}{
		{"nobody writes", pacedLeader{}, 1, nil, 1000 * paceMB, catchUpMost},
		{"what is sent costs nothing", pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: 1e15}, 1, nil, 1000 * paceMB, catchUpMost},
		{"half of the room is taken", pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: 1000 * paceMB}, 1, nil, 125 * paceMB, 500 * paceMB},
		{"two share it", pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: 1000 * paceMB}, 2, nil, 60 * paceMB, 250 * paceMB},
		{"there is no room", pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: paceMB}, 1, nil, least / 2, least * 5 / 4},
		{"there is none, and much is written", pacedLeader{writes: 100 * paceMB, least: 10 * time.Millisecond, spare: paceMB}, 1, nil, 115 * paceMB, 150 * paceMB},
		{"there is none, and the log takes its room", pacedLeader{writes: 100 * paceMB, least: 10 * time.Millisecond, spare: paceMB, pace: pace{logHalfFull: true}}, 1, nil, 190 * paceMB, 240 * paceMB},
		{"commits are fast", pacedLeader{writes: paceMB, least: 200 * time.Microsecond, spare: 100 * paceMB}, 1, nil, 180 * paceMB, 320 * paceMB},
		{"commits are fast, and there is no room", pacedLeader{writes: paceMB, least: 200 * time.Microsecond, spare: paceMB}, 1, nil, least / 2, least * 5 / 4},
		{"nothing is committed", pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: 1e15}, 1, func(l *pacedLeader) { l.stands = true }, least / 2, least * 5 / 4},
		{"there was no room, and is now", pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: paceMB}, 1, func(l *pacedLeader) { l.spare = 1e15 }, 500 * paceMB, catchUpMost},
		{"it takes nothing for a while", pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: 1000 * paceMB, unused: true}, 1, func(l *pacedLeader) { l.unused = false }, 100 * paceMB, 600 * paceMB},
	} {
		l := c.leader
		l.pace.least = least
		l.run(10*second, 0)
		l.run(5*second, c.behind)
		if c.after != nil {
			c.after(&l)
			l.run(10*second, c.behind)
		}
		if sent := l.run(4*second, c.behind) / 4; sent < c.least || sent > c.most {
			t.Errorf("%s: %d MB a second each, not %d to %d", c.name, sent/paceMB, c.least/paceMB, c.most/paceMB)
		}
	}
}

// Commits take very different times. Who is behind gets what they leave on average, not what the fastest of them would.
func TestPaceAmongUnlikeCommits(t *testing.T) {
	const spare, least, most = 500 * paceMB, 80, 140 // MB a second: a fifth of what makes a commit take twice as long
	for _, spread := range []float64{0.5, 1, 1.5} {
		sent, took, calm := int64(0), 0., 0. // by all draws
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 0))
			l := pacedLeader{writes: paceMB, spare: spare}
			l.pace.least = limits.CatchUpLeast
			run := func(d time.Duration, behind int, sum *float64) (sent int64) {
				for end := l.now + d; l.now < end; {
					l.least = time.Duration(float64(10*time.Millisecond) * math.Exp(spread*r.NormFloat64()))
					sent += l.run(TickInterval, behind)
					*sum += l.least.Seconds() * (1 + l.rested/spare)
				}
				return sent
			}
			run(10*time.Second, 0, new(float64))
			run(10*time.Second, 0, &calm)
			sent += run(10*time.Second, 1, &took) / 10
		}
		if mb := sent / 20 / paceMB; mb < least || mb > most || took > 1.3*calm {
			t.Errorf("a spread of %.1f: %d MB a second, not %d to %d; commits take %.2f times as long", spread, mb, least, most, took/calm)
		}
	}
}

// What goes on for minutes is the load, and no more what it costs to send.
func TestPaceForgets(t *testing.T) {
	l := pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: 1e15}
	l.pace.least = limits.CatchUpLeast
	l.run(10*time.Second, 0)
	l.least = 30 * time.Millisecond
	if sent := l.run(5*time.Second, 1) / 5; sent > 2*limits.CatchUpLeast {
		t.Errorf("%d MB a second when writes take three times as long", sent/paceMB)
	}
	l.run(5*time.Minute, 1)
	if sent := l.run(5*time.Second, 1) / 5; sent < 1000*paceMB {
		t.Errorf("%d MB a second after minutes", sent/paceMB)
	}
}

// A disk that stands now and then, as while a segment is made, hides nothing of what it costs to send.
func TestPaceWithoutTheStalls(t *testing.T) {
	l := pacedLeader{writes: paceMB, least: 10 * time.Millisecond, spare: paceMB}
	l.pace.least = limits.CatchUpLeast
	for range 20 {
		l.run(900*time.Millisecond, 0)
		l.least = time.Second
		l.run(100*time.Millisecond, 0)
		l.least = 10 * time.Millisecond
	}
	if sent := l.run(5*time.Second, 1) / 5; sent > 3*limits.CatchUpLeast/2 {
		t.Errorf("%d MB a second where there is no room", sent/paceMB)
	}
}

// After a pause of the process, not all of its time's bytes are sent at once.
func TestPaceAfterAPause(t *testing.T) {
	p := pace{least: limits.CatchUpLeast}
	p.tick(1, 1, 0, time.Second)
	if got, most := p.tick(1, 1, 0, time.Hour), int64(p.rate*catchUpBurst.Seconds())+1; got > most || p.credit > float64(most) {
		t.Errorf("%d bytes, and %.0f to read, at once; %d at most", got, p.credit, most)
	}
}

// Pieces of a snapshot take as long as the rate wants, and are counted for it. Without a member that gets a snapshot there is no bound.
func TestPiecesAreSentAsAllowed(t *testing.T) {
	s := &Status{}
	if got := s.SentPiece(100); got != 0 {
		t.Errorf("a piece without a bound takes %v", got)
	}
	s.pieceRate.Store(1000)
	if got := s.SentPiece(50); got != 50*time.Millisecond {
		t.Errorf("50 bytes at 1000 a second take %v", got)
	}
	if got := s.piecesSent.Load(); got != 150 {
		t.Errorf("%d bytes are counted, and 150 were sent", got)
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
