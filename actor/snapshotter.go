package actor

import (
	"fmt"
	"math"

	"qkv/actor/space"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// Snapshotter writes snapshots of the state, streams them to slow peers, and receives them. It owns the folder of snapshots. Each step is
// bounded: a large state delays no other work.
//
// It is a small core and parts over it, as [Consensus] is. A part holds its own state and keeps its own invariants: saving
// (snapshotsave.go), sending (snapshotsend.go), receiving (snapshotreceive.go), checking (snapshotcheck.go) and repairing
// (snapshotrepair.go). With each call it gets the core, and the parts that it calls.
type Snapshotter struct {
	snapshotCore

	out     writing
	sends   sends
	receive receives
	check   checks
	repair  repairing
}

// NewSnapshotter builds the actor.
func NewSnapshotter(c SnapshotterConfig) *Snapshotter {
	s := &Snapshotter{
		snapshotCore: snapshotCore{
			SnapshotterConfig: c, files: c.Kept, shelf: c.Shelf, pieceBytes: limits.SnapshotPieceBytes,
			parts: parts{all: map[[32]byte]snapshot.Part{}, partial: c.Interrupted.Partial},
		},
		sends: sends{backoffs: map[uint64]backoff{}},
	}
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
	c := &s.snapshotCore
	s.now = t.Now
	for _, m := range batch {
		switch m := m.(type) {
		case save:
			s.out.order = &ordered{save: m, since: s.now}
		case sendSnapshot:
			s.sends.begin(c, m)
		case FromPeer:
			s.fromPeer(m)
		case pieceCame:
			s.receive.pieceCame(c, m)
		case pulled:
			s.receive.pulled(c, &s.repair, m)
		case partRepaired:
			s.repair.partRepaired(c, m)
		case installed:
			s.installed(m)
		case discard:
			s.receive.discard(c, m)
		case Suspect:
			s.check.suspected(c, &s.repair, m.Path)
		case Wait:
			s.receive.endAlarm(c)
			s.receive.endNeedless(c)
			s.receive.report(c)
			s.sends.wait(c)
		default:
			panic(fmt.Sprintf("the snapshotter takes no %T", m))
		}
	}
	s.repair.valueDamaged(c)
	if s.parts.withheld && !s.readElsewhere() {
		s.removeParts()
	}
	switch {
	case t.Resting:
	case s.check.current != nil:
		s.check.step(c, &s.repair, &s.sends)
	case s.out.file != nil:
		s.out.step(c, &s.repair)
	}
	s.check.freeSpace(c, &s.repair, &s.sends, &s.out)
	s.check.next(c, &s.repair, &s.sends)
	if s.check.current == nil { // the checked snapshot may be deleted for its space
		s.out.next(c, &s.repair, s.receive.active(c))
	}
	if s.receive.current == nil && s.receive.given == nil {
		s.repair.fetchNext(c)
	}
	s.publishSize()
	return s.out.file != nil || s.check.current != nil
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
		d.Receives, d.Lacks = s.receive.active(&s.snapshotCore), s.now < s.lacks
		d.Snapshots, d.Written = s.bytes(), s.written()
	})
}

// partsFigures returns what an operator sees of the parts of the present state.
func (s *Snapshotter) partsFigures() (p Parts) {
	p.Reads, p.ReadsFailed = s.shelf.Reads()
	p.Base = s.shelf.Base()
	p.BaseFiles, p.BaseBytes, p.Extents, p.ExtentBytes = s.shelf.Sizes()
	for _, one := range s.repair.damaged {
		if one.lost && s.lists(one.Part) {
			p.Lost = max(p.Lost, one.To)
		}
	}
	return p
}

func (s *Snapshotter) fromPeer(m FromPeer) {
	c := &s.snapshotCore
	switch f := m.Message.(type) {
	case peerframe.SnapshotOffer:
		s.receive.offered(c, &s.repair, m.From, f)
	case peerframe.SnapshotProgress:
		if one := s.sends.find(m.From, f.Index, f.Term); one != nil {
			one.progressed, one.asked = c.now, c.now
		}
	case peerframe.SnapshotResult:
		if one := s.sends.find(m.From, f.Index, f.Term); one != nil {
			if f.Damaged {
				one.suspect(c)
			}
			s.sends.end(c, one, f.Installed)
		}
	default:
		panic(fmt.Sprintf("the snapshotter takes no %T from a peer", f))
	}
}

// installed makes the received snapshot the only one: the log behind older ones is gone.
func (s *Snapshotter) installed(m installed) {
	c := &s.snapshotCore
	t := s.receive.take(c, m.Index, m.Term)
	if t == nil {
		return
	}
	s.out.stateReplaced(c, m.Index)
	s.check.end()
	for _, old := range s.files {
		if old.Path != t.info.Path {
			s.remove(old)
		}
	}
	s.parts.add(t.info.Parts...)
	s.shelf = t.shelf
	s.files = nil
	s.published(t.info)
	s.repair.loaded(c, t.info)
	s.repair.forgetLost(c)
	s.removeParts()
	s.postStored()
	s.receive.endAlarm(c)
	s.Status.Alarm(snapshotAlarm("saving", "")) // one exists now, with everything that the own save would have held
	s.Status.Observer.Counters.InstallsDone.Add(1)
	s.send(t.from, peerframe.SnapshotResult{Index: m.Index, Term: m.Term, Installed: true})
	s.Logger.Info("snapshot installed", "index", m.Index, "bytes", t.info.Bytes)
}

// Close closes the files; unfinished files are removed or continued at the next start.
func (s *Snapshotter) Close() {
	s.out.abort()
	if s.receive.current != nil && !s.installing {
		s.receive.end(&s.snapshotCore)
	}
	s.check.end()
}
