package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// The log that a follower needs, which can be reached, is kept while the next snapshot is saved beside two others, and up to a
// bound. As long as it is, its size makes no snapshot due, which would let go of nothing.
func TestLogIsKeptForAFollower(t *testing.T) {
	l := limits.Defaults()
	l.CatchUpBytes, l.SnapshotBytes = 0, 1
	c := newTestConsensus(t, l)
	c.lead()
	for i := range uint64(8) {
		c.turn(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{i}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte{byte(i)}})}}})
		c.acknowledge() // member 3 does not
	}
	state := c.Status.View()
	defer c.Status.view.Store(state)
	view := viewAt(t, 10, 100_000)
	c.Status.view.Store(view)
	size := view.LiveBytes() + view.HistoryBytes()
	c.Status.reportDisk(func(d *space.Disk) { d.Newest = size })
	c.Status.reportDisk(func(d *space.Disk) { d.Snapshots = 3 * size })
	c.own.retention.covered = c.last - 2
	for _, one := range []struct {
		what  string
		do    func()
		bytes int64
		kept  bool
	}{
		{"more than an own log may take", func() {}, 2 * size, true},
		{"nearly three times the snapshot", func() {}, 3*size - 1, true},
		{"it cannot be reached", func() { c.turn(Disconnected{Peer: 3}) }, size / 2, false},
	} {
		one.do()
		c.own.retention.fileBytes = one.bytes
		if c.own.retention.keptSince = c.now.Now; one.kept {
			if c.release(); c.Status.Disk().LogKept {
				t.Errorf("%s: what is lacked for a moment counts", one.what)
			}
		}
		c.own.retention.keptSince -= 2 * c.ElectionTimeout
		c.release()
		first, err := c.Window.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		if kept := first <= c.own.retention.covered; kept != one.kept || c.Status.Disk().LogKept != one.kept {
			t.Errorf("%s: the log begins at %d, snapshots hold it up to %d; kept: %v", one.what, first, c.own.retention.covered, c.Status.Disk().LogKept)
		}
	}
	c.turn(Connected{Peer: 3})
	c.own.retention.covered = c.last
	c.own.retention.fileBytes, c.own.retention.keptSince = 3*size+1, c.now.Now-2*c.ElectionTimeout
	if c.release(); c.Status.Disk().LogKept {
		t.Error("it is kept beyond its bound")
	}

	a := NewApplier(ApplierConfig{
		Member: 1, State: stateAt(t, 10, 100_000), Inbox: c.Applier, Consensus: c.Inbox, Snapshotter: c.Snapshotter, Status: c.Status, Limits: l,
	})
	for _, kept := range []bool{true, false} {
		c.Status.reportDisk(func(d *space.Disk) { d.LogKept = kept })
		a.fileBytes, a.records = 3*size, size/4
		if a.save(Time{Now: 1 << 40}); a.saving == kept {
			t.Errorf("the log has three times the state, kept for a follower: %v; a snapshot is ordered: %v", kept, a.saving)
		}
	}
}

// A snapshot is worth a follower's wait when more than half of it is written, until it is there.
func TestSaveIsNearlyThere(t *testing.T) {
	view := viewAt(t, 50, 100_000)
	s := newTestSnapshotter(t, view)
	s.Limits.SnapshotStepBytes = 64 << 10
	if s.Handle(Time{Now: 1}, []SnapshotterMessage{saveOf(view)}); !s.writing() || s.Status.Disk().Saves {
		t.Fatalf("it is being written: %v; worth a wait at the start: %v", s.writing(), s.Status.Disk().Saves)
	}
	waits := 0
	for s.writing() {
		if s.Handle(Time{Now: 1}, nil); s.writing() && s.Status.Disk().Saves != (s.order.saver.Info().Bytes > s.order.bytes/2) {
			t.Fatalf("%d bytes of %d are written, worth a wait: %v", s.order.saver.Info().Bytes, s.order.bytes, s.Status.Disk().Saves)
		}
		if s.Status.Disk().Saves {
			waits++
		}
	}
	if waits == 0 || s.Status.Disk().Saves {
		t.Errorf("worth a wait for %d steps, and when it is there: %v", waits, s.Status.Disk().Saves)
	}
}

// Who needs a snapshot gets the one that is being saved when it asks first, if that is there in time, and the newest one else.
func TestFollowerWaitsForASave(t *testing.T) {
	for _, one := range []struct {
		what  string
		ends  time.Duration // of the save
		saved bool
		next  bool          // another save follows at once
		want  time.Duration // until it is sent one
		index uint64
	}{
		{"nothing is saved", 0, false, false, 0, 10},
		{"one is being saved", 3 * time.Second, true, false, 3 * time.Second, 20},
		{"one is, and the next one behind it", 3 * time.Second, true, true, 3 * time.Second, 20},
		{"one is, and fails", 3 * time.Second, false, false, 3 * time.Second, 10},
		{"one is for ever", time.Hour, true, false, limits.SnapshotWait, 10},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.lead()
		for i := range uint64(30) {
			c.turn(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{i}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte{byte(i)}})}}})
			c.acknowledge() // member 3 does not
		}
		c.turn(SnapshotSaved{Snapshot: snapshotAt(10, 1, testMembers)}, Disconnected{Peer: 3}, LogCovered{UpTo: 9})
		c.turn(Connected{Peer: 3})
		begun := c.at
		var offered *SendSnapshot
		for offered == nil && c.at < begun+time.Minute {
			ended := c.at >= begun+one.ends
			c.Status.reportDisk(func(d *space.Disk) { d.Saves = !ended || one.next })
			if ended && one.saved {
				c.turn(SnapshotSaved{Snapshot: snapshotAt(20, 1, testMembers)})
			}
			c.acknowledge()
			c.turn(from(3, raftpb.MsgHeartbeatResp, c.term, nil))
			c.pass(100 * time.Millisecond)
			for _, m := range drainBox(c.Snapshotter) {
				if send, ok := m.(SendSnapshot); ok {
					offered = &send
				}
			}
		}
		if offered == nil {
			t.Errorf("%s: it is sent none", one.what)
		} else if got, took := offered.Message.GetSnapshot().GetMetadata().GetIndex(), c.at-begun; got != one.index || took < one.want || took > one.want+300*time.Millisecond {
			t.Errorf("%s: after %v it is sent the one at index %d, not after %v the one at %d", one.what, took, got, one.want, one.index)
		}
	}
}
