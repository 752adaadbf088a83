package actor

import (
	"slices"
	"testing"
	"time"

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

// wants notes for what a receiver of a snapshot asks.
type wants []int64

func (w *wants) Send(_ uint64, m peerframe.Message, _ bool) {
	if want, ok := m.(peerframe.SnapshotRequest); ok {
		*w = append(*w, want.Offset)
	}
}

// SetMembers implements Peers.
func (*wants) SetMembers(index.Members) {}

// CheckAlive implements Peers.
func (*wants) CheckAlive(uint64) {}

// Where pieces overtake each other, the one that is missing is asked for once: with each piece behind it, its sender
// would send all of its window again.
func TestOvertakenPiecesAreAskedForOnce(t *testing.T) {
	leader := newTestSnapshotter(t, viewAt(t, 20, 1000))
	leader.savedAt(t, 20)
	file, err := snapshot.Open(leader.fs, leader.files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, file.Size())
	if _, err := file.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	asked := &wants{}
	s.Peers = asked
	const piece = 100
	s.turn(FromPeer{From: 2, Message: peerframe.SnapshotOffer{Index: 20, Term: 1, Size: file.Size(), SHA: file.SHA(), MessageTerm: 2}})
	for _, at := range []int64{0, 2, 3, 4, 5, 1, 3, 4, 5, 2} { // 2 to 5 are sent again, as they are not kept
		s.turn(FromPeer{From: 2, Message: peerframe.SnapshotChunk{Index: 20, Term: 1, Offset: at * piece, Bytes: whole[at*piece:][:piece]}})
	}
	if want := (wants{0, piece, piece, 2 * piece, 2 * piece, 3 * piece}); !slices.Equal(*asked, want) {
		t.Errorf("asked for %v, want %v", *asked, want)
	}
}

// sentPieces counts what a sender of a snapshot sends.
type sentPieces struct{ offers, pieces int }

func (p *sentPieces) Send(_ uint64, m peerframe.Message, _ bool) {
	switch m.(type) {
	case peerframe.SnapshotOffer:
		p.offers++
	case peerframe.SnapshotChunk:
		p.pieces++
	}
}

// SetMembers implements Peers.
func (*sentPieces) SetMembers(index.Members) {}

// CheckAlive implements Peers.
func (*sentPieces) CheckAlive(uint64) {}

// newTestSender sends a snapshot of so many bytes to member 2, in pieces of 100 bytes, and may send all that want asks for.
func newTestSender(t *testing.T, bytes int) (s *snapshotterTurns, sent *sentPieces, want func(pieces int64)) {
	t.Helper()
	const piece = 100
	s, sent = newTestSnapshotter(t, viewAt(t, 20, bytes)), &sentPieces{}
	s.turn(saveOf(viewAt(t, 20, bytes)))
	s.Limits.SnapshotChunkBytes, s.Peers = piece, sent
	s.turn(sendOf(viewAt(t, 20, 10), 2))
	return s, sent, func(pieces int64) {
		s.turn(FromPeer{From: 2, Message: peerframe.SnapshotRequest{Index: 20, Term: 1, Offset: pieces * piece}}, allow{Bytes: 1 << 20})
	}
}

// Who asks for a piece once more lacks it, and gets it and what follows at once.
func TestPieceIsAskedForAgain(t *testing.T) {
	const window = limits.SnapshotChunksInflight
	_, sent, want := newTestSender(t, 1000)
	want(1)
	if want(1); sent.offers != 1 || sent.pieces != 2*window {
		t.Errorf("asked twice for a piece: %+v, want %d pieces", sent, 2*window)
	}
}

// What is on its way, and takes its time, is not sent once more; what is lost is, soon.
func TestSlowPiecesAreSentOnce(t *testing.T) {
	const window = limits.SnapshotChunksInflight
	s, sent, want := newTestSender(t, 1000)
	wait := func(d time.Duration) {
		for until := s.at + d; s.at < until; {
			s.turn(Wait{})
		}
	}
	if want(0); sent.offers != 1 || sent.pieces != window {
		t.Fatalf("%+v", sent)
	}
	wait(400 * time.Millisecond)
	want(4) // some ten a second
	wait(2 * time.Second)
	if sent.offers != 1 || sent.pieces != window+4 {
		t.Errorf("three seconds' worth is on its way: %+v", sent)
	}
	if wait(time.Second); sent.offers < 2 {
		t.Errorf("it is not asked what became of it: %+v", sent)
	}
	want(4)
	if sent.pieces != 2*window+4 {
		t.Errorf("lost pieces are not sent again: %+v", sent)
	}
}

// Pieces that are lost again and again on a fast way are missed as soon each time: the time until then says nothing of the way.
func TestLostPiecesAreMissedSoon(t *testing.T) {
	const window = limits.SnapshotChunksInflight
	s, sent, want := newTestSender(t, 4000)
	for lost := range int64(5) {
		at, offers := lost*window/2, sent.offers
		want(at)
		want(at + window/2)
		const soon = snapshotSendTimeout / 8
		for until := s.at + soon; s.at < until && sent.offers == offers; {
			s.turn(Wait{})
		}
		if sent.offers == offers {
			t.Fatalf("loss %d is not missed %v later", lost, soon)
		}
	}
}
