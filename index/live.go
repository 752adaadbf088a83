package index

import (
	"errors"
	"fmt"

	"qkv/index/kv"
)

// A state whose slabs take more than limits.Index.MemoryBytes evicts the values of live keys. It does so while it evacuates slabs: a version
// whose value is in files is copied without it. If no slab is sparse, a full one is chosen, by a clock: the hand goes round all slabs, and
// passes over those whose values were mostly read since it came last.
type clock struct {
	hand   int   // number of the next slab
	passed int   // slabs since the last one that was chosen
	rests  int64 // eviction.to when the hand had gone round twice for nothing; until it is another one, the hand rests
}

const (
	// clockWorth is the part of a slab's bytes in use, one in so many, that must be evictable.
	clockWorth = 4
	// clockWork is the cost of looking at one version, in bytes gone through: its record is read.
	clockWork = 128
)

// setBudget notes whether the memory of live values is bounded.
func (s *State) setBudget() {
	if s.budget = s.limits.MemoryBytes; s.limits.AloneInMemory && len(s.members.records) <= 1 {
		s.budget = 0
	}
}

// overBudget reports whether the slabs take more memory than they may.
func (s *store) overBudget() bool { return s.budget > 0 && s.keys.memory.bytes > s.budget }

// evictableNow reports whether the value of a live version may leave memory: it is in files, and no point read has used it lately.
func (s *store) evictableNow(v *version) bool {
	return v.newer() == 0 && s.evictable(v) && v.mod <= s.eviction.to && !s.keys.recordOf(v).record().used()
}

// choose moves the hand to the next slab. It returns the slab if it is worth an evacuation, and the cost. When the hand rests, cost is 0.
func (s *store) choose() (chosen *slab, cost int64) {
	c, slabs := &s.clock, s.keys.memory.slabs
	if !s.overBudget() || s.hasValuesToEvict() || c.rests == s.eviction.to || s.eviction.to == 0 {
		return nil, 0
	}
	if c.passed++; c.passed > 2*len(slabs) {
		c.rests, c.passed = s.eviction.to, 0
		return nil, 0
	}
	if c.hand++; c.hand >= len(slabs) {
		c.hand = 0
	}
	one := slabs[c.hand]
	if one.records || !one.full || one.queued {
		return nil, clockWork
	}
	bytes := 0
	for offset := slabHead; offset < one.used; {
		v := (one.address + ref(offset)).version()
		if offset += v.size(); v.owner&versionDead == 0 && s.evictableNow(v) {
			bytes += v.valueSize()
		}
		cost += clockWork
	}
	if bytes*clockWorth >= one.live {
		c.passed = 0
		return one, cost
	}
	for offset := slabHead; offset < one.used; {
		v := (one.address + ref(offset)).version()
		if offset += v.size(); v.owner&versionDead == 0 && v.newer() == 0 {
			s.keys.recordOf(v).record().unuse()
		}
	}
	return nil, cost
}

// ErrUnread is wrapped by the error of an entry that needs a live value which no file gives. The entry was not begun: Apply may be called
// with it again.
var ErrUnread = errors.New("an entry needs a value that cannot be read")

// warm brings the live values back to memory that the decoded commands look at: those of comparisons, and those that puts keep. Commands
// before them in the entry may write other values, which are in memory anyway.
func (s *State) warm() (err error) {
	if s.coldLive == 0 {
		return nil
	}
	for i := range s.scratch.commands {
		c := &s.scratch.commands[i]
		switch c.kind {
		case kindPut:
			err = s.warmPut(&c.put)
		case kindTxn:
			err = s.warmTxn(c.txn)
		}
		if err != nil {
			return fmt.Errorf("command %d of %d: %w: %w", i, len(s.scratch.commands), ErrUnread, err)
		}
	}
	return nil
}

func (s *store) warmPut(p *kv.Put) error {
	if !p.IgnoreValue {
		return nil
	}
	return s.warmKey(p.Key)
}

func (s *store) warmTxn(t *kv.Txn) (err error) {
	for i := range t.Compares {
		if c := &t.Compares[i]; c.Target == kv.CompareValue && len(c.End) == 0 {
			err = s.warmKey(c.Key)
		} else if c.Target == kv.CompareValue {
			s.keys.each(c.Key, c.End, func(r ref) bool {
				err = s.warmRecord(r)
				return err == nil
			})
		}
		if err != nil {
			return err
		}
	}
	for _, ops := range [][]kv.Op{t.Success, t.Failure} {
		for i := range ops {
			switch o := &ops[i]; {
			case o.Put != nil:
				err = s.warmPut(o.Put)
			case o.Txn != nil:
				err = s.warmTxn(o.Txn)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) warmKey(key []byte) error {
	if r := s.keys.find(hashOf(key), key); r != 0 {
		return s.warmRecord(r)
	}
	return nil
}

func (s *store) warmRecord(r ref) error {
	record := r.record()
	v := record.newest()
	if !v.has(cold) {
		return nil
	}
	s.limits.Reach("live values read")
	value, err := s.eviction.files.read(record.key(), v)
	if err != nil {
		return fmt.Errorf("the value of the key %q at revision %d: %w", record.key(), v.mod, err)
	}
	s.replace(&record.head, v.flags()&^cold, value)
	s.coldLive -= int64(len(value))
	return nil
}
