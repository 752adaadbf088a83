package actor

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// logRead adds older entries to the window, and lets raft continue where it found none. raft asks again for the entries that it applies
// with the next Ready, and for the entries that it sends with the follower's next answer.
func (c *Consensus) logRead(m logRead) {
	c.own.disk.reads.reported(c.now.Now)
	lo, hi, err := c.Window.Load(m.Order, m.Entries, m.Err)
	if err != nil {
		c.failed = true
		c.Fail(fmt.Errorf("entries cannot be read back from the log: %w", err))
		return
	}
	if c.soft.RaftState != raft.StateLeader {
		return
	}
	var waiting []uint64
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id != c.Member && lo <= p.Next && p.Next < hi {
			waiting = append(waiting, id)
		}
	})
	for _, id := range waiting {
		c.sendMore(id, hi)
	}
}

// sendMore lets raft send entries from memory up to an index. To raft it looks as if the follower had answered a heartbeat once more. It
// is therefore done only if that has no other effect: for a follower that already counts as active and is not paused.
func (c *core) sendMore(id, upTo uint64) {
	for before := uint64(0); ; {
		var p tracker.Progress
		c.raft.WithProgress(func(i uint64, _ raft.ProgressType, one tracker.Progress) {
			if i == id {
				p = one
			}
		})
		if p.State != tracker.StateReplicate || !p.RecentActive || p.MsgAppFlowPaused || p.Next == before || p.Next >= upTo {
			return
		}
		before = p.Next
		c.step(&raftpb.Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: &id, To: &c.Member, Term: new(c.raft.BasicStatus().GetTerm())})
	}
}
