package actor

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk/simdisk"
)

// Entries that cannot be read back from the log end the member with an error, a single voter, too, which needs them at its
// start.
func TestUnreadableEntryEndsTheMember(t *testing.T) {
	for _, voters := range [][]uint64{{1}, {1, 2, 3}} {
		fs := simdisk.New(1)
		l, _ := openTestLog(t, fs)
		w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
		for at := uint64(2); at < 10; at++ {
			handleAll(w, []LogWriterMessage{numbered(at)})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, recovered := openTestLog(t, fs)
		recovered.HardState.Commit = 9
		plenty := Capacity{MustPost: 1000, Offer: 1000}
		status := &Status{}
		status.view.Store(index.NewState(limits.Defaults().Index).View())
		var failed error
		inbox, reads := NewMailbox[ConsensusMessage]("c", plenty), NewMailbox[ReadLog]("r", plenty)
		reader := &LogReader{Reader: log.NewReader(fs), Consensus: inbox}
		c, err := NewConsensus(ConsensusConfig{
			CoreConfig: CoreConfig{
				Member: 1, Incarnation: 7, HeartbeatInterval: 100 * time.Millisecond, ElectionTimeout: time.Second, Window: recovered.Window,
				Status: status, Admission: testAdmission(status), Limits: limits.Defaults(), Fail: func(err error) { failed = err }, Logger: slog.New(slog.DiscardHandler),
			},
			ConsensusMailboxes: ConsensusMailboxes{
				Inbox: inbox, LogWriter: NewMailbox[LogWriterMessage]("l", plenty), LogReader: reads, Applier: NewMailbox[ApplierMessage]("a", plenty),
				Snapshotter: NewMailbox[SnapshotterMessage]("s", plenty), Peers: noPeers{},
			},
			HardState: recovered.HardState, Applied: 1, ConfState: &raftpb.ConfState{Voters: voters},
		})
		if err != nil {
			t.Fatal(err)
		}
		fs.Fail(simdisk.Fault{Op: simdisk.OpRead, Stays: true})
		batch := []ConsensusMessage{Tick{}}
		for range 100 {
			c.Handle(Time{}, batch)
			for again := reader.Handle(Time{}, drainBox(reads)); again; {
				again = reader.Handle(Time{}, nil)
			}
			batch = drainBox(inbox)
		}
		if !errors.Is(failed, damage.ErrDamaged) {
			t.Errorf("%d voters, a disk that cannot be read: %v", len(voters), failed)
		}
		fs.ClearFaults()
		reader.Close()
		l.Close()
	}
}
