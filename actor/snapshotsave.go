package actor

import (
	"fmt"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/snapshot"
)

// saving is an ordered save.
type saving struct {
	Save                  // its View until saver has it
	bytes int64           // estimated size of the file
	since time.Duration   // when it was ordered
	saver *snapshot.Saver // nil until it begins
}

// done returns the completed fraction: written, and read back.
func (o *saving) done() float64 {
	return float64(o.saver.Done()) / float64(2*max(o.bytes, o.saver.Info().Bytes))
}

func (s *Snapshotter) beginSave(m Save) {
	s.order = &saving{Save: m, since: s.now, bytes: m.View.LiveBytes() + m.View.HistoryBytes()}
}

// startSave begins the ordered save if the disk has space, as soon as no check is running: the checked snapshot may be deleted.
func (s *Snapshotter) startSave() {
	o := s.order
	if o == nil || o.saver != nil || s.check != nil {
		return
	}
	if len(s.files) > 0 && s.files[0].Index == o.Index { // it exists already
		s.order = nil
		s.Applier.MustPost(SaveEnded{})
		return
	}
	err := s.hasRoom()
	if err == nil {
		o.saver, err = snapshot.Begin(s.FS, s.Dir, snapshot.Meta{
			Cluster: s.Cluster, Member: s.Member, Index: o.Index, Term: o.Term, ConfState: ConfStateBytes(o.ConfState), Version: s.Version,
		}, o.View)
	}
	if err != nil {
		s.saveFailed(err)
		return
	}
	o.View = nil // the saver releases it when everything is written, and reads back without it
}

// hasRoom refuses to begin a save that does not fit on the disk: a file that fills the disk would take the log's space.
func (s *Snapshotter) hasRoom() error {
	free, err := s.FS.Free(s.Dir)
	if err != nil {
		return err
	}
	if need := s.order.bytes; free < need {
		return fmt.Errorf("no space left: the snapshot takes about %d bytes, the disk has %d left: free space there", need, free)
	}
	return nil
}

// stepSave writes a part of the file, or reads a part back; the last step publishes the file and reports it.
func (s *Snapshotter) stepSave() {
	o := s.order
	o.saver.Piece = s.pieceBytes
	done, err := o.saver.Step(s.Limits.SnapshotStepBytes)
	if err != nil {
		s.saveFailed(err)
		return
	}
	if !done {
		return
	}
	info := o.saver.Info()
	s.order = nil
	s.Status.Observer.Counters.Saves.Observe(s.now - o.since)
	s.published(info)
	s.foundSound(info)
	s.Status.Alarm(savingAlarm(""))
	s.Applier.MustPost(SaveEnded{})
	s.Consensus.MustPost(SnapshotSaved{Snapshot: snapshotAt(o.Index, o.Term, o.ConfState), KeepFrom: s.keepFrom()})
	s.Logger.Info("snapshot saved", "index", info.Index, "bytes", info.Bytes)
}

// abortSave removes the written part of the file.
func (s *Snapshotter) abortSave() {
	if s.order != nil && s.order.saver != nil {
		s.order.saver.Abort()
	}
	s.order = nil
}

func savingAlarm(text string) Alarm {
	return Alarm{Name: kv.SnapshotAlarm, Subject: "saving", Text: text}
}

// saveFailed keeps the log, which still holds everything. The applier orders another attempt after a pause.
func (s *Snapshotter) saveFailed(err error) {
	s.abortSave()
	s.Logger.Error("no snapshot could be saved, it is tried again; the log grows until one can be: look at the disk", "error", err)
	s.Status.Alarm(savingAlarm(fmt.Sprintf("no snapshot could be saved, which is tried again within %v: %v", limits.SnapshotRetryMost, err)))
	s.Applier.MustPost(SaveEnded{Failed: true})
}
