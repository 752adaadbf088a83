package actor

// linkWatch tells how long a leader may be silent before a follower suspects it. The bound follows the link: it is the interval of
// heartbeats, and a multiple of the lateness that heartbeats of this leader have shown. Detectors of this kind are known as adaptive:
// W. Chen, S. Toueg, M. Aguilera, "On the Quality of Service of Failure Detectors", IEEE Transactions on Computers 51 (2002).
//
// Only heartbeats count. Appends come at any pace, and a pause after load is no silence. Time is counted in ticks that this member has
// processed: the member's own pauses blame nobody.
//
// Invariants:
//
//  1. late[t] are the heartbeats that came t ticks after their interval, the last one also those that came later. total is their sum.
//  2. Old heartbeats count less: when total reaches linkMemory, every count is halved.
type linkWatch struct {
	since int // ticks since the last heartbeat
	begun bool
	late  []uint32
	total uint32
}

const (
	// linkLeast is the number of heartbeats before a link is known.
	linkLeast = 100
	// linkMemory bounds how many heartbeats count: at two intervals of 50 ms those of the last minutes.
	linkMemory = 4096
	// linkGrace is the least silence in ticks, behind an interval, that is suspicious: 100 ms.
	linkGrace = 10
	// linkFactor is how many times the lateness of all but one heartbeat in linkRare a silence must exceed.
	linkFactor = 8
	linkRare   = 1000
)

// passed notes ticks without a heartbeat.
func (w *linkWatch) passed(ticks int) { w.since += ticks }

// heartbeat notes a heartbeat. most is the bound of a link that is not known, in ticks.
func (w *linkWatch) heartbeat(interval, most int) {
	if w.late == nil {
		w.late = make([]uint32, most/linkFactor+2)
	}
	if w.begun {
		w.late[min(max(w.since-interval, 0), len(w.late)-1)]++
		w.total++
	}
	w.begun, w.since = true, 0
	if w.total < linkMemory {
		return
	}
	w.total = 0
	for i := range w.late {
		w.late[i] /= 2
		w.total += w.late[i]
	}
}

// patience returns after how many ticks of silence a leader is suspicious: at most most.
func (w *linkWatch) patience(interval, most int) int {
	if w.total < linkLeast {
		return most
	}
	rare, ticks := w.total/linkRare, len(w.late)-1
	for later := w.late[ticks]; later <= rare && ticks > 0; later += w.late[ticks] {
		ticks--
	}
	return min(interval+max(linkGrace, linkFactor*ticks), most)
}
