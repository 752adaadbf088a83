package admit

import (
	"context"
	"sync"
)

// Slots is a semaphore. Its length is the number of slots in use.
type Slots chan struct{}

// Take acquires a slot, or returns an error if ctx ends first.
func (s Slots) Take(ctx context.Context) error {
	select { // a free slot is taken even if ctx has ended
	case s <- struct{}{}:
		return nil
	default:
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TryTake acquires a slot if one is free.
func (s Slots) TryTake() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release returns a slot.
func (s Slots) Release() { <-s }

// FairSlots is a semaphore with a share for each client.
//
//  1. All clients together have at most Total slots.
//  2. A client may not have more than remain free: a lone client gets half, the next one half of the rest.
type FairSlots struct {
	Total int // constant

	mu    sync.Mutex
	taken int
	by    map[string]int // by client
}

// TryTake acquires a slot for a client, if its share allows it.
func (s *FairSlots) TryTake(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[client] >= s.Total-s.taken {
		return false
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.by[client]++
	s.taken++
	return true
}

// Release returns a slot of a client.
func (s *FairSlots) Release(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.by[client]--; s.by[client] == 0 {
		delete(s.by, client)
	}
}
