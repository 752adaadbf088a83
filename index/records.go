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
	var one Version
	hand := func(r ref) bool {
		at := r.version()
		key := ref(at.record.Load()).record().key()
		one.set(v, key, at)
		return f(key, &one)
	}
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
