package server

import "sync"

// proposed is what a proposal is made of. It comes back, by its Release, when all of it is in batches: what is put under load
// is encoded into memory that is there.
type proposed struct {
	arena    []byte // the commands' bytes
	commands [][]byte
	requests []uint64
}

var allProposed = sync.Pool{New: func() any { return new(proposed) }}

// proposedTimes is how many times what is wanted a proposal may have: who has one request under way does not hold the room
// of a thousand.
const proposedTimes = 4

// newProposed returns an empty one with room for so many bytes of commands.
func newProposed(bytes int) *proposed {
	p := allProposed.Get().(*proposed)
	switch n := cap(p.arena); {
	case n > proposedTimes*bytes:
		allProposed.Put(p)
		return &proposed{arena: make([]byte, 0, bytes)}
	case n < bytes:
		p.arena = make([]byte, 0, bytes)
	}
	return p
}

// Release implements kv.Release.
func (p *proposed) Release() {
	clear(p.commands)
	p.arena, p.commands, p.requests = p.arena[:0], p.commands[:0], p.requests[:0]
	allProposed.Put(p)
}
