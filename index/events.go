package index

import (
	"bytes"
	"cmp"
	"runtime"

	"qkv/index/kv"
)

// Position is a place in the history: before the change with this revision and sub revision.
type Position struct{ Revision, Sub int64 }

// Compare is below 0 when p is before other, and 0 when both are one place.
func (p Position) Compare(other Position) int {
	return cmp.Or(cmp.Compare(p.Revision, other.Revision), cmp.Compare(p.Sub, other.Sub))
}

// Change is an event in its place in the history. Its slices are parts of the View.
type Change struct {
	kv.Event
	Last bool // of its revision, or, when one key's are walked, of that key's

	view *View
	at   *version
}

// Behind is the place behind the change.
func (c *Change) Behind() Position {
	if c.Last {
		return Position{Revision: c.KV.ModRevision + 1}
	}
	return Position{c.KV.ModRevision, c.Sub + 1}
}

// Superseded says whether the key has another change behind this one at the same revision. It looks from the key's newest version
// and from the revision's end of what is left at the same time, since either may be far away.
func (c *Change) Superseded() bool {
	if c.Last {
		return false
	}
	var p probe
	r, found := c.view.tree.Get(p.set(c.KV.Key))
	runtime.KeepAlive(p.words)
	if !found {
		return false
	}
	newer, revision := r.record().newest(), c.KV.ModRevision
	for sub, n := c.Sub+1, c.view.history.changes(revision); sub < n; sub++ {
		if newer.mod == revision {
			return newer.sub != c.at.sub
		}
		other := changed(c.view.history.change(revision, sub).Load()).version()
		if bytes.Equal(ref(other.record.Load()).record().key(), c.KV.Key) {
			return true
		}
		newer = ref(newer.prev.Load()).version()
	}
	return false
}

// Before returns the key as it was before the revision of the change. It is false when the key was not there, or when
// that is compacted.
func (c *Change) Before() (pair kv.KeyValue, ok bool) {
	if c.KV.ModRevision == c.view.inherited {
		return pair, false // the source of it had nothing before it any more
	}
	for at := c.at; !at.has(created) && c.view.keepsBefore(at); {
		if at = ref(at.prev.Load()).version(); at.mod < c.KV.ModRevision {
			return at.keyValue(c.KV.Key), !at.has(tombstone)
		}
	}
	return pair, false
}

// set makes c the change that a version is.
func (c *Change) set(at *version, key []byte) {
	c.at = at
	c.Event = kv.Event{Sub: int64(at.sub), Deleted: at.has(tombstone), KV: at.keyValue(key)}
	if c.Deleted {
		c.KV.Value = nil
	}
}

// Changes hands out all changes from a place on, oldest first, until f returns false, and returns the place behind the
// last one. A place below the compacted revision is a *kv.Error with the code Compacted; one that is not there yet has
// no changes yet. The Change is f's until it returns.
func (v *View) Changes(from Position, f func(c *Change) bool) (next Position, err error) {
	if from.Revision < v.compacted {
		return from, v.compactedError(from.Revision)
	}
	defer runtime.KeepAlive(v)
	c := Change{view: v}
	next = from
	for revision := max(from.Revision, v.history.slots.first); revision < v.history.slots.end; revision++ {
		n := v.history.changes(revision)
		sub := int64(0)
		if revision == from.Revision {
			sub = from.Sub
		}
		for ; sub < n; sub++ {
			at := changed(v.history.change(revision, sub).Load()).version()
			c.set(at, ref(at.record.Load()).record().key())
			c.Sub, c.Last = sub, sub == n-1
			if !f(&c) {
				return c.Behind(), nil
			}
		}
		next = Position{Revision: revision + 1}
	}
	return next, nil
}

// KeyChanges hands out the changes of one key from a place on, as Changes does. When there are more than most it hands out
// none, and ok is false.
func (v *View) KeyChanges(key []byte, from Position, most int, f func(c *Change) bool) (ok bool, err error) {
	if from.Revision < v.compacted {
		return true, v.compactedError(from.Revision)
	}
	defer runtime.KeepAlive(v)
	var p probe
	r, found := v.tree.Get(p.set(key))
	runtime.KeepAlive(p.words)
	if !found {
		return true, nil
	}
	at := r.record().newest()
	for at.mod > v.revision {
		at = ref(at.prev.Load()).version()
	}
	var versions []*version
	for (Position{at.mod, int64(at.sub)}).Compare(from) >= 0 {
		if len(versions) == most {
			return false, nil
		}
		if versions = append(versions, at); !v.keepsBefore(at) {
			break
		}
		at = ref(at.prev.Load()).version()
	}
	c := Change{view: v}
	key = r.record().key()
	for i := len(versions) - 1; i >= 0; i-- {
		c.set(versions[i], key)
		c.Last = i == 0 || versions[i-1].mod > versions[i].mod
		if !f(&c) {
			break
		}
	}
	return true, nil
}
