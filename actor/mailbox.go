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
	mu   sync.Mutex
	wake func() // tells the driver that a message waits
	// tells the driver that a message waits, and that its sender's handler is nearly done
	pass func()
	// in the simulator: delays a handler's effects until its disk calls have returned
	delay         func(deliver func())
	capacityFreed sync.Cond
	waiting       []M
	sent          int64 // weight that Send has put in and the actor has not taken
	unprocessed   int64 // weight that the actor has taken and not processed (setBacklog)
	offered       int
	posted        int
	closed        bool

	woken atomic.Bool // the driver knows that a message waits; changed under mu only

	backlogSet bool // the actor has called setBacklog in this turn; only the actor's goroutine reads it
}

// NewMailbox returns an empty mailbox. Messages may be put in before its actor is spawned.
func NewMailbox[M any](name string, capacity Capacity) *Mailbox[M] {
	m := &Mailbox[M]{name: name, capacity: capacity}
	m.capacityFreed.L = &m.mu
	m.wake, m.pass = func() {}, func() {}
	return m
}

// Send puts in a message of a client. While the clients' capacity is used up, it waits: this is the backpressure that a connection passes
// on to its client. Send reports false if the mailbox is closed. A message heavier than the whole capacity passes when no other client
// message waits. No handler may call Send.
func (m *Mailbox[M]) Send(message M, weight int64) bool {
	m.mu.Lock()
	for !m.closed && !m.fits(weight) {
		m.capacityFreed.Wait()
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
	return m.sent+m.unprocessed == 0 || m.sent+m.unprocessed+weight <= m.capacity.Send
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

// MustPost puts in a message that is never dropped. The rules of the senders bound the number of these messages to the capacity: a full
// mailbox is a bug and panics with the numbers.
func (m *Mailbox[M]) MustPost(message M) { m.enqueue(message, wakeNow) }

// postAndYield is MustPost by a handler that is nearly done and leaves the rest to the receiver. The receiver runs when the handler's
// batch is processed, if possible in the same goroutine. Only handlers call it.
func (m *Mailbox[M]) postAndYield(message M) { m.enqueue(message, wakeAfterHandler) }

// postQuiet is MustPost without a wake-up, for a message that matters only together with a later one.
func (m *Mailbox[M]) postQuiet(message M) { m.enqueue(message, noWakeup) }

// wakeup says when the driver learns that a message waits.
type wakeup int

const (
	wakeNow          wakeup = iota
	wakeAfterHandler        // when the handler that sent the message is done
	noWakeup                // not before another message wakes the actor
)

func (m *Mailbox[M]) enqueue(message M, when wakeup) {
	m.mu.Lock()
	hold := m.delay
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
func (m *Mailbox[M]) post(message M, when wakeup) {
	if m.closed {
		m.mu.Unlock()
		return
	}
	if m.posted >= m.capacity.MustPost {
		m.mu.Unlock()
		panic(fmt.Sprintf("mailbox %s: %d messages posted, capacity for %d", m.name, m.posted, m.capacity.MustPost))
	}
	m.posted++
	switch when {
	case wakeNow:
		m.put(message, m.wake)
	case wakeAfterHandler:
		m.put(message, m.pass)
	case noWakeup:
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

// setBacklog sets the weight of the taken messages that still wait inside the actor. It counts against the clients' capacity: if an actor
// cannot make progress, its clients wait. An actor that keeps messages beyond a turn calls it in each turn.
func (m *Mailbox[M]) setBacklog(weight int64) {
	m.backlogSet = true
	m.mu.Lock()
	m.unprocessed = weight
	m.mu.Unlock()
	m.capacityFreed.Broadcast()
}

// endTurn frees the clients' capacity that this turn's batch took, unless the actor has called setBacklog.
func (m *Mailbox[M]) endTurn() {
	if !m.backlogSet && m.capacity.Send > 0 {
		m.setBacklog(0)
	}
	m.backlogSet = false
}

// take returns all waiting messages, and reuses the given slice for the next ones.
func (m *Mailbox[M]) take(spare []M) []M {
	m.mu.Lock()
	batch := m.waiting
	m.waiting = spare[:0]
	m.unprocessed += m.sent // until the turn ends, or the actor calls setBacklog
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
	m.capacityFreed.Broadcast()
}
