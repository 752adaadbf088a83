package index

import (
	"fmt"

	"qkv/internal/pack"
)

// memberClock is the session clock as one member's entries alone would have moved it. The zero value is unused.
type memberClock struct {
	member uint64
	wall   int64 // Envelope.Wall of its newest entry
	at     int64
}

// SessionClock returns the session clock. A client that begins a series of write names now puts this value in Opened.
func (r *replicated) SessionClock() int64 { return r.numbers.clock }

// moveClock adds the time since the member's previous entry, at most a pause, and lets the session clock follow
// the member that is furthest ahead. A member that was away for long, or whose entries come late, resumes at most one
// pause behind the clock. It moves the clock alone if the other members write nothing.
func (l *sessions) moveClock(member uint64, wall int64) {
	one := l.numbers.clockOf(member)
	if one.member != member {
		*one = memberClock{member, wall, l.numbers.clock}
		return
	}
	pause := int64(l.rules.Pause)
	passed := wall - one.wall
	one.at = max(one.at, l.numbers.clock-pause) + min(max(passed, 0), pause)
	l.numbers.clock = max(l.numbers.clock, one.at)
	if passed > 0 || passed < -pause { // a clock that went back a little will soon be there again
		one.wall = wall
	}
}

// clockOf returns a member's clock. If it has none, it returns an unused clock or the clock that is furthest
// behind, which the member takes over.
func (n *sessionNumbers) clockOf(member uint64) *memberClock {
	last := &n.clocks[0]
	for i := range n.clocks {
		one := &n.clocks[i]
		if one.member == member {
			return one
		}
		if one.at < last.at {
			last = one
		}
	}
	return last
}

// clocksUsed are the members' clocks up to the last used one.
func (n *sessionNumbers) clocksUsed() []memberClock {
	used := n.clocks[:]
	for len(used) > 0 && used[len(used)-1] == (memberClock{}) {
		used = used[:len(used)-1]
	}
	return used
}

const clockFields = 3

// appendClocks appends the session clock and the members' clocks.
func (n *sessionNumbers) appendClocks(dst []byte) []byte {
	used := n.clocksUsed()
	dst = pack.AppendArray(pack.AppendInt(dst, n.clock), len(used))
	for _, one := range used {
		dst = pack.AppendUint(pack.AppendArray(dst, clockFields), one.member)
		dst = pack.AppendInt(pack.AppendInt(dst, one.wall), one.at)
	}
	return dst
}

func (n *sessionNumbers) readClocks(r *pack.Reader) {
	n.clock = r.Int()
	all := r.Array()
	if all > len(n.clocks) {
		r.Fail(fmt.Sprintf("the clocks of %d members, and a state has %d", all, len(n.clocks)))
		return
	}
	for i := range all {
		fields := r.Struct(clockFields)
		n.clocks[i] = memberClock{r.Uint(), r.Int(), r.Int()}
		r.End(fields)
		if at := n.clocks[i].at; at < 0 || at > n.clock {
			r.Fail("the clock of a member is ahead of all")
		}
	}
}
