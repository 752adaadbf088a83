package actor

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// spaces is what is known of the room on the members' disks. A full disk is its member's affair until a quorum has none: so
// each tells all how much it has, the leader judges, and every member refuses by the leader's word what a quorum has no
// room for. Nothing else looks at the own disk: a member without room forwards what others have room for.
//
// Invariants:
//
//  1. rooms[p] is what p said last on the connection that there is; one that has said nothing yet is taken to have room.
//  2. told is what all peers that could be reached at toldAt were told.
//  3. held[m] is what member m said last of how large a state it holds, also when it is away: it comes back to what there is then.
type spaces struct {
	rooms  map[uint64]Room
	held   map[uint64]int64
	told   Room
	toldAt time.Duration
	saveAt time.Duration // no snapshot is ordered for a full follower before
}

// judgeSpace tells what a quorum of members that can be reached has room for, and why that is not everything. While voters are
// exchanged, one of each half is needed.
func (c *Consensus) judgeSpace() (Space, string) {
	space, why := c.judgeVoters(c.membership.confState.GetVoters())
	if before, whyBefore := c.judgeVoters(c.membership.confState.GetVotersOutgoing()); before > space {
		return before, whyBefore
	}
	return space, why
}

// judgeVoters is judgeSpace of one half of the configuration; it may be empty.
func (c *Consensus) judgeVoters(voters []uint64) (Space, string) {
	var reached []Space
	var full, unreachable []string
	for _, id := range voters {
		own := Space(c.spaces.rooms[id].Own)
		switch {
		case id == c.Member:
			own = c.Status.Space()
		case !c.connected[id]:
			unreachable = append(unreachable, c.Status.NameOf(id))
			continue
		}
		reached = append(reached, own)
		if own > SpaceLeft {
			full = append(full, c.Status.NameOf(id))
		}
	}
	quorum := len(voters)/2 + 1
	if len(reached) < quorum {
		return SpaceLeft, "" // what is missing is not room
	}
	slices.Sort(reached)
	space := reached[quorum-1]
	if space == SpaceLeft {
		return space, ""
	}
	why := fmt.Sprintf("the disk of %s is full, or nearly", strings.Join(full, " and that of "))
	if len(unreachable) > 0 {
		why += fmt.Sprintf(", and %s cannot be reached", strings.Join(unreachable, ", "))
	}
	return space, why
}

// clusterSpace is what there is room for by the leader's word.
func (c *Consensus) clusterSpace() (Space, string) {
	said := c.spaces.rooms[c.soft.Lead]
	if c.soft.RaftState == raft.StateLeader {
		said = c.spaces.told
	}
	return Space(said.Cluster), said.Why
}

// takes tells whether the own log has room for entries of a leader. Half of the last segment is kept for terms, votes and the
// entry with which a leader begins: what raft once has must be written before any of those, and a member that waits for
// room with it cannot vote. When nothing is proposed any more half of that is for the rest of what was, an order at a
// time, so that the members that are left agree and reads go on. While the log waits all the same nothing is put behind that.
func (c *Consensus) takes(entries []*raftpb.Entry) bool {
	switch space, _ := c.clusterSpace(); {
	case entryBytes(entries) == 0:
		return !c.Status.logWaits.Load()
	case space == SpaceNone && c.disk.idle():
		return c.Status.logTakes(limits.LogKeptLast)
	default:
		return c.Status.logTakes(limits.LogKept)
	}
}

// refuseFull answers what waits for a leader whose log takes nothing, unless another member can lead that has room.
func (c *Consensus) refuseFull() {
	space, why := c.judgeSpace()
	if space == SpaceLeft {
		return
	}
	for _, w := range c.proposals.takeExpired(forever) {
		for i := w.packed; i < len(w.Requests); i++ {
			c.refuseForRoom(w.ReplyTo, w.Requests[i], w.Commands[i], noRoom(nil, SpaceNone, why))
		}
	}
}

// refuseForRoom answers a write that the cluster has no room for. One of a session may have been made when another copy of it
// came: the applier knows.
func (c *Consensus) refuseForRoom(to kv.ReplyTo, request uint64, command []byte, why *kv.Error) {
	if !index.HasSession(command) {
		kv.Refuse(to, []uint64{request}, kv.CommandDone, why)
		return
	}
	c.noRoomFor.Requests = append(c.noRoomFor.Requests, Request{ReplyTo: to, Number: request})
	c.noRoomFor.Commands = append(c.noRoomFor.Commands, bytes.Clone(command)) // its bytes are the sender's again
	c.noRoomFor.Why = append(c.noRoomFor.Why, why)
}

// noRoom is the refusal of a command that the cluster has no room for.
func noRoom(command []byte, space Space, why string) *kv.Error {
	switch {
	case space == SpaceLeft, space == SpaceLow && !index.Grows(command):
		return nil
	case space == SpaceLow:
		return kv.Errorf(kv.NoSpace, "%s: only deletions and reads are taken; the write certainly did not happen: make room on the disk, or delete keys", why)
	default:
		return kv.Errorf(kv.NoSpace, "%s, and its log has no reserve: only reads are taken; the write certainly did not happen: make room on the disk", why)
	}
}

// tellSpace tells the others how much room there is, when that changes and now and then, since what is sent may be lost. A
// leader also says what the cluster has room for, and goes where there is more.
func (c *Consensus) tellSpace() {
	if c.quarantine.active() {
		return
	}
	now := Room{Own: uint64(c.Status.Space()), Holds: c.Status.holds()}
	if c.Status.noSpace.Load() {
		now.Free = c.Status.free.Load()
	}
	c.findLeastHeld(now.Holds)
	if c.soft.RaftState == raft.StateLeader {
		space, why := c.judgeSpace()
		now.Cluster, now.Why = uint64(space), why
		if now.Own != uint64(SpaceLeft) && space == SpaceLeft {
			c.leaveFullDisk()
		}
	}
	if now.Why != c.Status.FullDisks() {
		c.Status.fullDisks.Store(&now.Why)
	}
	if now == c.spaces.told && c.now.Now-c.spaces.toldAt < limits.SpaceCheck {
		return
	}
	c.spaces.told, c.spaces.toldAt = now, c.now.Now
	c.judgeClocks()
	now.Wall = c.now.Wall
	for _, m := range c.membership.records.All() {
		if c.connected[m.ID] {
			c.Peers.Send(m.ID, now, true)
		}
	}
}

// helpFull makes room on the disks of followers that are full and behind. Such a one takes nothing, also no deletions, and saves no
// snapshot that would let go of its log. But a snapshot of what is left after deletions may fit beside what it has: where there
// is none that it lacks, one is saved as soon as it would, and the log goes up to there, so that raft sends it.
func (c *Consensus) helpFull() {
	var lost []uint64
	helps, wanted, commit := false, false, c.raft.BasicStatus().GetCommit()
	view, newest := c.Status.View(), uint64(0)
	if s, err := c.Window.Snapshot(); err == nil {
		newest = s.GetMetadata().GetIndex()
	}
	applied, _ := view.Applied()
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		room := c.spaces.rooms[id]
		switch {
		case id == c.Member || !c.connected[id] || room.Own != uint64(SpaceNone) || p.Match >= commit: // with little room it takes deletions
		case newest > p.Match && c.Status.SnapshotBytes() <= room.Free:
			helps = true
			if first, err := c.Window.FirstIndex(); err == nil && p.State == tracker.StateReplicate && p.Match+1 < first {
				lost = append(lost, id)
			}
		case applied > p.Match && view.LiveBytes()+view.HistoryBytes() <= room.Free/8*7:
			wanted = true
		}
	})
	c.Status.helps.Store(helps)
	for _, id := range lost {
		c.raft.ReportUnreachable(id) // so that raft sees what it lacks: it takes, and refuses, nothing
	}
	if wanted && c.now.Now >= c.spaces.saveAt && c.Status.Space() == SpaceLeft {
		c.spaces.saveAt = c.now.Now + limits.SnapshotRetryMost
		c.Applier.MustPost(SnapshotWanted{})
	}
}

// findLeastHeld finds the member that holds least.
func (c *Consensus) findLeastHeld(own int64) {
	c.spaces.held[c.Member] = own
	least := Held{}
	for _, m := range c.membership.records.All() {
		if held := c.spaces.held[m.ID]; held > 0 && (least.Bytes == 0 || held < least.Bytes) {
			least = Held{held, m.ID}
		}
	}
	if least != c.Status.LeastHeld() {
		c.Status.leastHeld.Store(&least)
	}
}

// leaveFullDisk hands leadership to a follower that has room and lacks nothing that is committed, if there is one.
func (c *Consensus) leaveFullDisk() {
	commit := c.raft.BasicStatus().GetCommit()
	c.transferLeadership("its disk is full", func(id uint64, p tracker.Progress) bool {
		room, said := c.spaces.rooms[id]
		return said && room.Own == uint64(SpaceLeft) && p.Match >= commit
	})
}
