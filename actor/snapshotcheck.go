package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/snapshot"
)

// snapshotSound is how long a snapshot that was read back from the medium counts as sound when an older one must be deleted. A medium that
// corrupts such a file within minutes loses the log, too.
const snapshotSound = 10 * time.Minute

// checking is the verification of a published snapshot, and then of its parts; or of parts that no snapshot lists yet: info has no path.
type checking struct {
	info     snapshot.Info
	verifier *snapshot.Verifier
	part     *snapshot.Part  // that is verified; nil: the snapshot's own file
	rest     []snapshot.Part // behind it
	damaged  []damagedPart
	away     error // why parts in the backup cannot be read now; nil: they can
}

// nextCheck begins the next waiting verification.
func (s *Snapshotter) nextCheck() {
	for s.check == nil && len(s.suspects) > 0 {
		info := s.suspects[0]
		s.suspects = s.suspects[1:]
		if info.Path == "" {
			s.checkNext(&checking{info: info, rest: info.Parts}, nil)
			continue
		}
		if !slices.ContainsFunc(s.files, func(k snapshot.Info) bool { return k.Path == info.Path }) || !s.complete(info) {
			continue // it is gone, or known to lack a part: checks of it would only delay the save of another one
		}
		verifier, err := snapshot.BeginVerify(s.FS, info.Path)
		if err != nil {
			s.checked(info, err)
			continue
		}
		s.check = &checking{info: info, verifier: verifier}
	}
}

// stepCheck verifies some bytes. Damaged parts are reported at the end, together.
func (s *Snapshotter) stepCheck() {
	c := s.check
	c.verifier.CallBytes = s.pieceBytes
	done, err := c.verifier.Step(s.Limits.SnapshotStepBytes)
	if !done && err == nil {
		return
	}
	c.verifier.Close()
	if c.part == nil {
		c.rest = c.info.Parts
	}
	s.checkNext(c, err)
}

// checkNext begins the verification of the next part, or ends the check.
func (s *Snapshotter) checkNext(c *checking, err error) {
	for err = s.note(c, err); err == nil && len(c.rest) > 0; err = s.note(c, err) {
		if c.part, c.rest = &c.rest[0], c.rest[1:]; c.away != nil && s.inBackup(*c.part) {
			continue
		}
		if c.verifier, err = snapshot.BeginVerifyPart(s.FS, s.Dir+"/"+c.part.Name(), *c.part); err == nil {
			s.check = c
			return
		}
	}
	s.check = nil
	switch {
	case err == nil && c.away != nil:
		s.backupUnreachable(c.away)
	case len(c.damaged) == 0 && c.info.Path != "":
		s.checked(c.info, err)
	}
	for _, one := range c.damaged {
		s.partDamaged(one.Part, one.damage)
	}
}

// note notes the error of a part. It returns an error that ends the verification: that of the snapshot's own file, and one that says
// nothing about the part. A part that the disk cannot read is damaged, too: snapshots would list it for ever. A backup that cannot be read
// says nothing about its parts.
func (s *Snapshotter) note(c *checking, err error) error {
	switch {
	case err == nil || c.part == nil || errors.Is(err, damage.ErrFormat) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return err
	case s.inBackup(*c.part) && !errors.Is(err, damage.ErrDamaged):
		c.away = err
	default:
		c.damaged = append(c.damaged, damagedPart{Part: *c.part, damage: err})
	}
	return nil
}

// backupUnreachable says that a check could not read the parts in the backup. The next one reads them.
func (s *Snapshotter) backupUnreachable(err error) {
	s.sound.noCheck = s.now + limits.SnapshotRetryMost
	s.Logger.Warn("the parts of snapshots that are in the backup cannot be checked now, and are checked later", "because", err)
}

// valueDamaged has the part fetched in which a reader found a damaged value. If the disk failed, it only raises the alarm: `qkv verify
// --now` has the part fetched then.
func (s *Snapshotter) valueDamaged() {
	found := s.shelf.Damaged()
	if found == nil || !s.parts.has(found.Part) {
		return
	}
	if errors.Is(found, damage.ErrDamaged) {
		s.partDamaged(found.Part, found)
		return
	}
	s.alarmDamaged(damagedPart{Part: found.Part, damage: found}, "a value of the history cannot be read")
}

// partDamaged has a damaged or unreadable part fetched from another member. One in the backup is read again: no other member has it.
func (s *Snapshotter) partDamaged(part snapshot.Part, fault error) {
	if s.repairs(part) {
		return
	}
	one, what := damagedPart{Part: part, damage: fault}, "a damaged part of snapshots was found, and is fetched from another member"
	if s.inBackup(part) {
		what = "a part of snapshots is damaged in the backup, and is read there again"
	}
	s.alarmDamaged(one, what)
	s.harmed(part, true)
	s.fetch(one)
}

// harmed has no further values leave memory that depend on a damaged part, or ends that.
func (s *Snapshotter) harmed(part snapshot.Part, harmed bool) {
	s.shelf = s.shelf.Harmed(part, harmed)
	s.postStored()
}

// repairing is the repair of damaged parts.
type repairing struct {
	damaged  []damagedPart
	fetching bool // one of them is being fetched
}

// damagedPart is a part that is being fetched, or that no other member gave.
type damagedPart struct {
	snapshot.Part
	damage error
	asked  bool // the other members were asked for it
	lost   bool // none of them gave it
	remade bool // it was written again, or that was not possible
}

// repairs says whether a part is damaged.
func (s *Snapshotter) repairs(part snapshot.Part) bool {
	return slices.ContainsFunc(s.repair.damaged, func(one damagedPart) bool { return one.SHA == part.SHA })
}

// complete says whether all parts of a snapshot are on the disk, as far as this member knows.
func (s *Snapshotter) complete(info snapshot.Info) bool {
	return !slices.ContainsFunc(info.Parts, func(one snapshot.Part) bool { return !s.parts.has(one) || s.repairs(one) })
}

func (s *Snapshotter) alarmDamaged(one damagedPart, what string) {
	text := fmt.Sprintf("%s: look at the disk: %v", what, one.damage)
	if s.inBackup(one.Part) {
		text = fmt.Sprintf("%s: %v", what, one.damage)
	}
	s.Logger.Error(text)
	s.Status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: s.Dir + "/" + one.Name(), Text: text})
}

// fetch has a damaged part fetched after the others.
func (s *Snapshotter) fetch(one damagedPart) {
	s.repair.damaged = append(s.repair.damaged, one)
	s.fetchNext()
}

// fetchAgain has a lost part fetched again: another member may be up that has it.
func (s *Snapshotter) fetchAgain(part snapshot.Part) {
	i := slices.IndexFunc(s.repair.damaged, func(one damagedPart) bool { return one.SHA == part.SHA && one.asked })
	if i < 0 {
		return
	}
	one := s.repair.damaged[i]
	one.asked = false
	s.repair.damaged = slices.Delete(s.repair.damaged, i, i+1)
	s.fetch(one)
}

func (s *Snapshotter) fetchNext() {
	if i := slices.IndexFunc(s.repair.damaged, func(one damagedPart) bool { return !one.asked }); i >= 0 && !s.repair.fetching {
		s.repair.fetching = true
		s.Reader.MustPost(RepairPart{s.repair.damaged[i].Part})
	}
}

// partRepaired ends the fetching of a part.
func (s *Snapshotter) partRepaired(m PartRepaired) {
	s.repair.fetching = false
	i := slices.IndexFunc(s.repair.damaged, func(one damagedPart) bool { return one.SHA == m.Part.SHA })
	if i < 0 { // it was written again meanwhile, and perhaps removed since
		if m.Err == nil {
			s.parts.add(m.Part)
			s.removeParts()
		}
		s.fetchNext()
		return
	}
	one := &s.repair.damaged[i]
	if m.Err == nil {
		how := "fetched again; nothing is lost; a damaged file is in damaged/ now"
		switch {
		case s.inBackup(one.Part):
			how = "read again from the backup, where it is sound; nothing is lost"
		case !errors.Is(one.damage, damage.ErrDamaged): // the disk could not read it
			how = "unreadable for a while, or was " + how
		}
		s.repaired(*one, how)
	} else {
		if !one.lost && !s.inBackup(one.Part) {
			one.damage = fmt.Errorf("%w; and no other member gave it: %w", one.damage, m.Err)
		}
		one.asked, one.lost = true, true
		s.forgetLost() // older snapshots alone may need it, until they are removed
	}
	s.fetchNext()
}

// repaired ends the repair of a part: the file is sound.
func (s *Snapshotter) repaired(one damagedPart, how string) {
	s.repair.damaged = slices.DeleteFunc(s.repair.damaged, func(d damagedPart) bool { return d.SHA == one.SHA })
	s.parts.add(one.Part) // it is removed if nothing has listed it since
	s.removeParts()
	s.shelf.Damaged() // a damage that was found since is that of the file before
	s.harmed(one.Part, false)
	if len(s.repair.damaged) == 0 { // what was suspected meanwhile was not checked
		s.recheck(s.Dir + "/" + one.Name())
	}
	s.alarmDamaged(one, "a part of snapshots was damaged, and was "+how)
}

// remake begins to write a lost part again from memory. That gives the same file if nothing of the part was dropped, and if each value is
// in memory or in a sound block. Otherwise only a newer base can be without the part.
func (s *Snapshotter) remake(v *index.View) (begun bool) {
	i := slices.IndexFunc(s.repair.damaged, func(one damagedPart) bool { return one.lost && !one.remade && s.lists(one.Part) })
	if i < 0 {
		return false
	}
	one := &s.repair.damaged[i]
	one.remade = true
	saver, err := s.saverOf(v, one.Part)
	if saver == nil || err != nil {
		s.lose(*one)
		return false
	}
	lost := *one
	s.out.file = &file{saver: saver, saved: func(saver *snapshot.Saver) {
		made := saver.Part()
		if s.parts.add(made); made.SHA == lost.SHA {
			s.repaired(lost, "written again from memory; nothing is lost")
		} else {
			s.removeParts()
			s.lose(lost)
		}
	}, failed: func() { s.lose(lost) }}
	return true
}

// saverOf begins the file of a part of the present base, or of an extent that is in memory; nil: there is none.
func (s *Snapshotter) saverOf(v *index.View, part snapshot.Part) (*snapshot.Saver, error) {
	if part.Number == 0 {
		if from, is := s.shelf.RangeFrom(part); is && v.Base() == s.shelf.Base() {
			return snapshot.BeginRangeFile(s.FS, s.Dir, v.Base(), v.BaseRange(from))
		}
		return nil, nil
	}
	for _, e := range v.Extents() {
		if e.Number == part.Number && v.Has(&e) {
			return snapshot.BeginExtent(s.FS, s.Dir, v, e)
		}
	}
	return nil, nil
}

// lose says that a part is lost. The values of its sound blocks are read until a newer base takes its place.
func (s *Snapshotter) lose(one damagedPart) {
	const newer = "compact the history up to the present revision (`qkv compact REVISION`), and a newer base takes the place of the part; "
	if s.inBackup(one.Part) {
		s.alarmDamaged(one, "a part of snapshots is lost, since it is in the backup alone and is damaged there: the history is read without it, and this branch saves no "+
			"snapshot: begin a new branch, of another moment if need be; or "+newer+"live keys are served")
		return
	}
	s.alarmDamaged(one, "a part of snapshots is lost, and this member saves no snapshot that it could start from: it asks for the part again; "+newer+
		"or, if other members run, restart this one: it fetches a newer state from them; without other members, do not restart it before this alarm says that the part is not needed")
}

// forgetLost forgets lost parts that neither the next snapshot lists nor the newest one.
func (s *Snapshotter) forgetLost() {
	s.repair.damaged = slices.DeleteFunc(s.repair.damaged, func(one damagedPart) bool {
		if !one.lost || !one.asked || s.lists(one.Part) || len(s.files) > 0 && slices.ContainsFunc(s.files[0].Parts, func(p snapshot.Part) bool { return p.SHA == one.SHA }) {
			return false
		}
		s.alarmDamaged(one, "a part of older snapshots was lost, and is not needed any more: nothing is lost")
		return true
	})
}

// moveDamagedPart moves a damaged part aside, and says where to.
func (s *Snapshotter) moveDamagedPart(part snapshot.Part) string {
	to, err := snapshot.SetAside(s.FS, s.Dir+"/"+part.Name(), s.Damaged)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return fmt.Sprintf("; it could not be moved aside: %v", err)
	}
	return "; it was moved to " + to
}

func (s *Snapshotter) endCheck() {
	if s.check != nil {
		s.check.verifier.Close()
		s.check = nil
	}
}

// checked moves a damaged snapshot aside. A sound snapshot may make an older one superfluous. If a snapshot is damaged, gone or
// unreadable, a new one is saved.
func (s *Snapshotter) checked(info snapshot.Info, err error) {
	switch {
	case err == nil:
		s.foundSound(info)
	case errors.Is(err, damage.ErrDamaged):
		s.moveDamagedSnapshot(info, err)
	case errors.Is(err, fs.ErrNotExist):
		s.forget(info)
		s.replace(info, fmt.Sprintf("a snapshot is gone, without this member's doing, while members go on with the log and a new one is saved: look at who removes files there: %v", err))
	default:
		s.sound.noCheck = s.now + limits.SnapshotRetryMost
		s.replace(info, fmt.Sprintf("a snapshot cannot be read while members go on with the log and a new one is saved; it stays where it is: look at the disk: %v", err))
	}
}

// soundNow reports whether the newest snapshot was found sound lately, and none of its parts was found damaged: then no older one is
// needed.
func (s *Snapshotter) soundNow() bool {
	return s.sound.path == s.files[0].Path && s.complete(s.files[0]) && s.now-s.sound.at < snapshotSound
}

// droppable reports whether there is an older snapshot, or log, behind the newest one, and no older one is being sent.
func (s *Snapshotter) droppable() bool {
	return len(s.files) > 0 && s.files[0].Index > s.covered && !slices.ContainsFunc(s.sends.transfers, func(one *sending) bool { return one.index < s.files[0].Index })
}

// dropOlder removes the older snapshot, if there is one, and the log up to the newest.
func (s *Snapshotter) dropOlder() {
	for _, old := range s.files[1:] {
		s.remove(old)
	}
	s.files = s.files[:1]
	s.removeParts()
	s.covered = s.files[0].Index
	s.Consensus.MustPost(LogCovered{UpTo: s.covered})
}

// moveDamagedSnapshot moves a damaged snapshot away. The snapshot before it, and the log behind that one, hold everything.
func (s *Snapshotter) moveDamagedSnapshot(info snapshot.Info, fault error) {
	s.forget(info)
	text := fmt.Sprintf("a damaged snapshot was found while members go on with the log and a new one is saved: look at the disk: %v", fault)
	to, err := snapshot.SetAside(s.FS, info.Path, s.Damaged)
	if err != nil {
		text += fmt.Sprintf("; it could not be moved aside: %v", err)
	} else {
		text += "; it was moved to " + to
	}
	s.replace(info, text)
}

// forget removes a snapshot from the list, and ends its transfers.
func (s *Snapshotter) forget(info snapshot.Info) {
	s.files = slices.DeleteFunc(s.files, func(k snapshot.Info) bool { return k.Path == info.Path })
	for _, one := range slices.Clone(s.sends.transfers) {
		if one.index == info.Index && one.term == info.Term {
			s.sends.end(&s.snapshotCore, one, false)
		}
	}
}

// replace reports a bad snapshot, and has a new one saved. Otherwise none would be saved as long as there are few writes, and a follower
// that needs a snapshot would wait that long.
func (s *Snapshotter) replace(info snapshot.Info, text string) {
	s.Logger.Error(text)
	s.Status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: info.Path, Text: text})
	s.Applier.MustPost(SnapshotWanted{Saves: 1})
}

// suspected has a file verified that a reader has found damaged: a snapshot, a part of one, or a part that no snapshot lists yet. If the
// part is lost, the other members are asked for it again.
func (s *Snapshotter) suspected(path string) {
	published := s.recheck(path)
	for _, one := range s.shelf.Parts() {
		switch {
		case s.Dir+"/"+one.Name() != path:
		case s.repairs(one):
			s.fetchAgain(one)
		case !published:
			s.suspects = append(s.suspects, snapshot.Info{Meta: snapshot.Meta{Parts: []snapshot.Part{one}}})
		}
	}
}
