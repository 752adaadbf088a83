package peer

import (
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"qkv/net/wire/peerframe"
)

// world is two members with nothing but their choices and the connections between them: what is sent arrives later, and
// a connection may be lost for one side before the other one knows.
type world struct {
	sides     [2]*choice
	wires     []*wires
	processes uint64
	dials     uint64
	wrong     string // what must never happen, and did
}

// wires is one connection: an end at each side, and what is on its way.
type wires struct {
	from      int // who dialled
	ends      [2]*conn
	alive     [2]bool // the end, as its side knows it
	handshake *[2]peerframe.Mark
	answer    *[16]byte
}

// process is the id of the newest process.
func (w *world) process() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], w.processes)
	return id
}

func newWorld() *world {
	w := &world{}
	for i := range w.sides {
		w.processes++
		w.sides[i] = &choice{lower: i == 0, process: w.process()}
	}
	return w
}

// dial is what link.try does up to its handshake.
func (w *world) dial(side int) {
	k := &wires{from: side, alive: [2]bool{true, true}}
	k.ends[side] = &conn{}
	if w.sides[side].pending != nil {
		return // a link has one goroutine that dials
	}
	w.dials++
	if seen, ok := w.sides[side].propose(k.ends[side], w.dials); ok {
		k.handshake = &[2]peerframe.Mark{{Process: w.sides[side].process, Dial: w.dials}, seen}
		w.wires = append(w.wires, k)
	}
}

// lose ends one end of a connection, for whatever reason, and in time the other.
func (w *world) lose(k *wires, side int) {
	if k.alive[side] {
		k.alive[side] = false
		w.sides[side].end(k.ends[side])
	}
}

func (w *world) loseEnd(side int, c *conn) {
	for _, k := range w.wires {
		if c != nil && k.ends[side] == c {
			w.lose(k, side)
		}
	}
}

// deliver lets one thing that is on its way arrive.
func (w *world) deliver(k *wires) {
	to := 1 - k.from
	switch {
	case k.handshake != nil:
		handshake := *k.handshake
		k.handshake = nil
		if !k.alive[to] {
			return
		}
		good := w.agreed()
		k.ends[to] = &conn{}
		other, ok := w.sides[to].accept(k.ends[to], handshake[0], handshake[1])
		if !ok {
			k.alive[to] = false
			return
		}
		if good {
			w.wrong = "a connection that both sides use was given up for another one"
		}
		w.loseEnd(to, other)
		process := w.sides[to].process
		k.answer = &process
	case k.answer != nil:
		process := *k.answer
		k.answer = nil
		if k.alive[k.from] && !w.sides[k.from].confirm(k.ends[k.from], process) {
			w.lose(k, k.from)
		}
	default: // what one end knows, the other learns
		for side := range k.alive {
			if !k.alive[1-side] {
				w.lose(k, side)
			}
		}
	}
}

// restart makes a side a new process: all its ends are gone.
func (w *world) restart(side int) {
	for _, k := range w.wires {
		k.alive[side] = false
		if k.from == side {
			k.handshake, k.answer = nil, nil
		}
	}
	w.processes++
	w.sides[side] = &choice{lower: side == 0, process: w.process()}
}

// forget makes a side a new link of the same process: the peer was removed and added again.
func (w *world) forget(side int) {
	for _, k := range w.wires {
		w.lose(k, side)
	}
	w.sides[side] = &choice{lower: side == 0, process: w.sides[side].process}
}

func (w *world) check(t *rapid.T) {
	if w.wrong != "" {
		t.Fatalf("%s:\n%s", w.wrong, w)
	}
	for i, s := range w.sides {
		if s.inUse != nil && s.pending != nil {
			t.Fatalf("side %d has one in use and one pending", i)
		}
		inUse := 0
		for _, k := range w.wires {
			if k.ends[i] != nil && k.alive[i] && s.inUse == k.ends[i] {
				inUse++
			}
		}
		if s.inUse != nil && inUse != 1 {
			t.Fatalf("side %d uses a connection that is not alive", i)
		}
	}
}

// establish lets everything arrive, in some order, and both sides dial while they have nothing.
func (w *world) establish(t *rapid.T) {
	for round := 0; ; round++ {
		if round == 4 {
			t.Fatalf("no agreement after %d rounds: %s", round, w)
		}
		for step := range 4 * len(w.wires) {
			if len(w.wires) > 0 {
				w.deliver(w.wires[rapid.IntRange(0, len(w.wires)-1).Draw(t, fmt.Sprint("establish", step))])
			}
			w.check(t)
		}
		for range 3 {
			for _, k := range w.wires {
				w.deliver(k)
			}
		}
		w.check(t)
		if w.agreed() {
			return
		}
		for side, s := range w.sides {
			// A pending one ends by its time limit when nothing of it is under way.
			if s.pending != nil {
				w.loseEnd(side, s.pending)
			}
			if s.inUse == nil {
				w.dial(side)
			}
		}
	}
}

// agreed says whether both sides use the two ends of one connection.
func (w *world) agreed() bool {
	for _, k := range w.wires {
		if k.ends[0] != nil && k.ends[1] != nil && w.sides[0].inUse == k.ends[0] && w.sides[1].inUse == k.ends[1] {
			return k.alive[0] && k.alive[1]
		}
	}
	return false
}

func (w *world) String() string {
	s := ""
	for i, k := range w.wires {
		s += fmt.Sprintf("%d: from %d alive %v handshake %v answer %v used %v %v\n", i, k.from, k.alive, k.handshake != nil, k.answer != nil,
			k.ends[0] != nil && w.sides[0].inUse == k.ends[0], k.ends[1] != nil && w.sides[1].inUse == k.ends[1])
	}
	return s
}

// Whatever happened before: once nothing is lost any more, both sides use the same connection.
func TestChoiceAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			side := rapid.IntRange(0, 1).Draw(t, "side")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2:
				w.dial(side)
			case 3:
				if len(w.wires) > 0 {
					w.lose(w.wires[rapid.IntRange(0, len(w.wires)-1).Draw(t, "lost")], side)
				}
			case 4:
				switch rapid.IntRange(0, 5).Draw(t, "restart") {
				case 0:
					w.restart(side)
				case 1:
					w.forget(side)
				}
			default:
				if len(w.wires) > 0 {
					w.deliver(w.wires[rapid.IntRange(0, len(w.wires)-1).Draw(t, "arrives")])
				}
			}
			w.check(t)
		}
		w.establish(t)
	})
}

// Two that dial at the same moment, in each order of what arrives: the one that the lower id dialled stays, and no
// third dial is needed.
func TestChoiceOfTwo(t *testing.T) {
	orders := [][]int{{0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0}, {1, 0, 0, 1}, {1, 0, 1, 0}, {1, 1, 0, 0}}
	for _, order := range orders {
		w := newWorld()
		w.dial(0)
		w.dial(1)
		for _, i := range order {
			w.deliver(w.wires[i])
		}
		for range 3 {
			for _, k := range w.wires {
				w.deliver(k)
			}
		}
		if !w.agreed() || !w.sides[0].inUse.mine {
			t.Errorf("order %v:\n%s", order, w)
		}
	}
}

// A side that lost a connection for itself gets a new one at once, though the other still believes in the old one.
func TestChoiceHalfOpen(t *testing.T) {
	for dialler := range 2 {
		for loser := range 2 {
			for _, restarts := range []bool{false, true} {
				w := newWorld()
				w.dial(dialler)
				w.deliver(w.wires[0])
				w.deliver(w.wires[0])
				if !w.agreed() {
					t.Fatal("they are not connected")
				}
				if restarts {
					w.restart(loser)
				} else {
					w.lose(w.wires[0], loser)
				}
				w.dial(loser)
				w.deliver(w.wires[1])
				w.deliver(w.wires[1])
				if !w.agreed() || w.sides[0].inUse != w.wires[1].ends[0] {
					t.Errorf("dialled by %d, lost by %d, which was restarted: %v\n%s", dialler, loser, restarts, w)
				}
			}
		}
	}
}

// A handshake is taken once: one that comes again, when its connection has ended, was sent by nobody who is there now.
func TestHandshakeIsTakenOnce(t *testing.T) {
	w := newWorld()
	c, other := w.sides[0], w.sides[1].process
	for _, x := range []struct {
		dial  uint64
		taken bool
	}{{5, true}, {5, false}, {4, false}, {6, true}} {
		k := &conn{}
		if _, ok := c.accept(k, peerframe.Mark{Process: other, Dial: x.dial}, peerframe.Mark{}); ok != x.taken {
			t.Errorf("dial %d is taken: %v", x.dial, ok)
		}
		c.end(k)
	}
}
