package actor

import (
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// releases counts how often a proposal was given back.
type releases struct{ n int }

func (r *releases) Release() { r.n++ }

func proposalOf(commands int) (kv.Proposal, *releases) {
	r := &releases{}
	p := kv.Proposal{ReplyTo: nobody{}, Requests: make([]uint64, commands), Release: r}
	for range commands {
		p.Commands = append(p.Commands, index.AppendPut(nil, &kv.Put{Key: []byte("key"), Value: make([]byte, 64)}))
	}
	return p, r
}

// A proposal goes back to who made it once, when the last of its commands is in a batch that was taken, and not before.
func TestProposalIsReleasedOnce(t *testing.T) {
	var p proposals
	small, first := proposalOf(3)
	large, second := proposalOf(limits.BatchCommands)
	p.add(small, 0)
	p.add(large, 0)
	b := p.pack(limits.Defaults())
	if first.n != 0 || second.n != 0 {
		t.Fatal("a proposal was released while its commands are not in a batch that was taken")
	}
	if p.take(b); first.n != 1 || second.n != 0 {
		t.Fatalf("after the first batch the proposals were released %d and %d times", first.n, second.n)
	}
	if b = p.pack(limits.Defaults()); len(b.commands) != 3 {
		t.Fatalf("%d commands are left", len(b.commands))
	}
	if p.take(b); first.n != 1 || second.n != 1 || len(p.waiting) != 0 || p.bytes != 0 {
		t.Fatalf("after all the proposals were released %d and %d times, %d wait", first.n, second.n, len(p.waiting))
	}
}

// Packing costs one piece of memory for a batch: who waits for its commands.
func TestPackAllocatesOnce(t *testing.T) {
	var p proposals
	proposal, _ := proposalOf(500)
	n := testing.AllocsPerRun(100, func() {
		p.add(proposal, 0)
		p.add(proposal, 0)
		p.take(p.pack(limits.Defaults()))
	})
	if n > 1 {
		t.Errorf("%v allocations", n)
	}
}
