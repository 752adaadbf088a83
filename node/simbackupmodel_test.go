package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/log/disk"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// backedUp is what a backup has, as its place has acknowledged: every restore is held against it, and against what the cluster had.
type backedUp struct {
	said   uint64          // the newest entry that the backup has for certain
	has    map[uint64]bool // entries of its log
	bases  []backup.Base   // that every list has which the place may show
	making uint64          // entry of the newest base that was begun: its list may be visible although it failed
}

// appended notes that entries are in the backup.
func (b *simBackup) appended(first, last uint64) {
	for entry := first; entry <= last; entry++ {
		if !b.has[entry] {
			b.has[entry] = true
			b.w.totals.BackupEntries++
		}
	}
	b.said = max(b.said, last)
}

// listed notes the bases of a list that was made, or that may be there although its leader does not know. That one may leave old bases out.
func (b *simBackup) listed(acknowledged bool) {
	now := b.open().Bases
	if n := len(now); n > 0 {
		b.making = max(b.making, now[n-1].Index)
	}
	has := func(all []backup.Base, base backup.Base) bool {
		return slices.ContainsFunc(all, func(one backup.Base) bool { return one.Index == base.Index && one.Digest == base.Digest })
	}
	if !acknowledged {
		b.bases = slices.DeleteFunc(b.bases, func(base backup.Base) bool { return !has(now, base) })
		return
	}
	for _, base := range b.bases {
		if base.Index >= now[0].Index && !has(now, base) {
			b.w.failf("the backup has lost its base of entry %d", base.Index)
		}
	}
	for _, base := range now {
		if !has(b.bases, base) {
			b.w.totals.BackupBases++
			b.w.trace("the backup has a base of entry %d, revision %d", base.Index, base.Revision)
		}
	}
	b.bases = now
	b.said = max(b.said, now[len(now)-1].Index)
}

// look restores something now and then.
func (b *simBackup) look() {
	w := b.w
	if b.over || w.healed != 0 {
		return
	}
	if b.said > 0 {
		b.check(b.draw())
	}
	w.sim.After(w.between(time.Second, 5*time.Second), b.look)
}

// draw draws a moment.
func (b *simBackup) draw() backup.At {
	v := b.w.watch.verdicts
	if len(b.bases) == 0 || b.w.probably(0.2) {
		return backup.At{}
	}
	first := b.bases[0].Index
	m := v.moments[first-foundingIndex+uint64(b.w.random.Int64N(int64(b.said-first+1)))]
	if b.w.probably(0.5) {
		return backup.At{Revision: m.revision}
	}
	return backup.At{Wall: m.wall + pick(rand.New(rand.NewPCG(b.w.random.Uint64(), 0)), 0, 0, 1, int64(time.Second))}
}

// restore restores from a copy of the disk, which may have lost power meanwhile. With a folder, the files of the base are kept there.
func (b *simBackup) restore(at backup.At, files disk.FS, dir string) (*backup.Restored, error) {
	on := b.disk.Clone(b.w.random.Uint64())
	if b.w.probably(0.5) {
		on.Crash(b.w.variant())
	} else {
		on.Kill()
	}
	r, err := backup.Open(context.Background(), store.OpenFolder(on, backupDir))
	if err != nil {
		return nil, err
	}
	if files != nil {
		r.KeepParts(files, dir)
	}
	return r.Restore(at, b.w.shape.limits.Index, nil)
}

// check restores a moment, and compares the state with the cluster's at that moment.
func (b *simBackup) check(at backup.At) {
	w := b.w
	got, err := b.restore(at, nil, "")
	target := b.target(at)
	switch {
	case errors.Is(err, backup.ErrGap) || errors.Is(err, backup.ErrRange) || errors.Is(err, damage.ErrDamaged):
		if b.covers(target) {
			w.failf("the backup has everything up to entry %d of %+v, and its restore is refused: %v", target, at, err)
		}
		w.totals.BackupGaps++
		w.trace("the restore to %+v, entry %d, is refused: %v", at, target, err)
		return
	case err != nil:
		w.failf("the restore to %+v, entry %d, fails: %v", at, target, err)
		return
	}
	w.totals.BackupRestores++
	w.trace("restored %+v: entry %d, revision %d", at, got.Index, got.Revision)
	w.note("restored", got.Index)
	b.compare(at, target, got)
}

// target returns the newest entry that is applied up to a moment, as far as a member has applied it.
func (b *simBackup) target(at backup.At) uint64 {
	moments := b.w.watch.verdicts.moments
	n := len(moments) - 1
	switch {
	case at.Wall != 0:
		for n > 0 && moments[n].wall > at.Wall {
			n--
		}
	case at.Revision != 0:
		n, _ = slices.BinarySearchFunc(moments, at.Revision, func(m logMoment, revision int64) int { return cmp.Compare(m.revision, revision) })
	default:
		n = int(b.said - foundingIndex)
	}
	return foundingIndex + uint64(n)
}

// covers reports whether the backup certainly has a base and all entries behind it up to an entry, and the next one, which tells that
// the moment ends there. A base that was published, and failed to be synced, shows that there are later entries, too, whoever knows of it.
func (b *simBackup) covers(target uint64) bool {
	until := b.said
	if n := len(b.bases); n > 0 {
		until = max(until, b.bases[n-1].Index)
	}
	until = max(until, b.making)
	for _, base := range slices.Backward(b.bases) {
		if base.Index > target {
			continue
		}
		for entry := base.Index + 1; entry <= min(target+1, until); entry++ {
			if !b.has[entry] {
				return false
			}
		}
		return true
	}
	return false
}

// compare holds a restored state against the log, the members' states, and all changes that they have shown.
func (b *simBackup) compare(at backup.At, target uint64, got *backup.Restored) {
	w := b.w
	switch {
	case at.Revision != 0 && got.Revision != at.Revision:
		w.failf("revision %d is restored, and %d was asked for", got.Revision, at.Revision)
	case at.Revision == 0 && got.Index != target && (!got.Ends || got.Index < min(b.said, target)):
		w.failf("entry %d is restored for %+v, and entry %d is the last one of that moment; the backup has entry %d", got.Index, at, target, b.said)
	}
	moment := w.watch.verdicts.moments[got.Index-foundingIndex]
	state, seen := w.watch.states[got.Index]
	switch {
	case at.Revision != 0: // a part of the entry
	case got.Revision != moment.revision || got.Wall != moment.wall:
		w.failf("entry %d is restored with revision %d and the time %d, and the log has %+v", got.Index, got.Revision, got.Wall, moment)
	case seen:
		w.totals.BackupsCompared++
		if digest := got.State.View().Digest(); digest != state.digest || got.Term != state.term {
			w.failf("the restored state of entry %d of term %d has the digest %016x, and a member had %+v", got.Index, got.Term, digest, state)
		}
	}
	w.watch.compareChanges("the restored state", got.State.View())
}

// finish lets the backup come to have everything, and compares it.
func (b *simBackup) finish() {
	w := b.w
	defer b.close()
	if !w.until(30*time.Second, func() bool { return b.said >= w.watch.commit }) {
		w.failf("the backup has entry %d, and entry %d is committed", b.said, w.watch.commit)
	}
	if w.failure == "" {
		w.agree()
		w.run(50 * time.Millisecond) // members show what they have applied
	}
	for _, at := range []backup.At{{}, b.draw(), b.draw()} {
		if w.failure == "" {
			b.check(at)
		}
	}
	if w.failure == "" && w.shape.spares == 0 && w.shape.liar == nil && w.probably(0.3) {
		at := b.draw()
		b.close()
		b.reborn(at)
	}
}

// close ends the backup for good.
func (b *simBackup) close() {
	b.over = true
	for _, r := range slices.Clone(b.runs) {
		r.end()
	}
	b.w.backup = nil
}

// reborn makes a new cluster from a restored state, on new hosts. It serves what was restored, and goes on.
func (b *simBackup) reborn(at backup.At) {
	w := b.w
	for _, h := range w.hosts {
		h.crash()
		h.removed = true
	}
	for _, c := range w.watchers.all { // a client of the old cluster refuses the new one
		c.forget()
	}
	w.watchers.all = nil
	before, target := w.watch, b.target(at)
	w.hosts, w.byID, w.watch, w.strict, w.leases = nil, map[uint64]*host{}, newChecker(w), 0, leasing{gone: map[int64]uint64{}}
	founders := []Founder{{"r1", "10.0.1.1:2380"}, {"r2", "10.0.1.2:2380"}, {"r3", "10.0.1.3:2380"}}[:pick(rand.New(rand.NewPCG(w.seed, 0x726562)), 1, 3)]
	for i, m := range founders {
		h := makeHost(w, i, m)
		h.fresh, h.config.InitialCluster = true, founders
		c := RestoreConfig{DataDir: h.config.DataDir, Name: m.Name, Token: "sim", Version: "sim", Logger: slog.New(&simLogger{w: w, host: h}), Branch: true}
		for _, one := range founders {
			c.Founders = append(c.Founders, one.Name)
		}
		var got *backup.Restored
		var unread error
		made, err := restoreOn(c, "sim", h.disk, rand.NewChaCha8([32]byte{byte(i)}), w.shape.limits, func(files disk.FS, dir string) (*index.State, error) {
			if got, unread = b.restore(at, files, dir); unread != nil {
				return nil, unread
			}
			return got.State, nil
		})
		if unread != nil {
			if b.covers(target) {
				w.failf("the restore to %+v fails: %v", at, unread)
			}
			return
		}
		w.hosts = append(w.hosts, h)
		if err != nil {
			w.failf("%s cannot be restored: %v", h.name(), err)
			return
		}
		h.memberID = made.Member
		w.byID[made.Member] = h
		k := w.watch
		k.commit, k.visible, k.shown = got.Index, slices.Clone(before.visible[:got.Revision+1]), slices.Clone(before.shown[:got.Revision+1])
		k.changes = slices.DeleteFunc(slices.Clone(before.changes), func(e event) bool { return e.revision > got.Revision })
	}
	w.sim.Observe(w.watch.turn)
	w.net = newNetwork(w)
	for _, h := range w.hosts {
		h.start()
		if w.failure == "" {
			w.watch.checkRemembered(h)
		}
	}
	if w.failure == "" {
		w.serve(elections * w.shape.election)
	}
	if w.failure == "" {
		w.agree()
	}
	for _, h := range w.hosts {
		if w.failure == "" {
			w.watch.checkRemembered(h)
		}
	}
	w.totals.RestoredClusters++
}
