package server

import (
	"sync"

	"qkv/index/kv"
	"qkv/internal/buffers"
)

// proposed holds the memory of a proposal. Its Release recycles it when all commands are in batches: under load, commands are
// encoded into existing memory.
type proposed struct {
	arena    []byte // the commands' bytes
	commands []kv.Command
	requests []uint64
}

var allProposed = sync.Pool{New: func() any { return new(proposed) }}

// newProposed returns an empty proposed with an arena for so many bytes of commands. An arena over buffers.Least comes from the
// pool of its size: a client with one request under way does not hold an arena for a thousand.
func newProposed(bytes int) *proposed {
	p := allProposed.Get().(*proposed)
	if cap(p.arena) < bytes {
		p.arena = buffers.Get(bytes)
	}
	return p
}

// Release implements kv.Release.
func (p *proposed) Release() {
	clear(p.commands)
	if cap(p.arena) > buffers.Least {
		buffers.Put(p.arena)
		p.arena = nil
	}
	p.arena, p.commands, p.requests = p.arena[:0], p.commands[:0], p.requests[:0]
	allProposed.Put(p)
}
