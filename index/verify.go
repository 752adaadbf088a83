package index

import (
	"bytes"
	"fmt"
	"runtime"
)

// Verifier compares the versions in memory with their checksums, a few at a time, to detect memory corruption. It first
// goes through the changes of the history, each with the version before it unless that is a change itself. The newest
// version of each key follows. It skips versions that are written after it began. It is for one goroutine.
type Verifier struct {
	next  Position // in the history; if compacted, the oldest position is next
	until int64    // the newest revision when it began
	from  []byte   // the next key, once the history is done
}

// NewVerifier returns a verifier of all versions in a View.
func NewVerifier(v *View) *Verifier { return &Verifier{until: v.revision} }

// Step looks at the given number of versions, or a few more, and says whether they were the last ones. Each step takes
// the newest View, so no old one is kept. An error names a corrupt version.
func (f *Verifier) Step(v *View, versions int) (done bool, err error) {
	defer runtime.KeepAlive(v)
	if oldest := v.history.oldest(); f.next.Compare(oldest) < 0 {
		f.next = oldest
	}
	for ; f.next.Revision <= f.until; f.next = (Position{Revision: v.history.next(f.next.Revision)}) {
		for n := v.history.changes(f.next.Revision); f.next.Sub < n; f.next.Sub++ {
			if versions--; versions < 0 {
				return false, nil
			}
			at := refOfChange(v.history.change(f.next.Revision, f.next.Sub).Load()).version()
			key := ref(at.record.Load()).record().key()
			if err := verify(key, at); err != nil {
				return true, err
			}
			if before := ref(at.prev.Load()); !at.has(created) && v.history.keepsBefore(at) && !v.history.holds(before.version().mod, int64(before.version().sub)) {
				if err := verify(key, before.version()); err != nil {
					return true, err
				}
			}
		}
	}
	done = true
	var p probe
	v.tree.Ascend(p.set(f.from), func(r ref) bool {
		if versions--; versions < 0 {
			f.from = bytes.Clone(r.record().key())
			done = false
			return false
		}
		key := r.record().key()
		err = verify(key, r.record().newest())
		return err == nil
	})
	runtime.KeepAlive(p.words)
	return done || err != nil, err
}

// verify recomputes a version's checksum. That of a version without its value is compared when the value is read.
func verify(key []byte, at *version) error {
	if at.has(cold) || at.sum == sumOf(hashOf(key), at.value(), at.create(), at.mod, int64(at.sub), at.number(), at.lease(), at.author()) {
		return nil
	}
	return fmt.Errorf("checksum mismatch in memory: a version of revision %d changed after it was written", at.mod)
}
