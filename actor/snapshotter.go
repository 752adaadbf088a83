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
type Snapshotter struct {
	snapshotCore

	out     writing
	check   checks
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
			s.repair.partRepaired(&s.snapshotCore, m)
		case Installed:
			s.installed(m)
		case Discard:
			s.discard(m)
		case Suspect:
			s.check.suspected(&s.snapshotCore, &s.repair, m.Path)
		case Wait:
			s.endReceivingAlarm()
			s.endNeedless()
			s.logProgress()
			s.sends.wait(&s.snapshotCore)
		default:
			panic(fmt.Sprintf("the snapshotter takes no %T", m))
		}
	}
	s.repair.valueDamaged(&s.snapshotCore)
	if s.parts.withheld && !s.readElsewhere() {
		s.removeParts()
	}
	if !t.Resting {
		s.step()
	}
	s.check.freeSpace(&s.snapshotCore, &s.repair, &s.sends, &s.out)
	s.check.next(&s.snapshotCore, &s.repair, &s.sends)
	s.nextFile()
	s.publishSize()
	return s.out.file != nil || s.check.current != nil
}

// step does one step of background work.
func (s *Snapshotter) step() {
	switch {
	case s.check.current != nil:
		s.check.step(&s.snapshotCore, &s.repair, &s.sends)
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
			d.NextHas = s.out.fileBytes()
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
	s.check.end()
	for _, one := range s.sends.transfers {
		one.close()
	}
}

func snapshotAt(at, term uint64, confState *raftpb.ConfState) *raftpb.Snapshot {
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &at, Term: &term, ConfState: confState}}
}
