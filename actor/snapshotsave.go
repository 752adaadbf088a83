package actor

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"qkv/actor/space"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/snapshot"
)

// writing is the work on files of this member's state. Invariants: one file is written, and one snapshot is saved, at a time. A snapshot is
// reported only after it is published: file and folder are synced, and the file was read back.
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
	saved  func(*snapshotCore, *repairing, *snapshot.Saver)
	failed func(*snapshotCore) // instead of fail; may be nil
}

// ordered is a snapshot that the applier wants.
type ordered struct {
	save
	since time.Duration // when it was ordered
	begun bool          // its own file is being written
}

// newerBase is a base that is being written. Snapshots list it when it is complete.
type newerBase struct {
	view    *index.View
	next    *index.BaseRange   // the next piece; nil: all are finished
	volumes []*snapshot.Volume // the finished pieces
}

// unstored returns the first extent of a View that is in no file, if files have those up to a revision.
func unstored(v *index.View, stored int64) (e index.Extent, is bool) {
	all := v.Extents()
	i := slices.IndexFunc(all, func(e index.Extent) bool { return e.To > stored })
	if i < 0 {
		return e, false
	}
	return all[i], true
}

// next begins the next file. It waits while a received state is installed: that state has other parts.
func (w *writing) next(c *snapshotCore, repair *repairing, receives bool) {
	if w.file != nil || c.installing {
		return
	}
	if w.base != nil && w.base.next == nil && w.order == nil { // a View that is saved may need the older one
		w.rebase(c)
	}
	if err := w.beginFile(c, repair, receives); err != nil {
		w.fail(c, err)
	}
}

func (w *writing) beginFile(c *snapshotCore, repair *repairing, receives bool) error {
	o, v := w.order, c.Status.View()
	unasked := c.now >= w.tries.notBefore && !receives // the state that comes has other parts, which need the space
	if w.pieces && unasked {
		w.pieces = false
		if err := w.beginPiece(c, v); err != nil || w.file != nil {
			return err
		}
	}
	switch {
	case o != nil:
		v = o.View
	case !unasked:
		return nil
	}
	e, is := unstored(v, c.shelf.Last())
	switch {
	// the last space of a full disk is for terms and votes
	case is && (o != nil || c.Status.Disk().Accepts() == space.Left):
		return w.begin(c, e.Bytes, w.extentSaved, func() (*snapshot.Saver, error) { return snapshot.BeginExtent(c.FS, c.Dir, v, e) })
	case o != nil:
		return w.beginSnapshot(c, repair)
	}
	if w.file = repair.remake(c, v); w.file != nil {
		return nil
	}
	return w.beginPiece(c, v)
}

// begin begins a file of about that many bytes. A file that fills the disk would take the log's space.
func (w *writing) begin(c *snapshotCore, bytes int64, saved func(*snapshotCore, *repairing, *snapshot.Saver), saver func() (*snapshot.Saver, error)) error {
	free, err := c.FS.Free(c.Dir)
	if err == nil && free < bytes {
		err = fmt.Errorf("%w: the file takes about %d bytes, the disk has %d left: free space there", syscall.ENOSPC, bytes, free)
	}
	if err != nil {
		return err
	}
	one, err := saver()
	if err == nil {
		w.file = &file{saver: one, saved: saved}
	}
	return err
}

// beginSnapshot begins the file that was ordered.
func (w *writing) beginSnapshot(c *snapshotCore, repair *repairing) error {
	o, v := w.order, w.order.View
	switch {
	case len(c.files) > 0 && c.files[0].Index == o.Index: // it exists already
		w.endOrder(c, false)
		return nil
	// it was late, and the extents before a newer base are in no file: that base comes first
	case c.shelf.Reach() != v.OpenExtent().From-1:
		w.endOrder(c, true)
		return nil
	case c.shelf.Base() > v.Base(), c.shelf.Base() == v.Base() && !v.BaseServes(): // the base is newer than the order
		w.endOrder(c, true)
		return nil
	}
	for _, one := range repair.damaged {
		if one.lost && c.lists(one.Part) {
			w.notSaved(c, fmt.Errorf("the part %s is lost, and the log is kept until there is a newer base without it: %w", one.Name(), one.damage))
			return nil
		}
	}
	m := snapshot.Meta{
		Cluster: c.Cluster, Member: c.Member, Index: o.Index, Term: o.Term, ConfState: ConfStateBytes(o.ConfState), Version: c.Version, Parts: c.shelf.Parts(),
	}
	err := w.begin(c, v.OpenExtent().Bytes, w.snapshotSaved, func() (*snapshot.Saver, error) { return snapshot.Begin(c.FS, c.Dir, m, v) })
	if o.begun = err == nil; o.begun {
		o.View = nil // the saver has it
	}
	return err
}

// beginPiece begins the next piece of a newer base, if there is one. Writes go on meanwhile, so it leaves them their space: otherwise the
// older base stays, and the newer one is tried again after a pause.
func (w *writing) beginPiece(c *snapshotCore, v *index.View) error {
	b := w.base
	switch {
	case b == nil && (v.Base() <= c.shelf.Base() || !v.BaseServes()), b != nil && b.next == nil:
		return nil
	case b == nil:
		b = &newerBase{view: v, next: v.BaseRange(nil)}
	}
	disk, need := c.Status.Disk(), b.view.BaseBytes()
	for _, one := range b.volumes {
		need -= one.Bytes
	}
	if need = max(need, 0); disk.Accepts() == space.Left { // a full disk may have space after a newer base only
		low, _ := disk.Marks()
		need += low
	}
	if free, err := c.FS.Free(c.Dir); err != nil || free < need {
		c.noteLack(syscall.ENOSPC)
		w.dropBase(c)
		return nil
	}
	w.base = b
	piece := b.next
	return w.begin(c, 0, func(c *snapshotCore, repair *repairing, saver *snapshot.Saver) {
		w.pieces = false
		one := saver.Volume()
		c.parts.add(one.Part)
		c.parts.written = append(c.parts.written, one.Part)
		b.volumes, b.next = append(b.volumes, one), piece.Next()
		// of the base before
		if i := slices.IndexFunc(repair.damaged, func(d damagedPart) bool { return d.SHA == one.SHA }); i >= 0 {
			repair.repaired(c, repair.damaged[i], "written again with a newer base; nothing is lost")
		}
	}, func() (*snapshot.Saver, error) { return snapshot.BeginRangeFile(c.FS, c.Dir, b.view.Base(), piece) })
}

// dropBase gives up a newer base, if one is being written. Files that nobody ordered are tried again after a pause.
func (w *writing) dropBase(c *snapshotCore) {
	w.base, c.parts.written = nil, nil
	w.tries.fail(c.now, limits.SnapshotRetry, limits.SnapshotRetryMost)
	c.removeParts()
}

// rebase makes a newer base the present one. Two snapshots that list it free the space of the older one.
func (w *writing) rebase(c *snapshotCore) {
	c.shelf = c.shelf.Rebased(w.base.volumes)
	w.base, c.parts.written = nil, nil
	c.removeParts() // no snapshot may have listed the base before
	c.postStored()
	c.Applier.MustPost(SnapshotWanted{Saves: limits.SnapshotsKept})
}

// extentSaved notes an extent.
func (w *writing) extentSaved(c *snapshotCore, _ *repairing, saver *snapshot.Saver) {
	one := saver.Volume()
	c.parts.add(one.Part)
	c.shelf = c.shelf.With(one)
	c.postStored()
}

// step writes a part of a file, or reads a part back; the last step publishes the file.
func (w *writing) step(c *snapshotCore, repair *repairing) {
	f := w.file
	f.saver.CallBytes = c.pieceBytes
	o, before := &c.Status.Observer, f.saver.Synced
	begun := o.moment()
	done, err := f.saver.Step(c.Limits.SnapshotStepBytes)
	if f.saver.Synced != before {
		o.Counters.SaveSyncs.Observe(o.moment() - begun)
	}
	switch {
	case err != nil && f.failed != nil:
		w.file = nil
		f.failed(c)
	case err != nil:
		w.fail(c, err)
	case done:
		w.pieces = true
		w.file, w.tries = nil, backoff{}
		f.saved(c, repair, f.saver)
	}
}

// snapshotSaved reports a snapshot.
func (w *writing) snapshotSaved(c *snapshotCore, repair *repairing, saver *snapshot.Saver) {
	o, info := w.order, saver.Info()
	w.endOrder(c, false)
	c.Status.Observer.Counters.Saves.Observe(c.now - o.since)
	c.published(info)
	repair.forgetLost(c)
	c.removeParts()
	c.foundSound(info)
	c.Status.Alarm(snapshotAlarm("saving", ""))
	c.Consensus.MustPost(snapshotSaved{Snapshot: snapshotAt(o.Index, o.Term, o.ConfState), KeepFrom: c.keepFrom()})
	c.Logger.Info("snapshot saved", "index", info.Index, "bytes", info.Bytes, "parts", len(info.Parts))
}

// endOrder ends an order. A failed save is ordered again after a pause.
func (w *writing) endOrder(c *snapshotCore, failed bool) {
	w.order = nil
	c.Applier.MustPost(saveEnded{Failed: failed})
}

// abort removes the written part of the file.
func (w *writing) abort() {
	if w.file != nil {
		w.file.saver.Abort()
	}
	w.file = nil
}

// stateReplaced ends the work on files of the state that a received one has replaced.
func (w *writing) stateReplaced(c *snapshotCore, index uint64) {
	w.abort()
	w.base, c.parts.written = nil, nil
	if w.order != nil && w.order.Index <= index {
		w.endOrder(c, false)
	}
}

// fail ends the file that is being written. Another attempt follows after a pause.
func (w *writing) fail(c *snapshotCore, err error) {
	w.abort()
	w.dropBase(c)
	c.noteLack(err)
	w.notSaved(c, err)
}

// notSaved keeps the log, which still holds everything.
func (w *writing) notSaved(c *snapshotCore, err error) {
	c.Logger.Error("no snapshot could be saved, it is tried again; the log grows until one can be: look at the disk", "error", err)
	c.Status.Alarm(snapshotAlarm("saving", fmt.Sprintf("no snapshot could be saved, which is tried again within %v: %v", limits.SnapshotRetryMost, err)))
	if w.order != nil {
		w.endOrder(c, true)
	}
}

// full reports whether the disk itself lacks space for the snapshot being saved and a set of spares.
func (w *writing) full(c *snapshotCore) bool {
	free, err := c.FS.Free(c.Dir)
	disk := c.Status.Disk()
	return err != nil || disk.Accepts() != space.Left || free < w.growth(c)+disk.SpareBytes()
}

// growth estimates the bytes that an ordered snapshot still needs: of extents that are in no file, and its own.
func (w *writing) growth(c *snapshotCore) int64 {
	if w.order == nil || w.order.begun {
		return 0
	}
	return unwritten(w.order.View, c.shelf.Last())
}

// fileBytes returns the present size of the file that is being written.
func (w *writing) fileBytes() int64 {
	if w.file == nil {
		return 0
	}
	return w.file.saver.Info().Bytes
}
