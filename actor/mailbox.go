package actor

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Capacity is the capacity of a mailbox, for each way to put a message in. Each batch that the actor takes frees the capacity for Offer
// and MustPost. Capacity for Send is freed when the batch is processed.
type Capacity struct {
	Send     int64 // total weight of the waiting messages of clients; past it Send waits
	Offer    int   // waiting messages of peers and clocks; past it Offer drops
	MustPost int   // messages that cannot be refused; past it there is a bug, and MustPost panics
}

// Mailbox is an actor's queue of messages. Any goroutine puts messages in. The actor takes all of them at once: a thousand messages cost
// one wake-up.
//
// Invariants:
//
//  1. Messages of one sender are taken in the order in which the sender put them in.
//  2. Send waits, Offer drops. MustPost, postAndYield and postQuiet neither wait nor drop.
//  3. After close no message is taken any more, and no call waits.
type Mailbox[M any] struct {
	// Constant.
	name     string
	capacity Capacity

	// Guarded by mu.
	mu       sync.Mutex
	wake     func()               // tells the driver that a message waits
	pass     func()               // tells the driver that a message waits, and that its sender's handler is nearly done
	hold     func(deliver func()) // in the simulator: delays a handler's effects until its disk calls have returned
	roomMade sync.Cond
	waiting  []M
	sent     int64 // weight put in by Send and waiting
	held     int64 // weight that the actor has taken and not processed
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

// Send puts in a message of a client. While the clients' capacity is used up, it waits: this is the backpressure that a connection passes
// on to its client. Send reports false if the mailbox is closed. A message heavier than the whole capacity passes when no other client
// message waits. No handler may call Send.
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

// Fits reports whether Send would not wait. Where one thread runs all actors, waiting would never end.
func (m *Mailbox[M]) Fits(weight int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed || m.fits(weight)
}

// Offer puts a message in, or drops it if the capacity is used up, and reports which. It is for messages that their sender repeats.
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

// MustPost puts in a message whose capacity was reserved before. A full mailbox is a bug and panics with the numbers.
func (m *Mailbox[M]) MustPost(message M) { m.enter(message, soon) }

// postAndYield is MustPost by a handler that is nearly done and leaves the rest to the receiver. The receiver runs when the handler's
// batch is processed, if possible in the same goroutine. Only handlers call it.
func (m *Mailbox[M]) postAndYield(message M) { m.enter(message, afterwards) }

// postQuiet is MustPost without a wake-up, for a message that matters only together with a later one.
func (m *Mailbox[M]) postQuiet(message M) { m.enter(message, whenever) }

// turn says when the actor looks at a message.
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

// Hold sets the weight of all taken messages that still wait inside the actor. It counts against the clients' capacity: an actor that
// cannot make progress makes its clients wait. Only the actor calls it, in each turn; an actor that keeps no message need not.
func (m *Mailbox[M]) Hold(weight int64) {
	m.told = true
	m.mu.Lock()
	m.held = weight
	m.mu.Unlock()
	m.roomMade.Broadcast()
}

// turnEnds frees the clients' capacity that this turn's batch took, unless the actor has called Hold.
func (m *Mailbox[M]) turnEnds() {
	if !m.told && m.capacity.Send > 0 {
		m.Hold(0)
	}
	m.told = false
}

// take returns all waiting messages, and reuses the given slice for the next ones.
func (m *Mailbox[M]) take(spare []M) []M {
	m.mu.Lock()
	batch := m.waiting
	m.waiting = spare[:0]
	m.held += m.sent // until the turn ends, or the actor calls Hold
	m.sent, m.offered, m.posted = 0, 0, 0
	m.woken.Store(false)
	if m.closed {
		batch = nil
	}
	m.mu.Unlock()
	return batch
}

// Waiting returns the number of messages that wait for the actor's turn.
func (m *Mailbox[M]) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting)
}

// idle reports that no message waits for the actor's turn.
func (m *Mailbox[M]) idle() bool { return !m.woken.Load() }

// close makes Send return false, and drops all waiting messages.
func (m *Mailbox[M]) close() {
	m.mu.Lock()
	m.closed = true
	m.waiting = nil
	m.woken.Store(false)
	m.mu.Unlock()
	m.roomMade.Broadcast()
}
