package actor

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Capacity is how much a mailbox holds for each way of putting a message in. Each batch that the actor takes makes all
// of it free again; of the room for Send, when it is worked off.
type Capacity struct {
	Send     int64 // weight that clients may have waiting; past it Send waits
	Offer    int   // messages that peers and clocks may have waiting; past it Offer drops
	MustPost int   // messages that cannot be refused; past it there is a bug, and MustPost panics
}

// Mailbox is where an actor's messages wait. Any goroutine puts messages in; the actor takes all of them at once, so
// that a thousand messages cost one wake-up.
//
// Invariants:
//
//  1. Messages of one sender are taken in the order in which it put them in.
//  2. Send waits, Offer drops; MustPost, PostAndYield and PostQuiet neither wait nor drop.
//  3. After close nothing is taken any more, and nothing waits.
type Mailbox[M any] struct {
	// Constant.
	name     string
	capacity Capacity

	// Guarded by mu.
	mu       sync.Mutex
	wake     func()               // tells the driver that a message waits
	pass     func()               // tells the driver that a message waits, and that the handler that sent it will soon be done
	hold     func(deliver func()) // in the simulator: keeps a handler's effects back until its disk calls are over
	roomMade sync.Cond
	waiting  []M
	sent     int64 // weight put in by Send and waiting
	held     int64 // weight that the actor has taken and not worked off
	offered  int
	posted   int
	closed   bool

	woken atomic.Bool // the driver knows that a message waits; changed under mu only

	told bool // the actor's: it has called Hold in this turn
}

// NewMailbox returns an empty mailbox. Messages may be put in before its actor is spawned.
func NewMailbox[M any](name string, capacity Capacity) *Mailbox[M] {
	m := &Mailbox[M]{name: name, capacity: capacity}
	m.roomMade.L = &m.mu
	m.wake, m.pass = func() {}, func() {}
	return m
}

// Send puts a message of a client in, and waits while the clients' room is full: that is the backpressure which a
// connection hands on to its client. It reports false when the mailbox is closed. A message heavier than all the room
// still passes when nothing else waits. No handler may call it.
func (m *Mailbox[M]) Send(message M, weight int64) bool {
	m.mu.Lock()
	for !m.closed && !m.fits(weight) {
		m.roomMade.Wait()
	}
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.sent += weight
	m.put(message, m.wake)
	return true
}

func (m *Mailbox[M]) fits(weight int64) bool {
	return m.sent+m.held == 0 || m.sent+m.held+weight <= m.capacity.Send
}

// Fits tells whether Send would not wait: where one thread is all, nobody else would make room.
func (m *Mailbox[M]) Fits(weight int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed || m.fits(weight)
}

// Offer puts a message in, or drops it when the room is full, and says which. It is for what its sender sends again.
func (m *Mailbox[M]) Offer(message M) bool {
	m.mu.Lock()
	if m.closed || m.offered >= m.capacity.Offer {
		m.mu.Unlock()
		return false
	}
	m.offered++
	m.put(message, m.wake)
	return true
}

// MustPost puts a message in whose room was reserved before. A full mailbox is a bug and panics with the numbers.
func (m *Mailbox[M]) MustPost(message M) { m.enter(message, soon) }

// PostAndYield is MustPost by a handler that is nearly done and leaves the rest to the receiver, whose turn comes when the
// handler's batch is worked off, where possible in the same goroutine. Only handlers call it.
func (m *Mailbox[M]) PostAndYield(message M) { m.enter(message, afterwards) }

// PostQuiet is MustPost of what matters only together with a later message: it wakes nobody.
func (m *Mailbox[M]) PostQuiet(message M) { m.enter(message, whenever) }

// turn says when the actor is to look at a message.
type turn int

const (
	soon       turn = iota
	afterwards      // when the handler that sent it is done
	whenever        // with the next message
)

func (m *Mailbox[M]) enter(message M, when turn) {
	m.mu.Lock()
	hold := m.hold
	if hold == nil {
		m.post(message, when)
		return
	}
	m.mu.Unlock()
	hold(func() {
		m.mu.Lock()
		m.post(message, when)
	})
}

// post puts the message in and unlocks.
func (m *Mailbox[M]) post(message M, when turn) {
	if m.closed {
		m.mu.Unlock()
		return
	}
	if m.posted >= m.capacity.MustPost {
		m.mu.Unlock()
		panic(fmt.Sprintf("mailbox %s: %d messages posted, room for %d", m.name, m.posted, m.capacity.MustPost))
	}
	m.posted++
	switch when {
	case soon:
		m.put(message, m.wake)
	case afterwards:
		m.put(message, m.pass)
	case whenever:
		m.put(message, nil)
	}
}

// put appends the message and unlocks. Only the first message of a batch that wants it wakes the actor.
func (m *Mailbox[M]) put(message M, wake func()) {
	m.waiting = append(m.waiting, message)
	first := wake != nil && !m.woken.Load()
	if first {
		m.woken.Store(true)
	}
	m.mu.Unlock()
	if first {
		wake()
	}
}

// Hold tells how much of all that was taken still waits inside the actor. It counts against the clients' room, so that
// an actor that cannot get on makes its clients wait. Only the actor calls it, in each turn; one that keeps nothing need not.
func (m *Mailbox[M]) Hold(weight int64) {
	m.told = true
	m.mu.Lock()
	m.held = weight
	m.mu.Unlock()
	m.roomMade.Broadcast()
}

// turnEnds makes the clients' room free again that the batch of this turn took, unless the actor has said what it kept.
func (m *Mailbox[M]) turnEnds() {
	if !m.told && m.capacity.Send > 0 {
		m.Hold(0)
	}
	m.told = false
}

// take returns all that waits, and keeps the slice it is given for what comes next.
func (m *Mailbox[M]) take(spare []M) []M {
	m.mu.Lock()
	batch := m.waiting
	m.waiting = spare[:0]
	m.held += m.sent // until the turn ends, or the actor says what it kept
	m.sent, m.offered, m.posted = 0, 0, 0
	m.woken.Store(false)
	if m.closed {
		batch = nil
	}
	m.mu.Unlock()
	return batch
}

// Waiting is how many messages wait for the actor's turn.
func (m *Mailbox[M]) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting)
}

// idle reports that no message waits for the actor's turn.
func (m *Mailbox[M]) idle() bool { return !m.woken.Load() }

// close makes Send return false, and drops what waits.
func (m *Mailbox[M]) close() {
	m.mu.Lock()
	m.closed = true
	m.waiting = nil
	m.woken.Store(false)
	m.mu.Unlock()
	m.roomMade.Broadcast()
}
