package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log/disk"
)

// TestStalledDiskHoldsUpNoReport lets a disk finish one order and stall in the next. Consensus must hear of the first one
// meanwhile, and of its clock: it gives up leadership, and ends the member, when the disk does not answer.
func TestStalledDiskHoldsUpNoReport(t *testing.T) {
	fs := disk.NewMem(1)
	l, _ := openTestLog(t, fs)
	w, consensus := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	syncs := make(chan struct{}, 1)
	syncs <- struct{}{} // one, then it stalls
	fs.SetHook(func(op disk.Op, _ string) {
		if op == disk.OpSync {
			<-syncs
		}
	})
	w.Inbox.Deposit(Append{Message: &raftpb.Message{Snapshot: snapshotAt(10, 2, testMembers)}})
	w.Inbox.Deposit(Append{Message: &raftpb.Message{Entries: []*raftpb.Entry{someEntry(11, 2)}}})
	w.Inbox.Deposit(Restored{})

	r := NewRuntime()
	heard := make(heardBy, 10)
	Spawn(r, consensus, heard)
	Spawn(r, w.Inbox, w)
	m := heard.next(t)
	if done, ok := m.(Appended); !ok || done.Orders != 1 || done.Marker == nil {
		t.Errorf("consensus heard %+v, not of the snapshot", m)
	}
	consensus.Offer(Tick{})
	m = heard.next(t)
	if _, ok := m.(Tick); !ok {
		t.Errorf("consensus heard %+v, not its clock", m)
	}
	close(syncs)
	m = heard.next(t)
	if done, ok := m.(Appended); !ok || done.Orders != 1 || len(done.Entries) != 1 {
		t.Errorf("consensus heard %+v, not of the entry", m)
	}
	r.Stop()
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
	case <-time.After(5 * time.Second):
		t.Error("consensus waits for the stalled disk")
		return nil
	}
}
