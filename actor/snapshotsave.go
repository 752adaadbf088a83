package actor

import (
	"fmt"

	"qkv/internal/limits"
	"qkv/snapshot"
)

// beginSave checks the newest snapshot first: the older of two goes before the next one is written, where there is no room
// for three and the newer one is sound.
func (s *Snapshotter) beginSave(m Save) {
	s.order = &m
	if len(s.Kept) >= limits.SnapshotsKept {
		s.suspects = append(s.suspects, s.Kept[0])
	}
	s.nextCheck()
}

// startSave begins to write, if there is room.
func (s *Snapshotter) startSave() {
	m := *s.order
	if len(s.Kept) > 0 && s.Kept[0].Index == m.Index { // it is there already
		s.order = nil
		s.Applier.MustPost(SaveEnded{})
		return
	}
	err := s.hasRoom(m)
	if err == nil {
		s.saver, err = snapshot.Begin(s.FS, s.Dir, snapshot.Meta{
			Cluster: s.Cluster, Member: s.Member, Index: m.Index, Term: m.Term, ConfState: ConfStateBytes(m.ConfState), Version: s.Version,
		}, m.View)
	}
	if err != nil {
		s.saver = nil
		s.saveFailed(err)
	}
}

// hasRoom refuses to begin what the disk cannot hold: a file that fills it up would take the log's room.
func (s *Snapshotter) hasRoom(m Save) error {
	free, err := s.FS.Free(s.Dir)
	if err != nil {
		return err
	}
	if need := m.View.LiveBytes() + m.View.HistoryBytes(); free < need {
		return fmt.Errorf("it takes about %d bytes, the disk has %d left: make room there", need, free)
	}
	return nil
}

// stepSave writes one piece; the last one publishes the file and reports it.
func (s *Snapshotter) stepSave() {
	done, err := s.saver.Step(s.Limits.SnapshotStepBytes)
	if err != nil {
		s.saver.Abort()
		s.saver = nil
		s.saveFailed(err)
		return
	}
	if !done {
		return
	}
	info, m := s.saver.Info(), *s.order
	s.saver, s.order = nil, nil
	s.published(info)
	s.Status.Alarm(savingAlarm(""))
	s.Applier.MustPost(SaveEnded{})
	s.Consensus.MustPost(SnapshotSaved{Snapshot: snapshotAt(m.Index, m.Term, m.ConfState), KeepFrom: s.keepFrom()})
	s.Logger.Info("snapshot saved", "index", info.Index, "bytes", info.Bytes)
}

func savingAlarm(text string) Alarm {
	return Alarm{Name: SnapshotFailed, Subject: "saving", Text: text}
}

// saveFailed leaves the log as it is: it still holds everything. The applier orders another attempt after a pause.
func (s *Snapshotter) saveFailed(err error) {
	s.order = nil
	s.Logger.Error("no snapshot could be saved, it is tried again; the log grows until one can be: look at the disk", "error", err)
	s.Status.Alarm(savingAlarm(fmt.Sprintf("no snapshot could be saved: %v", err)))
	s.Applier.MustPost(SaveEnded{Failed: true})
}
