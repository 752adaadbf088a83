package index

import "qkv/internal/pack"

// memberClock is how far the sessions' clock would be by one member's entries alone. One that is all 0 is nobody's.
type memberClock struct {
	member uint64
	wall   int64 // Envelope.Wall of its newest entry
	at     int64
}

// SessionClock returns the sessions' clock: what a session is opened at that begins now.
func (v *View) SessionClock() int64 { return v.clock }

// moveSessionClock counts the time since the member's entry before this one, but not a pause, and lets the clock follow the member
// that is furthest. One that was away for long, or whose entries have come late, is a pause behind at most: it goes on alone when the others do not.
func (s *State) moveSessionClock(member uint64, wall int64) {
	one := s.memberClock(member)
	if one.member != member {
		*one = memberClock{member, wall, s.clock}
		return
	}
	pause := int64(s.rules.Pause)
	passed := wall - one.wall
	one.at = max(one.at, s.clock-pause) + min(max(passed, 0), pause)
	s.clock = max(s.clock, one.at)
	if passed > 0 || passed < -pause { // a clock that went back a little will be there again soon
		one.wall = wall
	}
}

// memberClock returns a member's clock, or the one that it is to have: nobody's, or that of who has not proposed anything for
// the longest time.
func (s *State) memberClock(member uint64) *memberClock {
	last := &s.clocks[0]
	for i := range s.clocks {
		one := &s.clocks[i]
		if one.member == member {
			return one
		}
		if one.at < last.at {
			last = one
		}
	}
	return last
}

// clocksUsed are the members' clocks, up to the last that is somebody's.
func (n *sessionNumbers) clocksUsed() []memberClock {
	used := n.clocks[:]
	for len(used) > 0 && used[len(used)-1] == (memberClock{}) {
		used = used[:len(used)-1]
	}
	return used
}

// appendClocks appends the clock and the members' clocks.
func (n *sessionNumbers) appendClocks(dst []byte) []byte {
	used := n.clocksUsed()
	dst = pack.AppendArray(pack.AppendInt(dst, n.clock), 3*len(used))
	for _, one := range used {
		dst = pack.AppendInt(pack.AppendInt(pack.AppendUint(dst, one.member), one.wall), one.at)
	}
	return dst
}

func (s *State) readClocks(r *pack.Reader) {
	s.clock = r.Int()
	n := r.Array()
	if n%3 != 0 || n/3 > len(s.clocks) {
		r.Fail("clocks of members that are none")
		return
	}
	for i := range n / 3 {
		s.clocks[i] = memberClock{r.Uint(), r.Int(), r.Int()}
		if at := s.clocks[i].at; at < 0 || at > s.clock {
			r.Fail("the clock of a member is ahead of all")
		}
	}
}
