package actor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/snapshot"
)

// repairing is the repair of damaged parts. Invariants: one part is fetched at a time and none while a snapshot is received, and no values
// leave memory that depend on a damaged part.
type repairing struct {
	damaged  []damagedPart
	fetching bool // one of them is being fetched
}

// lostPartRetry is the pause before the other members are asked again for a part that none of them gave.
const lostPartRetry = 10 * time.Second

// damagedPart is a part that is being fetched, or that no other member gave.
type damagedPart struct {
	snapshot.Part
	damage error
	next   time.Duration // when the other members are asked for it, again and again
	lost   bool          // none of them gave it
	remade bool          // it was written again, or that was not possible
}

// valueDamaged has the part fetched in which a reader found a value damaged, or unreadable. A lack of file descriptors, or of the backup,
// says nothing about the part, and only raises the alarm.
func (r *repairing) valueDamaged(c *snapshotCore) {
	found := c.shelf.Damaged()
	if found == nil || !c.parts.has(found.Part) {
		return
	}
	if unproved := c.inBackup(found.Part) || isDescriptors(found); !unproved || errors.Is(found, damage.ErrDamaged) {
		r.partDamaged(c, found.Part, found)
		return
	}
	damagedPart{Part: found.Part, damage: found}.alarm(c, "a value of the history cannot be read")
}

// partDamaged has a damaged or unreadable part fetched from another member. One in the backup is read again: no other member has it.
func (r *repairing) partDamaged(c *snapshotCore, part snapshot.Part, fault error) {
	if r.has(part) {
		return
	}
	one, what := damagedPart{Part: part, damage: fault}, "a damaged part of snapshots was found, and is fetched from another member"
	if c.inBackup(part) {
		what = "a part of snapshots is damaged in the backup, and is read there again"
	}
	one.alarm(c, what)
	r.harmed(c, part, true)
	r.damaged = append(r.damaged, one)
}

// harmed has no further values leave memory that depend on a damaged part, or ends that.
func (r *repairing) harmed(c *snapshotCore, part snapshot.Part, harmed bool) {
	c.shelf = c.shelf.Harmed(part, harmed)
	c.postStored()
}

// has says whether a part is damaged.
func (r *repairing) has(part snapshot.Part) bool {
	return slices.ContainsFunc(r.damaged, func(one damagedPart) bool { return one.SHA == part.SHA })
}

// complete says whether all parts of a snapshot are on the disk, as far as this member knows.
func (r *repairing) complete(c *snapshotCore, info snapshot.Info) bool {
	return !slices.ContainsFunc(info.Parts, func(one snapshot.Part) bool { return !c.parts.has(one) || r.has(one) })
}

func (one damagedPart) alarm(c *snapshotCore, what string) {
	text := fmt.Sprintf("%s: look at the disk: %v", what, one.damage)
	if c.inBackup(one.Part) {
		text = fmt.Sprintf("%s: %v", what, one.damage)
	}
	c.Logger.Error(text)
	c.Status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: c.Dir + "/" + one.Name(), Text: text})
}

// fetchNext has the next damaged part fetched, after the one before. A lost one is asked for again after a pause: another member may be up
// that has it.
func (r *repairing) fetchNext(c *snapshotCore) {
	if r.fetching || len(r.damaged) == 0 {
		return
	}
	if one := slices.MinFunc(r.damaged, func(a, b damagedPart) int { return cmp.Compare(a.next, b.next) }); one.next <= c.now {
		r.fetching = true
		c.Reader.MustPost(repairPart{one.Part})
	}
}

// partRepaired ends the fetching of a part.
func (r *repairing) partRepaired(c *snapshotCore, m partRepaired) {
	r.fetching = false
	i := slices.IndexFunc(r.damaged, func(one damagedPart) bool { return one.SHA == m.Part.SHA })
	if i < 0 { // it was written again meanwhile, and perhaps removed since
		if m.Err == nil {
			c.parts.add(m.Part)
			c.removeParts()
		}
		return
	}
	one := &r.damaged[i]
	if m.Err == nil {
		how := "fetched again; nothing is lost; a damaged file is in damaged/ now"
		switch {
		case c.inBackup(one.Part):
			how = "read again from the backup, where it is sound; nothing is lost"
		case !errors.Is(one.damage, damage.ErrDamaged): // the disk could not read it
			how = "unreadable for a while, or was " + how
		}
		r.repaired(c, *one, how)
	} else {
		if !one.lost && !c.inBackup(one.Part) {
			one.damage = fmt.Errorf("%w; and no other member gave it: %w", one.damage, m.Err)
		}
		one.next, one.lost = c.now+lostPartRetry, true
		r.forgetLost(c) // older snapshots alone may need it, until they are removed
	}
}

// repaired ends the repair of a part: the file is sound.
func (r *repairing) repaired(c *snapshotCore, one damagedPart, how string) {
	r.damaged = slices.DeleteFunc(r.damaged, func(d damagedPart) bool { return d.SHA == one.SHA })
	c.parts.add(one.Part) // it is removed if nothing has listed it since
	c.removeParts()
	c.shelf.Damaged() // a damage that was found since is that of the file before
	r.harmed(c, one.Part, false)
	if len(r.damaged) == 0 { // what was suspected meanwhile was not checked
		c.recheck(c.Dir + "/" + one.Name())
	}
	one.alarm(c, "a part of snapshots was damaged, and was "+how)
}

// loaded ends the repair of the parts of a snapshot that was loaded: they are sound. A lost part has come with it.
func (r *repairing) loaded(c *snapshotCore, info snapshot.Info) {
	for _, one := range slices.Clone(r.damaged) {
		if slices.ContainsFunc(info.Parts, func(p snapshot.Part) bool { return p.SHA == one.SHA }) {
			r.repaired(c, one, "found sound when another member's snapshot was installed; nothing is lost")
		}
	}
}

// remake returns the file that writes a lost part again from memory; nil: there is none. That gives the same file if nothing of the part was dropped, and if each value is
// in memory or in a sound block. Otherwise only a newer base can be without the part.
func (r *repairing) remake(c *snapshotCore, v *index.View) *file {
	i := slices.IndexFunc(r.damaged, func(one damagedPart) bool { return one.lost && !one.remade && c.lists(one.Part) })
	if i < 0 {
		return nil
	}
	one := &r.damaged[i]
	one.remade = true
	saver, err := saverOf(c, v, one.Part)
	if saver == nil || err != nil {
		one.lose(c)
		return nil
	}
	lost := *one
	return &file{saver: saver, saved: func(c *snapshotCore, r *repairing, saver *snapshot.Saver) {
		made := saver.Part()
		if c.parts.add(made); made.SHA == lost.SHA {
			r.repaired(c, lost, "written again from memory; nothing is lost")
		} else {
			c.removeParts()
			lost.lose(c)
		}
	}, failed: lost.lose}
}

// saverOf begins the file of a part of the present base, or of an extent that is in memory; nil: there is none.
func saverOf(c *snapshotCore, v *index.View, part snapshot.Part) (*snapshot.Saver, error) {
	if part.Number == 0 {
		if from, is := c.shelf.RangeFrom(part); is && v.Base() == c.shelf.Base() {
			return snapshot.BeginRangeFile(c.FS, c.Dir, v.Base(), v.BaseRange(from))
		}
		return nil, nil
	}
	for _, e := range v.Extents() {
		if e.Number == part.Number && v.Has(&e) {
			return snapshot.BeginExtent(c.FS, c.Dir, v, e)
		}
	}
	return nil, nil
}

// lose says that a part is lost. The values of its sound blocks are read until a newer base takes its place.
func (one damagedPart) lose(c *snapshotCore) {
	const newer = "compact the history up to the present revision (`qkv compact REVISION`), and a newer base takes the place of the part; "
	if c.inBackup(one.Part) {
		one.alarm(c, "a part of snapshots is lost, since it is in the backup alone and is damaged there: the history is read without it, and this branch saves no "+
			"snapshot: begin a new branch, of another moment if need be; or "+newer+"live keys are served")
		return
	}
	one.alarm(c, "a part of snapshots is lost, and this member saves no snapshot that it could start from: it asks for the part again; "+newer+
		"or, if other members run, restart this one: it fetches a newer state from them; without other members, do not restart it before this alarm says that the part is not needed")
}

// forgetLost forgets lost parts that neither the next snapshot lists nor the newest one.
func (r *repairing) forgetLost(c *snapshotCore) {
	r.damaged = slices.DeleteFunc(r.damaged, func(one damagedPart) bool {
		if !one.lost || c.lists(one.Part) || len(c.files) > 0 && slices.ContainsFunc(c.files[0].Parts, func(p snapshot.Part) bool { return p.SHA == one.SHA }) {
			return false
		}
		one.alarm(c, "a part of older snapshots was lost, and is not needed any more: nothing is lost")
		return true
	})
}
