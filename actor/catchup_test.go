package actor

import (
	"testing"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A follower counts as lagging only once it has lagged for an election timeout. A time without a released log, or without a lag, is none.
func TestFirstLagKeepsNoLog(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	for i := range uint64(8) {
		c.turn(Propose{Proposal: kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{i}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte{byte(i)}})}}})
		c.acknowledge() // member 3 does not
	}
	view := viewAt(t, 10, 100_000)
	c.Status.view.Store(view)
	c.Status.reportDisk(func(d *space.Disk) { d.Newest = 1 << 30 })
	counts := func(what string, want bool) {
		t.Helper()
		if c.release(); c.Status.Disk().LogKept != want {
			t.Errorf("%s: the log counts as kept: %v, want %v", what, !want, want)
		}
	}
	wait := func() { c.now.Now += 2 * c.ElectionTimeout }
	wait()
	counts("no snapshot", false)
	c.own.retention.covered = c.last - 2
	counts("the first lag", false)
	wait()
	counts("the lag goes on", true)
	c.connected[3] = false
	counts("the follower is away", false)
	c.connected[3] = true
	counts("no log is left up to the snapshot", false)
	wait()
	counts("still none", false)
	c.own.retention.covered = c.last
	counts("the second lag", false)
	wait()
	counts("the second lag goes on", true)
}

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

	l.SnapshotBytes = size / 2
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
