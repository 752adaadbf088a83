package actor

import (
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hop is a message on its way through some actors.
type hop struct {
	sender, number int
	left           int // hops
}

// relay hands each message on to another actor, in all the ways there are.
type relay struct {
	boxes      []*Mailbox[hop]
	randomness *rand.Rand
	turn       atomic.Int32
	next       []int // number that is expected of each sender
	ended      *atomic.Int64
	left       *atomic.Int64 // messages that were left and not seen
	t          *testing.T
}

func (r *relay) Handle(_ Time, batch []hop) bool {
	if r.turn.Add(1) != 1 {
		r.t.Error("an actor has two turns at the same time")
	}
	defer r.turn.Add(-1)
	for _, m := range batch {
		switch {
		case m.sender < 0:
			r.left.Add(-1)
		case m.left == 0:
			r.ended.Add(1)
		default:
			r.relay(m)
		}
	}
	return false
}

// relay sends the message on, after one that nobody need wake up for.
func (r *relay) relay(m hop) {
	if m.number >= 0 {
		if r.next[m.sender] != m.number {
			r.t.Errorf("sender %d: message %d came in place of %d", m.sender, m.number, r.next[m.sender])
		}
		r.next[m.sender]++
	}
	to := r.boxes[r.randomness.IntN(len(r.boxes))]
	r.left.Add(1)
	to.postQuiet(hop{sender: -1})
	m.number, m.left = -1, m.left-1
	if r.randomness.IntN(4) == 0 {
		to.MustPost(m)
	} else {
		to.postAndYield(m)
	}
}

// TestNoMessageIsForgotten sends messages from many goroutines on long ways through actors that wake each other, pass
// on to each other and leave things for each other. Each must arrive, each actor must have one turn at a time, and
// what one sender sends must come in its order. A lost wake-up shows as a message that never arrives.
func TestNoMessageIsForgotten(t *testing.T) {
	const actors, senders, each, hops = 5, 6, 2000, 7
	var ended, left atomic.Int64
	r := NewRuntime()
	boxes := make([]*Mailbox[hop], actors)
	for i := range boxes {
		boxes[i] = NewMailbox[hop]("relay", Capacity{Send: 100, MustPost: 1 << 20})
	}
	for i, box := range boxes {
		Spawn(r, box, &holding{relay: relay{
			boxes: boxes, randomness: rand.New(rand.NewPCG(1, uint64(i))), next: make([]int, senders), ended: &ended, left: &left, t: t,
		}, box: box})
	}
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range each {
				boxes[s%actors].Send(hop{sender: s, number: i, left: hops}, 1)
				if i%97 == 0 {
					time.Sleep(50 * time.Microsecond) // so that everything comes to rest now and then
				}
			}
		})
	}
	all.Wait()
	for begun := time.Now(); ended.Load() < senders*each; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("%d of %d messages have arrived; the others wait in mailboxes whose actors sleep", ended.Load(), senders*each)
		}
	}
	for _, box := range boxes {
		box.MustPost(hop{}) // ends at once, and takes what was left with it
	}
	r.Stop()
	if n := left.Load(); n != 0 {
		t.Fatalf("%d messages that were left were not handed over, or twice", n)
	}
}

// holding lets the senders go on after each batch.
type holding struct {
	relay
	box *Mailbox[hop]
}

func (h *holding) Handle(t Time, batch []hop) bool {
	again := h.relay.Handle(t, batch)
	h.box.setBacklog(0)
	return again
}

// TestPassedOnInTheSameGoroutine shows what passing is for: a chain of handlers runs without waking another goroutine.
func TestPassedOnInTheSameGoroutine(t *testing.T) {
	r := NewRuntime()
	const actors = 4
	boxes := make([]*Mailbox[hop], actors)
	for i := range boxes {
		boxes[i] = NewMailbox[hop]("chain", Capacity{Send: 1, MustPost: 1})
	}
	turns := make(chan string, actors)
	for i := range boxes {
		Spawn(r, boxes[i], handlerFunc(func(batch []hop) {
			if len(batch) == 0 {
				return // woken for what it had already taken
			}
			turns <- goroutine()
			if i < actors-1 {
				boxes[i+1].postAndYield(batch[0])
			}
		}))
	}
	for range 100 {
		boxes[0].MustPost(hop{})
		first := <-turns
		for i := 1; i < actors; i++ {
			if next := <-turns; next != first {
				t.Fatalf("actor %d had its turn in %s, the one before it in %s", i, next, first)
			}
		}
		for _, a := range r.actors {
			for a.claimed.Load() { // its goroutine is about to see that nothing else waits
				time.Sleep(10 * time.Microsecond)
			}
		}
	}
	r.Stop()
}

// goroutine is the name of the running one.
func goroutine() string {
	name, _, _ := strings.Cut(string(debug.Stack()), " [")
	return name
}

type handlerFunc func(batch []hop)

func (f handlerFunc) Handle(_ Time, batch []hop) bool {
	f(batch)
	return false
}

// The wall clock, which jumps, is read again when what is known of it is old, and not for each moment.
func TestWallIsReadAgain(t *testing.T) {
	r := NewRuntime()
	defer r.Stop()
	first := r.Time()
	if behind := time.Since(time.Unix(0, first.Wall)); behind < -time.Hour || behind > time.Hour {
		t.Fatalf("at first it is wrong by %v", behind)
	}
	r.wallOffset.Store(0)
	r.read.Store(int64(time.Hour)) // just now, however long this takes
	if now := r.Time(); now.Wall != int64(now.Now) {
		t.Errorf("it was read again at once: %v", now)
	}
	r.read.Store(int64(first.Now - wallEvery))
	if behind := time.Since(time.Unix(0, r.Time().Wall)); behind < -time.Hour || behind > time.Hour {
		t.Errorf("it is still wrong by %v", behind)
	}
}
