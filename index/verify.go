package index

import (
	"bytes"
	"fmt"
	"runtime"
)

// Verifier goes through the versions in memory, a few at a time, and compares each with the sum that was made of it when it was
// written: first all changes of the history, each with the version before it where that is no change itself, then the newest
// version of each key. It begins with what is there, and leaves out what is written meanwhile. It is for one goroutine.
type Verifier struct {
	next  Position // of the history; before the oldest one, that is next
	until int64    // the newest revision when it began
	from  []byte   // the next key, once the history is done
}

// NewVerifier returns a verifier of all that a View has.
func NewVerifier(v *View) *Verifier { return &Verifier{until: v.revision} }

// Step looks at so many versions more, or a few more than that, and says whether they were the last. It takes the newest View, so
// that no old one is kept. An error names a version that is not what was written.
func (f *Verifier) Step(v *View, versions int) (done bool, err error) {
	defer runtime.KeepAlive(v)
	if oldest := v.history.oldest(); f.next.Compare(oldest) < 0 {
		f.next = oldest
	}
	for ; f.next.Revision <= f.until; f.next = (Position{Revision: f.next.Revision + 1}) {
		for n := v.history.changes(f.next.Revision); f.next.Sub < n; f.next.Sub++ {
			if versions--; versions < 0 {
				return false, nil
			}
			at := changed(v.history.change(f.next.Revision, f.next.Sub).Load()).version()
			key := ref(at.record.Load()).record().key()
			if err := verify(key, at); err != nil {
				return true, err
			}
			if before := ref(at.prev.Load()); !at.has(created) && v.keepsBefore(at) && !v.history.holds(before.version().mod, int64(before.version().sub)) {
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

// verify sums a version anew.
func verify(key []byte, at *version) error {
	if at.sum == sumOf(hashOf(key), at.value(), at.create(), at.mod, int64(at.sub), at.number(), at.lease()) {
		return nil
	}
	return fmt.Errorf("what memory holds of revision %d is not what was written there", at.mod)
}
