package actor

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
)

// A follower's batches travel to the leader of a term in the order of their numbers, and the leader takes each once:
//
//	follower                                             leader
//	forward 5, 9, 12 ────────────────────────────────►   takes 5; 9 is lost; 12 is not the next one: ignored
//	     5 is in my log: it need not be sent again  ◄─   MsgApp
//	connected anew, or no progress for a while:
//	forward 9, 12 ───────────────────────────────────►   takes 9 and 12
//
// There is no other answer: what stands in the follower's log was taken, and a term that ends makes all of it void on
// both sides. So a connection that breaks while the leader stays costs a moment, and not the clients' patience.

// away are the batches that this member forwarded in this term and has not seen in its log.
type away struct {
	unseen []awayBatch // by number
	bytes  int64
	since  time.Duration // when they were last sent, or fewer became
	tries  int           // how often they were sent again since
}

type awayBatch struct {
	first    uint64
	envelope []byte
}

func (a *away) clear() { *a = away{} }

// patience is how long batches that do not come in are waited for. It doubles: on a slow way, or with a busy leader, what
// is sent again lies behind what was sent before, and makes it slower still.
func (a *away) patience(electionTimeout time.Duration) time.Duration {
	const doublings = 4
	return electionTimeout << min(a.tries, doublings)
}

// taken is what a leader has taken of its followers in this term.
type taken struct {
	next map[forwarder]uint64 // number of the command that comes next
	held []heldBatch          // what raft has no room for at the moment
	// What was proposed since the last order to the log writer, and the newest entry with each one's commands: a
	// follower whose clients wait is told of the commit at once, not with the next frame to it.
	fresh   []uint64
	awaited map[uint64]uint64
}

type heldBatch struct {
	from     uint64
	envelope []byte
}

// forwarder is one process of a member.
type forwarder struct{ member, incarnation uint64 }

func (t *taken) clear() { *t = taken{next: map[forwarder]uint64{}, awaited: map[uint64]uint64{}} }

// placed notes that what was forwarded since the last time ends with an entry.
func (t *taken) placed(last uint64) {
	for _, from := range t.fresh {
		t.awaited[from] = last
	}
	t.fresh = t.fresh[:0]
}

// awaits tells whether a follower's clients wait for a commit index, and forgets it.
func (t *taken) awaits(follower, commit uint64) bool {
	last := t.awaited[follower]
	if last == 0 || commit < last {
		return false
	}
	delete(t.awaited, follower)
	return true
}

// forward sends a batch to the leader, and keeps it until it stands in the log.
func (c *Consensus) forward(leader uint64, b awayBatch) {
	if len(c.away.unseen) == 0 {
		c.away.since, c.away.tries = c.now.Now, 0
	}
	c.away.unseen = append(c.away.unseen, b)
	c.away.bytes += int64(len(b.envelope))
	c.sendForward(leader, b)
}

func (c *Consensus) sendForward(leader uint64, b awayBatch) {
	f := Forward{Term: c.term, Oldest: c.away.unseen[0].first, Envelope: b.envelope}
	c.Peers.Send(leader, Replication, AppendPeerMessage(make([]byte, 0, len(b.envelope)+48), f), false)
}

// forwardAgain sends all that is away again. The leader ignores what it has.
func (c *Consensus) forwardAgain() {
	status := c.raft.BasicStatus()
	if c.gone != "" || len(c.away.unseen) == 0 || status.GetTerm() != c.term || !c.connected[status.Lead] {
		return
	}
	c.away.since = c.now.Now
	c.away.tries++
	for _, b := range c.away.unseen {
		c.sendForward(status.Lead, b)
	}
}

// seeForwarded forgets own batches that stand in the log: the leader has taken them, and all before them.
func (c *Consensus) seeForwarded(entries []*raftpb.Entry) {
	for _, e := range entries {
		if len(c.away.unseen) == 0 {
			return
		}
		if e.GetType() != raftpb.EntryNormal || len(e.GetData()) == 0 {
			continue
		}
		envelope, err := index.ReadEnvelope(e.GetData())
		if err != nil || envelope.Member != c.Member || envelope.Incarnation != c.Incarnation {
			continue
		}
		for len(c.away.unseen) > 0 && c.away.unseen[0].first <= envelope.First {
			c.away.bytes -= int64(len(c.away.unseen[0].envelope))
			c.away.unseen[0].envelope = nil
			c.away.unseen = c.away.unseen[1:]
			c.away.since, c.away.tries = c.now.Now, 0
		}
	}
}

// takeForward proposes a follower's batch, if it is meant for this leadership, and is the next one.
func (c *Consensus) takeForward(from uint64, f Forward) {
	status := c.raft.BasicStatus()
	if status.RaftState != raft.StateLeader || status.GetTerm() != f.Term || c.term != f.Term {
		return // void: the follower learns it from the first entry of the later term
	}
	e, err := index.ReadEnvelope(f.Envelope)
	if err != nil || e.Member != from {
		c.Logger.Warn("a forwarded batch is refused", "from", c.NameOf(from), "member", e.Member, "error", err)
		return
	}
	who := forwarder{from, e.Incarnation}
	// What is older than the oldest one that is away was taken, or is not wanted any more.
	if e.First != max(c.taken.next[who], f.Oldest) {
		return
	}
	c.taken.next[who] = e.First + uint64(e.Count)
	if err := index.CheckEnvelope(f.Envelope); err != nil {
		c.Logger.Error("a forwarded batch is refused", "from", c.NameOf(from), "error", err)
		return
	}
	c.taken.held = append(c.taken.held, heldBatch{from, f.Envelope})
	c.proposeHeld()
}

// proposeHeld proposes what was taken of followers, and tells whether raft had room for all of it.
func (c *Consensus) proposeHeld() bool {
	for len(c.taken.held) > 0 {
		b := c.taken.held[0]
		if err := c.raft.Propose(b.envelope); errors.Is(err, raft.ErrProposalDropped) {
			return false
		} else if err != nil {
			panic(fmt.Sprintf("raft refused a forwarded batch of %d bytes: %v", len(b.envelope), err))
		}
		c.taken.fresh = append(c.taken.fresh, b.from)
		c.taken.held[0] = heldBatch{}
		c.taken.held = c.taken.held[1:]
	}
	c.taken.held = nil
	return true
}
