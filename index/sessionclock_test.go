package index

import (
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// clockTest applies entries of members whose clocks are whatever they are.
type clockTest struct {
	t *testing.T
	s *State
}

func newClockTest(t *testing.T) *clockTest {
	l := limits.Defaults().Index
	l.Sessions = limits.FirstSessionRules
	l.Sessions.Sessions = 3
	return &clockTest{t, NewState(l)}
}

// entry applies an entry of a member, and returns by how much the sessions' clock has moved.
func (c *clockTest) entry(member uint64, wall time.Duration, commands ...[]byte) time.Duration {
	c.t.Helper()
	before := c.s.numbers.clock
	applied, _ := c.s.Applied()
	if _, err := c.s.Apply(applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: member, Wall: int64(wall)}, commands), nil); err != nil {
		c.t.Fatal(err)
	}
	return time.Duration(c.s.numbers.clock - before)
}

const year = 365 * 24 * time.Hour

// A member's clock that was ahead, and is corrected or gone, does not stop the session clock. While that clock stood
// still no session would be idle, and at the limit of sessions no client could begin another one.
func TestSessionsEndBehindAClockThatWasAhead(t *testing.T) {
	for name, ahead := range map[string]uint64{"put right": 1, "gone": 2} {
		c := newClockTest(t)
		now := 50 * year
		c.entry(1, now)
		c.entry(2, now)
		c.entry(ahead, now+year)
		for id := range uint64(3) {
			now += time.Second
			c.session(1, now, 100+id, kv.OK)
		}
		now += time.Second
		c.session(1, now, 200, kv.Overloaded) // none of them is idle yet
		for range 40 {
			now += time.Second
			c.entry(1, now)
		}
		c.session(1, now, 201, kv.OK)
		if t.Failed() {
			t.Log(name)
		}
	}
}

// session writes in a session that begins, and compares what becomes of it.
func (c *clockTest) session(member uint64, wall time.Duration, id uint64, want kv.Code) {
	c.t.Helper()
	c.opened(member, wall, id, c.s.numbers.clock, want)
}

// opened does so in a session that was opened at a given session clock.
func (c *clockTest) opened(member uint64, wall time.Duration, id uint64, opened int64, want kv.Code) {
	c.t.Helper()
	applied, _ := c.s.Applied()
	head := Head{Once: kv.WriteName{Session: id, Sequence: 1, Window: 1, Opened: opened}}
	results, err := c.s.Apply(applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: member, Wall: int64(wall)}, [][]byte{
		head.AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("v")}).Bytes,
	}), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	got := kv.OK
	if err := results[0].Err; err != nil {
		got = err.Code
	}
	if got != want {
		c.t.Errorf("session %d: %v, want %v: %v", id, got, want, results[0].Err)
	}
}

// A copy of a write does not begin an ended session, even if the session was opened, wrote for the last time and became
// idle at the same session clock: otherwise the write would be applied twice.
func TestEndedSessionDoesNotBeginAgain(t *testing.T) {
	c := newClockTest(t)
	now := 50 * year
	c.entry(1, now)
	opened := c.s.numbers.clock
	c.opened(1, now, 100, opened, kv.OK)
	for range limits.SessionTTL/limits.SessionPause + 1 {
		now += limits.SessionPause
		c.entry(1, now)
	}
	if c.s.numbers.sessions != 0 {
		t.Fatalf("%d sessions", c.s.numbers.sessions)
	}
	c.opened(1, now, 100, opened, kv.NameEnded)
	c.opened(1, now, 101, opened+1, kv.OK)
}

// An ended session does not exist for its next write either, even if it was the last session that wrote. A member that
// has loaded a snapshot since does not have the session, and both members must have the same state.
func TestEndedSessionIsNotFoundAgain(t *testing.T) {
	c := newClockTest(t)
	now := 50 * year
	c.entry(1, now)
	opened := c.s.numbers.clock
	c.opened(1, now, 100, opened, kv.OK)
	for range limits.SessionTTL/limits.SessionPause + 1 {
		now += limits.SessionPause
		c.entry(1, now)
	}
	for sequence := range uint64(20) {
		head := Head{Once: kv.WriteName{Session: 100, Sequence: 1 + sequence, Window: 1, Opened: opened}}
		c.entry(1, now, head.AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("w")}).Bytes)
	}
	if err := c.s.Check(); err != nil || c.s.numbers.sessions != 0 || c.s.revision != 2 {
		t.Errorf("%v, %d sessions, revision %d", err, c.s.numbers.sessions, c.s.revision)
	}
}

// The clock goes as time does, whatever the members' clocks say: they are days apart and jump, entries come late, members are
// away for a while. It is ahead by a pause at most for each jump.
func TestSessionClockGoesAsTimeDoes(t *testing.T) {
	c := newClockTest(t)
	begun := 50 * year
	now := begun
	off := []time.Duration{0, 0, -48 * time.Hour, 72 * time.Hour}
	jumps := 0
	for second := range time.Duration(3000) {
		now = begun + second*time.Second
		for member := uint64(1); member <= 3; member++ {
			if away := second / 500 % 4; uint64(away) == member {
				continue
			}
			late := time.Duration(0)
			if second%7 == 0 {
				late = time.Duration(member) * 1500 * time.Millisecond
			}
			c.entry(member, now+off[member]-late)
		}
		if second%400 == 399 {
			off[1+jumps%3] += []time.Duration{year, -year, time.Hour}[jumps/3%3]
			jumps++
		}
	}
	went, most := time.Duration(c.s.numbers.clock), now-begun+time.Duration(jumps)*limits.SessionPause
	if went > most || went < now-begun-2*limits.SessionPause {
		t.Errorf("the clock went by %v in %v, with %d jumps", went, now-begun, jumps)
	}
}

// There are clocks for the largest number of members. When all are taken, a new member takes the clock that is furthest
// behind.
func TestSessionClockOfManyMembers(t *testing.T) {
	c := newClockTest(t)
	for member := range uint64(100) {
		for second := range time.Duration(20) {
			c.entry(1+member, 50*year+time.Duration(member)*20*time.Second+second*time.Second)
		}
	}
	if went := time.Duration(c.s.numbers.clock); went < 100*19*time.Second/2 || went > 100*20*time.Second {
		t.Errorf("the clock went by %v in %v", went, 100*20*time.Second)
	}
	if used := c.s.numbers.clocksUsed(); len(used) != sessionClocks {
		t.Errorf("%d members are known", len(used))
	}
}
