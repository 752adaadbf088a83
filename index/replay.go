package index

import (
	"fmt"
	"sync/atomic"
)

// KeyedVersion is a version with its key.
type KeyedVersion struct {
	Key []byte
	Version
}

// Replay makes changes again, which come in the order of their positions. If the history of the state begins behind a change, the
// version that it supersedes is dropped. Replay keeps none of the slices.
func (b *Builder) Replay(changes []KeyedVersion) error {
	b.flush()
	if err := b.group(); err != nil {
		return err
	}
	allocated := b.s.keys.memory.allocated
	for keys := &b.s.keys; len(changes) > 0; {
		some := changes[:min(len(changes), prefetchCommands)]
		changes = changes[len(some):]
		for i := range some {
			keys.prefetching.hashes[i] = hashOf(some[i].Key)
		}
		keys.prefetchHashes(len(some))
		for i := range some {
			one := &some[i]
			if err := b.replay(one, keys.prefetching.hashes[i]); err != nil {
				return fmt.Errorf("change %d.%d of the key %q %w", one.Mod, one.Sub, one.Key, err)
			}
		}
	}
	if err := b.appendChanges(); err != nil {
		return err
	}
	if len(b.superseding) > 0 {
		b.evictSuperseded(allocated)
	}
	return nil
}

// appendChanges appends the waiting changes, which are in order, to the history.
func (b *Builder) appendChanges() error {
	h := &b.s.history
	for _, c := range b.changes {
		slot := h.slots.fill(h.gaps.slot(c.mod))
		alone, n := slot.Load(), int64(0)
		switch {
		case alone != 0:
			n = h.changes(c.mod)
		case c.mod == h.first():
			n = h.sub // these are dropped
		}
		if c.sub != n {
			return fmt.Errorf("change %d.%d follows the %d changes before it of that revision", c.mod, c.sub, n)
		}
		if n == 0 {
			slot.Store(changeWord(c.at))
			continue
		}
		g := h.group(c.mod)
		if g == nil {
			g = &group{changes: make([]atomic.Uint64, n, n+1)}
			g.changes[0].Store(alone)
			slot.Store(uint64(h.groups.end)<<slotGroupShift | slotGroup)
			*h.groups.push() = g
		}
		g.changes = append(g.changes, atomic.Uint64{})
		g.changes[n].Store(changeWord(c.at))
	}
	b.changes = b.changes[:0]
	return nil
}

// evictSuperseded evicts the values that the replayed changes superseded, and frees the slabs that this empties: no View reaches them.
// allocated is memory.allocated before the replay.
func (b *Builder) evictSuperseded(allocated int64) {
	s := b.s
	for _, at := range b.superseding {
		s.evictValueBefore(at.version())
	}
	b.superseding = b.superseding[:0]
	s.evacuate(evacuationPerByte * (s.keys.memory.allocated - allocated))
	s.keys.epoch = &epoch{}
}

func (b *Builder) replay(v *KeyedVersion, hash uint64) error {
	s, key, at := b.s, v.Key, Position{v.Mod, v.Sub}
	if b.replayed.Compare(at) >= 0 {
		return fmt.Errorf("does not follow %d.%d", b.replayed.Revision, b.replayed.Sub)
	}
	b.replayed = at
	r, before := s.keys.find(hash, key), ref(0)
	pair := [2]Version{1: v.Version}
	versions := pair[1:]
	if r != 0 {
		before = ref(r.record().head.Load())
		pair[0].set(nil, nil, before.version())
		versions = pair[:]
	}
	held := s.history.holds(v.Mod, v.Sub)
	// The base lacks versions that were superseded when it was made.
	known := r != 0 || v.Mod >= s.extents.historyFrom
	if !known && v.Tombstone {
		return nil
	}
	if err := b.checkChange(key, versions, len(versions)-1, known); err != nil {
		return err
	}
	if before != 0 && !before.version().has(tombstone) {
		s.totals.live--
		s.totals.liveBytes -= int64(len(key) + before.version().valueSize())
		if before.version().has(cold) {
			s.coldLive -= int64(before.version().valueSize())
		}
		s.leases.detach(before.version().lease(), r, nil)
	}
	switch {
	case v.Tombstone && !held:
		s.dropVersion(before)
		s.keys.flushNewKeys()
		s.keys.remove(r)
		return nil
	case v.Tombstone:
		s.keys.tombstoned.Set(r)
	case r == 0:
		r = s.keys.newRecord(key)
		s.keys.table.insert(hash, r)
		s.keys.newKeys = append(s.keys.newKeys, r)
	case before.version().has(tombstone):
		s.keys.tombstoned.Delete(r)
	}
	if before != 0 && !held {
		s.dropVersion(before)
		r.record().head.Store(0)
		versions = pair[1:]
	}
	b.addVersion(r, hash, versions, len(versions)-1)
	b.addLive(r)
	if held && v.Mod < s.eviction.next.Revision {
		b.superseding = append(b.superseding, ref(r.record().head.Load()))
	}
	return nil
}
