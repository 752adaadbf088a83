package actor

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/snapshot"
)

// writing is the snapshotter's work on files of this member's state.
type writing struct {
	order  *ordered   // nil: none
	file   *file      // nil: none
	base   *newerBase // nil: none
	pieces bool       // the next piece of base comes first
	tries  backoff    // of files that nobody ordered
}

// file is the file that is being written. The files come in this order: the extents that are in no file, a snapshot that was ordered, a
// lost part again. A piece of a newer base comes after each of them. So a base does not wait until clients stop writing, and a snapshot
// does not wait for the whole base.
type file struct {
	saver  *snapshot.Saver
	saved  func(*snapshot.Saver)
	failed func() // instead of saveFailed; may be nil
}

// ordered is a snapshot that the applier wants.
type ordered struct {
	Save
	since time.Duration // when it was ordered
	begun bool          // its own file is being written
}

// newerBase is a base that is being written. Snapshots list it when it is complete.
type newerBase struct {
	view    *index.View
	next    []byte             // the first key of the next piece; nil: the first of all
	volumes []*snapshot.Volume // the finished pieces
	done    bool               // all are finished
}

// unstored returns the first extent of a View that is in no file.
func (s *Snapshotter) unstored(v *index.View) (e index.Extent, is bool) {
	all := v.Extents()
	i := slices.IndexFunc(all, func(e index.Extent) bool { return e.To > s.shelf.Last() })
	if i < 0 {
		return e, false
	}
	return all[i], true
}

// nextFile begins the next file. It waits while a check runs: the checked snapshot may be deleted for its space. It waits while a received
// state is installed: that state has other parts.
func (s *Snapshotter) nextFile() {
	if s.out.file != nil || s.check.current != nil || s.installing {
		return
	}
	if s.out.base != nil && s.out.base.done && s.out.order == nil { // a View that is saved may need the older one
		s.rebase()
	}
	if err := s.beginFile(); err != nil {
		s.saveFailed(err)
	}
}

func (s *Snapshotter) beginFile() error {
	o, v := s.out.order, s.Status.View()
	unasked := s.now >= s.out.tries.notBefore && !s.receive.active(&s.snapshotCore) // the state that comes has other parts, which need the space
	if s.out.pieces && unasked {
		s.out.pieces = false
		if err := s.beginPiece(v); err != nil || s.out.file != nil {
			return err
		}
	}
	switch {
	case o != nil:
		v = o.View
	case !unasked:
		return nil
	}
	e, is := s.unstored(v)
	switch {
	case is && (o != nil || s.Status.Disk().Accepts() == space.Left): // the last space of a full disk is for terms and votes
		return s.begin(e.Bytes, s.extentSaved, func() (*snapshot.Saver, error) { return snapshot.BeginExtent(s.FS, s.Dir, v, e) })
	case o != nil:
		return s.beginSnapshot()
	}
	if s.out.file = s.repair.remake(&s.snapshotCore, v); s.out.file != nil {
		return nil
	}
	return s.beginPiece(v)
}

// begin begins a file of about that many bytes. A file that fills the disk would take the log's space.
func (s *Snapshotter) begin(bytes int64, saved func(*snapshot.Saver), saver func() (*snapshot.Saver, error)) error {
	free, err := s.FS.Free(s.Dir)
	if err == nil && free < bytes {
		err = fmt.Errorf("%w: the file takes about %d bytes, the disk has %d left: free space there", syscall.ENOSPC, bytes, free)
	}
	if err != nil {
		return err
	}
	one, err := saver()
	if err == nil {
		s.out.file = &file{saver: one, saved: saved}
	}
	return err
}

// beginSnapshot begins the file that was ordered.
func (s *Snapshotter) beginSnapshot() error {
	o, v := s.out.order, s.out.order.View
	switch {
	case len(s.files) > 0 && s.files[0].Index == o.Index: // it exists already
		s.endOrder(false)
		return nil
	case s.shelf.Reach() != v.OpenExtent().From-1: // it was late, and the extents before a newer base are in no file: that base comes first
		s.endOrder(true)
		return nil
	case s.shelf.Base() > v.Base(), s.shelf.Base() == v.Base() && !v.BaseServes(): // the base is newer than the order
		s.endOrder(true)
		return nil
	}
	for _, one := range s.repair.damaged {
		if one.lost && s.lists(one.Part) {
			s.repair.fetchAgain(&s.snapshotCore, one.Part)
			s.notSaved(fmt.Errorf("the part %s is lost, and the log is kept until there is a newer base without it: %w", one.Name(), one.damage))
			return nil
		}
	}
	m := snapshot.Meta{
		Cluster: s.Cluster, Member: s.Member, Index: o.Index, Term: o.Term, ConfState: ConfStateBytes(o.ConfState), Version: s.Version, Parts: s.shelf.Parts(),
	}
	err := s.begin(v.OpenExtent().Bytes, s.snapshotSaved, func() (*snapshot.Saver, error) { return snapshot.Begin(s.FS, s.Dir, m, v) })
	if o.begun = err == nil; o.begun {
		o.View = nil // the saver has it
	}
	return err
}

// beginPiece begins the next piece of a newer base, if there is one. Writes go on meanwhile, so it leaves them their space: otherwise the
// older base stays, and the newer one is tried again after a pause.
func (s *Snapshotter) beginPiece(v *index.View) error {
	b := s.out.base
	switch {
	case b == nil && (v.Base() <= s.shelf.Base() || !v.BaseServes()), b != nil && b.done:
		return nil
	case b == nil:
		b = &newerBase{view: v}
	}
	disk, need := s.Status.Disk(), b.view.BaseBytes()
	for _, one := range b.volumes {
		need -= one.Bytes
	}
	if need = max(need, 0); disk.Accepts() == space.Left { // a full disk may have space after a newer base only
		low, _ := disk.Marks()
		need += low
	}
	if free, err := s.FS.Free(s.Dir); err != nil || free < need {
		s.noteLack(syscall.ENOSPC)
		s.dropBase()
		return nil
	}
	s.out.base = b
	piece := b.view.BaseRange(b.next)
	return s.begin(0, func(saver *snapshot.Saver) {
		s.out.pieces = false
		one := saver.Volume()
		s.parts.add(one.Part)
		s.parts.written = append(s.parts.written, one.Part)
		b.volumes, b.next = append(b.volumes, one), piece.Next()
		b.done = b.next == nil
		if i := slices.IndexFunc(s.repair.damaged, func(d damagedPart) bool { return d.SHA == one.SHA }); i >= 0 { // of the base before
			s.repair.repaired(&s.snapshotCore, s.repair.damaged[i], "written again with a newer base; nothing is lost")
		}
	}, func() (*snapshot.Saver, error) { return snapshot.BeginRangeFile(s.FS, s.Dir, b.view.Base(), piece) })
}

// dropBase gives up a newer base, if one is being written. Files that nobody ordered are tried again after a pause.
func (s *Snapshotter) dropBase() {
	s.out.base, s.parts.written = nil, nil
	s.out.tries.fail(s.now, limits.SnapshotRetry, limits.SnapshotRetryMost)
	s.removeParts()
}

// rebase makes a newer base the present one. Two snapshots that list it free the space of the older one.
func (s *Snapshotter) rebase() {
	s.shelf = s.shelf.Rebased(s.out.base.volumes)
	s.out.base, s.parts.written = nil, nil
	s.removeParts() // no snapshot may have listed the base before
	s.postStored()
	s.Applier.MustPost(SnapshotWanted{Saves: limits.SnapshotsKept})
}

// extentSaved notes an extent.
func (s *Snapshotter) extentSaved(saver *snapshot.Saver) {
	one := saver.Volume()
	s.parts.add(one.Part)
	s.shelf = s.shelf.With(one)
	s.postStored()
}

// stepSave writes a part of a file, or reads a part back; the last step publishes the file.
func (s *Snapshotter) stepSave() {
	f := s.out.file
	f.saver.CallBytes = s.pieceBytes
	done, err := f.saver.Step(s.Limits.SnapshotStepBytes)
	switch {
	case err != nil && f.failed != nil:
		s.out.file = nil
		f.failed()
	case err != nil:
		s.saveFailed(err)
	case done:
		s.out.pieces = true
		s.out.file, s.out.tries = nil, backoff{}
		f.saved(f.saver)
	}
}

// snapshotSaved reports a snapshot.
func (s *Snapshotter) snapshotSaved(saver *snapshot.Saver) {
	o, info := s.out.order, saver.Info()
	s.endOrder(false)
	s.Status.Observer.Counters.Saves.Observe(s.now - o.since)
	s.published(info)
	s.repair.forgetLost(&s.snapshotCore)
	s.removeParts()
	s.foundSound(info)
	s.Status.Alarm(savingAlarm(""))
	s.Consensus.MustPost(SnapshotSaved{Snapshot: snapshotAt(o.Index, o.Term, o.ConfState), KeepFrom: s.keepFrom()})
	s.Logger.Info("snapshot saved", "index", info.Index, "bytes", info.Bytes, "parts", len(info.Parts))
}

// endOrder ends an order. A failed save is ordered again after a pause.
func (s *Snapshotter) endOrder(failed bool) {
	s.out.order = nil
	s.Applier.MustPost(SaveEnded{Failed: failed})
}

// abortFile removes the written part of the file.
func (s *Snapshotter) abortFile() {
	if s.out.file != nil {
		s.out.file.saver.Abort()
	}
	s.out.file = nil
}

// stateReplaced ends the work on files of the state that a received one has replaced.
func (s *Snapshotter) stateReplaced(index uint64) {
	s.abortFile()
	s.out.base, s.parts.written = nil, nil
	if s.out.order != nil && s.out.order.Index <= index {
		s.endOrder(false)
	}
}

func savingAlarm(text string) kv.Alarm {
	return kv.Alarm{Name: kv.SnapshotAlarm, Subject: "saving", Text: text}
}

// saveFailed ends the file that is being written. Another attempt follows after a pause.
func (s *Snapshotter) saveFailed(err error) {
	s.abortFile()
	s.dropBase()
	s.noteLack(err)
	s.notSaved(err)
}

// notSaved keeps the log, which still holds everything.
func (s *Snapshotter) notSaved(err error) {
	s.Logger.Error("no snapshot could be saved, it is tried again; the log grows until one can be: look at the disk", "error", err)
	s.Status.Alarm(savingAlarm(fmt.Sprintf("no snapshot could be saved, which is tried again within %v: %v", limits.SnapshotRetryMost, err)))
	if s.out.order != nil {
		s.endOrder(true)
	}
}
