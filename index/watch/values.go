package watch

import (
	"cmp"
	"errors"
	"time"

	"qkv/index"
	"qkv/index/kv"
)

const (
	// readValues and readBytes bound the values that are read from files for lagging watches at once: no value is added to a list that has
	// reached one of them. The hub keeps at most about four such lists.
	readValues = 1024
	readBytes  = 1 << 20
	// readAgain is how long a value that could not be read is not read again: its watches are canceled, and clients resume them at once.
	readAgain = time.Second
)

// values are values of the history that lagging watches need and that are in files, not in memory. Another goroutine reads them: the hub
// never waits for a disk.
type values struct {
	here    map[index.Position]Read // the newest values
	older   map[index.Position]Read // the values before: a change may need two values that reach the limit
	bytes   int                     // of here
	missing []*index.Unread         // that are to be read next
	wanted  map[index.Position]bool // the same
	size    int                     // bytes of missing
	reading map[index.Position]bool // the list that is being read; nil: none
}

// Read is a value that was read, or why it could not be read.
type Read struct {
	index.Position
	Value []byte
	Err   error

	until time.Duration // an error is of use until then: the file may be repaired
}

// full says whether the next list of missing values is long enough.
func (s *values) full() bool {
	return len(s.missing) >= readValues || s.size >= readBytes
}

// value returns a value if it is here, and otherwise notes that it is missing.
func (h *Hub) value(u *index.Unread) (r Read, here bool) {
	s, at := &h.values, u.Position()
	if r, here = s.here[at]; !here {
		r, here = s.older[at]
	}
	if here && (r.Err == nil || h.now < r.until) {
		return r, true
	}
	if s.wanted[at] || s.reading[at] || s.full() {
		return Read{}, false
	}
	if s.wanted == nil {
		s.wanted = map[index.Position]bool{}
	}
	s.missing, s.wanted[at], s.size = append(s.missing, u), true, s.size+u.Size()
	return Read{}, false
}

// Missing returns the values that the hub needs to go on, or nil. The caller reads them, without the hub, and then calls Bring. Until then
// Missing returns nothing.
func (h *Hub) Missing() []*index.Unread {
	s := &h.values
	if s.reading != nil || len(s.missing) == 0 {
		return nil
	}
	all := s.missing
	s.reading, s.missing, s.wanted, s.size = s.wanted, nil, nil, 0
	return all
}

// waits says whether values are missing: a pass that is stuck cannot move until Bring.
func (s *values) waits() bool { return s.reading != nil || len(s.missing) > 0 }

// Bring hands over the values that were missing. When the newest ones have reached the limit, the older ones are forgotten.
func (h *Hub) Bring(all []Read) {
	s := &h.values
	if s.reading = nil; s.here == nil || s.bytes >= readBytes || len(s.here) >= readValues {
		s.older, s.here, s.bytes = s.here, make(map[index.Position]Read, len(all)), 0
	}
	for _, one := range all {
		one.until = h.now + readAgain
		s.here[one.Position] = one
		s.bytes += len(one.Value)
	}
}

// unread says why the value of a change, or that of its previous pair, cannot be read.
type unread struct{ value, before error }

// errorFor returns the error that concerns a watch.
func (u unread) errorFor(s *spec) error {
	if s.prevKV {
		return cmp.Or(u.value, u.before)
	}
	return u.value
}

// fetch completes a change with the values that are in files, and finds its previous pair if that is wanted. It returns false if a value
// is missing.
func (h *Hub) fetch(c *index.Change, prevKV bool) (before *kv.KeyValue, here bool, failed unread) {
	here = true
	fill := func(pair *kv.KeyValue, u *index.Unread) error {
		if u == nil {
			return nil
		}
		one, is := h.value(u)
		pair.Value, here = one.Value, here && is
		return one.Err
	}
	if failed.value = fill(&c.KV, c.Unread()); failed.value != nil || !prevKV {
		return nil, here, failed
	}
	if pair, unread, ok := c.Before(); ok {
		before = &pair
		failed.before = fill(before, unread)
	}
	return before, here, failed
}

// unreadable cancels the watches of a group that wants a change of which a value cannot be read.
func (h *Hub) unreadable(p *pass, g *group, at index.Position, why error, work *int) {
	if g.count > 0 {
		h.flush(p, g, at, work)
	}
	for len(g.subscriptions) > 0 {
		h.cancelUnreadable(g.subscriptions[len(g.subscriptions)-1], at.Revision-1, why)
	}
}

// cancelUnreadable cancels the watches of a subscription whose next event cannot be read.
func (h *Hub) cancelUnreadable(one *subscription, delivered int64, why error) {
	h.dropWatches(one)
	refusal, is := errors.AsType[*kv.Error](why)
	if !is {
		refusal = kv.Errorf(kv.Unavailable, "%v", why)
	}
	one.stream.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: one.ids, Revision: delivered, Err: refusal})
}
