package index

import (
	"bytes"
	"cmp"
)

// A range ends before a key whose hash is a multiple of pieceKeys, once it weighs pieceLeast: then the ends stay where they are when other
// keys change. pieceMost bounds it if no such key comes. With keys of 300 bytes it weighs 9 MiB on average.
const (
	pieceLeast = 8 << 20
	pieceMost  = 32 << 20
	pieceKeys  = 4 << 10
)

// windowRanges bounds the values of a base that are read ahead, in range files of pieceLeast: 64 MiB. A chunk of a file is read once for all
// its values in the window. If the window were one range file, a chunk of an extent would have few of its values.
const windowRanges = 8

// BaseRange is the versions of a range of the base's keys: the content of a range file (package snapshot). The content decides where a
// range ends, and not the ranges before it: after a change of few keys, the ranges without these keys are the same.
type BaseRange struct {
	v      *View
	from   []byte
	last   []byte // the last key so far
	weight int64
	found  versionSum
	next   []byte // where the next range begins; nil: not reached yet, or the base ends with this range
	ahead  *window
}

// window has values of the base that are not in memory, and that its ranges hand out next.
type window struct {
	unread map[Position]*Unread
	until  []byte // all values of keys before it are in the window, but those that left memory since
}

// BaseRange returns the range of the base that begins with a key: nil for the first one.
func (v *View) BaseRange(from []byte) *BaseRange {
	return &BaseRange{v: v, from: from, ahead: new(window)}
}

// Next returns the next range, or nil if this one was the last. It is valid after a complete Scan.
func (b *BaseRange) Next() *BaseRange {
	if b.next == nil {
		return nil
	}
	return &BaseRange{v: b.v, from: b.next, ahead: b.ahead}
}

// Scan calls f with the versions of the range as scanBase does, from a key on.
func (b *BaseRange) Scan(from []byte, f func(key []byte, versions []Version) bool) {
	if bytes.Compare(from, b.from) < 0 {
		from = b.from
	}
	b.v.scanBase(from, func(key []byte, versions []Version, sum uint64) bool {
		if b.next != nil && bytes.Compare(key, b.next) >= 0 {
			return false
		}
		if bytes.Compare(key, b.last) > 0 {
			if b.ends(key) {
				b.next = bytes.Clone(key)
				return false
			}
			b.last = append(b.last[:0], key...)
			b.found.add(int64(len(versions)), sum)
			for i := range versions {
				b.weight += weight(len(key), versions[i].Size())
			}
		}
		b.ahead.bring(b.v, key, versions)
		return f(key, versions)
	})
}

// bring gives versions of a key the values in the window. It fills the window if the key is not in it.
func (w *window) bring(v *View, key []byte, versions []Version) {
	for i := range versions {
		one := &versions[i]
		if one.unread == nil {
			continue
		}
		if bytes.Compare(key, w.until) >= 0 {
			w.fill(v, key)
		}
		one.unread = cmp.Or(w.unread[one.unread.Position()], one.unread)
	}
}

// fill reads the values from a key on that are not in memory.
func (w *window) fill(v *View, from []byte) {
	var all []*Unread
	weight := int64(0)
	w.unread = map[Position]*Unread{}
	v.scanBase(from, func(key []byte, versions []Version, _ uint64) bool {
		w.until = append(append(w.until[:0], key...), 0)
		for i := range versions {
			if weight += unreadOverhead; versions[i].unread == nil {
				continue
			}
			one := versions[i].unread
			all, weight = append(all, one), weight+int64(one.Size())
			w.unread[one.Position()] = one
		}
		return weight < windowRanges*cmp.Or(v.rangeBytes, pieceLeast)
	})
	ReadTogether(all)
}

// ends says whether the range ends before a key.
func (b *BaseRange) ends(key []byte) bool {
	least := cmp.Or(b.v.rangeBytes, pieceLeast)
	return b.weight >= pieceMost/pieceLeast*least || b.weight >= least && hashOf(key)%pieceKeys == 0
}
