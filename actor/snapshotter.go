package actor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// SnapshotterConfig is the configuration of the snapshotter.
type SnapshotterConfig struct {
	Cluster, Member uint64
	Version         string
	FS              disk.FS
	Dir             string
	Damaged         string          // the folder for damaged files
	Kept            []snapshot.Info // initially published and valid ones, newest first
	Interrupted     Interrupted
	Shelf           *snapshot.Shelf // of the state
	Inbox           *Mailbox[SnapshotterMessage]
	Consensus       *Mailbox[ConsensusMessage]
	Applier         *Mailbox[ApplierMessage]
	Reader          *Mailbox[SnapshotReaderMessage]
	Peers           Peers
	Status          *Status
	Limits          limits.Tunable
	Logger          *slog.Logger
}

// Interrupted are the files of a transfer that was interrupted, by a restart or otherwise. It continues there if a snapshot with them is
// offered.
type Interrupted struct {
	Parts   []snapshot.Part // that no snapshot lists
	Partial string          // the path of the file that is not complete; empty: there is none
}

// Snapshotter writes snapshots of the state, streams them to slow peers, and receives them. It owns the folder of snapshots. Each step is
// bounded: a large state delays no other work.
//
// Invariants:
//
//  1. At most one snapshot is being saved, and one is being received, at a time.
//  2. A snapshot is reported only after it is published: file and folder are synced, and the file was read back.
//  3. A transfer runs to its end, also when the snapshot is no longer kept: consensus keeps the log behind
//     it, up to a bound.
//  4. A peer's raft message about a snapshot reaches consensus only when the whole file is verified and published.
//  5. The older of two snapshots, and the log behind the newer one, is deleted before there is a third only if its space is
//     needed, and if the newer one was found sound on the medium within snapshotSound.
type Snapshotter struct {
	// Constant after construction.
	SnapshotterConfig

	// Owned by the actor.
	files    []snapshot.Info // published ones that are valid, newest first
	stuck    []snapshot.Info // files that could not be removed: they keep their parts, and the next save tries again
	parts    parts           // all that are on the disk
	shelf    *snapshot.Shelf // the parts of the present state: those that the next snapshot lists
	withheld bool            // parts were not removed because values may be read from them, or a transfer needed them
	now      time.Duration
	out      writing
	check    *checking
	sound    soundSnapshot
	covered  uint64          // a snapshot that was found sound covers the log up to here
	suspects []snapshot.Info // to be verified next: readers found them damaged, or older files must be deleted
	sends    []*sending
	buffer   []byte             // of the last sent chunk: the sender keeps no reference to it
	backoffs map[uint64]backoff // by peer: since the last snapshot that it installed
	receive  *receiving
	repair   repairing
	failed   uint64        // index of the newest snapshot that could not be received; 0: there is no such alarm
	lacks    time.Duration // until then a file found no space

	pieceBytes int // size of one disk request of a save or a check, adapted to the time of its steps
}

// soundSnapshot is the newest snapshot, if it was found sound on the medium.
type soundSnapshot struct {
	path    string
	at      time.Duration // when it was found sound
	noCheck time.Duration // no check to free space begins before; the last one failed
}

// NewSnapshotter builds the actor.
func NewSnapshotter(c SnapshotterConfig) *Snapshotter {
	s := &Snapshotter{SnapshotterConfig: c, files: c.Kept, shelf: c.Shelf, backoffs: map[uint64]backoff{}, pieceBytes: limits.SnapshotPieceBytes}
	s.parts.all = map[[32]byte]snapshot.Part{}
	for _, info := range c.Kept {
		s.parts.add(info.Parts...)
	}
	s.parts.add(c.Interrupted.Parts...)
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
			s.beginSend(m)
		case Allow:
			s.allow(m.Bytes)
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
			s.wait()
		default:
			panic(fmt.Sprintf("the snapshotter takes no %T", m))
		}
	}
	s.valueDamaged()
	if s.withheld && !s.readElsewhere() {
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

// published inserts a new file by its index, and removes the files beyond the limit.
func (s *Snapshotter) published(info snapshot.Info) {
	stuck := s.stuck
	s.stuck = nil
	for _, one := range stuck {
		if one.Path != info.Path {
			s.remove(one)
		}
	}
	s.files = append(s.files, info)
	slices.SortFunc(s.files, func(a, b snapshot.Info) int { return cmp.Compare(b.Index, a.Index) })
	for len(s.files) > limits.SnapshotsKept {
		old := s.files[len(s.files)-1]
		s.files = s.files[:len(s.files)-1]
		s.remove(old)
	}
	s.forgetLost()
	s.removeParts()
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
		case s.installs():
			// The received snapshot is the next one. The log must not wait for the space of another: it writes entries before the install.
			d.NextHas = math.MaxInt64
		case s.out.order != nil && s.out.order.begun: // the deletable files are already gone
			d.NextHas = s.fileBytes()
		}
		d.Receives, d.Lacks = s.receivesSnapshot(), s.now < s.lacks
		d.Snapshots, d.Written = s.bytes(), s.written()
	})
}

func (s *Snapshotter) remove(info snapshot.Info) {
	if err := snapshot.Remove(s.FS, info.Path); err != nil {
		s.Logger.Warn("an old snapshot could not be removed", "file", info.Path, "error", err)
		if !errors.Is(err, fs.ErrNotExist) {
			s.stuck = append(s.stuck, info)
		}
	}
}

// keepFrom returns the index from which on the log must be kept; 0 keeps all of it.
func (s *Snapshotter) keepFrom() uint64 {
	if len(s.files) < limits.SnapshotsKept {
		return 0
	}
	return s.files[len(s.files)-1].Index
}

func (s *Snapshotter) fromPeer(m FromPeer) {
	switch f := m.Message.(type) {
	case peerframe.SnapshotOffer:
		s.offered(m.From, f)
	case peerframe.SnapshotChunk:
		s.chunk(m.From, f)
	case peerframe.SnapshotRequest:
		for _, one := range s.sends {
			if one.peer == m.From && one.index == f.Index && one.term == f.Term && one.reader != nil {
				s.acknowledged(one, f.Part, f.Offset)
				return
			}
		}
	case peerframe.SnapshotResult:
		for _, one := range s.sends {
			if one.peer == m.From && one.index == f.Index && one.term == f.Term {
				if f.Damaged {
					s.suspect(one)
				}
				s.endSend(one, f.Installed)
				return
			}
		}
	default:
		panic(fmt.Sprintf("the snapshotter takes no %T from a peer", f))
	}
}

func (s *Snapshotter) send(to uint64, m peerframe.Message) { s.Peers.Send(to, m, false) }

// Close closes the files; unfinished files are removed or continued at the next start.
func (s *Snapshotter) Close() {
	s.abortFile()
	if s.receive != nil && !s.receive.handed {
		s.abandonReceive()
	}
	s.endCheck()
	for _, one := range s.sends {
		one.close()
	}
}

func snapshotAt(at, term uint64, confState *raftpb.ConfState) *raftpb.Snapshot {
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &at, Term: &term, ConfState: confState}}
}
