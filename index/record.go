package index

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// record is the head of a key's list of versions. The key follows it in memory.
type record struct {
	head  atomic.Uint64 // newest version
	size  uint16        // of the key
	owner uint16        // flags that only the owner uses
	read  atomic.Uint32 // 1: a point read came since the clock's hand
}

const (
	recordBytes = int(unsafe.Sizeof(record{}))

	recordDead      = 1 // the key was removed
	recordRelocated = 2 // this is the old copy of a relocated record
)

func recordSize(key int) int { return roundUp(recordBytes + key) }

// key returns the key, a part of the slab.
func (r *record) key() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(r), recordBytes)), int(r.size))
}

// use notes a point read. Any goroutine may call it.
func (r *record) use() {
	if r.read.Load() == 0 {
		r.read.Store(1)
	}
}

func (r *record) used() bool { return r.read.Load() != 0 }

func (r *record) unuse() { r.read.Store(0) }

func (r *record) newest() *version { return ref(r.head.Load()).version() }

// version is one version of a key. In memory it is followed by up to three words, as its flags say, and then by the
// value.
//
//	recreated                       mod and sub revision of the previous tombstone
//	neither created nor tombstone   create revision, and version number
//	leased                          the lease
//
// The number of the author has 4 bytes before the value, if there is one. A version that is cold has no value behind it.
type version struct {
	// Immutable.
	mod   int64
	sum   uint64 // its checksum, which it adds to the digest
	sub   uint32
	shape uint32 // bytes of the value, and 8 bits of flags

	// Changed only when an object moves: to an equal copy or, for prev, to a copy whose value is in files.
	prev   atomic.Uint64 // the previous version; it may be dropped, see older
	record atomic.Uint64 // the key's record, or an old copy of it, of which only the key may be read

	// Used only by the owner: the next newer version, and flags.
	owner ref
}

const (
	versionBytes = int(unsafe.Sizeof(version{}))
	authorBytes  = int(unsafe.Sizeof(uint32(0)))

	tombstone = 1 // the key was deleted
	created   = 2 // the key did not exist before
	recreated = 4 // created, and the tombstone before it was kept at that time
	leased    = 8
	authored  = 16 // a user made the change
	cold      = 32 // the value is in files and not in memory

	flagBits = 8

	versionDead = 1 // the version was compacted
	prevDropped = 2 // the version before it was compacted
	ownerFlags  = 7
)

func (v *version) flags() uint32     { return v.shape & (1<<flagBits - 1) }
func (v *version) has(f uint32) bool { return v.shape&f != 0 }
func (v *version) valueSize() int    { return int(v.shape >> flagBits) }

// pair says whether the first two words are present.
func pair(flags uint32) bool { return flags&recreated != 0 || flags&(created|tombstone) == 0 }

func headBytes(flags uint32) int {
	n := versionBytes
	if pair(flags) {
		n += 16
	}
	if flags&leased != 0 {
		n += 8
	}
	if flags&authored != 0 {
		n += authorBytes
	}
	return n
}

func versionSize(flags uint32, value int) int {
	if flags&cold != 0 {
		value = 0
	}
	return roundUp(headBytes(flags) + value)
}

func (v *version) size() int { return versionSize(v.flags(), v.valueSize()) }

func (v *version) word(i int) *int64 {
	return (*int64)(unsafe.Add(unsafe.Pointer(v), versionBytes+8*i))
}

// create returns the revision at which the key was created.
func (v *version) create() int64 {
	switch {
	case v.has(created):
		return v.mod
	case v.has(tombstone):
		return 0
	}
	return *v.word(0)
}

// number returns the key's version number: its puts since it was created, including this one.
func (v *version) number() int64 {
	switch {
	case v.has(created):
		return 1
	case v.has(tombstone):
		return 0
	}
	return *v.word(1)
}

// precedingTombstone returns the position of the tombstone before a created version, or zeros if there was none.
func (v *version) precedingTombstone() (mod, sub int64) {
	if !v.has(recreated) {
		return 0, 0
	}
	return *v.word(0), *v.word(1)
}

func (v *version) lease() int64 {
	switch {
	case !v.has(leased):
		return 0
	case pair(v.flags()):
		return *v.word(2)
	}
	return *v.word(0)
}

// author returns the number of the change's author; 0: none.
func (v *version) author() uint32 {
	if !v.has(authored) {
		return 0
	}
	return *v.authorWord()
}

func (v *version) authorWord() *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(v), headBytes(v.flags())-authorBytes))
}

var noBytes = []byte{}

// value returns the value, a part of the slab; nothing if it is cold.
func (v *version) value() []byte {
	n := v.valueSize()
	if n == 0 || v.has(cold) {
		return noBytes
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(v), headBytes(v.flags()))), n)
}

func (v *version) newer() ref { return v.owner &^ ownerFlags }

func (v *version) setNewer(r ref) { v.owner = r | v.owner&ownerFlags }

// position is a Position in the words of a version: exactly the changes before change sub of revision mod have happened.
type position struct {
	mod int64
	sub uint32
}

// endOf is the position directly after all changes of a revision.
func endOf(revision int64) position { return position{mod: revision + 1} }

// before says whether a version was made before a position.
func (v *version) before(p position) bool { return v.mod < p.mod || v.mod == p.mod && v.sub < p.sub }

// at returns the version that a reader at a position sees, or nil if the key did not exist. The reader's View must keep
// the position: then all versions that at follows exist. at stops at the first version that was made before the position.
// A later version has its previous version, except a created one: it must record that the tombstone before it is later
// than the position, too.
func (v *version) at(p position) *version {
	for !v.before(p) {
		if v.has(created) {
			if mod, sub := v.precedingTombstone(); mod < p.mod || mod == p.mod && sub < int64(p.sub) {
				return nil
			}
		}
		v = ref(v.prev.Load()).version()
	}
	if v.has(tombstone) {
		return nil
	}
	return v
}

// sumOf is a version's checksum for the digest: it covers everything that can be read of the version.
func sumOf(keyHash uint64, value []byte, create, mod, sub, number, lease int64, author uint32) uint64 {
	var b [56]byte
	binary.LittleEndian.PutUint64(b[0:], keyHash)
	binary.LittleEndian.PutUint64(b[8:], xxhash.Sum64(value))
	binary.LittleEndian.PutUint64(b[16:], uint64(create))
	binary.LittleEndian.PutUint64(b[24:], uint64(mod))
	binary.LittleEndian.PutUint64(b[32:], uint64(number))
	binary.LittleEndian.PutUint64(b[40:], uint64(lease))
	binary.LittleEndian.PutUint64(b[48:], uint64(sub)|uint64(author)<<32)
	return xxhash.Sum64(b[:])
}
