package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

const (
	// metaVersion is the format version of what AppendMeta writes, and the only one that is known.
	metaVersion = 1
	metaFields  = 17
)

// AppendMeta appends all of the state that is not a key; doc.go has the format.
func (v *View) AppendMeta(dst []byte) []byte {
	dst = pack.AppendArray(dst, metaFields)
	dst = pack.AppendUint(dst, metaVersion)
	dst = pack.AppendUint(dst, v.applied)
	dst = pack.AppendUint(dst, v.term)
	dst = pack.AppendInt(dst, v.revision)
	dst = pack.AppendInt(dst, v.compacted)
	dst = pack.AppendInt(dst, v.history.slots.first)
	dst = pack.AppendInt(dst, v.history.sub)
	dst = pack.AppendInt(dst, v.wall)
	dst = pack.AppendUint(dst, v.level)
	dst = appendSum(dst, v.sum)
	dst = appendSum(dst, v.pastSum)
	dst = pack.AppendInt(dst, v.live)
	dst = pack.AppendInt(dst, v.liveBytes)
	dst = pack.AppendInt(dst, v.historyBytes)
	dst = v.members.append(dst)
	points := &v.times.points
	dst = pack.AppendArray(dst, 2*int(points.len()))
	var before point
	for n := points.first; n < points.end; n++ {
		p := *points.at(n)
		dst = pack.AppendInt(dst, p.revision-before.revision)
		dst = pack.AppendInt(dst, p.wall-before.wall)
		before = p
	}
	return v.check.append(dst)
}

func appendSum(dst []byte, sum uint64) []byte {
	return binary.BigEndian.AppendUint64(pack.AppendBytesHeader(dst, 8), sum)
}

func readSum(r *pack.Reader) uint64 {
	b := r.Bytes()
	if len(b) != 8 {
		r.Fail("a sum has 8 bytes")
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// metaNumbers are those of the state's numbers that the keys must agree with.
type metaNumbers struct {
	sum, pastSum                  uint64
	live, liveBytes, historyBytes int64
}

// readMeta sets all of the state that is not a key.
func (s *State) readMeta(meta []byte) (want metaNumbers, err error) {
	r := pack.NewReader(meta)
	n := r.Array()
	if v := r.Uint(); r.Err() == nil && v != metaVersion {
		return want, fmt.Errorf("the state has format version %d, this qkv knows %d: it was written by a newer one, upgrade this member", v, metaVersion)
	}
	if r.Err() == nil && n != metaFields {
		r.Fail("a state of another number of fields")
	}
	s.applied, s.term = r.Uint(), r.Uint()
	s.revision, s.compacted = r.Int(), r.Int()
	first, sub := r.Int(), r.Int()
	s.wall, s.level = r.Int(), r.Uint()
	want.sum, want.pastSum = readSum(&r), readSum(&r)
	want.live, want.liveBytes, want.historyBytes = r.Int(), r.Int(), r.Int()
	s.members = readMembers(&r)
	s.readTimes(&r)
	s.check = readCheck(&r)
	if err := r.Done(); err != nil {
		return want, fmt.Errorf("read the state: %w", err)
	}
	if s.level > MaxLevel {
		return want, fmt.Errorf("the state has feature level %d, this qkv knows %d: upgrade this member", s.level, MaxLevel)
	}
	return want, s.beginHistory(first, sub)
}

func (s *State) readTimes(r *pack.Reader) {
	n := r.Array()
	if n%2 != 0 {
		r.Fail("a time without its revision, or the other way round")
		return
	}
	var p point
	for range n / 2 {
		p.revision += r.Int()
		p.wall += r.Int()
		s.times.push(p)
	}
}

// beginHistory makes room for all changes from the first one on.
func (s *State) beginHistory(first, sub int64) error {
	pending := s.compacted == first+1
	room := s.revision - first
	switch {
	case first < 2 || sub < 0 || room < -1 || room > 16*limits.HistoryRevisions,
		s.compacted != first && !pending && (s.compacted != 0 || first != 2), sub > 0 && !pending:
		return fmt.Errorf("the state has revision %d, compacted %d and a history from %d.%d", s.revision, s.compacted, first, sub)
	}
	s.history.slots.startAt(first)
	for range room + 1 {
		s.history.slots.push()
	}
	s.history.sub = sub
	return nil
}

// Builder builds a state from what AppendMeta and Scan of a View gave. It trusts nothing that it is given. It is not
// for several goroutines.
type Builder struct {
	s    *State
	want metaNumbers
	last []byte // the key before
	// grouped are the changes that may share their revision with others.
	grouped []subChange
	// Places in the history and the table come in no order: they are filled many at once, so that waiting for one
	// piece of memory is waiting for all.
	changes []subChange
	records []hashed
}

// atOnce is how many of them wait.
const atOnce = 512

type hashed struct {
	hash uint64
	at   ref
}

type subChange struct {
	mod, sub int64
	at       ref
}

// NewBuilder begins with what AppendMeta wrote.
func NewBuilder(meta []byte, l limits.Index) (*Builder, error) {
	s := NewState(l)
	want, err := s.readMeta(meta)
	if err != nil {
		return nil, err
	}
	s.table.init(int(min(want.live, 1<<30)))
	return &Builder{s: s, want: want}, nil
}

// Add adds a key with its versions, oldest first. Keys come in their order. Nothing of the slices is kept.
func (b *Builder) Add(key []byte, versions []Version) error {
	s := b.s
	if len(key) == 0 || len(key) > limits.KeyBytes || b.last != nil && bytes.Compare(key, b.last) <= 0 {
		return fmt.Errorf("the key %q cannot follow %q", key, b.last)
	}
	if len(versions) == 0 {
		return fmt.Errorf("the key %q has no version", key)
	}
	b.last = append(b.last[:0], key...)
	hash := hashOf(key)
	r := s.newRecord(key)
	for i := range versions {
		if err := b.check(versions, i); err != nil {
			return fmt.Errorf("version %d.%d of the key %q %w", versions[i].Mod, versions[i].Sub, key, err)
		}
		b.addVersion(r, hash, versions, i)
	}
	s.tree.Load(r)
	if b.records = append(b.records, hashed{hash, r}); len(b.records) >= atOnce || len(b.changes) >= atOnce {
		b.flush()
	}
	newest := r.record().newest()
	if newest.has(tombstone) {
		s.tombstoned.Load(r)
		return nil
	}
	s.live++
	s.liveBytes += int64(len(key) + newest.valueSize())
	s.sum += newest.sum
	s.pastSum -= newest.sum
	s.historyBytes -= weight(len(key), newest.valueSize())
	return nil
}

// check says why a version cannot follow those before it.
func (b *Builder) check(versions []Version, i int) error {
	s, v := b.s, &versions[i]
	var before Version
	if i > 0 {
		before = versions[i-1]
	}
	held := s.history.holds(v.Mod, v.Sub)
	follows := i > 0 && !before.Tombstone
	switch {
	case v.Mod <= before.Mod || v.Mod < 2 || v.Mod > s.revision || v.Sub < 0 || v.Sub > 1<<32-1:
		return fmt.Errorf("is not between the version before it, of revision %d, and the newest revision %d", before.Mod, s.revision)
	case !held && i > 0:
		return fmt.Errorf("comes before the history of %d.%d, and so must be the oldest", s.history.slots.first, s.history.sub)
	case v.Tombstone && (v.Create != 0 || v.Version != 0 || v.Lease != 0 || len(v.Value) != 0 || !held || !follows):
		return fmt.Errorf("deletes nothing, or is more than a tombstone")
	case v.Tombstone:
		return nil
	case len(v.Value) > limits.ValueBytes:
		return fmt.Errorf("has a value of %d bytes, the limit is %d", len(v.Value), limits.ValueBytes)
	case follows && (v.Create != before.Create || v.Version != before.Version+1):
		return fmt.Errorf("is number %d since revision %d, after number %d since revision %d", v.Version, v.Create, before.Version, before.Create)
	case !follows && held && (v.Create != v.Mod || v.Version != 1),
		(v.Create == v.Mod) != (v.Version == 1), v.Create > v.Mod, v.Create < 2, v.Version < 1:
		return fmt.Errorf("is number %d since revision %d, with no version before it", v.Version, v.Create)
	}
	return nil
}

func (b *Builder) addVersion(r ref, hash uint64, versions []Version, i int) {
	s, v := b.s, &versions[i]
	flags := uint32(0)
	words := [2]int64{v.Create, v.Version}
	switch {
	case v.Tombstone:
		flags = tombstone
	case v.Version == 1 && i > 0:
		flags = created | again
		words = [2]int64{versions[i-1].Mod, versions[i-1].Sub}
	case v.Version == 1:
		flags = created
	}
	if v.Lease != 0 {
		flags |= leased
	}
	at := s.newVersion(flags, len(v.Value))
	made := at.version()
	made.mod, made.sub = v.Mod, uint32(v.Sub)
	made.sum = sumOf(hash, v.Value, v.Create, v.Mod, v.Sub, v.Version, v.Lease)
	s.pastSum += made.sum
	made.setWords(words, v.Lease)
	copy(made.value(), v.Value)
	s.push(r, at, ref(r.record().head.Load()))
	s.historyBytes += weight(int(r.record().size), len(v.Value))
	if s.history.holds(v.Mod, v.Sub) {
		b.changes = append(b.changes, subChange{v.Mod, v.Sub, at})
	}
}

// flush puts what waits into the table and the history. Whether a change has its revision alone is known at the end.
func (b *Builder) flush() {
	for _, r := range b.records {
		b.s.table.insert(r.hash, r.at)
	}
	for _, c := range b.changes {
		slot := b.s.history.slots.at(c.mod)
		if c.sub == 0 && slot.Load() == 0 {
			slot.Store(changeOf(c.at))
		} else {
			b.grouped = append(b.grouped, c)
		}
	}
	b.records, b.changes = b.records[:0], b.changes[:0]
}

// Finish returns the state, if it is the one that the meta data speak of.
func (b *Builder) Finish() (*State, error) {
	s := b.s
	b.flush()
	if got := (metaNumbers{s.sum, s.pastSum, s.live, s.liveBytes, s.historyBytes}); got != b.want {
		return nil, fmt.Errorf("%d keys of %d bytes, history of %d, sums %016x and %016x; when it was saved there were %d keys of %d bytes, history of %d, sums %016x and %016x",
			got.live, got.liveBytes, got.historyBytes, got.sum, got.pastSum, b.want.live, b.want.liveBytes, b.want.historyBytes, b.want.sum, b.want.pastSum)
	}
	if err := b.group(); err != nil {
		return nil, err
	}
	h := &s.history
	for revision := h.slots.first; revision < h.slots.end; revision++ {
		if h.slots.at(revision).Load() == 0 {
			return nil, fmt.Errorf("revision %d has no change, the history begins at %d", revision, h.slots.first)
		}
	}
	s.changed = true
	b.s = nil
	return s, nil
}

// group makes groups of the changes that share a revision.
func (b *Builder) group() error {
	slices.SortFunc(b.grouped, func(x, y subChange) int {
		return cmp.Or(cmp.Compare(x.mod, y.mod), cmp.Compare(x.sub, y.sub))
	})
	h := &b.s.history
	for rest := b.grouped; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].mod == rest[0].mod {
			n++
		}
		one, mod := rest[:n], rest[0].mod
		rest = rest[n:]
		missing := int64(0) // changes of the group that are compacted already
		if mod == h.slots.first {
			missing = h.sub
		}
		slot := h.slots.at(mod)
		alone := slot.Load()
		if alone != 0 {
			missing++
		}
		if last := one[n-1].sub; last+1 != int64(n)+missing {
			return fmt.Errorf("revision %d has %d changes, and the last one is number %d", mod, int64(n)+missing, last)
		}
		g := &group{changes: make([]atomic.Uint64, int64(n)+missing)}
		g.changes[0].Store(alone)
		for _, c := range one {
			if g.changes[c.sub].Swap(changeOf(c.at)) != 0 {
				return fmt.Errorf("revision %d has change %d twice", mod, c.sub)
			}
		}
		slot.Store(uint64(h.groups.end)<<2 | slotGroup)
		*h.groups.push() = g
	}
	return nil
}
