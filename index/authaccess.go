package index

import (
	"cmp"
	"slices"
	"sort"

	"qkv/index/kv"
)

// access is the keys that the roles of a user permit together: merged, sorted, disjoint and not adjacent. It is immutable. The class that a
// request needs is kv.Access, and a single access is a kv.Touch.
type access struct {
	root          bool
	reads, writes spans
}

// span is the keys from from on, up to and excluding to; an empty to is no end.
type span struct{ from, to string }

type spans []span

// spanOf returns the keys of a request's range.
func spanOf(key, end []byte) span {
	switch {
	case len(end) == 0:
		return span{string(key), string(key) + "\x00"}
	case len(end) == 1 && end[0] == 0:
		return span{from: string(key)}
	}
	return span{string(key), string(end)}
}

// newAccess merges the permissions of roles. Adjacent ranges permit the range over both of them, as in etcd.
func newAccess(roles []*kv.UserRole) *access {
	a := &access{}
	for _, r := range roles {
		if r.Name == kv.Root {
			return &access{root: true}
		}
		for i := range r.Permissions {
			p := &r.Permissions[i]
			one := spanOf(p.Key, p.End)
			if p.Type.Reads() {
				a.reads = append(a.reads, one)
			}
			if p.Type.Writes() {
				a.writes = append(a.writes, one)
			}
		}
	}
	a.reads, a.writes = a.reads.merged(), a.writes.merged()
	return a
}

// merged sorts the spans in place, and merges the ones that overlap or touch.
func (s spans) merged() spans {
	slices.SortFunc(s, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := s[:0]
	for _, one := range s {
		last := len(merged) - 1
		switch {
		case last < 0 || merged[last].to != "" && one.from > merged[last].to:
			merged = append(merged, one)
		case merged[last].to != "" && (one.to == "" || one.to > merged[last].to):
			merged[last].to = one.to
		}
	}
	return slices.Clip(merged)
}

// at returns the span that contains a key.
func (s spans) at(key []byte) (found span, ok bool) {
	n := sort.Search(len(s), func(i int) bool { return s[i].from > string(key) })
	if n == 0 || s[n-1].to != "" && string(key) >= s[n-1].to {
		return span{}, false
	}
	return s[n-1], true
}

// cover reports whether one span contains a whole range of keys. A range whose end is not after its key must lie within a span, too,
// as in etcd, although it has no keys.
func (s spans) cover(key, end []byte) bool {
	one, ok := s.at(key)
	switch {
	case !ok || len(end) == 0:
		return ok
	case len(end) == 1 && end[0] == 0:
		return one.to == ""
	}
	return string(end) > one.from && (one.to == "" || string(end) <= one.to)
}

// attached finds the keys of leases, in the newest state or in a View.
type attached interface {
	// attachedFrom returns the first key of a lease at or after from, or nil.
	attachedFrom(lease int64, from []byte) []byte
	// Lease returns a lease.
	Lease(id int64) (l kv.Lease, found bool)
	// owns reports whether a user has granted a lease.
	owns(user string, l kv.Lease) bool
}

// permits reports whether the access of a request is permitted. For a lease it jumps from span to span: the cost does not depend on the
// number of the lease's keys.
func (a *access) permits(t kv.Touch, in attached) bool {
	within := a.reads
	if t.Write {
		within = a.writes
	}
	switch {
	case a.root:
		return true
	case t.Lease == 0:
		return within.cover(t.Key, t.End)
	}
	var from []byte
	for {
		key := in.attachedFrom(t.Lease, from)
		if key == nil {
			return true
		}
		one, ok := within.at(key)
		if !ok || one.to == "" {
			return ok
		}
		from = []byte(one.to)
	}
}

func (l *leases) attachedFrom(lease int64, from []byte) (first []byte) {
	l.LeaseKeys(lease, from, func(key []byte) bool {
		first = key
		return false
	})
	return first
}

func (s *State) attachedFrom(lease int64, from []byte) []byte {
	return s.leases.attachedFrom(lease, from)
}

// Lease returns a lease.
func (s *State) Lease(id int64) (kv.Lease, bool) { return s.leases.Lease(id) }

func (r *replicated) owns(user string, l kv.Lease) bool { return r.authors.name(l.By) == user }

// ListsLease reports whether a list of leases for a user contains a lease: the user granted the lease, may read one of
// its keys, or has the role root.
func (v *View) ListsLease(user string, l kv.Lease) bool {
	if !v.auth.Enabled() {
		return true
	}
	one := v.auth.account(user)
	return one != nil && (one.access.root || v.owns(user, l) || one.access.readsKeyOf(l.ID, v))
}

// readsKeyOf reports whether a key of a lease may be read. It jumps from span to span, as permits does.
func (a *access) readsKeyOf(lease int64, in attached) bool {
	key := in.attachedFrom(lease, nil)
	for key != nil {
		if _, ok := a.reads.at(key); ok {
			return true
		}
		next := sort.Search(len(a.reads), func(i int) bool { return a.reads[i].from > string(key) })
		if next == len(a.reads) {
			return false
		}
		key = in.attachedFrom(lease, []byte(a.reads[next].from))
	}
	return false
}
