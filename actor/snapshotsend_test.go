package actor

import (
	"slices"
	"testing"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// savedAt saves a snapshot, and returns from where on the log is kept then.
func (s *snapshotterTurns) savedAt(t *testing.T, at uint64) (keepFrom uint64) {
	t.Helper()
	s.turn(saveOf(viewAt(t, at, 10)))
	for range 100 { // saving takes turns, and rests between them
		for _, m := range drainBox(s.consensus) {
			if saved, ok := m.(snapshotSaved); ok {
				return saved.KeepFrom
			}
		}
		s.turn(Wait{})
	}
	t.Fatalf("no snapshot at %d was saved", at)
	return 0
}

// Raft waits until it hears what became of a snapshot that it ordered: also when newer ones have replaced it.
func TestReplacedSnapshotIsReported(t *testing.T) {
	s := newTestSnapshotter(t, viewAt(t, 3, 10))
	for at := uint64(3); at < 3+limits.SnapshotsKept+1; at++ {
		s.savedAt(t, at)
	}
	s.turn(sendOf(viewAt(t, 3, 10), 2))
	for range 20 {
		for _, m := range drainBox(s.consensus) {
			if sent, ok := m.(snapshotSent); ok && sent.Peer == 2 && !sent.Installed {
				return
			}
		}
		s.turn(Wait{})
	}
	t.Error("raft hears nothing of a snapshot that is not there any more, and waits for ever")
}

// offers counts the offers of a snapshot.
type offers int

func (o *offers) Send(_ uint64, m peerframe.Message, _ bool) {
	if _, is := m.(peerframe.SnapshotOffer); is {
		*o++
	}
}

// SetMembers implements Peers.
func (*offers) SetMembers(index.Members) {}

// CheckAlive implements Peers.
func (*offers) CheckAlive(uint64) {}

// A snapshot is offered again to a member that says nothing, and a member that says nothing for long is given up. As long as the snapshot
// comes there, it is neither.
func TestSnapshotIsOfferedAgain(t *testing.T) {
	s, offered := newTestSnapshotter(t, viewAt(t, 20, 1000)), offers(0)
	s.turn(saveOf(viewAt(t, 20, 1000)))
	s.Peers = &offered
	s.turn(sendOf(viewAt(t, 20, 10), 2))
	comes := FromPeer{From: 2, Message: peerframe.SnapshotProgress{Index: 20, Term: 1}}
	for until := s.at + 3*snapshotSendTimeout; s.at < until; {
		s.turn(comes, Wait{})
	}
	if offered != 1 || len(s.sends.transfers) != 1 {
		t.Errorf("while it comes it is offered %d times, and there are %d transfers", offered, len(s.sends.transfers))
	}
	for until := s.at + snapshotSendTimeout/2; s.at < until; {
		s.turn(Wait{}, FromPeer{From: 3, Message: comes.Message})
	}
	if want := offers(1 + snapshotSendTimeout/2/snapshotResend); offered < want-1 || offered > want+1 || len(s.sends.transfers) != 1 {
		t.Errorf("to a silent member it is offered %d times, want %d; there are %d transfers", offered, want, len(s.sends.transfers))
	}
	for until := s.at + snapshotSendTimeout/2; s.at < until; {
		s.turn(Wait{})
	}
	if len(s.sends.transfers) > 0 || !has[ConsensusMessage, snapshotSent](drainBox(s.consensus)) {
		t.Error("it is not given up")
	}
}

// The file of a snapshot that is sent stays, however many newer ones are saved. When the transfer ends it goes at once.
func TestSentSnapshotStays(t *testing.T) {
	s := newTestSnapshotter(t, viewAt(t, 20, 10))
	s.savedAt(t, 20)
	s.turn(sendOf(viewAt(t, 20, 10), 2))
	for at := uint64(21); at < 25; at++ {
		s.savedAt(t, at)
		s.turn(FromPeer{From: 2, Message: peerframe.SnapshotProgress{Index: 20, Term: 1}})
	}
	sent := snapshot.Name(20, 1)
	if got := names(t, s.fs); !slices.Contains(got, sent) || len(got) != limits.SnapshotsKept+1 {
		t.Errorf("while it is sent there are %v", got)
	}
	s.turn(FromPeer{From: 2, Message: peerframe.SnapshotResult{Index: 20, Term: 1, Installed: true}})
	if got := names(t, s.fs); slices.Contains(got, sent) || len(got) != limits.SnapshotsKept {
		t.Errorf("when it was sent there are %v", got)
	}
}
