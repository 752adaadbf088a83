package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

const (
	snapshotReceiveIdle = 2 * time.Second  // a leader's silence before another leader's offer is accepted
	snapshotSays        = 30 * time.Second // between log lines about an incoming snapshot: most are complete before the second line
)

// receiving is a snapshot being received from a leader.
type receiving struct {
	from       uint64
	offer      peerframe.SnapshotOffer
	part       int                // which file is being received: 0 is the snapshot, which comes last, and n is the nth part
	file       *snapshot.Receiver // of that file
	left       int64              // bytes of that file and of those that come after it
	back       *snapshot.Readback
	reading    bool // the snapshot reader has back
	info       snapshot.Info
	shelf      *snapshot.Shelf // of its state
	ordered    int64           // bytes received at the last order to the snapshot reader
	missed     int64           // offset of a missing piece that was requested again
	progressed time.Duration
	nextLog    time.Duration // the earliest time of the next log line about it
}

// offered begins to receive a snapshot, or continues an earlier attempt.
func (s *Snapshotter) offered(from uint64, o peerframe.SnapshotOffer) {
	if applied, _ := s.Status.View().Applied(); applied >= o.Index {
		s.send(from, peerframe.SnapshotResult{Index: o.Index, Term: o.Term, Installed: true})
		return
	}
	if r := s.receive; r != nil {
		same := r.offer.Index == o.Index && r.offer.Term == o.Term && r.offer.SHA == o.SHA
		switch {
		case s.installing:
			if same && r.from == from {
				s.requestChunk() // it is complete and being installed, however long that takes
			}
			return // another sender offers again
		case same && r.from == from:
			r.offer.MessageTerm = max(r.offer.MessageTerm, o.MessageTerm)
			s.requestChunk()
			return
		case o.MessageTerm <= r.offer.MessageTerm && s.now-r.progressed < snapshotReceiveIdle:
			return
		case same:
			s.abandonReceive()
		default:
			s.receive.file.Abort() // another snapshot is wanted now; part of this one is useless
			s.dropReceive()
		}
	}
	r := &receiving{from: from, offer: o, progressed: s.now}
	if err := s.receiveNext(r); err != nil {
		s.receiveFailed(from, o, err)
		return
	}
	s.receive = r
	for _, one := range o.Parts {
		s.parts.received = append(s.parts.received, snapshot.Part(one))
	}
	s.logProgress()
	s.requestChunk()
	s.readBack()
}

// missing returns the size of the files of a snapshot that are not here.
func (s *Snapshotter) missing(o *peerframe.SnapshotOffer) int64 {
	n := o.Size
	for _, p := range o.Parts {
		if !s.parts.has(snapshot.Part(p)) {
			n += p.Bytes
		}
	}
	return n
}

// receiveNext begins with the next file of a snapshot: a part that is missing here, or the snapshot. It refuses all of them if they do not
// fit on the disk together.
func (s *Snapshotter) receiveNext(r *receiving) error {
	if err := s.openNext(r); err != nil {
		return err
	}
	r.left = s.missing(&r.offer) // this member saves parts, too
	free, err := s.FS.Free(s.Dir)
	if need := r.left - r.file.Offset(); err == nil && need > free {
		err = fmt.Errorf("%w: the snapshot needs %d more bytes, but the disk has only %d free: free space there", syscall.ENOSPC, need, free)
	}
	if err != nil {
		s.parts.partial = r.file.Path()
		r.file.Close() // the transfer continues there when there is space
		r.back.Close()
		return err
	}
	s.parts.incoming = r.file.Path()
	return nil
}

func (s *Snapshotter) openNext(r *receiving) (err error) {
	r.missed = -1
	for r.part < len(r.offer.Parts) {
		r.part++
		p := snapshot.Part(r.offer.Parts[r.part-1])
		r.file, err = snapshot.Receive(s.FS, s.Dir, p.Name(), p.Bytes, p.SHA)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			r.back = r.file.Check()
		}
		return err
	}
	r.part = 0
	if r.file, err = snapshot.Receive(s.FS, s.Dir, snapshot.Name(r.offer.Index, r.offer.Term), r.offer.Size, r.offer.SHA); err == nil {
		r.back = r.file.Readback(s.Limits.Index)
	}
	return err
}

// received publishes a part, and goes on with the next file.
func (s *Snapshotter) received() {
	r := s.receive
	_, err := r.file.Finish(r.back)
	if errors.Is(err, fs.ErrExist) { // this member has saved the same part meanwhile
		err = nil
	}
	r.back.Close()
	if err == nil {
		s.parts.add(snapshot.Part(r.offer.Parts[r.part-1]))
		err = s.receiveNext(r)
	}
	if err != nil {
		s.endReceive()
		s.receiveFailed(r.from, r.offer, err)
		return
	}
	s.requestChunk()
	s.readBack()
}

// logProgress logs the progress now and then: on a slow disk or network a transfer takes long, and an operator looks here for the reason
// of a lag.
func (s *Snapshotter) logProgress() {
	r := s.receive
	if r == nil || s.installing || s.now < r.nextLog {
		return
	}
	r.nextLog = s.now + snapshotSays
	s.Logger.Info("a snapshot comes", "from", s.Status.NameOf(r.from), "index", r.offer.Index, "bytes", r.offer.Size, "has", r.file.Offset())
}

func (s *Snapshotter) requestChunk() {
	r := s.receive
	s.send(r.from, peerframe.SnapshotRequest{Index: r.offer.Index, Term: r.offer.Term, Offset: r.file.Offset(), Part: uint64(r.part)})
}

func (s *Snapshotter) receiveFailed(from uint64, o peerframe.SnapshotOffer, err error) {
	s.Logger.Error("a snapshot could not be received", "from", s.Status.NameOf(from), "index", o.Index, "error", err)
	s.failed = max(s.failed, o.Index)
	s.noteLack(err)
	s.Status.Observer.Counters.ReceiveFailed.Add(1)
	s.Status.Alarm(receivingAlarm(fmt.Sprintf("a snapshot could not be received: %v", err)))
	s.send(from, peerframe.SnapshotResult{Index: o.Index, Term: o.Term, Damaged: errors.Is(err, damage.ErrDamaged)})
}

func receivingAlarm(text string) kv.Alarm {
	return kv.Alarm{Name: kv.SnapshotAlarm, Subject: "receiving", Text: text}
}

// endReceivingAlarm ends the alarm when the state has reached the snapshot that could not be received, in whatever way.
func (s *Snapshotter) endReceivingAlarm() {
	if s.failed == 0 {
		return
	}
	if applied, _ := s.Status.View().Applied(); applied >= s.failed {
		s.failed = 0
		s.Status.Alarm(receivingAlarm(""))
	}
}

// endNeedless gives up a snapshot whose entries the log has brought meanwhile: its sender may be gone, and no other event would end the
// transfer.
func (s *Snapshotter) endNeedless() {
	r := s.receive
	if r == nil || s.installing {
		return
	}
	if applied, _ := s.Status.View().Applied(); applied >= r.offer.Index {
		r.file.Abort()
		s.dropReceive()
		s.removeParts()
		s.send(r.from, peerframe.SnapshotResult{Index: r.offer.Index, Term: r.offer.Term, Installed: true})
	}
}

// receivesSnapshot reports whether a snapshot is being received. A transfer without progress for the sender's whole timeout does not count.
func (s *Snapshotter) receivesSnapshot() bool {
	r := s.receive
	return r != nil && (s.installing || r.reading || s.now-r.progressed < snapshotSendTimeout)
}

// abandonReceive closes the file; the transfer continues there when the same snapshot is offered again.
func (s *Snapshotter) abandonReceive() {
	s.parts.partial = s.receive.file.Path()
	s.receive.file.Close()
	s.dropReceive()
}

// dropReceive gives up the transfer; the snapshot reader returns its part.
func (s *Snapshotter) dropReceive() {
	if !s.receive.reading {
		s.receive.back.Close()
	}
	s.endReceive()
}

// endReceive forgets the transfer, which is over.
func (s *Snapshotter) endReceive() {
	s.receive, s.parts.received, s.parts.incoming = nil, nil, ""
}

// chunk writes a piece, if it is the next one.
func (s *Snapshotter) chunk(from uint64, c peerframe.SnapshotChunk) {
	r := s.receive
	if r == nil || s.installing || r.from != from || r.offer.Index != c.Index || r.offer.Term != c.Term || c.Part != uint64(r.part) || c.Offset < r.file.Offset() {
		return // too late
	}
	if at := r.file.Offset(); c.Offset > at {
		if r.missed != at { // the piece before it is lost; it is requested once, then the sender's clock resends it
			r.missed = at
			s.requestChunk()
		}
		return
	}
	if err := r.file.WriteAt(c.Offset, c.Bytes); err != nil {
		s.abandonReceive()
		s.receiveFailed(from, r.offer, err)
		return
	}
	r.progressed = s.now
	s.requestChunk()
	s.readBack()
}

// readBack has the received part read back, and the state built from it, while the rest arrives.
func (s *Snapshotter) readBack() {
	if r := s.receive; !r.reading {
		r.reading, r.ordered = true, r.file.Offset()
		s.Reader.MustPost(ReadSnapshot{Back: r.back, Arrived: r.ordered})
	}
}

// snapshotRead continues with the bytes received meanwhile, or finishes a complete file.
func (s *Snapshotter) snapshotRead(m SnapshotRead) {
	r := s.receive
	if r == nil || r.back != m.Back {
		m.Back.Close() // it was given up meanwhile
		return
	}
	r.reading, r.progressed = false, s.now
	switch {
	case m.Sound && r.part > 0:
		s.received()
	case m.Err != nil || m.Sound:
		s.finishReceive(m.Err)
	case r.file.Offset() > r.ordered:
		s.readBack()
	}
}

// finishReceive publishes a complete and sound file, and hands it to raft.
func (s *Snapshotter) finishReceive(err error) {
	r := s.receive
	r.back.Close()
	state, confState := r.back.TakeState(), &raftpb.ConfState{}
	if err == nil {
		err = proto.Unmarshal(r.offer.ConfState, confState)
	}
	if err == nil {
		if differs := confState.Equivalent(ConfStateOf(state.Members().Configuration())); differs != nil {
			err = fmt.Errorf("%w: its configuration is not that of its members: %w", damage.ErrDamaged, differs)
		}
	}
	info := snapshot.Info{}
	if err == nil {
		info, err = r.file.Finish(r.back)
	}
	if err == nil {
		r.shelf = snapshot.ShelfOf(state)
		r.shelf.Attach(state)
	}
	if err != nil {
		r.file.Abort()
		s.endReceive()
		if part, is := errors.AsType[*snapshot.PartError](err); is {
			if _, unread := errors.AsType[*fs.PathError](err); unread || errors.Is(err, damage.ErrDamaged) {
				err = s.damagedHere(part)
			}
		}
		s.receiveFailed(r.from, r.offer, err)
		return
	}
	s.installing, r.info = true, info
	s.Consensus.MustPost(SnapshotReceived{State: state, Message: &raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), To: new(s.Member), From: &r.from, Term: &r.offer.MessageTerm,
		Snapshot: snapshotAt(r.offer.Index, r.offer.Term, confState),
	}})
}

// damagedHere handles the damage of a part that this member has had before a snapshot came that lists it. If own snapshots need it, too, it
// is fetched: the transfer may be needless soon, and the values in it are still needed. Otherwise it is moved aside; the sender offers the
// snapshot again, and the part comes, too.
func (s *Snapshotter) damagedHere(part *snapshot.PartError) error {
	lists := func(one snapshot.Part) bool { return one.SHA == part.Part.SHA }
	if slices.ContainsFunc(s.shelf.Parts(), lists) || slices.ContainsFunc(s.files, func(info snapshot.Info) bool { return slices.ContainsFunc(info.Parts, lists) }) {
		s.repair.partDamaged(&s.snapshotCore, part.Part, part)
		s.repair.fetchAgain(&s.snapshotCore, part.Part)
		return fmt.Errorf("the part was damaged here, and is fetched: %v", part)
	}
	s.parts.remove(part.Part)
	text := fmt.Sprintf("a damaged part of snapshots was found while a snapshot came; nothing is lost, and the part comes, too: look at the disk: %v%s", part, s.moveDamagedPart(part.Part))
	s.Logger.Error(text)
	s.Status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: s.Dir + "/" + part.Part.Name(), Text: text})
	return fmt.Errorf("the part was damaged here: %v", part)
}

// takeReceived ends the transfer of the snapshot that raft has decided on, and returns it; nil: there is none.
func (s *Snapshotter) takeReceived(index, term uint64) *receiving {
	r := s.receive
	if r == nil || r.offer.Index != index || r.offer.Term != term {
		return nil
	}
	s.endReceive()
	s.installing = false
	return r
}

// installed makes the received snapshot the only one: the log behind older ones is gone.
func (s *Snapshotter) installed(m Installed) {
	r := s.takeReceived(m.Index, m.Term)
	if r == nil {
		return
	}
	s.abortFile() // of the state before
	s.out.base, s.parts.written = nil, nil
	if s.out.order != nil && s.out.order.Index <= m.Index {
		s.endOrder(false)
	}
	s.check.end()
	for _, old := range s.files {
		if old.Path != r.info.Path {
			s.remove(old)
		}
	}
	s.parts.add(r.info.Parts...)
	s.shelf = r.shelf
	s.files = nil
	s.published(r.info)
	s.repair.forgetLost(&s.snapshotCore)
	s.removeParts()
	s.postStored()
	s.endReceivingAlarm()
	s.Status.Alarm(savingAlarm("")) // one exists now, with everything that the own save would have held
	s.Status.Observer.Counters.InstallsDone.Add(1)
	s.send(r.from, peerframe.SnapshotResult{Index: m.Index, Term: m.Term, Installed: true})
	s.Logger.Info("snapshot installed", "index", m.Index, "bytes", r.info.Bytes)
}

// discard drops a received snapshot that raft did not take.
func (s *Snapshotter) discard(m Discard) {
	r := s.takeReceived(m.Index, m.Term)
	if r == nil {
		return
	}
	s.postStored()
	s.send(r.from, peerframe.SnapshotResult{Index: m.Index, Term: m.Term})
	s.remove(r.info)
	s.removeParts()
}

// moveDamagedPart moves a damaged part aside, and says where to.
func (s *Snapshotter) moveDamagedPart(part snapshot.Part) string {
	to, err := snapshot.SetAside(s.FS, s.Dir+"/"+part.Name(), s.Damaged)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return fmt.Sprintf("; it could not be moved aside: %v", err)
	}
	return "; it was moved to " + to
}
