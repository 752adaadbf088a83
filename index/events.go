package index

import (
	"bytes"
	"cmp"
	"runtime"

	"qkv/index/kv"
)

// Position is a position in the history: before the change with this revision and sub revision.
type Position struct{ Revision, Sub int64 }

// Compare is negative if p is before other, and 0 if they are equal.
func (p Position) Compare(other Position) int {
	return cmp.Or(cmp.Compare(p.Revision, other.Revision), cmp.Compare(p.Sub, other.Sub))
}

// Change is an event at its position in the history. Its slices are parts of the View. If the value is in files, KV is without it: see Unread.
type Change struct {
	kv.Event
	Last bool // the last change of its revision; in KeyChanges, the key's last change of that revision

	view *View
	at   *version
}

// Behind is the position directly after the change.
func (c *Change) Behind() Position {
	if c.Last {
		return Position{Revision: c.view.history.next(c.KV.ModRevision)}
	}
	return Position{c.KV.ModRevision, c.Sub + 1}
}

// Superseded says whether the key has a later change at the same revision. It searches from the key's newest version and
// from the change's position at the same time because either search alone can be long.
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
		other := refOfChange(c.view.history.change(revision, sub).Load()).version()
		if bytes.Equal(ref(other.record.Load()).record().key(), c.KV.Key) {
			return true
		}
		newer = ref(newer.prev.Load()).version()
	}
	return false
}

// Before returns the key as it was before the change's revision. It is false if the key did not exist, and for a change
// at or below the compacted revision: the revision before it cannot be read any more. etcd leaves prev_kv out of such an
// event as well, and Kubernetes relies on that. If the value is in files, it is left out, and unread is not nil.
func (c *Change) Before() (pair kv.KeyValue, unread *Unread, ok bool) {
	if c.KV.ModRevision <= c.view.compacted {
		return pair, nil, false
	}
	for at := c.at; !at.has(created) && c.view.history.keepsBefore(at); {
		if at = ref(at.prev.Load()).version(); at.mod < c.KV.ModRevision {
			return at.keyValue(c.KV.Key), c.view.unread(c.KV.Key, at), !at.has(tombstone)
		}
	}
	return pair, nil, false
}

// Size returns the bytes of the change's value.
func (c *Change) Size() int { return c.at.valueSize() }

// Unread returns the change's value if it is in files; otherwise nil. KV is then without it.
func (c *Change) Unread() *Unread { return c.view.unread(c.KV.Key, c.at) }

// set fills c with the change that a version is.
func (c *Change) set(at *version, key []byte) {
	c.at = at
	c.Event = kv.Event{Sub: int64(at.sub), Deleted: at.has(tombstone), KV: at.keyValue(key)}
	if c.Deleted {
		c.KV.Value = nil
	}
}

// Changes calls f with all changes from a position on, oldest first, until f returns false. It returns the position after
// the last change. A position below the compacted revision is a *kv.Error with the code Compacted; a position in the
// future has no changes yet. f must not keep the Change after it returns.
func (v *View) Changes(from Position, f func(c *Change) bool) (next Position, err error) {
	if from.Revision < v.compacted {
		return from, v.compactedError(from.Revision)
	}
	defer runtime.KeepAlive(v)
	c := Change{view: v}
	next = from
	for revision := v.history.from(from.Revision); revision <= v.revision; revision = v.history.next(revision) {
		n := v.history.changes(revision)
		sub := int64(0)
		if revision == from.Revision {
			sub = from.Sub
		}
		for ; sub < n; sub++ {
			at := refOfChange(v.history.change(revision, sub).Load()).version()
			c.set(at, ref(at.record.Load()).record().key())
			c.Sub, c.Last = sub, sub == n-1
			if !f(&c) {
				return c.Behind(), nil
			}
		}
		next = Position{Revision: v.history.next(revision)}
	}
	// the first revision of a store has no changes
	if end := (Position{Revision: v.revision + 1}); next.Compare(end) < 0 {
		next = end
	}
	return next, nil
}

// KeyChanges calls f with the changes of one key from a position on, as Changes does. If there are more than most, it
// calls f with none and ok is false.
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
		if versions = append(versions, at); !v.history.keepsBefore(at) {
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
