package index

import (
	"cmp"
	"runtime"
	"slices"
)

// placed is a version with its position in the history.
type placed struct {
	at  position
	ref ref
}

// Records calls f with all kept versions, including tombstones, in the order in which they were made, until f returns
// false. It first searches all keys for the versions that are older than the history. That takes a walk over all keys,
// and 24 bytes for each such version. The slices are valid until f returns; the Version is reused.
func (v *View) Records(f func(key []byte, one *Version) bool) {
	defer runtime.KeepAlive(v)
	b := versionBatch{v: v}
	each := func(_ ref, key []byte, one *Version) bool { return f(key, one) }
	hand := func(at ref) (on bool) { return !b.add(at) || b.hand(each) }
	for _, old := range v.older() {
		if !hand(old.ref) {
			return
		}
	}
	for revision := v.history.first(); revision <= v.revision; revision = v.history.next(revision) {
		for sub := range v.history.changes(revision) {
			if v.history.holds(revision, sub) && !hand(refOfChange(v.history.change(revision, sub).Load())) {
				return
			}
		}
	}
	b.hand(each)
}

// versionBatch is the next versions of a walk, in its order. The values that are not in memory are read together.
type versionBatch struct {
	v      *View
	refs   []ref
	unread []*Unread // of those that are not in memory
	weight int
}

const (
	// versionBatchBytes bounds the weight of a batch. A walk that ends early may have read so much for nothing.
	versionBatchBytes = 512 << 10
	// unreadOverhead is about the memory that a version takes while its value is read ahead.
	unreadOverhead = 256
)

// add adds a version, and reports whether the next ones wait until these are handed out.
func (b *versionBatch) add(at ref) (full bool) {
	b.refs, b.weight = append(b.refs, at), b.weight+unreadOverhead
	if one := b.v.unread(keyOf(at), at.version()); one != nil {
		b.unread, b.weight = append(b.unread, one), b.weight+one.Size()
	}
	return b.weight >= versionBatchBytes
}

// hand calls f with the versions, until f returns false. The Version is reused.
func (b *versionBatch) hand(f func(at ref, key []byte, one *Version) bool) (on bool) {
	ReadTogether(b.unread)
	var one Version
	read := b.unread
	for _, at := range b.refs {
		if one.set(b.v, keyOf(at), at.version()); one.unread != nil {
			one.unread, read = read[0], read[1:]
		}
		if !f(at, keyOf(at), &one) {
			return false
		}
	}
	clear(b.unread)
	b.refs, b.unread, b.weight = b.refs[:0], b.unread[:0], 0
	return true
}

// older returns the versions that are older than the history, in the order in which they were made.
func (v *View) older() (all []placed) {
	var p probe
	v.tree.Ascend(p.set(nil), func(r ref) bool {
		next := ref(r.record().head.Load())
		for next != 0 {
			at := next.version()
			if at.mod <= v.revision && !v.history.holds(at.mod, int64(at.sub)) {
				all = append(all, placed{position{at.mod, at.sub}, next})
			}
			if at.mod <= v.revision && !v.history.keepsBefore(at) {
				break
			}
			next = ref(at.prev.Load())
		}
		return true
	})
	runtime.KeepAlive(p.words)
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.at.mod, b.at.mod), cmp.Compare(a.at.sub, b.at.sub))
	})
	return all
}
