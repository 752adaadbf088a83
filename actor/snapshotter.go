package actor

import (
	"fmt"
	"math"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// Snapshotter writes snapshots of the state, streams them to slow peers, and receives them. It owns the folder of snapshots. Each step is
// bounded: a large state delays no other work.
//
// Invariants:
//
//  1. At most one snapshot is being saved, and one is being received, at a time.
//  2. A snapshot is reported only after it is published: file and folder are synced, and the file was read back.
//  3. A peer's raft message about a snapshot reaches consensus only when the whole file is verified and published.
//  4. The older of two snapshots, and the log behind the newer one, is deleted before there is a third only if its space is
//     needed, and if the newer one was found sound on the medium within snapshotSound.
type Snapshotter struct {
	snapshotCore

	out     writing
	check   *checking
	covered uint64 // a snapshot that was found sound covers the log up to here
	sends   sends
	receive *receiving
	repair  repairing
	failed  uint64 // index of the newest snapshot that could not be received; 0: there is no such alarm
}

// NewSnapshotter builds the actor.
func NewSnapshotter(c SnapshotterConfig) *Snapshotter {
	s := &Snapshotter{snapshotCore: newSnapshotCore(c), sends: sends{backoffs: map[uint64]backoff{}}}
	s.publishSize()
	return s
}

// Files returns the published snapshots, for a caller that never runs at the same time as the actor.
func (s *Snapshotter) Files() []snapshot.Info { return s.files }

// Handle implements Handler.
func (s *Snapshotter) Handle(t Time, batch []SnapshotterMessage) bool {
	s.now = t.Now
	for _, m := range batch {
		switch m := m.(type) {
		case Save:
			s.out.order = &ordered{Save: m, since: s.now}
		case SendSnapshot:
			s.sends.begin(&s.snapshotCore, m)
		case Allow:
			s.sends.allow(&s.snapshotCore, m.Bytes)
		case FromPeer:
			s.fromPeer(m)
		case SnapshotRead:
			s.snapshotRead(m)
		case PartRepaired:
			s.partRepaired(m)
		case Installed:
			s.installed(m)
		case Discard:
			s.discard(m)
		case Suspect:
			s.suspected(m.Path)
		case Wait:
			s.endReceivingAlarm()
			s.endNeedless()
			s.logProgress()
			s.sends.wait(&s.snapshotCore)
		default:
			panic(fmt.Sprintf("the snapshotter takes no %T", m))
		}
	}
	s.valueDamaged()
	if s.parts.withheld && !s.readElsewhere() {
		s.removeParts()
	}
	if !t.Resting {
		s.step()
	}
	s.freeSpace()
	s.nextCheck()
	s.nextFile()
	s.publishSize()
	return s.out.file != nil || s.check != nil
}

// step does one step of background work.
func (s *Snapshotter) step() {
	switch {
	case s.check != nil:
		s.stepCheck()
	case s.out.file != nil:
		s.stepSave()
	}
}

// publishSize publishes the size of the folder's files.
func (s *Snapshotter) publishSize() {
	if now := s.partsFigures(); now != s.Status.Parts() {
		s.Status.parts.Store(&now)
	}
	s.Status.reportDisk(func(d *space.Disk) {
		d.NextHas, d.Stored = 0, s.shelf.Last()
		if len(s.files) > 0 {
			d.Newest, d.NextHas = s.files[0].Whole(), s.parts.older
			for _, k := range s.files[1:] {
				d.NextHas += k.Bytes
			}
		}
		switch {
		case s.installing:
			// The received snapshot is the next one. The log must not wait for the space of another: it writes entries before the install.
			d.NextHas = math.MaxInt64
		case s.out.order != nil && s.out.order.begun: // the deletable files are already gone
			d.NextHas = s.fileBytes()
		}
		d.Receives, d.Lacks = s.receivesSnapshot(), s.now < s.lacks
		d.Snapshots, d.Written = s.bytes(), s.written()
	})
}

func (s *Snapshotter) fromPeer(m FromPeer) {
	switch f := m.Message.(type) {
	case peerframe.SnapshotOffer:
		s.offered(m.From, f)
	case peerframe.SnapshotChunk:
		s.chunk(m.From, f)
	case peerframe.SnapshotRequest:
		if one := s.sends.find(m.From, f.Index, f.Term); one != nil && one.reader != nil {
			s.sends.acknowledged(&s.snapshotCore, one, f.Part, f.Offset)
		}
	case peerframe.SnapshotResult:
		if one := s.sends.find(m.From, f.Index, f.Term); one != nil {
			if f.Damaged {
				one.suspect(&s.snapshotCore)
			}
			s.sends.end(&s.snapshotCore, one, f.Installed)
		}
	default:
		panic(fmt.Sprintf("the snapshotter takes no %T from a peer", f))
	}
}

// Close closes the files; unfinished files are removed or continued at the next start.
func (s *Snapshotter) Close() {
	s.abortFile()
	if s.receive != nil && !s.installing {
		s.abandonReceive()
	}
	s.endCheck()
	for _, one := range s.sends.transfers {
		one.close()
	}
}

func snapshotAt(at, term uint64, confState *raftpb.ConfState) *raftpb.Snapshot {
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &at, Term: &term, ConfState: confState}}
}
