package actor

import (
	"sync"
	"testing"
	"time"
)

// counter is a handler that remembers what it was given.
type counter struct {
	mu   sync.Mutex
	seen []int
	more int
	box  *Mailbox[int]
}

func (c *counter) Handle(_ Time, batch []int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, batch...)
	c.box.setBacklog(0) // everything is worked off
	if c.more > 0 {
		c.more--
		return true
	}
	return false
}

func TestEverythingArrivesInOrder(t *testing.T) {
	r := NewRuntime()
	box := NewMailbox[int]("test", Capacity{Send: 64, Offer: 1 << 20, MustPost: 1 << 20})
	h := &counter{box: box}
	box.MustPost(-1) // before the actor is there
	Spawn(r, box, h)
	const senders, each = 8, 1000
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range each {
				switch s % 3 {
				case 0:
					box.Send(s*each+i, 1)
				case 1:
					box.Offer(s*each + i)
				default:
					box.MustPost(s*each + i)
				}
			}
		})
	}
	all.Wait()
	r.Stop()
	if len(h.seen) != senders*each+1 {
		t.Fatalf("%d of %d messages arrived", len(h.seen), senders*each+1)
	}
	last := make([]int, senders)
	for _, m := range h.seen[1:] {
		if s := m / each; m%each < last[s] {
			t.Fatalf("sender %d: message %d came after %d", s, m%each, last[s])
		} else {
			last[s] = m % each
		}
	}
	if box.Send(1, 1) || box.Offer(1) {
		t.Fatal("a stopped actor still takes messages")
	}
}

func TestFullMailbox(t *testing.T) {
	box := NewMailbox[int]("test", Capacity{Send: 10, Offer: 2, MustPost: 1})
	if !box.Send(1, 100) {
		t.Fatal("a message heavier than all the room must pass an empty mailbox")
	}
	sent := make(chan struct{})
	go func() {
		box.Send(2, 1)
		close(sent)
	}()
	select {
	case <-sent:
		t.Fatal("Send did not wait while the room was full")
	case <-time.After(20 * time.Millisecond):
	}
	if !box.Offer(3) || !box.Offer(4) || box.Offer(5) {
		t.Fatal("Offer must take two messages and drop the third")
	}
	box.MustPost(6)
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("a second message that must be posted in a room for one must panic")
			}
		}()
		box.MustPost(7)
	}()
	if got := box.take(nil); len(got) != 4 {
		t.Fatalf("took %v", got)
	}
	select {
	case <-sent:
		t.Fatal("what the actor took and has not worked off still fills the clients' room")
	case <-time.After(20 * time.Millisecond):
	}
	box.setBacklog(0)
	<-sent
}

// TestRoomIsFreeBehindEachTurn: an actor that keeps nothing, and says nothing of it, never makes its clients wait for good.
func TestRoomIsFreeBehindEachTurn(t *testing.T) {
	const room = 4
	r := NewRuntime()
	box := NewMailbox[hop]("keeps nothing", Capacity{Send: room})
	Spawn(r, box, handlerFunc(func([]hop) {}))
	sent := make(chan int, 10*room)
	go func() {
		for i := range cap(sent) {
			box.Send(hop{}, 1)
			sent <- i
		}
	}()
	for i := range cap(sent) {
		select {
		case <-sent:
		case <-time.After(time.Minute):
			t.Fatalf("message %d has no room, although all before it are worked off", i)
		}
	}
	r.Stop()
}

func TestAgainIsCalledAgain(t *testing.T) {
	r := NewRuntime()
	box := NewMailbox[int]("test", Capacity{MustPost: 1})
	h := &counter{box: box, more: 5}
	Spawn(r, box, h)
	box.MustPost(1)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		more := h.more
		h.mu.Unlock()
		if more == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a handler that asked for it was not called again")
		}
	}
	r.Stop()
}
