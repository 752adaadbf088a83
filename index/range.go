package index

import "runtime"

// Query asks for a range of keys at a revision.
type Query struct {
	// Key alone is one key; with End all keys from Key up to it, "\0" for no end.
	Key, End []byte
	// Revision is the one to read at; 0 or less is the newest.
	Revision int64
	// Limit bounds the keys of the answer, and Bytes their keys and values, of which there is always one; 0 does not.
	Limit, Bytes int64
	// KeysOnly leaves the values away, CountOnly the keys too.
	KeysOnly, CountOnly bool
}

// Answer is what a Query finds.
type Answer struct {
	KVs []KeyValue // empty or nil when there are none
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

// readable returns the revision that a read asks for, or why it cannot be read.
func (v *View) readable(revision int64) (int64, error) {
	switch {
	case revision <= 0:
		return v.revision, nil
	case revision > v.revision:
		return 0, refuse(CodeFutureRevision, "revision %d is not there yet, the newest is %d", revision, v.revision)
	case revision < v.compacted:
		return 0, v.compactedError(revision)
	}
	return revision, nil
}

func (v *View) compactedError(revision int64) *Error {
	return refuse(CodeCompacted, "revision %d was compacted, the oldest that can be read is %d", revision, v.compacted)
}

// Get returns one key at a revision, 0 for the newest. It allocates nothing. An error is an *Error.
func (v *View) Get(key []byte, revision int64) (kv KeyValue, found bool, err error) {
	if e := keyRefusal(key); e != nil {
		return kv, false, e
	}
	if revision, err = v.readable(revision); err != nil {
		return kv, false, err
	}
	if r, at := v.find(key, revision); at != nil {
		kv, found = at.keyValue(r.key()), true
	}
	runtime.KeepAlive(v)
	return kv, found, nil
}

// find returns a key's record and the version that is seen at revision, or nil.
func (v *View) find(key []byte, revision int64) (*record, *version) {
	r, crowded := v.table.find(hashOf(key), key)
	if r != 0 {
		if at := r.record().newest().at(revision); at != nil {
			return r.record(), at
		}
	}
	// Not found is certain if no key was ever taken out since the View was made. The removals are counted before
	// anything is taken out.
	if !crowded && v.table.removed.Load() == v.removed {
		return nil, nil
	}
	return v.findInTree(key, revision)
}

func (v *View) findInTree(key []byte, revision int64) (*record, *version) {
	var p probe
	r, found := v.tree.Get(p.set(key))
	runtime.KeepAlive(p.words)
	if !found {
		return nil, nil
	}
	return r.record(), r.record().newest().at(revision)
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
	if q.Limit > 0 && !q.CountOnly && len(q.End) > 0 {
		a.KVs = make([]KeyValue, 0, min(q.Limit, 256))
	}
	p := page{Query: q, Answer: a, v: v, revision: revision}
	if len(q.End) == 0 {
		if r, at := v.find(q.Key, revision); at != nil {
			p.add(r, at)
		}
	} else {
		p.walk()
	}
	runtime.KeepAlive(v)
	return p.Answer, nil
}

// page is an answer that is being filled.
type page struct {
	Query
	Answer
	v        *View
	revision int64
	size     int64
	counted  int // keys that were only counted
}

// add counts a key, and adds it to the answer as long as the limits allow.
func (p *page) add(r *record, at *version) {
	p.Count++
	if p.CountOnly || p.More {
		p.counted++
		return
	}
	kv := at.keyValue(r.key())
	if p.KeysOnly {
		kv.Value = nil
	}
	p.size += int64(len(kv.Key) + len(kv.Value))
	if p.Limit > 0 && int64(len(p.KVs)) == p.Limit || p.Bytes > 0 && p.size > p.Bytes && len(p.KVs) > 0 {
		p.More = true
		return
	}
	p.KVs = append(p.KVs, kv)
}

// walkMost is how many keys are counted one by one before counting by the trees is quicker.
const walkMost = 2000

// walk adds all keys of a range. Once the limits are reached the rest is only counted, and of the newest revision the
// trees know the count: a first page does not cost a walk over all others.
func (p *page) walk() {
	var from probe
	newest := p.revision == p.v.revision
	short := true
	p.v.tree.Ascend(from.set(p.Key), func(r ref) bool {
		record := r.record()
		if beyond(record.key(), p.End) {
			return false
		}
		if at := record.newest().at(p.revision); at != nil {
			p.add(record, at)
		}
		short = !newest || p.counted <= p.v.walkMost
		return short
	})
	if !short {
		p.Count = int64(countIn(p.v.tree, from.set(p.Key), p.End) - countIn(p.v.graves, from.set(p.Key), p.End))
	}
	runtime.KeepAlive(from.words)
}
