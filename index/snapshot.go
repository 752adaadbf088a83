package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// metaVersion is the format version that AppendMeta writes, and the only known one.
const metaVersion = 2

// The sections of the meta data, each with a version of its own. A number is never reused.
const (
	sectionNumbers = 1
	sectionLayout  = 2
	sectionMembers = 3
	sectionTimes   = 4
	sectionCheck   = 5
	sectionLeases  = 6
	sectionClients = 7
	sectionAlarms  = 8
	sectionAuth    = 9
	sectionExtents = 10
	sectionBackup  = 11
	sections       = 12

	sectionVersion = 1

	metaFields    = 2
	sectionFields = 3
	numberFields  = 11
	layoutFields  = 4
	timesFields   = 2
	pointFields   = 4
)

// AppendMeta appends the whole state except the keys; doc.go describes the format. The View must come from
// [State.ViewToSave].
func (v *View) AppendMeta(dst []byte) []byte {
	dst = pack.AppendArray(dst, metaFields)
	dst = pack.AppendUint(dst, metaVersion)
	dst = pack.AppendArray(dst, sections-1)
	dst = appendSection(dst, sectionNumbers, v.appendNumbers(nil))
	dst = appendSection(dst, sectionLayout, v.history.appendLayout(nil))
	dst = appendSection(dst, sectionMembers, v.members.append(nil))
	dst = appendSection(dst, sectionTimes, v.times.append(nil))
	dst = appendSection(dst, sectionCheck, v.check.append(nil))
	dst = appendSection(dst, sectionLeases, v.leases.append(nil))
	dst = appendSection(dst, sectionClients, v.appendSessions(nil))
	dst = appendSection(dst, sectionAlarms, v.alarms.append(nil))
	dst = appendSection(dst, sectionAuth, v.appendAuth(nil))
	dst = appendSection(dst, sectionExtents, v.extents.append(nil))
	return appendSection(dst, sectionBackup, v.backupKey.append(nil))
}

func appendSection(dst []byte, kind uint64, content []byte) []byte {
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, sectionFields), kind), sectionVersion)
	return pack.AppendBytes(dst, content)
}

func (r *replicated) appendNumbers(dst []byte) []byte {
	dst = pack.AppendArray(dst, numberFields-1+min(len(r.gaps), 1))
	dst = pack.AppendUint(dst, r.applied)
	dst = pack.AppendUint(dst, r.term)
	dst = pack.AppendInt(dst, r.revision)
	dst = pack.AppendInt(dst, r.compacted)
	dst = pack.AppendInt(dst, r.wall)
	dst = pack.AppendUint(dst, r.level)
	dst = pack.AppendInt(dst, r.totals.live)
	dst = pack.AppendInt(dst, r.totals.liveBytes)
	dst = pack.AppendInt(dst, r.totals.weight)
	return r.gaps.append(appendSum(dst, r.totals.sum))
}

func (h *history) appendLayout(dst []byte) []byte {
	dst = pack.AppendInt(pack.AppendArray(dst, layoutFields), h.first())
	dst = pack.AppendInt(dst, h.sub)
	dst = pack.AppendInt(dst, h.kept)
	return appendSum(dst, h.keptSum)
}

// append appends the times: behind of the newest point, and for each point the differences of revision, clock and weight
// from the previous point, and its behind.
func (t *times) append(dst []byte) []byte {
	dst = pack.AppendInt(pack.AppendArray(dst, timesFields), t.behind)
	dst = pack.AppendArray(dst, int(t.points.len()))
	var before point
	for n := t.points.first; n < t.points.end; n++ {
		p := *t.points.at(n)
		dst = pack.AppendInt(pack.AppendArray(dst, pointFields), p.revision-before.revision)
		dst = pack.AppendInt(dst, p.wall-before.wall)
		dst = pack.AppendInt(pack.AppendInt(dst, p.weight-before.weight), p.behind)
		before = p
	}
	return dst
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

// metaNumbers are the meta data's numbers that the keys must match.
type metaNumbers struct {
	live, liveBytes, kept int64
	keptSum               uint64
}

// metaReader reads the sections of the meta data.
type metaReader struct {
	s          *State
	want       metaNumbers
	first, sub int64
}

// read sets the whole state except the keys.
func (m *metaReader) read(meta []byte) error {
	r := pack.NewExactReader(meta)
	fields, version := r.Array(), r.Uint()
	if r.Err() == nil && version != metaVersion {
		return fmt.Errorf("the state has format version %d, this qkv knows %d: %w", version, metaVersion, pack.ErrNewer)
	}
	whole := r.Fields(fields-1, metaFields-1)
	last := uint64(0)
	for n := r.Array(); r.Err() == nil && n > 0; n-- {
		s := r.Struct(sectionFields)
		kind, version, content := r.Uint(), r.Uint(), r.Bytes()
		r.End(s)
		if r.Err() == nil && (kind >= sections || version != sectionVersion) {
			return fmt.Errorf("section %d of the state has version %d, which this qkv does not know: %w", kind, version, pack.ErrNewer)
		}
		if kind != last+1 {
			r.Fail("sections out of order")
		}
		if last = kind; r.Err() != nil {
			break
		}
		if err := m.section(kind, content); err != nil {
			return fmt.Errorf("read section %d of the state: %w", kind, err)
		}
	}
	if r.Err() == nil && last < sections-1 {
		r.Fail(fmt.Sprintf("%d sections, of %d", last, sections-1))
	}
	r.End(whole)
	if err := r.Done(); err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	if m.s.level > MaxLevel {
		return newerLevel("the state has", m.s.level)
	}
	if err := checkLevel(m.s.level); err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	return m.beginHistory()
}

func (m *metaReader) section(kind uint64, content []byte) error {
	s, r := m.s, pack.NewExactReader(content)
	switch kind {
	case sectionNumbers:
		fields := r.Struct(numberFields)
		s.applied, s.term = r.Uint(), r.Uint()
		s.revision, s.compacted, s.wall, s.level = r.Int(), r.Int(), r.Int(), r.Uint()
		m.want.live, m.want.liveBytes, s.totals.weight, s.totals.sum = r.Int(), r.Int(), r.Int(), readSum(&r)
		s.gaps = readGaps(&r)
		r.End(fields)
	case sectionLayout:
		fields := r.Struct(layoutFields)
		m.first, m.sub, m.want.kept, m.want.keptSum = r.Int(), r.Int(), r.Int(), readSum(&r)
		r.End(fields)
	case sectionMembers:
		s.members = readMembers(&r)
	case sectionTimes:
		s.times.read(&r)
	case sectionCheck:
		s.check = readCheck(&r)
	case sectionLeases:
		s.leases.read(&r)
	case sectionClients:
		s.sessions.read(&r)
	case sectionAlarms:
		s.alarms = readAlarms(&r)
	case sectionAuth:
		s.accounts.read(&r)
	case sectionExtents:
		s.extents = readExtents(&r)
	case sectionBackup:
		s.backupKey = readBackupKey(&r)
	}
	return r.Done()
}

func (t *times) read(r *pack.Reader) {
	whole := r.Struct(timesFields)
	t.behind = r.Int()
	var p point
	for range r.Array() {
		fields := r.Struct(pointFields)
		p.revision += r.Int()
		p.wall += r.Int()
		p.weight += r.Int()
		p.behind = r.Int()
		r.End(fields)
		t.push(p)
	}
	r.End(whole)
}

// historyLoaded bounds the revisions of a loaded state, at eight bytes each: a snapshot's own count is not trusted beyond a large machine's
// memory.
const historyLoaded = 1 << 33

// beginHistory prepares the history for all changes from the first one on.
func (m *metaReader) beginHistory() error {
	s, first, sub := m.s, m.first, m.sub
	slot := s.gaps.slot(first)
	room := s.revision - slot
	switch {
	case !s.gaps.valid(s.revision), first < 2, sub < 0, room < -1, room >= historyLoaded, s.compacted > s.revision, s.gaps.of(s.compacted) != nil,
		s.gaps.skip(first) != first, first > s.gaps.skip(max(s.compacted+1, 2)), sub > 0 && first >= s.compacted:
		return fmt.Errorf("the state has revision %d, compacted %d and a history from %d.%d", s.revision, s.compacted, first, sub)
	}
	s.history.gaps = s.gaps
	s.history.slots.startAt(slot)
	s.history.slots.extend(room + 1)
	s.history.sub = sub
	return nil
}

// Builder builds a state from the output of AppendMeta, the versions of the base (AddBase), and the changes behind the base (Replay). It
// validates all its input. It is for one goroutine.
type Builder struct {
	s    *State
	want metaNumbers
	last []byte // the previous key
	// replayed is the position of the previous replayed change.
	replayed Position
	// grouped are the changes that may share their revision with others.
	grouped []subChange
	// superseding are changes in extents. The values of the versions before them are evicted next.
	superseding []ref
	// changes and records wait to be added to the history and the table. Their positions there are random. Adding many at
	// once overlaps the cache misses.
	changes []subChange
	records []hashed
}

// flushAt is the number of waiting changes or records at which they are added.
const flushAt = 512

type hashed struct {
	hash uint64
	at   ref
}

type subChange struct {
	mod, sub int64
	at       ref
}

// NewBuilder begins with the output of AppendMeta. The state takes its memory from the reserve.
func NewBuilder(r *Reserve, meta []byte, l limits.Index) (*Builder, error) {
	m := metaReader{s: newState(r.ledger, l)}
	if err := m.read(meta); err != nil {
		return nil, err
	}
	m.s.setBudget() // its members are known now
	m.s.keys.table.init(int(min(m.want.live, 1<<30)))
	return &Builder{s: m.s, want: m.want}, nil
}

// ReadFrom makes the values of superseded versions of parts stay in their files. Without a call, all values are loaded into memory.
func (b *Builder) ReadFrom(values Values) {
	b.s.eviction.files = &files{values: values}
	b.s.eviction.to = b.s.extents.open.From - 1
	b.s.eviction.next = Position{Revision: b.s.extents.open.From}
}

// OpenFrom returns the first revision behind the extents.
func (b *Builder) OpenFrom() int64 { return b.s.extents.open.From }

// Members returns the members of the state, which are known before the first key.
func (b *Builder) Members() Members { return b.s.members }

// Add adds a key with its versions, oldest first. Keys must come in key order. Add keeps none of the slices.
func (b *Builder) Add(key []byte, versions []Version) error {
	s := b.s
	if err := b.checkKey(key, versions); err != nil {
		return err
	}
	hash := hashOf(key)
	r := s.keys.newRecord(key)
	for i := range versions {
		b.addVersion(r, hash, versions, i)
	}
	s.keys.tree.Load(r)
	if b.records = append(b.records, hashed{hash, r}); len(b.records) >= flushAt || len(b.changes) >= flushAt {
		b.flush()
	}
	if r.record().newest().has(tombstone) {
		s.keys.tombstoned.Load(r)
	}
	b.addLive(r)
	return nil
}

// checkKey checks the next key with its versions.
func (b *Builder) checkKey(key []byte, versions []Version) error {
	if b.last != nil && bytes.Compare(key, b.last) <= 0 {
		return fmt.Errorf("the key %q cannot follow %q", key, b.last)
	}
	b.last = append(b.last[:0], key...)
	return b.checkVersions(key, versions)
}

// addLive counts a key that is not deleted. A later change may take its lease away.
func (b *Builder) addLive(r ref) {
	if newest := r.record().newest(); !newest.has(tombstone) {
		b.s.totals.live++
		b.s.totals.liveBytes += int64(int(r.record().size) + newest.valueSize())
		b.s.leases.attach(newest.lease(), r)
	}
}

// checkLeases returns an error if a key has a lease that does not exist.
func (b *Builder) checkLeases() (err error) {
	s, last := b.s, int64(0)
	s.leases.attached.Scan(func(a attachment) bool {
		if a.lease != last {
			if last = a.lease; s.leases.refuses(last) != nil {
				err = fmt.Errorf("the key %q: %w", a.key.record().key(), s.leases.refuses(last))
			}
		}
		return err == nil
	})
	return err
}

// AddBase is Add for the versions of a base. It leaves out versions that were dropped by the time of the state: a version is kept while the
// change that superseded it is in the history, a tombstone while its own is. Replay follows with the changes behind the base. It changes
// the slice.
func (b *Builder) AddBase(key []byte, versions []Version) error {
	kept := b.ofBase(versions)
	if len(kept) == 0 {
		return nil
	}
	return b.Add(key, kept)
}

// ofBase returns the versions of a base that are kept. It changes the slice.
func (b *Builder) ofBase(versions []Version) (kept []Version) {
	h := &b.s.history
	kept = versions[:0]
	for i, one := range versions {
		until := one
		if i+1 < len(versions) && !one.Tombstone {
			until = versions[i+1]
		}
		if last := i+1 == len(versions); last && !one.Tombstone || h.holds(until.Mod, until.Sub) {
			kept = append(kept, one)
		}
	}
	return kept
}

// Before says whether a version comes before another one.
func (v *Version) Before(other *Version) bool {
	return v.Mod < other.Mod || v.Mod == other.Mod && v.Sub < other.Sub
}

// checkVersions returns why a key cannot have these versions, oldest first, or nil.
func (b *Builder) checkVersions(key []byte, versions []Version) error {
	if len(versions) == 0 {
		return fmt.Errorf("the key %q has no version", key)
	}
	for i := range versions {
		v := &versions[i]
		if err := b.checkChange(key, versions, i, b.s.history.holds(v.Mod, v.Sub)); err != nil {
			return fmt.Errorf("version %d.%d of the key %q %w", v.Mod, v.Sub, key, err)
		}
	}
	return nil
}

// checkChange returns why a version cannot follow the previous ones, or nil. held says that all versions before it that are in the
// history are there.
func (b *Builder) checkChange(key []byte, versions []Version, i int, held bool) error {
	s, v := b.s, &versions[i]
	if err := (kv.Put{Key: key, Value: v.Value}).Check(requestBounds); err != nil {
		return fmt.Errorf("is none that a put can make: %w", err)
	}
	var before Version
	if i > 0 {
		before = versions[i-1]
	}
	follows := i > 0 && !before.Tombstone
	switch {
	case !before.Before(v), v.Mod < 2 || v.Mod > s.revision || s.gaps.skip(v.Mod) != v.Mod, v.Sub < 0, v.Sub > 1<<32-1:
		return fmt.Errorf("is not between the version before it, of revision %d, and the newest revision %d", before.Mod, s.revision)
	case !held && i > 0:
		return fmt.Errorf("comes before the history of %d.%d, but is not the oldest", s.history.first(), s.history.sub)
	case v.Tombstone && (v.Create != 0 || v.Version != 0 || v.Lease != 0 || len(v.Value) != 0 || !held || !follows):
		return fmt.Errorf("is a tombstone that deletes nothing, or that has data")
	case v.Tombstone:
		return nil
	case follows && (v.Create != before.Create || v.Version != before.Version+1):
		return fmt.Errorf("is number %d since revision %d, after number %d since revision %d", v.Version, v.Create, before.Version, before.Create)
	case !follows && held && (v.Create != v.Mod || v.Version != 1),
		v.Version == 1 && v.Create != v.Mod, v.Create > v.Mod, v.Create < 2, v.Version < 1:
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
		flags = created | recreated
		words = [2]int64{versions[i-1].Mod, versions[i-1].Sub}
	case v.Version == 1:
		flags = created
	}
	if v.Lease != 0 {
		flags |= leased
	}
	if newest := i+1 == len(versions); !v.Tombstone && v.Size() >= s.coldThreshold() &&
		(newest && s.overBudget() && v.Mod < s.eviction.next.Revision || !newest && versions[i+1].Mod < s.eviction.next.Revision) {
		flags |= cold
		s.history.cold++
		s.history.coldBytes += int64(v.Size())
		if newest {
			s.coldLive += int64(v.Size())
		}
	}
	at := s.newVersion(flags, len(v.Value), v.Author)
	made := at.version()
	made.mod, made.sub = v.Mod, uint32(v.Sub)
	made.sum = sumOf(hash, v.Value, v.Create, v.Mod, v.Sub, v.Version, v.Lease, v.Author)
	made.setWords(words, v.Lease)
	copy(made.value(), v.Value) // nothing if it is cold
	r.push(at, ref(r.record().head.Load()))
	s.history.kept++
	s.history.keptSum += made.sum
	if s.history.holds(v.Mod, v.Sub) {
		b.changes = append(b.changes, subChange{v.Mod, v.Sub, at})
	}
}

// flush adds the waiting records and changes to the table and the history. Finish determines which changes have their
// revision alone.
func (b *Builder) flush() {
	for _, r := range b.records {
		b.s.keys.table.insert(r.hash, r.at)
	}
	for _, c := range b.changes {
		slot := b.s.history.slots.fill(b.s.gaps.slot(c.mod))
		if c.sub == 0 && slot.Load() == 0 {
			slot.Store(changeWord(c.at))
		} else {
			b.grouped = append(b.grouped, c)
		}
	}
	b.records, b.changes = b.records[:0], b.changes[:0]
}

// Finish returns the state if it matches the meta data.
func (b *Builder) Finish() (*State, error) {
	s := b.s
	b.flush()
	if err := b.checkTotals(); err != nil {
		return nil, err
	}
	if err := b.checkLeases(); err != nil {
		return nil, err
	}
	if err := b.group(); err != nil {
		return nil, err
	}
	s.keys.flushNewKeys()
	h := &s.history
	for slot := h.slots.first; slot < h.slots.end; slot++ {
		if !h.slots.filled(slot) || h.slots.at(slot).Load() == 0 {
			return nil, fmt.Errorf("revision %d has no change, the history begins at %d", h.gaps.revision(slot), h.first())
		}
	}
	s.keys.changed = true
	b.s = nil
	return s, nil
}

// checkTotals compares the keys with the meta data.
func (b *Builder) checkTotals() error {
	s := b.s
	if got := (metaNumbers{s.totals.live, s.totals.liveBytes, s.history.kept, s.history.keptSum}); got != b.want {
		return fmt.Errorf("%d keys of %d bytes, %d versions, sum %016x; when it was saved there were %d keys of %d bytes, %d versions, sum %016x",
			got.live, got.liveBytes, got.kept, got.keptSum, b.want.live, b.want.liveBytes, b.want.kept, b.want.keptSum)
	}
	return nil
}

// group makes groups of the changes that share a revision.
func (b *Builder) group() error {
	h := &b.s.history
	b.grouped = sortChanges(b.grouped, h.first())
	for rest := b.grouped; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].mod == rest[0].mod {
			n++
		}
		one, mod := rest[:n], rest[0].mod
		rest = rest[n:]
		missing := int64(0) // changes of the group that are already dropped
		if mod == h.first() {
			missing = h.sub
		}
		slot := h.slots.fill(h.gaps.slot(mod))
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
			if g.changes[c.sub].Swap(changeWord(c.at)) != 0 {
				return fmt.Errorf("revision %d has change %d twice", mod, c.sub)
			}
		}
		slot.Store(uint64(h.groups.end)<<slotGroupShift | slotGroup)
		*h.groups.push() = g
	}
	b.grouped = nil
	return nil
}

// sortChanges sorts changes by mod, and by sub within one mod; from is the lowest mod. It is a radix sort, least
// significant digit first: there may be millions of changes, and comparing them would cost more than all other work on
// them. It allocates as much memory again.
func sortChanges(all []subChange, from int64) []subChange {
	spare := make([]subChange, len(all))
	by := func(digits func(c *subChange) uint64) {
		any := uint64(0)
		for i := range all {
			any |= digits(&all[i])
		}
		for shift := 0; any>>shift > 0; shift += sortBits {
			var ends [1 << sortBits]int
			for i := range all {
				ends[digits(&all[i])>>shift%(1<<sortBits)]++
			}
			for d, at := 0, 0; d < len(ends); d++ {
				ends[d], at = at, at+ends[d]
			}
			for i := range all {
				to := &ends[digits(&all[i])>>shift%(1<<sortBits)]
				spare[*to] = all[i]
				*to++
			}
			all, spare = spare, all
		}
	}
	by(func(c *subChange) uint64 { return uint64(c.sub) })
	by(func(c *subChange) uint64 { return uint64(c.mod - from) })
	return all
}

// sortBits is the number of bits that one pass sorts by: few enough for the destinations to stay in the caches.
const sortBits = 11
