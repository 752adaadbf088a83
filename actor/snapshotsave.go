package actor

import (
	"fmt"
	"time"

	"qkv/internal/limits"
	"qkv/snapshot"
)

// saving is a save that is ordered.
type saving struct {
	Save                  // its View until saver has it
	bytes int64           // about what the file takes
	since time.Duration   // when it was ordered
	saver *snapshot.Saver // nil until it begins
}

// done is what part of it is done: it is written, and read back.
func (o *saving) done() float64 {
	return float64(o.saver.Done()) / float64(2*max(o.bytes, o.saver.Info().Bytes))
}

func (s *Snapshotter) beginSave(m Save) {
	s.order = &saving{Save: m, since: s.now, bytes: m.View.LiveBytes() + m.View.HistoryBytes()}
}

// startSave begins to write what is ordered, if there is room, as soon as nothing is checked: what is checked may go.
func (s *Snapshotter) startSave() {
	o := s.order
	if o == nil || o.saver != nil || s.check != nil {
		return
	}
	if len(s.files) > 0 && s.files[0].Index == o.Index { // it is there already
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
	o.View = nil // the saver lets go of it when all is written, and reads that back without it
}

// hasRoom refuses to begin what the disk cannot hold: a file that fills it up would take the log's room.
func (s *Snapshotter) hasRoom() error {
	free, err := s.FS.Free(s.Dir)
	if err != nil {
		return err
	}
	if need := s.order.bytes; free < need {
		return fmt.Errorf("it takes about %d bytes, the disk has %d left: make room there", need, free)
	}
	return nil
}

// stepSave writes some of the file, or reads some of it back; the last step publishes the file and reports it.
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
	s.Status.Counters.Saves.Observe(s.now - o.since)
	s.published(info)
	s.foundSound(info)
	s.Status.Alarm(savingAlarm(""))
	s.Applier.MustPost(SaveEnded{})
	s.Consensus.MustPost(SnapshotSaved{Snapshot: snapshotAt(o.Index, o.Term, o.ConfState), KeepFrom: s.keepFrom()})
	s.Logger.Info("snapshot saved", "index", info.Index, "bytes", info.Bytes)
}

// abortSave removes what is written of the file.
func (s *Snapshotter) abortSave() {
	if s.order != nil && s.order.saver != nil {
		s.order.saver.Abort()
	}
	s.order = nil
}

func savingAlarm(text string) Alarm {
	return Alarm{Name: SnapshotFailed, Subject: "saving", Text: text}
}

// saveFailed leaves the log as it is: it still holds everything. The applier orders another attempt after a pause.
func (s *Snapshotter) saveFailed(err error) {
	s.abortSave()
	s.Logger.Error("no snapshot could be saved, it is tried again; the log grows until one can be: look at the disk", "error", err)
	s.Status.Alarm(savingAlarm(fmt.Sprintf("no snapshot could be saved, which is tried again within %v: %v", limits.SnapshotRetryMost, err)))
	s.Applier.MustPost(SaveEnded{Failed: true})
}
