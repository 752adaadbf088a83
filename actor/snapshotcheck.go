package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"qkv/actor/space"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/snapshot"
)

// snapshotSound is how long a snapshot that was read back from the medium counts as sound when an older one must be deleted. A medium that
// corrupts such a file within minutes loses the log, too.
const snapshotSound = 10 * time.Minute

// checks are the verification of published snapshots and of their parts. Invariant: the older of two snapshots, and the log behind the newer
// one, is deleted before there is a third only if its space is needed. The newer one must have been found sound on the medium within
// snapshotSound.
type checks struct {
	current *checking // nil: none
	covered uint64    // a snapshot that was found sound covers the log up to here
}

// checking is the verification of a published snapshot, and then of its parts; or of parts that no snapshot lists yet: info has no path.
type checking struct {
	info     snapshot.Info
	verifier *snapshot.Verifier
	part     *snapshot.Part  // that is verified; nil: the snapshot's own file
	rest     []snapshot.Part // behind it
	damaged  []damagedPart
	away     error // why parts in the backup cannot be read now; nil: they can
}

// next begins the next waiting verification.
func (k *checks) next(c *snapshotCore, repair *repairing, sends *sends) {
	for k.current == nil && len(c.suspects) > 0 {
		info := c.suspects[0]
		c.suspects = c.suspects[1:]
		if info.Path == "" {
			k.checkNext(c, repair, sends, &checking{info: info, rest: info.Parts}, nil)
			continue
		}
		if !slices.ContainsFunc(c.files, func(published snapshot.Info) bool { return published.Path == info.Path }) || !repair.complete(c, info) {
			continue // it is gone, or known to lack a part: checks of it would only delay the save of another one
		}
		verifier, err := snapshot.BeginVerify(c.FS, info.Path)
		if err != nil {
			k.checked(c, sends, info, err)
			continue
		}
		k.current = &checking{info: info, verifier: verifier}
	}
}

// step verifies some bytes. Damaged parts are reported at the end, together.
func (k *checks) step(c *snapshotCore, repair *repairing, sends *sends) {
	one := k.current
	one.verifier.CallBytes = c.pieceBytes
	done, err := one.verifier.Step(c.Limits.SnapshotStepBytes)
	if !done && err == nil {
		return
	}
	one.verifier.Close()
	if one.part == nil {
		one.rest = one.info.Parts
	}
	k.checkNext(c, repair, sends, one, err)
}

// checkNext begins the verification of the next part, or ends the check.
func (k *checks) checkNext(c *snapshotCore, repair *repairing, sends *sends, one *checking, err error) {
	for err = one.note(c, err); err == nil && len(one.rest) > 0; err = one.note(c, err) {
		if one.part, one.rest = &one.rest[0], one.rest[1:]; one.away != nil && c.inBackup(*one.part) {
			continue
		}
		if one.verifier, err = snapshot.BeginVerifyPart(c.FS, c.Dir+"/"+one.part.Name(), *one.part); err == nil {
			k.current = one
			return
		}
	}
	k.current = nil
	switch {
	case err == nil && one.away != nil:
		k.backupUnreachable(c, one.away)
	case len(one.damaged) == 0 && one.info.Path != "":
		k.checked(c, sends, one.info, err)
	}
	for _, part := range one.damaged {
		repair.partDamaged(c, part.Part, part.damage)
	}
}

// note notes the error of a part. It returns an error that ends the verification: that of the snapshot's own file, and one that says
// nothing about the part. A part that the disk cannot read is damaged, too: snapshots would list it for ever. A backup that cannot be read
// says nothing about its parts.
func (one *checking) note(c *snapshotCore, err error) error {
	switch {
	case err == nil || one.part == nil || errors.Is(err, damage.ErrFormat) || isDescriptors(err):
		return err
	case c.inBackup(*one.part) && !errors.Is(err, damage.ErrDamaged):
		one.away = err
	default:
		one.damaged = append(one.damaged, damagedPart{Part: *one.part, damage: err})
	}
	return nil
}

// isDescriptors reports that a process, or the host, has no file descriptors left.
func isDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// backupUnreachable says that a check could not read the parts in the backup. The next one reads them.
func (k *checks) backupUnreachable(c *snapshotCore, err error) {
	c.sound.noCheck = c.now + limits.SnapshotRetryMost
	c.Logger.Warn("the parts of snapshots that are in the backup cannot be checked now, and are checked later", "because", err)
}

func (k *checks) end() {
	if k.current != nil {
		k.current.verifier.Close()
		k.current = nil
	}
}

// checked moves a damaged snapshot aside. A sound snapshot may make an older one superfluous. If a snapshot is damaged, gone or
// unreadable, a new one is saved.
func (k *checks) checked(c *snapshotCore, sends *sends, info snapshot.Info, err error) {
	switch {
	case err == nil:
		c.foundSound(info)
	case errors.Is(err, damage.ErrDamaged):
		k.moveDamagedSnapshot(c, sends, info, err)
	case errors.Is(err, fs.ErrNotExist):
		sends.forget(c, info)
		k.replace(c, info, fmt.Sprintf("a snapshot is gone, without this member's doing, while members go on with the log and a new one is saved: look at who removes files there: %v", err))
	default:
		c.sound.noCheck = c.now + limits.SnapshotRetryMost
		k.replace(c, info, fmt.Sprintf("a snapshot cannot be read while members go on with the log and a new one is saved; it stays where it is: look at the disk: %v", err))
	}
}

// soundNow reports whether the newest snapshot was found sound lately, and none of its parts was found damaged: then no older one is
// needed.
func (k *checks) soundNow(c *snapshotCore, repair *repairing) bool {
	return c.sound.path == c.files[0].Path && repair.complete(c, c.files[0]) && c.now-c.sound.at < snapshotSound
}

// droppable reports whether there is an older snapshot, or log, behind the newest one, and no older one is being sent.
func (k *checks) droppable(c *snapshotCore, sends *sends) bool {
	return len(c.files) > 0 && c.files[0].Index > k.covered && !slices.ContainsFunc(sends.transfers, func(one *sending) bool { return one.index < c.files[0].Index })
}

// dropOlder removes the older snapshot, if there is one, and the log up to the newest.
func (k *checks) dropOlder(c *snapshotCore) {
	for _, old := range c.files[1:] {
		c.remove(old)
	}
	c.files = c.files[:1]
	c.removeParts()
	k.covered = c.files[0].Index
	c.Consensus.MustPost(logCovered{UpTo: k.covered})
}

// moveDamagedSnapshot moves a damaged snapshot away. The snapshot before it, and the log behind that one, hold everything.
func (k *checks) moveDamagedSnapshot(c *snapshotCore, sends *sends, info snapshot.Info, fault error) {
	sends.forget(c, info)
	text := fmt.Sprintf("a damaged snapshot was found while members go on with the log and a new one is saved: look at the disk: %v", fault)
	to, err := snapshot.SetAside(c.FS, info.Path, c.Damaged)
	if err != nil {
		text += fmt.Sprintf("; it could not be moved aside: %v", err)
	} else {
		text += "; it was moved to " + to
	}
	k.replace(c, info, text)
}

// replace reports a bad snapshot, and has a new one saved. Otherwise none would be saved as long as there are few writes, and a follower
// that needs a snapshot would wait that long.
func (k *checks) replace(c *snapshotCore, info snapshot.Info, text string) {
	c.Logger.Error(text)
	c.Status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: info.Path, Text: text})
	c.Applier.MustPost(SnapshotWanted{Saves: 1})
}

// suspected has a file verified that a reader has found damaged: a snapshot, a part of one, or a part that no snapshot lists yet.
func (k *checks) suspected(c *snapshotCore, repair *repairing, path string) {
	published := c.recheck(path)
	for _, one := range c.shelf.Parts() {
		switch {
		case c.Dir+"/"+one.Name() != path:
		case !published && !repair.has(one):
			c.suspects = append(c.suspects, snapshot.Info{Meta: snapshot.Meta{Parts: []snapshot.Part{one}}})
		}
	}
}

// freeSpace deletes the snapshots older than the newest if their space is needed, also for a snapshot that is received. The newest is
// verified first, unless it was found sound lately. On a full disk makeRoom does not wait for a third snapshot: without writes none becomes
// due.
func (k *checks) freeSpace(c *snapshotCore, repair *repairing, sends *sends, out *writing) {
	waits, disk := out.order != nil && !out.order.begun, c.Status.Disk()
	switch {
	case k.current != nil || len(c.suspects) > 0 || !k.droppable(c, sends):
	case !c.outgrown() && disk.Accepts() == space.Left && !disk.Helps && c.now >= c.lacks && !(waits && out.full(c)):
	case k.soundNow(c, repair):
		k.dropOlder(c)
	case c.now >= c.sound.noCheck:
		c.suspects = append(c.suspects, c.files[0])
	}
}

// outgrown reports whether the log has taken three quarters of its space. The last quarter is for writes while the newer of two snapshots
// is verified again, if necessary, before the older one can be deleted.
func (c *snapshotCore) outgrown() bool {
	disk := c.Status.Disk()
	budget := disk.LogBudget(&c.Limits)
	return c.Status.Durable().FileBytes > budget-budget/4
}
