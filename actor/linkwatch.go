package actor

// linkWatch tells how long a leader may be silent before a follower suspects it. The bound follows the link: it is the interval of
// heartbeats, and a multiple of the lateness that heartbeats of this leader have shown. Detectors of this kind are known as adaptive:
// W. Chen, S. Toueg, M. Aguilera, "On the Quality of Service of Failure Detectors", IEEE Transactions on Computers 51 (2002).
//
// Only heartbeats count. Appends come at any pace, and a pause after load is no silence. The leader also sends a heartbeat for each round
// of reads. One heartbeat in an interval counts, so reads do not replace minutes of the link by milliseconds. Time is counted in ticks
// that this member has processed: the member's own pauses blame nobody.
//
// Invariants:
//
//  1. kept are the newest heartbeats that count, at most linkMemory of them, the oldest one at next once there are as many: the ticks by
//     which each came later than its interval, at most len(late)-1.
//  2. late[t] is how many of kept are t.
type linkWatch struct {
	since int  // ticks since the last heartbeat
	begun bool // there was one
	early int  // ticks of heartbeats that did not count, since one did
	kept  []uint16
	next  int
	late  []uint16
}

const (
	// linkLeast is the number of heartbeats before a link is known.
	linkLeast = 40
	// linkMemory is the number of heartbeats that count: at 50 ms at least those of the last three minutes.
	linkMemory = 4096
	// linkGrace is the least silence in ticks, behind an interval, that is suspicious: 100 ms.
	linkGrace = 10
	// linkFactor is how many times the lateness of all but one heartbeat in linkRare a silence must exceed.
	linkFactor = 8
	linkRare   = 1000
)

// passed notes ticks, after the heartbeats that came in them.
func (w *linkWatch) passed(ticks int) { w.since += ticks }

// heartbeat notes a heartbeat. most is the timeout with a link that is not known, in ticks.
func (w *linkWatch) heartbeat(interval, most int) {
	if w.late == nil {
		w.late = make([]uint16, most/linkFactor+2)
	}
	late := min(max(w.since-interval, 0), len(w.late)-1)
	first := !w.begun
	apart := w.early + w.since
	w.begun, w.since, w.early = true, 0, 0
	if first {
		return
	}
	if apart < interval-1 { // two clocks are rounded
		w.early = apart
		return
	}
	if len(w.kept) < linkMemory {
		w.kept = append(w.kept, 0)
	} else {
		w.late[w.kept[w.next]]--
	}
	w.kept[w.next] = uint16(late)
	w.late[late]++
	w.next = (w.next + 1) % linkMemory
}

// timeout returns after how many ticks of silence a leader is suspicious: at most most.
func (w *linkWatch) timeout(interval, most int) int {
	if len(w.kept) < linkLeast {
		return most
	}
	ticks := len(w.late) - 1
	for later := int(w.late[ticks]); later <= len(w.kept)/linkRare && ticks > 0; later += int(w.late[ticks]) {
		ticks--
	}
	return min(interval+max(linkGrace, linkFactor*ticks), most)
}
