package actor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// logKeptLast is the part of limits.LogKept that stays reserved when the member proposes nothing more. Additional entries of another
// member's log must then be accepted to make the logs agree.
const logKeptLast = 1

// spaces tracks the space on the members' disks. A full disk concerns only its member until a quorum is full. Each member therefore
// reports its space to all, the leader judges, and every member refuses by the leader's word the commands that a quorum has no space for.
// No other rule refuses because of the own disk: a full member forwards commands that the others have space for.
//
// Invariants:
//
//  1. ofPeer[p] is p's last report on the present connection; a peer without a report counts as having space.
//  2. reported is the report that all peers reachable at reportedAt got.
//  3. capacities[m] is member m's last report of the state size that it holds. A member that is down,
//     or has just started and not measured its disk, counts with its last report.
type spaces struct {
	ofPeer     map[uint64]peerframe.DiskSpace
	capacities map[uint64]peerframe.DiskSpace
	reported   peerframe.DiskSpace
	reportedAt time.Duration
	saveAt     time.Duration // no snapshot is ordered for a full follower before
}

// judge returns the space of a quorum of reachable members, and the reason if they do not accept everything. While voters are
// exchanged, a quorum of each half is needed.
func (s *spaces) judge(c *core) (space.Level, string) {
	level, why := s.judgeVoters(c, c.membership.confState.GetVoters())
	if before, whyBefore := s.judgeVoters(c, c.membership.confState.GetVotersOutgoing()); before > level {
		return before, whyBefore
	}
	return level, why
}

// judgeVoters is judge for one half of the configuration; it may be empty.
func (s *spaces) judgeVoters(c *core, voters []uint64) (space.Level, string) {
	var reached []space.Level
	var full, unreachable []string
	for _, id := range voters {
		own := space.Level(s.ofPeer[id].Own)
		switch {
		case id == c.Member:
			own = c.Status.Disk().Accepts()
		case !c.connected[id]:
			unreachable = append(unreachable, c.Status.NameOf(id))
			continue
		}
		reached = append(reached, own)
		if own > space.Left {
			full = append(full, c.Status.NameOf(id))
		}
	}
	quorum := len(voters)/2 + 1
	if len(reached) < quorum {
		return space.Left, "" // the problem is not space
	}
	slices.Sort(reached)
	level := reached[quorum-1]
	if level == space.Left {
		return level, ""
	}
	why := fmt.Sprintf("the disk of %s is full, or nearly", strings.Join(full, " and that of "))
	if len(unreachable) > 0 {
		why += fmt.Sprintf(", and %s cannot be reached", strings.Join(unreachable, ", "))
	}
	return level, why
}

// cluster returns the cluster's space by the leader's word.
func (s *spaces) cluster(c *core) (space.Level, string) {
	report := s.ofPeer[c.soft.Lead]
	if c.soft.RaftState == raft.StateLeader {
		report = s.reported
	}
	return space.Level(report.Cluster), report.Why
}

// acceptsEntries reports whether the own log has space for a leader's entries. Half of the last segment is reserved for terms, votes and a
// new leader's first entry: entries that raft has accepted must be written before any of those, and a member whose log waits for space
// cannot vote. Once proposals have stopped, half of that reserve is for the remaining entries, one order at a time: the remaining members
// then agree, and reads continue. While the log waits in spite of that, no later group is written.
func (s *spaces) acceptsEntries(c *core, diskIdle bool, entries []*raftpb.Entry) bool {
	disk := c.Status.Disk()
	switch level, _ := s.cluster(c); {
	case entryBytes(entries) == 0:
		return !disk.LogWaits
	case level == space.None && diskIdle:
		return disk.LogTakes(logKeptLast)
	default:
		return disk.LogTakes(limits.LogKept)
	}
}

// spaceError returns the refusal of a command that the cluster has no space for.
func spaceError(grows bool, level space.Level, why string) *kv.Error {
	switch {
	case level == space.Left, level == space.Low && !grows:
		return nil
	case level == space.Low:
		return kv.Errorf(kv.NoSpace, "%s: only deletions and reads are accepted; the write certainly did not happen: free space on the disk, or delete keys", why)
	default:
		return kv.Errorf(kv.NoSpace, "%s, and its log has no reserve: only reads are accepted; the write certainly did not happen: free space on the disk", why)
	}
}

// report returns the report of the own space to the others, if it is due: at each change and periodically, since messages may be lost. A
// leader also reports the cluster's space, and hands leadership to a member with more space.
func (s *spaces) report(c *core) (now peerframe.DiskSpace, due bool) {
	if c.suspension.active() {
		return now, false
	}
	disk := c.Status.Disk()
	now = peerframe.DiskSpace{Own: uint64(disk.Accepts()), Waits: c.Status.Waits() != ""}
	if disk.Size > 0 { // the memory alone would overstate what a member with an unmeasured disk holds
		now.Holds, now.HoldsNow = disk.Holds(&c.Limits, memoryHolds(c.Status.View(), disk.Memory))
	}
	if disk.Full {
		now.Free = disk.Free
	}
	s.capacities[c.Member] = now
	s.publishCapacity(c)
	if c.soft.RaftState == raft.StateLeader {
		now.Backup = c.Status.backedUp.Load()
		level, why := s.judge(c)
		now.Cluster, now.Why = uint64(level), why
		if now.Own != uint64(space.Left) && level == space.Left {
			s.leaveFullDisk(c)
		}
		if now.Waits {
			c.transferLeadership("it applies nothing", func(id uint64, p tracker.Progress) bool {
				report, known := s.ofPeer[id]
				return known && !report.Waits && p.State == tracker.StateReplicate
			})
		}
	}
	if now.Why != c.Status.FullDisks() {
		c.Status.fullDisks.Store(&now.Why)
	}
	if now == s.reported && c.now.Now-s.reportedAt < limits.SpaceCheck {
		return now, false
	}
	s.reported, s.reportedAt = now, c.now.Now
	return now, true
}

// memoryHolds returns the size of a state that the memory holds; 0 is not known.
func memoryHolds(v *index.View, machine int64) int64 {
	switch m := v.Memory(); {
	case machine == 0:
		return 0
	case m.Budget > 0:
		return max(m.Most(v.UsedBytes()), m.Budget)
	default:
		return max(machine/limits.StateOfMemory+m.Cold, 1)
	}
}

// record notes a peer's report.
func (s *spaces) record(peer uint64, m peerframe.DiskSpace) {
	s.ofPeer[peer] = m
	if m.Holds > 0 { // a member that has just started reports no size until it has measured its disk
		s.capacities[peer] = m
	}
}

// relieveFullFollowers frees space on the disks of full and lagging followers. Such a follower accepts nothing, not even deletions, and
// saves no snapshot that would free its log. But a snapshot taken after deletions may fit on its disk. If no snapshot newer than its log
// exists, one is saved as soon as it would fit, and the leader's log up to it is deleted: raft then sends the snapshot. It returns whether
// a snapshot is to be saved.
func (s *spaces) relieveFullFollowers(c *core) (save bool) {
	var lost []uint64
	helps, wanted, full, commit := false, false, c.Status.Disk().Full, c.raft.BasicStatus().GetCommit()
	view, newest := c.Status.View(), uint64(0)
	if file, err := c.Window.Snapshot(); err == nil {
		newest = file.GetMetadata().GetIndex()
	}
	applied, _ := view.Applied()
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		report := s.ofPeer[id]
		full = full || c.connected[id] && report.Own > uint64(space.Left)
		switch {
		// with space.Low it accepts deletions
		case id == c.Member || !c.connected[id] || report.Own != uint64(space.None) || p.Match >= commit:
		case newest > p.Match && c.Status.Disk().Newest <= report.Free:
			helps = true
			if first, err := c.Window.FirstIndex(); err == nil && p.State == tracker.StateReplicate && p.Match+1 < first {
				lost = append(lost, id)
			}
		case applied > p.Match && view.LiveBytes()+view.HistoryBytes() <= report.Free/8*7:
			wanted = true
		}
	})
	c.Status.fullMember.Store(full)
	c.Status.reportDisk(func(d *space.Disk) { d.Helps = helps })
	for _, id := range lost {
		c.raft.ReportUnreachable(id) // raft then probes the follower's log: the follower neither accepts nor refuses
	}
	if wanted && c.now.Now >= s.saveAt && c.Status.Disk().Accepts() == space.Left {
		s.saveAt = c.now.Now + limits.SnapshotRetryMost
		return true
	}
	return false
}

// publishCapacity publishes the state size that a quorum of the voters holds. Every report has a floor of one log segment: dropping less
// history than that frees no disk space, whatever a member reports.
func (s *spaces) publishCapacity(c *core) {
	var held QuorumCapacity
	held.Bytes, _ = s.quorumStateSize(c, func(r peerframe.DiskSpace) int64 { return r.Holds })
	held.Now, held.Member = s.quorumStateSize(c, func(r peerframe.DiskSpace) int64 { return r.HoldsNow })
	if held != c.Status.QuorumCapacity() {
		c.Status.capacity.Store(&held)
	}
}

// quorumStateSize returns the largest size that a quorum of the voters reports to hold, and the voter of that quorum with the smallest
// report; 0 is not known. While voters are exchanged, the smaller size of the two halves counts. A voter without a report counts as
// holding everything, as with ofPeer. Learners do not count.
func (s *spaces) quorumStateSize(c *core, size func(peerframe.DiskSpace) int64) (least int64, by uint64) {
	for _, voters := range [][]uint64{c.membership.confState.GetVoters(), c.membership.confState.GetVotersOutgoing()} {
		sorted := slices.Clone(voters)
		holds := func(id uint64) int64 {
			if reported := size(s.capacities[id]); reported > 0 {
				return max(reported, c.Status.Disk().SegmentBytes)
			}
			return math.MaxInt64
		}
		slices.SortStableFunc(sorted, func(a, b uint64) int { return cmp.Compare(holds(b), holds(a)) })
		if len(sorted) == 0 {
			continue
		}
		last := sorted[len(sorted)/2]
		if held := holds(last); held < math.MaxInt64 && (least == 0 || held < least) {
			least, by = held, last
		}
	}
	return least, by
}

// leaveFullDisk hands leadership to a follower with space and every committed entry, if there is one.
func (s *spaces) leaveFullDisk(c *core) {
	commit := c.raft.BasicStatus().GetCommit()
	c.transferLeadership("its disk is full", func(id uint64, p tracker.Progress) bool {
		report, known := s.ofPeer[id]
		return known && report.Own == uint64(space.Left) && p.Match >= commit
	})
}
