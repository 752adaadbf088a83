package actor

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// TestStalledDiskHoldsUpNoReport lets a disk finish one order and stall in the next. Consensus must hear of the first one
// meanwhile, and of its clock: it gives up leadership, and ends the member, when the disk does not answer.
func TestStalledDiskHoldsUpNoReport(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, consensus := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	syncs := make(chan struct{}, 1)
	syncs <- struct{}{} // one, then it stalls
	fs.SetHook(func(op simdisk.Op, _ string) {
		if op == simdisk.OpSync {
			<-syncs
		}
	})
	w.Inbox.MustPost(appendOrder{Message: &raftpb.Message{Snapshot: snapshotAt(10, 2, testMembers)}})
	w.Inbox.MustPost(appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{someEntry(11, 2)}}})

	r := NewRuntime()
	heard := make(heardBy, 10)
	Spawn(r, consensus, heard)
	Spawn(r, w.Inbox, w)
	m := heard.next(t)
	if _, ok := m.(restoring); !ok {
		t.Errorf("consensus heard %+v, not that the snapshot is being loaded", m)
	}
	for _, a := range r.actors {
		for a.claimed.Load() { // until both sleep
			time.Sleep(10 * time.Microsecond)
		}
	}
	w.Inbox.MustPost(stateRestored{})
	m = heard.next(t)
	if done, ok := m.(appended); !ok || done.Orders != 1 || done.Marker == nil {
		t.Errorf("consensus heard %+v, not of the snapshot", m)
	}
	consensus.Offer(Tick{})
	m = heard.next(t)
	if _, ok := m.(Tick); !ok {
		t.Errorf("consensus heard %+v, not its clock", m)
	}
	close(syncs)
	m = heard.next(t)
	if done, ok := m.(appended); !ok || done.Orders != 1 || len(done.Entries) != 1 {
		t.Errorf("consensus heard %+v, not of the entry", m)
	}
	r.Stop()
}

// stallConfig is the part of the configuration that the disk watch reads.
func stallConfig(failure *error) CoreConfig {
	return CoreConfig{Status: &Status{}, ElectionTimeout: time.Second, Limits: limits.Defaults(), Fail: func(err error) { *failure = err }}
}

// A disk that does not answer ends the member, also when what it writes is a snapshot's marker. To load a large snapshot
// may take longer.
func TestStalledDiskBeneathASnapshot(t *testing.T) {
	var failure error
	c := &Consensus{
		core:               core{CoreConfig: stallConfig(&failure)},
		ConsensusMailboxes: ConsensusMailboxes{LogWriter: NewMailbox[LogWriterMessage]("l", Capacity{MustPost: 1})},
	}
	received := &raftpb.Message{Snapshot: snapshotAt(10, 2, testMembers)}
	c.transfers.received = &snapshotReceived{Message: received}
	c.orderAppend(&raftpb.Message{Snapshot: received.GetSnapshot()})
	c.now.Now = limits.DiskStall + time.Second
	if c.own.disk.watch(&c.core); !errors.Is(failure, ErrDisk) {
		t.Errorf("the marker is not synced after %v: %v", c.now.Now, failure)
	}
	failure = nil
	c.handle(restoring{})
	if c.own.disk.watch(&c.core); failure != nil {
		t.Errorf("while the snapshot is being loaded: %v", failure)
	}
}

// On a disk that is slower than any should be, a group waits for what snapshotter and segment maker have given the disk
// before. What they finish shows that it goes on.
func TestVerySlowDiskIsNotDead(t *testing.T) {
	var failure error
	c, d := &core{CoreConfig: stallConfig(&failure)}, &diskWatch{groupBytes: 1 << 20}
	d.ordered(100, 5, 0)
	for _, other := range []paced{
		&Snapshotter{snapshotCore: snapshotCore{SnapshotterConfig: SnapshotterConfig{Status: c.Status, Limits: c.Limits}}},
		&SegmentMaker{SegmentMakerConfig: SegmentMakerConfig{Status: c.Status, Maker: &log.Maker{}}},
	} {
		c.Status.view.Store(index.NewState(limits.Defaults().Index).View())
		switch other := other.(type) {
		case *Snapshotter:
			other.now = c.now.Now
		case *SegmentMaker:
			other.now = c.now.Now
		}
		other.Rest(limits.DiskStall / 2)
		c.now.Now += limits.DiskStall*3/2 - time.Second
		if d.watch(c); failure != nil {
			t.Errorf("after a step of %T: %v", other, failure)
		}
	}
	c.now.Now += 2 * time.Second
	if d.watch(c); !errors.Is(failure, ErrDisk) {
		t.Errorf("nothing is finished any more: %v", failure)
	}
}

// A log that waits for room is no sign of the disk, however long it waits, and after the wait its group has its time.
func TestFullDiskIsNoStall(t *testing.T) {
	var failure error
	c, d := &core{CoreConfig: stallConfig(&failure)}, &diskWatch{groupBytes: 1 << 20}
	d.ordered(100, 5, 0)
	c.Status.reportDisk(func(d *space.Disk) { d.LogWaits = true })
	for range 10 {
		c.now.Now += limits.DiskStall
		d.watch(c)
	}
	c.Status.reportDisk(func(d *space.Disk) { d.LogWaits = false })
	c.now.Now += limits.DiskStall / 2
	if d.watch(c); failure != nil {
		t.Errorf("a full disk is called dead: %v", failure)
	}
	c.now.Now += limits.DiskStall
	if d.watch(c); failure == nil {
		t.Error("a dead disk that was full is not called dead")
	}
}

// A process that stood still, with a read of the log under way, has not shown that its disk is dead; when it runs, the read has its
// time from then on.
func TestPauseIsNoStalledRead(t *testing.T) {
	var failure error
	c, d := &core{CoreConfig: stallConfig(&failure)}, &diskWatch{groupBytes: 1 << 20}
	look := func(after time.Duration) {
		if c.now.Now += after; after >= c.ElectionTimeout {
			d.excludeStop(after, c.now.Now)
		}
		d.watch(c)
	}
	look(time.Second / 2)
	d.reads.ordered(c.now.Now)
	look(time.Second / 2)
	look(2 * time.Minute)
	if failure != nil {
		t.Fatalf("a member that stood still for two minutes ends: %v", failure)
	}
	for range int(limits.DiskStall / (time.Second / 2)) {
		look(time.Second / 2)
	}
	if !errors.Is(failure, ErrDisk) {
		t.Errorf("a read has no answer for %v while the process runs: %v", limits.DiskStall, failure)
	}
	d.reads.reported(c.now.Now)
	d.reads.ordered(c.now.Now)
	failure = nil
	if look(0); failure != nil {
		t.Errorf("the next read has no time: %v", failure)
	}
}

// heardBy is a handler that hands on what it gets.
type heardBy chan ConsensusMessage

func (h heardBy) Handle(_ Time, batch []ConsensusMessage) bool {
	for _, m := range batch {
		h <- m
	}
	return false
}

func (h heardBy) next(t *testing.T) ConsensusMessage {
	t.Helper()
	select {
	case m := <-h:
		return m
	case <-time.After(time.Minute):
		t.Error("consensus waits for the stalled disk")
		return nil
	}
}

// What was measured before this process stood still says nothing about the time after it, whatever message comes first: neither does the
// disk fail a read, nor is this member too far behind its leader to serve.
func TestStandstillIsNoDelay(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults()) // a failed disk is an error of the test
	c.follow(5)
	c.own.lag.recordCommit(1000)
	c.pass(TickInterval)
	c.own.disk.reads.ordered(c.at)
	c.at += 2 * time.Minute
	var to replies
	c.turn(ReadIndex{ReplyTo: &to, Requests: []uint64{1}})
	if c.pass(TickInterval); len(to) > 0 {
		t.Errorf("a read is answered with %+v", to)
	}
}

// A vote that waited while this process stood still is no sign of slow disks: later elections are as quick as before.
func TestVoteBehindAStandstill(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	var asked uint64
	for range 500 {
		for _, m := range c.pass(TickInterval) {
			if r, _ := m.(peerframe.Raft); r.GetType() == raftpb.MsgPreVote && r.GetTo() == 2 {
				c.turn(from(2, raftpb.MsgPreVoteResp, r.GetTerm(), nil))
			}
		}
		if s := c.raft.BasicStatus(); s.RaftState != raft.StateCandidate {
			continue
		} else if asked == 0 {
			asked = s.GetTerm()
			c.at += 5 * time.Second
		} else if s.GetTerm() > asked {
			c.turn(from(2, raftpb.MsgVoteResp, asked, nil))
			if c.elections.slow != 0 {
				t.Errorf("a vote is taken for %v late", c.elections.slow)
			}
			return
		}
	}
	t.Fatal("there is no second election")
}

// Another disk's progress before this process stood still is not compared with this disk's work after it.
func TestProgressOfBeforeAStandstill(t *testing.T) {
	var d diskWatch
	d.ordered(100, 5, 0)
	d.progressed(2, 5, 2*time.Second)
	d.excludeStop(10*time.Second, 12*time.Second)
	d.progressed(2, 5, 12*time.Second)
	if now := 12*time.Second + 300*time.Millisecond; d.overtaken(2, 5, now) {
		t.Errorf("a disk that took 2 s has overtaken one that takes %v", now-d.begun())
	}
}
