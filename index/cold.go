package index

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// Values reads values that are in files and not in memory. Any goroutine may call it.
type Values interface {
	// To returns the last revision of which these files have all changes, with all versions before them that a history needs.
	To() int64
	// Value returns the value of the version of a key that was made at a position, if it is sound. The error is ErrElsewhere if these files
	// do not have the version. The value belongs to the caller.
	Value(key []byte, at Position, sound func(value []byte) bool) ([]byte, error)
	// ReadTogether reads values in the order of the files, and offers each to its Unread. It leaves out values that these files do not
	// have. After a read that fails it leaves out the others: Value says why.
	ReadTogether(all []*Unread)
}

// ErrElsewhere says that files do not have a version.
var ErrElsewhere = errors.New("no file has this version")

// ErrInBackup is wrapped by every error about a file that is in a backup, and on no member's disk.
var ErrInBackup = errors.New("it is in the backup")

// files is an element of a linked list of Values, oldest first. Each call of Stored with other Values appends one. A View refers to the
// element that was the newest when it was made, and so to all later ones: a value that is evicted later is in their files.
type files struct {
	values Values // nil: there are no files
	next   atomic.Pointer[files]
}

// read returns the value of a version that is not in memory.
func (f *files) read(key []byte, v *version) ([]byte, error) {
	at, err := Position{v.mod, int64(v.sub)}, ErrElsewhere
	sound := func(value []byte) bool { return v.sound(key, value) }
	for ; f != nil; f = f.next.Load() {
		if f.values == nil {
			continue
		}
		value, why := f.values.Value(key, at, sound)
		if why == nil {
			return value, nil
		}
		if err == ErrElsewhere {
			err = why
		}
	}
	return nil, err
}

// value is read with an error for a client.
func (f *files) value(key []byte, v *version) ([]byte, error) {
	value, err := f.read(key, v)
	if err == nil {
		return value, nil
	}
	if errors.Is(err, ErrInBackup) { // no other member has it, so a retry by the client does not help
		return nil, kv.Errorf(kv.Internal, "the value of the key %q at revision %d cannot be read: %v. Repeat the command when the backup can be read again. "+
			"If the file is damaged or was removed, begin a new branch", key, v.mod, err)
	}
	return nil, kv.Errorf(kv.Unavailable, "the value of the key %q at revision %d cannot be read from this member's disk: %v. Read from another member. "+
		"If the file is damaged, this member fetches it from there", key, v.mod, err)
}

// Peek is Get without a wait for the disk: if the value is in files, the pair has as many zeros instead, and unread is not nil.
func (v *View) Peek(key []byte, revision int64) (pair kv.KeyValue, unread *Unread, found bool, err error) {
	if e := (&kv.Range{Key: key, Revision: revision}).Check(requestBounds); e != nil {
		return pair, nil, false, e
	}
	if revision, err = v.readable(revision); err != nil {
		return pair, nil, false, err
	}
	r, at := v.point(key, endOf(revision))
	if at != nil {
		if pair, unread = at.keyValue(r.key()), v.unread(r.key(), at); unread != nil {
			pair.Value = unreadBytes[:unread.Size():unread.Size()]
		}
	}
	runtime.KeepAlive(v)
	return pair, unread, at != nil, nil
}

// sound reports whether a value from a file is that of the version.
func (v *version) sound(key, value []byte) bool {
	return v.sum == sumOf(hashOf(key), value, v.create(), v.mod, int64(v.sub), v.number(), v.lease(), v.author())
}

// value returns the value of a version, wherever it is.
func (v *View) value(key []byte, at *version) ([]byte, error) {
	if at.has(cold) {
		return v.files.value(key, at)
	}
	return at.value(), nil
}

// pair returns the key with a version, and with its value, wherever that is.
func (v *View) pair(key []byte, at *version) (pair kv.KeyValue, err error) {
	pair = at.keyValue(key)
	if at.has(cold) {
		pair.Value, err = v.files.value(key, at)
	}
	return pair, err
}

// measure counts values that are in files and that a reader leaves unread. Nil reads them.
type measure struct{ unread int64 }

// unreadBytes stand for the bytes of every value that is left unread: only its size is known.
var unreadBytes [limits.ValueBytes]byte

// read reads a value; while values are only measured, it returns as many zeros.
func (m *measure) read(u *Unread) ([]byte, error) {
	if m == nil {
		return u.Read()
	}
	m.unread += int64(u.Size())
	return unreadBytes[:u.Size():u.Size()], nil
}

// coldPair is a pair of an answer, by its index, whose value is not in memory.
type coldPair struct {
	n  int
	at *version
}

// fill reads the values of pairs together; while values are only measured, it sets as many zeros.
func (m *measure) fill(v *View, pairs []kv.KeyValue, missing []coldPair) (err error) {
	unread := make([]*Unread, len(missing))
	for i, one := range missing {
		unread[i] = v.unread(pairs[one.n].Key, one.at)
	}
	if m == nil {
		ReadTogether(unread)
	}
	for i, one := range missing {
		if pairs[one.n].Value, err = m.read(unread[i]); err != nil {
			return err
		}
	}
	return nil
}

// Unread is a value that is in files and not in memory. It keeps its View. It is for one goroutine at a time.
type Unread struct {
	v     *View
	at    *version
	key   []byte
	value []byte // nil: it is not read yet
}

// unread returns the value of a version if it is not in memory, and otherwise nil.
func (v *View) unread(key []byte, at *version) *Unread {
	if !at.has(cold) {
		return nil
	}
	return &Unread{v: v, at: at, key: key}
}

// ReadTogether reads values in the order of their files. Read then returns them without a read. A value that cannot be read is left to
// Read, which says why. It may wait for the disk.
func ReadTogether(all []*Unread) {
	if len(all) < 2 {
		return
	}
	rest := slices.Clone(all)
	for f := all[0].v.files; f != nil && len(rest) > 0; f = f.next.Load() {
		if f.values != nil {
			f.values.ReadTogether(rest)
			rest = slices.DeleteFunc(rest, func(u *Unread) bool { return u.value != nil })
		}
	}
}

// Key returns the key. The caller must not change it.
func (u *Unread) Key() []byte { return u.key }

// Position is that of the change that made the version. It identifies the version.
func (u *Unread) Position() Position { return Position{u.at.mod, int64(u.at.sub)} }

// Size returns the bytes of the value.
func (u *Unread) Size() int { return u.at.valueSize() }

// Offer gives it the value that a file has. If the checksum is right, it keeps a copy for Read.
func (u *Unread) Offer(value []byte) {
	if u.at.sound(u.key, value) {
		u.value = bytes.Clone(value)
	}
}

// Read returns the value, and reads it if ReadTogether has not. It may wait for the disk. An error is a *kv.Error.
func (u *Unread) Read() ([]byte, error) {
	if u.value != nil {
		return u.value, nil
	}
	return u.v.files.value(u.key, u.at)
}

// Size returns the bytes of the value.
func (v *Version) Size() int {
	if v.unread != nil {
		return v.unread.Size()
	}
	return len(v.Value)
}

// Read reads the value if it is in files and not in memory. It may wait for the disk. An error is a *kv.Error.
func (v *Version) Read() (err error) {
	if v.unread != nil {
		if v.Value, err = v.unread.Read(); err == nil {
			v.unread = nil
		}
	}
	return err
}

// eviction is the progress of evicting values from memory: of superseded versions whose values are in files, too.
type eviction struct {
	files *files   // the newest ones; never nil
	to    int64    // the last revision whose changes are in files, with all versions before them
	next  Position // the versions that changes before it superseded are evicted
}

// Stored says that files have the base of a revision, and the extents up to a revision. The state may drop what is in them when it is
// compacted, and evicts values that values can read; nil: none. values must have what earlier ones had and the history still
// needs. Without a call, the state drops all that is compacted.
func (s *State) Stored(base, to int64, values Values) {
	s.stored = stored{base, to}
	s.dropping = min(s.dropping, s.droppable()) // a load has made a View before
	if s.eviction.to = 0; values == nil {
		return
	}
	if s.eviction.to = min(to, values.To()); values != s.eviction.files.values {
		next := &files{values: values}
		s.eviction.files.next.Store(next)
		s.eviction.files = next
	}
}

// Values returns the newest files that the View reads values from; nil: there are none. Any goroutine may call it.
func (v *View) Values() Values {
	f := v.files
	for next := f.next.Load(); next != nil; next = f.next.Load() {
		f = next
	}
	return f.values
}

// Values returns the files that values are read from; nil: there are none.
func (s *State) Values() Values { return s.eviction.files.values }

// evictValues evicts the values of superseded versions. When the change that superseded a version is in files, so is the version. Until
// then it is likely to be read, as the change's previous value.
func (s *store) evictValues(work int64) {
	l, h := &s.eviction, &s.history
	if oldest := h.oldest(); l.next.Compare(oldest) < 0 {
		l.next = oldest
	}
	l.next.Revision = h.gaps.skip(l.next.Revision)
	prefetched := int64(0) // slots before it are in the caches
	for ; l.next.Revision <= l.to; l.next = (Position{Revision: h.next(l.next.Revision)}) {
		if slot := h.gaps.slot(l.next.Revision); slot >= prefetched {
			s.prefetchHistory(slot)
			prefetched = slot + prefetchCommands
		}
		for n := h.changes(l.next.Revision); l.next.Sub < n; l.next.Sub++ {
			if work <= 0 {
				s.limits.Reach("values evicted")
				return
			}
			work -= skipWork
			change := h.change(l.next.Revision, l.next.Sub).Load()
			if change&changeCreated == 0 && s.evictValueBefore(refOfChange(change).version()) {
				work -= dropWork
			}
		}
	}
}

// hasValuesToEvict says whether evictValues has more to do.
func (s *store) hasValuesToEvict() bool { return s.eviction.next.Revision <= s.eviction.to }

// evictValueBefore evicts the value of the version before another one.
func (s *store) evictValueBefore(v *version) bool {
	at := v.older()
	if at == 0 || !s.evictable(at.version()) {
		return false
	}
	s.replace(&v.prev, at.version().flags()|cold, nil)
	return true
}

// evictable reports whether a version has a value in memory that is worth its eviction. Small values stay.
func (s *store) evictable(v *version) bool {
	return !v.has(tombstone|cold) && v.valueSize() >= s.coldThreshold()
}

// replace replaces the version that a link leads to by a copy with these flags: without its value if they say cold, and otherwise with the
// given one. The old copy stays unchanged, for the Views that reach it.
func (s *store) replace(link *atomic.Uint64, flags uint32, value []byte) {
	at := ref(link.Load())
	old := at.version()
	arena, cooler := &s.keys.versions, int64(-1)
	if flags&cold != 0 {
		arena, cooler = &s.keys.cold, 1
	}
	head := headBytes(flags)
	to := s.keys.memory.alloc(arena, roundUp(head+len(value)))
	copy(unsafe.Slice((*byte)(to.pointer()), head), unsafe.Slice((*byte)(at.pointer()), head))
	made := to.version()
	made.shape = made.shape&^(1<<flagBits-1) | flags
	copy(made.value(), value)
	link.Store(uint64(to))
	if older := old.older(); older != 0 {
		older.version().setNewer(to)
	}
	if s.history.holds(old.mod, int64(old.sub)) {
		s.history.change(old.mod, int64(old.sub)).Store(changeWord(to))
	}
	if s.keys.evacuation.from == at {
		s.keys.evacuation.from = to
	}
	s.history.cold += cooler
	s.history.coldBytes += cooler * int64(old.valueSize())
	old.owner |= versionDead
	s.keys.evacuation.enqueue(s.keys.memory.free(at, old.size()), sparse)
}

// coldLeast is the smallest value that leaves memory when it is superseded and in files. Smaller values would free too little memory for
// the cost of reading them again.
const coldLeast = 64

// coldThreshold returns the size from which on values are evicted.
func (s *store) coldThreshold() int {
	if n := s.limits.ColdBytes; n > 0 {
		return n
	}
	return coldLeast
}

// Memory is what a state has in memory and in files, in bytes.
type Memory struct {
	Budget int64 // for keys and values in memory; 0: there is none
	Keys   int64 // keys, and what is known of each version but its value
	Values int64 // values in memory
	Cold   int64 // values in files only
}

func (s *store) held() Memory {
	values := s.history.valueBytes - s.history.coldBytes
	return Memory{Budget: s.budget, Keys: s.keys.memory.live - values, Values: values, Cold: s.history.coldBytes}
}

// Most returns the size of the largest state of this one's kind whose keys are within the budget; used is this one's. Without a budget it is
// 0.
func (m Memory) Most(used int64) int64 {
	return int64(min(float64(m.Budget)*float64(used)/float64(max(m.Keys, 1)), math.MaxInt64/2))
}

// Memory returns what the state has in memory, as it was when the View was made.
func (v *View) Memory() Memory { return v.held }

// Cold returns how many versions have their value in files only, and the bytes of these values.
func (v *View) Cold() (versions, bytes int64) { return v.history.cold, v.history.coldBytes }
