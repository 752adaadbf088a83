package server

import (
	"testing"

	"qkv/index/kv"
	"qkv/internal/buffers"
)

// What a proposal was made of is used again, but not by one that wants much less.
func TestProposedComesBack(t *testing.T) {
	n := testing.AllocsPerRun(100, func() {
		p := newProposed(64 << 10)
		for range 100 {
			start := len(p.arena)
			p.arena = append(p.arena, make([]byte, 256)...)
			p.commands = append(p.commands, kv.Command{Bytes: p.arena[start:]})
			p.requests = append(p.requests, 1)
		}
		p.Release()
	})
	if n > 9 { // 17 when nothing comes back; none, but for the garbage collector, and the race detector, which drops every fourth
		t.Errorf("%v allocations for a proposal of 100 commands", n)
	}
	large := newProposed(256 << 10)
	large.arena = append(large.arena, 1)
	large.Release()
	if large.arena != nil || len(large.commands) != 0 {
		t.Error("commands are left, or a large arena is kept by what may become a small proposal")
	}
	if p := newProposed(300); cap(p.arena) > buffers.Least || len(p.arena) != 0 || len(p.commands) != 0 || len(p.requests) != 0 {
		t.Errorf("a proposal of 300 bytes has room for %d", cap(p.arena))
	}
}
