package index

import (
	"bytes"
	"fmt"

	"qkv/internal/limits"
)

// NewSalvage begins to build a state from the sound blocks of a snapshot. A history must not have gaps, so the state keeps none: it is
// compacted at its newest revision. [Builder.Salvage] follows for each version that can be read, and then FinishSalvage.
func NewSalvage(r *Reserve, meta []byte, l limits.Index) (*Builder, error) {
	b, err := NewBuilder(r, meta, l)
	if err != nil {
		return nil, err
	}
	s := b.s
	s.compacted = s.revision
	s.history.slots.startAt(s.revision + 1)
	s.history.sub = 0
	s.times.trim(s.compacted)
	s.ResetExtents()
	return b, nil
}

// Salvage adds a version of a key, or replaces an older one. It keeps neither slice. Versions before this one may be lost.
func (b *Builder) Salvage(key []byte, v *Version) error {
	s, hash := b.s, hashOf(key)
	r := s.keys.find(hash, key)
	if !v.Tombstone {
		if err := b.checkChange(key, []Version{*v}, 0, false); err != nil {
			return fmt.Errorf("version %d.%d of the key %q %w", v.Mod, v.Sub, key, err)
		}
	}
	if r != 0 {
		before := ref(r.record().head.Load())
		if !before.version().before(position{v.Mod, uint32(v.Sub)}) {
			return nil
		}
		s.totals.live--
		s.totals.liveBytes -= int64(len(key) + before.version().valueSize())
		s.leases.detach(before.version().lease(), r, nil)
		s.dropVersion(before)
		r.record().head.Store(0)
	}
	switch {
	case v.Tombstone && r == 0:
		return nil
	case v.Tombstone:
		s.keys.flushNewKeys()
		s.keys.remove(r)
		return nil
	case r == 0:
		r = s.keys.newRecord(key)
		s.keys.table.insert(hash, r)
		s.keys.newKeys = append(s.keys.newKeys, r)
	}
	b.addVersion(r, hash, []Version{*v}, 0)
	b.addLive(r)
	return nil
}

// FinishSalvage returns the state, how many keys the whole snapshot has, and versions that were left out: their lease has ended, so a lost
// change has deleted or replaced them. A key that nothing deletes any more would stay for ever.
func (b *Builder) FinishSalvage() (s *State, keys int64, ended []KeyedVersion, err error) {
	s = b.s
	s.leases.attached.Scan(func(a attachment) bool {
		if s.leases.refuses(a.lease) != nil {
			newest := a.key.record().newest()
			ended = append(ended, KeyedVersion{a.key.record().key(), Version{Mod: newest.mod, Sub: int64(newest.sub)}})
		}
		return true
	})
	for i := range ended {
		one := &ended[i]
		one.Key = bytes.Clone(one.Key)
		if err := b.Salvage(one.Key, &Version{Mod: one.Mod, Sub: one.Sub + 1, Tombstone: true}); err != nil {
			return nil, 0, nil, err
		}
	}
	keys = b.want.live
	b.want = metaNumbers{s.totals.live, s.totals.liveBytes, s.history.kept, s.history.keptSum}
	s, err = b.Finish()
	return s, keys, ended, err
}
