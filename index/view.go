package index

import (
	"bytes"
	"encoding/binary"
	"sort"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"

	"qkv/log/pack"
)

// View is the state at one applied index, immutable, for any goroutine.
//
// What Range, Get and Scan hand out are parts of the View's memory: keep the View reachable while they are in use,
// with runtime.KeepAlive(view) behind the last use.
type View struct {
	applied, term uint64
	revision      int64
	compacted     int64
	wall          int64
	level         uint64
	members       []Announcement
	keys          *btree.Map[string, []Version]
	points        []point
	first         event
	sum           uint64
	live          int64
	liveBytes     int64
	historyBytes  int64
}

// Applied returns index and term of the newest entry that the View holds.
func (v *View) Applied() (index, term uint64) { return v.applied, v.term }

// Revision returns the newest revision; an empty store is at 1.
func (v *View) Revision() int64 { return v.revision }

// Compacted returns the oldest revision that can be read, or 0 when nothing was compacted yet.
func (v *View) Compacted() int64 { return v.compacted }

// Keys returns the number of keys at the newest revision.
func (v *View) Keys() int64 { return v.live }

// LiveBytes returns the bytes of all keys and values at the newest revision.
func (v *View) LiveBytes() int64 { return v.liveBytes }

// HistoryBytes returns what the versions that are superseded or deleted weigh.
func (v *View) HistoryBytes() int64 { return v.historyBytes }

// Level returns the cluster's feature level.
func (v *View) Level() uint64 { return v.level }

// Members returns the newest announcement of each member, in the order of their ids. The slice must not be changed.
func (v *View) Members() []Announcement { return v.members }

// Digest returns a number that is equal on all members at equal applied index.
func (v *View) Digest() uint64 {
	b := pack.AppendUint(nil, v.sum)
	b = pack.AppendInt(b, v.revision)
	b = pack.AppendInt(b, v.compacted)
	b = pack.AppendInt(b, v.historyBytes)
	b = pack.AppendInt(b, v.wall)
	b = pack.AppendUint(b, v.level)
	for i := range v.members {
		b = appendAnnouncement(b, &v.members[i])
	}
	return xxhash.Sum64(b)
}

// TimeOf returns when a revision was written, in nanoseconds since 1970 by the clock of the member that proposed it,
// made monotonic. It is false for revisions before the compacted one, and for those that are not there yet.
func (v *View) TimeOf(revision int64) (wall int64, ok bool) {
	if revision < v.compacted || revision > v.revision {
		return 0, false
	}
	i := sort.Search(len(v.points), func(i int) bool { return v.points[i].rev > revision })
	if i == 0 {
		return 0, false
	}
	return v.points[i-1].wall, true
}

// RevisionAt returns the newest revision that was written at a time or before it. It is false when that revision is
// compacted.
func (v *View) RevisionAt(wall int64) (revision int64, ok bool) {
	i := sort.Search(len(v.points), func(i int) bool { return v.points[i].wall > wall })
	switch {
	case i == len(v.points):
		return v.revision, true
	case i == 0 && v.compacted > 0:
		return 0, false
	case i == 0:
		return 1, true
	}
	revision = v.points[i].rev - 1
	return revision, revision >= v.compacted
}

// Query asks for a range of keys at a revision.
type Query struct {
	// Key alone is one key; with End all keys from Key up to it, "\0" for no end.
	Key, End []byte
	// Revision is the one to read at; 0 or less is the newest.
	Revision int64
	// Limit bounds the keys of the answer, and Bytes their keys and values, of which there is always one; 0 does not.
	Limit, Bytes int64
	// KeysOnly leaves the values away, CountOnly the keys.
	KeysOnly, CountOnly bool
}

// Answer is what a Query finds.
type Answer struct {
	KVs []KeyValue
	// Count is the number of keys in the range at that revision, whatever the limits.
	Count int64
	// More says that the limits have cut off some.
	More bool
	// Revision is the newest one of the View, whichever was read.
	Revision int64
}

// KeyValue is a key at one revision. Its slices are parts of the View's memory and must not be changed.
type KeyValue struct {
	Key, Value []byte
	// Create and Mod are the revisions at which the key was created and last changed, Version the number of changes
	// since it was created.
	Create, Mod, Version, Lease int64
}

// Version is one version of a key, as a snapshot holds it.
type Version struct {
	Mod, Sub, Create, Version, Lease int64
	Tombstone                        bool // the key was deleted; all but Mod and Sub is empty
	Value                            []byte
}

func visit(keys *btree.Map[string, []Version], key, end []byte, f func(key string, versions []Version) bool) {
	if len(end) == 0 {
		if versions, ok := keys.Get(string(key)); ok {
			f(string(key), versions)
		}
		return
	}
	all := len(end) == 1 && end[0] == 0
	keys.Ascend(string(key), func(k string, versions []Version) bool {
		if !all && k >= string(end) {
			return false
		}
		return f(k, versions)
	})
}

func at(versions []Version, revision int64) *Version {
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].Mod <= revision {
			if versions[i].Tombstone {
				return nil
			}
			return &versions[i]
		}
	}
	return nil
}

func (v *View) readable(revision int64) (int64, error) {
	switch {
	case revision <= 0:
		return v.revision, nil
	case revision > v.revision:
		return 0, refuse(CodeFutureRevision, "revision %d is not there yet, the newest is %d", revision, v.revision)
	case revision < v.compacted:
		return 0, refuse(CodeCompacted, "revision %d was compacted, the oldest that can be read is %d", revision, v.compacted)
	}
	return revision, nil
}

// Range answers a query. An error is an *Error.
func (v *View) Range(q Query) (Answer, error) {
	a := Answer{Revision: v.revision}
	if e := keyRefusal(q.Key); e != nil {
		return a, e
	}
	revision, err := v.readable(q.Revision)
	if err != nil {
		return a, err
	}
	var size int64
	visit(v.keys, q.Key, q.End, func(key string, versions []Version) bool {
		found := at(versions, revision)
		if found == nil {
			return true
		}
		a.Count++
		if q.CountOnly || a.More {
			return true
		}
		kv := keyValue([]byte(key), found)
		if q.KeysOnly {
			kv.Value = nil
		}
		size += int64(len(kv.Key) + len(kv.Value))
		if q.Limit > 0 && int64(len(a.KVs)) == q.Limit || q.Bytes > 0 && size > q.Bytes && len(a.KVs) > 0 {
			a.More = true
			return true
		}
		a.KVs = append(a.KVs, kv)
		return true
	})
	return a, nil
}

func keyValue(key []byte, f *Version) KeyValue {
	return KeyValue{Key: key, Value: f.Value, Create: f.Create, Mod: f.Mod, Version: f.Version, Lease: f.Lease}
}

// Get returns one key at a revision, 0 for the newest. It allocates nothing. An error is an *Error.
func (v *View) Get(key []byte, revision int64) (kv KeyValue, found bool, err error) {
	if e := keyRefusal(key); e != nil {
		return kv, false, e
	}
	if revision, err = v.readable(revision); err != nil {
		return kv, false, err
	}
	versions, _ := v.keys.Get(string(key))
	if f := at(versions, revision); f != nil {
		return keyValue(bytes.Clone(key), f), true, nil
	}
	return kv, false, nil
}

// Scan hands out all keys from a key on, in their order, with all versions that are kept, oldest first. The slices
// are the callee's until it returns; false ends the scan.
func (v *View) Scan(from []byte, f func(key []byte, versions []Version) bool) {
	v.keys.Ascend(string(from), func(key string, versions []Version) bool {
		return f([]byte(key), versions)
	})
}

// metaVersion is the version of the format of AppendMeta.
const metaVersion = 1

// AppendMeta appends all of the state that is not a key, as msgpack:
//
//	[version, applied, term, revision, compacted, first event's revision and sub, wall, level, sum,
//	 keys, live bytes, history bytes, [member...], [revision step, time step, ...]]
func (v *View) AppendMeta(dst []byte) []byte {
	dst = pack.AppendArray(dst, metaFields)
	dst = pack.AppendUint(dst, metaVersion)
	dst = pack.AppendUint(dst, v.applied)
	dst = pack.AppendUint(dst, v.term)
	dst = pack.AppendInt(dst, v.revision)
	dst = pack.AppendInt(dst, v.compacted)
	dst = pack.AppendInt(dst, v.first.rev)
	dst = pack.AppendInt(dst, v.first.sub)
	dst = pack.AppendInt(dst, v.wall)
	dst = pack.AppendUint(dst, v.level)
	dst = pack.AppendBytes(dst, binary.BigEndian.AppendUint64(nil, v.sum))
	dst = pack.AppendInt(dst, v.live)
	dst = pack.AppendInt(dst, v.liveBytes)
	dst = pack.AppendInt(dst, v.historyBytes)
	dst = pack.AppendArray(dst, len(v.members))
	for i := range v.members {
		dst = appendAnnouncement(dst, &v.members[i])
	}
	dst = pack.AppendArray(dst, 2*len(v.points))
	var before point
	for _, p := range v.points {
		dst = pack.AppendInt(dst, p.rev-before.rev)
		dst = pack.AppendInt(dst, p.wall-before.wall)
		before = p
	}
	return dst
}

const metaFields = 15
