package actor

import (
	"bytes"
	"slices"
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
		p.Commands = append(p.Commands, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: make([]byte, 64)}))
	}
	return p, r
}

// A proposal goes back to who made it once, when the last of its commands is in a batch that was taken, and not before.
func TestProposalIsReleasedOnce(t *testing.T) {
	var p proposals
	small, first := proposalOf(3)
	large, second := proposalOf(limits.BatchCommands)
	p.add(Propose{Proposal: small}, 0)
	p.add(Propose{Proposal: large}, 0)
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

// Consensus packs the next batch into the same memory: raft must have copied a proposed envelope, also that of a membership change. raft's
// own comment says that it would rather not.
func TestRaftCopiesEnvelopes(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	for i, change := range []*kv.MemberChange{nil, {Kind: kv.AddLearner, ID: 9, Name: "n9"}} {
		buffer := envelope(1, 7, uint64(i+1), 100)
		want := bytes.Clone(buffer)
		if err := c.proposeEnvelope(buffer, change); err != nil {
			t.Fatal(err)
		}
		clear(buffer)
		c.turn(Tick{})
		c.acknowledge()
		if n := len(c.applied); n == 0 || !bytes.Contains(c.applied[n-1], want) {
			t.Errorf("change %v: in the log is %q, proposed was %q", change, c.applied[max(n-1, 0):], want)
		}
	}
}

// What the member writes by itself goes before what clients wait with, also before the rest of a proposal that is in part in a
// batch; nothing is lost or doubled by it.
func TestOwnProposalsGoFirst(t *testing.T) {
	most := limits.Defaults()
	most.BatchCommands = 3
	var p proposals
	add := func(own bool, requests ...uint64) {
		commands := make([]kv.Command, len(requests))
		for i := range commands {
			commands[i] = new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})
		}
		p.add(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: requests, Commands: commands}, Own: own}, 0)
	}
	var got [][]uint64
	next := func() {
		b := p.pack(most)
		var numbers []uint64
		for _, r := range b.requests {
			numbers = append(numbers, r.Number)
		}
		p.take(b)
		got = append(got, numbers)
	}
	add(false, 1, 2, 3, 4, 5)
	next()
	add(false, 6, 7)
	add(true, 100)
	next()
	add(true, 101)
	next()
	if want := [][]uint64{{1, 2, 3}, {100, 4, 5}, {101, 6, 7}}; !slices.EqualFunc(got, want, slices.Equal[[]uint64]) || len(p.waiting) != 0 || p.bytes != 0 {
		t.Errorf("the batches are %v, want %v; %d wait, %d bytes", got, want, len(p.waiting), p.bytes)
	}
}

// Packing costs one piece of memory for a batch: who waits for its commands.
func TestPackAllocatesOnce(t *testing.T) {
	var p proposals
	proposal, _ := proposalOf(500)
	n := testing.AllocsPerRun(100, func() {
		p.add(Propose{Proposal: proposal}, 0)
		p.add(Propose{Proposal: proposal}, 0)
		p.take(p.pack(limits.Defaults()))
	})
	if n > 1 {
		t.Errorf("%v allocations", n)
	}
}
