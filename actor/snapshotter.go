package actor

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/log/disk"
	"qkv/log/limits"
	"qkv/snapshot"
)

// SnapshotterConfig is what the snapshotter is built from.
type SnapshotterConfig struct {
	Cluster, Member uint64
	Version         string
	FS              disk.FS
	Dir             string
	Kept            []snapshot.Info // published ones that are valid, newest first
	Inbox           *Mailbox[SnapshotterMessage]
	Consensus       *Mailbox[ConsensusMessage]
	Applier         *Mailbox[ApplierMessage]
	Peers           Peers
	Status          *Status
	StepBytes       int   // how much is written in one step; 0 is snapshotStepBytes
	ChunkBytes      int64 // of a piece on its way to a peer; 0 is limits.SnapshotChunkBytes
	Logger          *slog.Logger
}

const (
	// snapshotStepBytes is what one step writes: long enough to be cheap, short enough to answer peers in between.
	snapshotStepBytes = 1 << 20
	// snapshotsKept is how many published snapshots stay, so that one bad file loses nothing.
	snapshotsKept = 2
	// sendAgainAfter is how long a sender waits for an answer before it sends the last piece again.
	sendAgainAfter = 500 * time.Millisecond
	// sendGiveUpAfter is how long a sender goes on without any answer.
	sendGiveUpAfter = 10 * time.Second
)

// Snapshotter writes snapshots of the state, streams them to slow peers, and receives them. It owns the folder of
// snapshots. Each step is bounded, so that a large state holds up nothing.
//
// Invariants:
//
//  1. One snapshot is being saved and one is being received at a time.
//  2. A snapshot is reported only after it is published: file and folder are synced.
//  3. The log behind a snapshot that is being sent is kept while that snapshot is at most one older than the two kept.
//  4. A peer's raft message about a snapshot reaches consensus only when the whole file is verified and published.
type Snapshotter struct {
	// Constant after construction.
	SnapshotterConfig

	// Owned by the actor.
	now     time.Duration
	saver   *snapshot.Saver
	save    Save
	sends   []*sending
	receive *receiving
}

// sending is the way of one snapshot to one peer.
type sending struct {
	peer        uint64
	message     *raftpb.Message
	index, term uint64
	reader      *snapshot.Reader
	acked, sent int64
	progressed  time.Duration
	asked       time.Duration
}

// receiving is a snapshot that comes from a leader.
type receiving struct {
	from       uint64
	offer      Offer
	file       *snapshot.Receiver
	info       snapshot.Info
	handed     bool  // raft has it, and says later what became of it
	missed     int64 // where a piece is missing that was asked for again
	progressed time.Duration
}

// NewSnapshotter builds the actor.
func NewSnapshotter(c SnapshotterConfig) *Snapshotter {
	if c.StepBytes == 0 {
		c.StepBytes = snapshotStepBytes
	}
	if c.ChunkBytes == 0 {
		c.ChunkBytes = limits.SnapshotChunkBytes
	}
	s := &Snapshotter{SnapshotterConfig: c}
	s.publishSize()
	return s
}

// Handle implements Handler.
func (s *Snapshotter) Handle(t Time, batch []SnapshotterMessage) bool {
	s.now = t.Now
	for _, m := range batch {
		switch m := m.(type) {
		case Save:
			s.beginSave(m)
		case SendSnapshot:
			s.beginSend(m)
		case FromPeer:
			s.fromPeer(m)
		case Installed:
			s.installed(m)
		case Discard:
			s.discard(m)
		case Wait:
			s.wait()
		default:
			panic(fmt.Sprintf("the snapshotter takes no %T", m))
		}
	}
	if s.saver != nil {
		s.stepSave()
	}
	return s.saver != nil
}

func (s *Snapshotter) beginSave(m Save) {
	confState, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.ConfState)
	if err != nil {
		panic(fmt.Sprintf("a ConfState cannot be marshalled: %v", err))
	}
	saver, err := snapshot.Begin(s.FS, s.Dir, snapshot.Meta{
		Cluster: s.Cluster, Member: s.Member, Index: m.Index, Term: m.Term, ConfState: confState,
		Digest: m.View.Digest(), Revision: m.View.Revision(), Version: s.Version,
	}, m.View)
	if err != nil {
		s.saveFailed(err)
		return
	}
	s.saver, s.save = saver, m
}

// stepSave writes one piece; the last one publishes the file and reports it.
func (s *Snapshotter) stepSave() {
	done, err := s.saver.Step(s.StepBytes)
	if err != nil {
		s.saver.Abort()
		s.saver = nil
		s.saveFailed(err)
		return
	}
	if !done {
		return
	}
	info, m := s.saver.Info(), s.save
	s.saver, s.save = nil, Save{}
	s.published(info)
	s.Status.Alarm(matterSaving, "")
	s.Applier.Deposit(SaveEnded{Saved: true})
	s.Consensus.Deposit(SnapshotSaved{Snapshot: snapshotAt(m.Index, m.Term, m.ConfState), KeepFrom: s.keepFrom()})
	s.Logger.Info("snapshot saved", "index", info.Index, "bytes", info.Bytes)
}

// saveFailed leaves the log as it is: it still holds everything, and the next attempt comes with the next records.
func (s *Snapshotter) saveFailed(err error) {
	s.Logger.Error("no snapshot could be saved; the log grows until one can: look at the disk", "error", err)
	s.Status.Alarm(matterSaving, fmt.Sprintf("no snapshot could be saved: %v", err))
	s.Applier.Deposit(SaveEnded{})
}

// published puts a new file in its place by index, and removes those that are too many.
func (s *Snapshotter) published(info snapshot.Info) {
	s.Kept = append(s.Kept, info)
	slices.SortFunc(s.Kept, func(a, b snapshot.Info) int { return cmp.Compare(b.Index, a.Index) })
	for len(s.Kept) > snapshotsKept {
		old := s.Kept[len(s.Kept)-1]
		s.Kept = s.Kept[:len(s.Kept)-1]
		s.remove(old)
	}
	s.publishSize()
}

func (s *Snapshotter) publishSize() {
	if len(s.Kept) > 0 {
		s.Status.snapBytes.Store(s.Kept[0].Bytes)
	}
}

func (s *Snapshotter) remove(info snapshot.Info) {
	if err := snapshot.Remove(s.FS, info.Path); err != nil {
		s.Logger.Warn("an old snapshot could not be removed", "file", info.Path, "error", err)
	}
}

// keepFrom is the index from which on the log must be kept; 0 keeps all of it.
func (s *Snapshotter) keepFrom() uint64 {
	if len(s.Kept) < snapshotsKept {
		return 0
	}
	from := s.Kept[len(s.Kept)-1].Index
	for _, one := range s.sends {
		from = min(from, one.index)
	}
	return from
}

// beginSend opens the snapshot that raft wants a peer to have, and offers it.
func (s *Snapshotter) beginSend(m SendSnapshot) {
	s.dropSend(m.Peer)
	meta := m.Message.GetSnapshot().GetMetadata()
	at := slices.IndexFunc(s.Kept, func(i snapshot.Info) bool { return i.Index == meta.GetIndex() && i.Term == meta.GetTerm() })
	if at < 0 {
		s.Consensus.Deposit(SnapshotSent{Peer: m.Peer}) // replaced since; raft asks again
		return
	}
	reader, err := snapshot.Open(s.FS, s.Kept[at].Path)
	if err != nil {
		s.Logger.Error("a snapshot cannot be read", "file", s.Kept[at].Path, "error", err)
		s.Consensus.Deposit(SnapshotSent{Peer: m.Peer})
		return
	}
	one := &sending{peer: m.Peer, message: m.Message, index: meta.GetIndex(), term: meta.GetTerm(), reader: reader, progressed: s.now}
	s.sends = append(s.sends, one)
	s.offer(one)
}

func (s *Snapshotter) offer(one *sending) {
	one.asked = s.now
	confState, err := proto.MarshalOptions{Deterministic: true}.Marshal(one.message.GetSnapshot().GetMetadata().GetConfState())
	if err != nil {
		panic(fmt.Sprintf("a ConfState cannot be marshalled: %v", err))
	}
	s.send(one.peer, Offer{
		Index: one.index, Term: one.term, Size: one.reader.Size(), SHA: one.reader.SHA(),
		MessageTerm: one.message.GetTerm(), ConfState: confState,
	})
}

func (s *Snapshotter) send(to uint64, m PeerMessage) {
	s.Peers.Send(to, Bulk, AppendPeerMessage(nil, m), false)
}

// dropSend ends what is on its way to a peer, without a word to raft.
func (s *Snapshotter) dropSend(peer uint64) {
	s.sends = slices.DeleteFunc(s.sends, func(one *sending) bool {
		if one.peer == peer {
			one.reader.Close()
			return true
		}
		return false
	})
}

func (s *Snapshotter) endSend(one *sending, installed bool) {
	s.dropSend(one.peer)
	s.Consensus.Deposit(SnapshotSent{Peer: one.peer, Installed: installed})
}

// wait goes on with what a lost frame has stopped.
func (s *Snapshotter) wait() {
	for _, one := range slices.Clone(s.sends) {
		oldest := len(s.Kept) > 0 && one.index < s.Kept[len(s.Kept)-1].Index && s.now-one.progressed > sendAgainAfter
		switch {
		case s.now-one.progressed >= sendGiveUpAfter, oldest:
			s.endSend(one, false)
		case s.now-one.asked >= sendAgainAfter:
			one.sent = one.acked
			s.offer(one)
		}
	}
}

func (s *Snapshotter) fromPeer(m FromPeer) {
	switch f := m.Message.(type) {
	case Offer:
		s.offered(m.From, f)
	case Chunk:
		s.chunk(m.From, f)
	case Want:
		for _, one := range s.sends {
			if one.peer == m.From && one.index == f.Index && one.term == f.Term {
				s.pump(one, f.Offset)
				return
			}
		}
	case SnapshotResult:
		for _, one := range s.sends {
			if one.peer == m.From && one.index == f.Index && one.term == f.Term {
				s.endSend(one, f.Installed)
				return
			}
		}
	default:
		panic(fmt.Sprintf("the snapshotter takes no %T from a peer", f))
	}
}

// pump sends pieces as long as few enough are on their way.
func (s *Snapshotter) pump(one *sending, acked int64) {
	if acked < 0 || acked > one.reader.Size() {
		return
	}
	if acked != one.acked || one.sent <= acked {
		one.progressed, one.asked = s.now, s.now
	}
	if one.sent = max(one.sent, acked); acked == one.acked {
		one.sent = acked // said twice: what was sent from here on is lost
	}
	one.acked = acked
	for one.sent < one.reader.Size() && one.sent-one.acked < limits.SnapshotChunksInflight*s.ChunkBytes {
		piece := make([]byte, min(s.ChunkBytes, one.reader.Size()-one.sent))
		if _, err := one.reader.ReadAt(piece, one.sent); err != nil {
			s.Logger.Error("a snapshot cannot be read while it is sent", "index", one.index, "error", err)
			s.endSend(one, false)
			return
		}
		s.send(one.peer, Chunk{Index: one.index, Term: one.term, Offset: one.sent, Bytes: piece})
		one.sent += int64(len(piece))
	}
}

// receiveIdle is how long a leader may be silent before another one's offer is taken instead.
const receiveIdle = 2 * time.Second

// offered begins to receive a snapshot, or goes on where an earlier attempt ended.
func (s *Snapshotter) offered(from uint64, o Offer) {
	if applied, _ := s.Status.View().Applied(); applied >= o.Index {
		s.send(from, SnapshotResult{Index: o.Index, Term: o.Term, Installed: true})
		return
	}
	if r := s.receive; r != nil {
		same := r.offer.Index == o.Index && r.offer.Term == o.Term && r.offer.SHA == o.SHA
		switch {
		case r.handed:
			return // its sender asks again
		case same && r.from == from:
			r.offer.MessageTerm = max(r.offer.MessageTerm, o.MessageTerm)
			s.want()
			return
		case o.MessageTerm <= r.offer.MessageTerm && s.now-r.progressed < receiveIdle:
			return
		case same:
			s.abandonReceive()
		default:
			s.receive.file.Abort() // another one is wanted now; a part of this one is of no use
			s.receive = nil
		}
	}
	file, err := snapshot.Receive(s.FS, s.Dir, snapshot.Name(o.Index, o.Term), o.Size, o.SHA)
	if err != nil {
		s.receiveFailed(from, o, err)
		return
	}
	s.Status.Alarm(matterReceiving, "")
	s.receive = &receiving{from: from, offer: o, file: file, progressed: s.now, missed: -1}
	s.want()
	s.finishReceive()
}

func (s *Snapshotter) want() {
	r := s.receive
	s.send(r.from, Want{Index: r.offer.Index, Term: r.offer.Term, Offset: r.file.Offset()})
}

func (s *Snapshotter) receiveFailed(from uint64, o Offer, err error) {
	s.Logger.Error("a snapshot could not be received", "from", from, "index", o.Index, "error", err)
	s.Status.Alarm(matterReceiving, fmt.Sprintf("a snapshot could not be received: %v", err))
	s.send(from, SnapshotResult{Index: o.Index, Term: o.Term})
}

// abandonReceive closes the file; what is there is continued when the same snapshot is offered again.
func (s *Snapshotter) abandonReceive() {
	s.receive.file.Close()
	s.receive = nil
}

// chunk writes a piece, if it is the next one.
func (s *Snapshotter) chunk(from uint64, c Chunk) {
	r := s.receive
	if r == nil || r.handed || r.from != from || r.offer.Index != c.Index || r.offer.Term != c.Term || c.Offset < r.file.Offset() {
		return // too late
	}
	if at := r.file.Offset(); c.Offset > at {
		if r.missed != at { // the one before is lost; it is asked for once, then its sender's clock brings it
			r.missed = at
			s.want()
		}
		return
	}
	if err := r.file.WriteAt(c.Offset, c.Bytes); err != nil {
		s.abandonReceive()
		s.receiveFailed(from, r.offer, err)
		return
	}
	r.progressed = s.now
	s.want()
	s.finishReceive()
}

// finishReceive verifies and publishes a complete file, and hands it to raft.
func (s *Snapshotter) finishReceive() {
	r := s.receive
	if r.file.Offset() < r.offer.Size {
		return
	}
	confState := &raftpb.ConfState{}
	if err := proto.Unmarshal(r.offer.ConfState, confState); err != nil {
		s.abandonReceive()
		s.receiveFailed(r.from, r.offer, err)
		return
	}
	info, err := r.file.Finish()
	if err != nil {
		s.receive = nil
		s.receiveFailed(r.from, r.offer, err)
		return
	}
	r.handed, r.info = true, info
	kind, self := raftpb.MsgSnap, s.Member
	s.Consensus.Deposit(SnapshotReceived{From: r.from, Message: &raftpb.Message{
		Type: &kind, To: &self, From: &r.from, Term: &r.offer.MessageTerm,
		Snapshot: snapshotAt(r.offer.Index, r.offer.Term, confState),
	}})
}

// installed makes the received snapshot the only one: the log behind older ones is gone.
func (s *Snapshotter) installed(m Installed) {
	r := s.receive
	if r == nil || r.offer.Index != m.Index || r.offer.Term != m.Term {
		return
	}
	s.receive = nil
	if s.saver != nil && s.save.Index <= m.Index { // its state is history now, and the log behind it is gone
		s.saver.Abort()
		s.saver, s.save = nil, Save{}
		s.Applier.Deposit(SaveEnded{})
	}
	for _, old := range s.Kept {
		if old.Path != r.info.Path {
			s.remove(old)
		}
	}
	s.Kept = nil
	s.published(r.info)
	s.send(r.from, SnapshotResult{Index: m.Index, Term: m.Term, Installed: true})
	s.Logger.Info("snapshot installed", "index", m.Index, "bytes", r.info.Bytes)
}

// discard drops a received snapshot that raft had no use for.
func (s *Snapshotter) discard(m Discard) {
	r := s.receive
	if r == nil || r.offer.Index != m.Index || r.offer.Term != m.Term {
		return
	}
	s.receive = nil
	s.send(r.from, SnapshotResult{Index: m.Index, Term: m.Term})
	s.remove(r.info)
}

// Close lets the files go; what is half written is removed or continued at the next start.
func (s *Snapshotter) Close() {
	if s.saver != nil {
		s.saver.Abort()
	}
	if s.receive != nil && !s.receive.handed {
		s.receive.file.Close()
	}
	for _, one := range s.sends {
		one.reader.Close()
	}
}

func snapshotAt(at, term uint64, confState *raftpb.ConfState) *raftpb.Snapshot {
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &at, Term: &term, ConfState: confState}}
}
