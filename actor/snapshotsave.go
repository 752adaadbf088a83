package actor

import (
	"fmt"
	"slices"
	"time"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/snapshot"
)

// saving is an ordered save: the parts that are not on the disk yet, one file after the other, and then the snapshot.
type saving struct {
	Save
	bytes int64         // estimated size of the files
	older bool          // the disk has no space for a newer base: the snapshot lists the older one
	since time.Duration // when it was ordered
	begun bool
	wrote int64           // bytes of the finished files
	saver *snapshot.Saver // of the file that is being written; nil between two files
	list  []snapshot.Part // that the snapshot lists

	piece   *index.BasePiece   // that is being written
	from    []byte             // where the next piece begins; nil: at the first key
	base    []snapshot.Part    // the finished pieces of a newer base
	volumes []*snapshot.Volume // the same
}

// written returns the bytes that are written so far.
func (o *saving) written() int64 {
	if o.saver == nil {
		return o.wrote
	}
	return o.wrote + o.saver.Info().Bytes
}

// done returns the completed fraction: written, and read back.
func (o *saving) done() float64 {
	done := 2 * o.wrote
	if o.saver != nil {
		done += o.saver.Done()
	}
	return float64(done) / float64(2*max(o.bytes, o.written(), 1))
}

func (s *Snapshotter) beginSave(m Save) {
	s.order = &saving{Save: m, since: s.now, bytes: s.sizeOf(m, true)}
}

// sizeOf estimates the size of the files that a save writes, with or without a newer base.
func (s *Snapshotter) sizeOf(m Save, base bool) int64 {
	v, has := m.View, s.parts.stored()
	all := v.LiveBytes() + v.HistoryBytes()
	if v.Base() == 0 || m.Whole || m.Backup || !m.PartsOnly && len(s.parts.base)+len(s.parts.newer) == 0 {
		return all
	}
	n := unwritten(v, has.To)
	if base && has.Base < v.Base() {
		n += v.LiveBytes()
	}
	if m.PartsOnly {
		n -= v.OpenExtent().Weight
	}
	return n
}

// startSave begins the ordered save if the disk has space, as soon as no check is running: the checked snapshot may be deleted.
func (s *Snapshotter) startSave() {
	o := s.order
	if o == nil || o.begun || s.check != nil {
		return
	}
	if !o.PartsOnly && !o.Backup && len(s.files) > 0 && s.files[0].Index == o.Index && !(o.Whole && len(s.files[0].Parts) > 0) { // it exists already
		s.order = nil
		s.Applier.MustPost(SaveEnded{})
		return
	}
	if o.Backup && s.backup.Path != "" && s.backup.Index == o.Index {
		s.backupSaved(s.backup)
		return
	}
	err := s.hasRoom()
	if least := s.sizeOf(o.Save, false); err != nil && least < o.bytes {
		o.older, o.bytes = true, least
		err = s.hasRoom()
	}
	if err != nil {
		s.saveFailed(err)
		return
	}
	o.begun = true
	if err := s.nextFile(); err != nil {
		s.saveFailed(err)
	}
}

// nextFile begins the next file of a save: a piece of a newer base, an extent, or the snapshot.
func (s *Snapshotter) nextFile() (err error) {
	o, v, has := s.order, s.order.View, s.parts.stored()
	if o.Backup {
		if err := s.FS.MkdirAll(s.Backups); err != nil {
			return err
		}
		return s.beginSnapshot(s.Backups)
	}
	if has.Base < v.Base() && !v.HasBase() {
		s.parts.lost = v.Base() // until there is a newer base, snapshots have all keys
		has = s.parts.stored()
		s.postStored()
	}
	if has.Base < v.Base() && !o.older {
		o.piece = v.BasePiece(o.from)
		o.saver, err = snapshot.BeginPiece(s.FS, s.Dir, v.Base(), o.piece)
		return err
	}
	for _, e := range v.Extents() {
		if e.To <= has.To {
			continue
		}
		if !v.Has(&e) {
			s.parts.gone = e.To
			s.postStored()
			continue
		}
		o.saver, err = snapshot.BeginExtent(s.FS, s.Dir, v, e)
		return err
	}
	if o.PartsOnly {
		s.order = nil
		s.Applier.MustPost(SaveEnded{Failed: o.older}) // the newer base is tried again after a pause
		return nil
	}
	if open := v.OpenExtent(); v.Base() > 0 && !o.Whole && v.Has(&open) {
		base, extents := s.parts.listed(v)
		o.list = slices.Concat(base, extents)
	}
	return s.beginSnapshot(s.Dir)
}

// beginSnapshot begins the last file of a save.
func (s *Snapshotter) beginSnapshot(dir string) (err error) {
	o := s.order
	o.saver, err = snapshot.Begin(s.FS, dir, snapshot.Meta{
		Cluster: s.Cluster, Member: s.Member, Index: o.Index, Term: o.Term, ConfState: ConfStateBytes(o.ConfState), Version: s.Version, Parts: o.list,
	}, o.View)
	o.View = nil // the saver releases it when everything is written, and reads back without it
	return err
}

// hasRoom refuses to begin a save that does not fit on the disk: a file that fills the disk would take the log's space.
func (s *Snapshotter) hasRoom() error {
	free, err := s.FS.Free(s.Dir)
	if err != nil {
		return err
	}
	need := s.order.bytes
	disk, base := s.Status.Disk(), s.order.bytes > s.sizeOf(s.order.Save, false)
	if s.order.Backup || base && disk.Accepts() == space.Left { // the member goes on; a full disk may have space after a newer base only
		low, _ := disk.Marks()
		need += low
	}
	if free < need {
		return fmt.Errorf("no space left: the snapshot takes about %d bytes, the disk has %d left: free space there", need, free)
	}
	return nil
}

// stepSave writes a part of a file, or reads a part back; the last step publishes the file.
func (s *Snapshotter) stepSave() {
	o := s.order
	if o.saver == nil {
		if err := s.nextFile(); err != nil {
			s.saveFailed(err)
		}
		return
	}
	o.saver.Piece = s.pieceBytes
	done, err := o.saver.Step(s.Limits.SnapshotStepBytes)
	switch {
	case err != nil:
		s.saveFailed(err)
	case done && o.View != nil:
		s.partSaved()
	case done:
		s.snapshotSaved()
	}
}

// partSaved notes a piece or an extent.
func (s *Snapshotter) partSaved() {
	o := s.order
	volume := o.saver.Volume()
	one := volume.Part
	o.wrote += one.Bytes
	o.saver = nil
	s.parts.add(one)
	if one.Number > 0 {
		s.parts.extents = append(s.parts.extents, one)
		s.shelf = s.shelf.With(volume)
	} else {
		o.base, o.volumes, o.from = append(o.base, one), append(o.volumes, volume), o.piece.Next()
		if o.piece = nil; o.from != nil {
			return
		}
		s.parts.newer, s.newer, o.base, o.volumes = o.base, o.volumes, nil, nil
		s.removeParts() // those of a newer base that never served
	}
	s.postStored()
}

// postStored tells the applier which revisions are in parts. While a received state is being installed it does not: that state has other parts, and
// its end is followed by a report.
func (s *Snapshotter) postStored() {
	if s.receive != nil && s.receive.handed {
		return
	}
	stored := s.parts.stored()
	stored.Values = s.shelf
	s.Applier.MustPost(stored)
}

// snapshotSaved reports a snapshot. A newer base that it lists takes the place of the base before.
func (s *Snapshotter) snapshotSaved() {
	o := s.order
	info := o.saver.Info()
	if o.Backup {
		s.backupSaved(info)
		return
	}
	s.order = nil
	if len(o.list) > 0 && len(s.parts.newer) > 0 && o.list[0] == s.parts.newer[0] {
		s.parts.base, s.parts.newer = s.parts.newer, nil
		s.shelf, s.newer = s.shelf.Rebased(s.newer), nil
		defer s.postStored()
		s.parts.extents = slices.DeleteFunc(s.parts.extents, func(one snapshot.Part) bool { return one.To <= s.parts.base[0].To })
	}
	s.Status.Observer.Counters.Saves.Observe(s.now - o.since)
	s.files = slices.DeleteFunc(s.files, func(k snapshot.Info) bool { return k.Path == info.Path }) // it had parts
	s.published(info)
	s.foundSound(info)
	s.Status.Alarm(savingAlarm(""))
	s.Applier.MustPost(SaveEnded{})
	s.Consensus.MustPost(SnapshotSaved{Snapshot: snapshotAt(o.Index, o.Term, o.ConfState), KeepFrom: s.keepFrom()})
	s.Logger.Info("snapshot saved", "index", info.Index, "bytes", info.Bytes, "parts", len(info.Parts))
}

// backupSaved makes a file the one for backups.
func (s *Snapshotter) backupSaved(info snapshot.Info) {
	if s.backup.Path != "" && s.backup.Path != info.Path {
		s.remove(s.backup)
	}
	s.order, s.backup, s.backedUp = nil, info, s.now
	s.Status.backupFailed.Store(nil)
	s.Applier.MustPost(SaveEnded{})
}

// abortSave removes the written part of the file.
func (s *Snapshotter) abortSave() {
	if s.order != nil && s.order.saver != nil {
		s.order.saver.Abort()
	}
	s.order = nil
}

func savingAlarm(text string) kv.Alarm {
	return kv.Alarm{Name: kv.SnapshotAlarm, Subject: "saving", Text: text}
}

// saveFailed keeps the log, which still holds everything. The applier orders another attempt after a pause.
func (s *Snapshotter) saveFailed(err error) {
	if s.order.Backup { // the log does not grow by this, and the backup asks again
		s.abortSave()
		s.Status.backupFailed.Store(&err)
		s.Applier.MustPost(SaveEnded{})
		return
	}
	s.abortSave()
	s.Logger.Error("no snapshot could be saved, it is tried again; the log grows until one can be: look at the disk", "error", err)
	s.Status.Alarm(savingAlarm(fmt.Sprintf("no snapshot could be saved, which is tried again within %v: %v", limits.SnapshotRetryMost, err)))
	s.Applier.MustPost(SaveEnded{Failed: true})
}
