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

// BaseRange is the versions of a range of the base's keys: the content of a range file (package snapshot). The content decides where a
// range ends, and not the ranges before it: after a change of few keys, the ranges without these keys are the same.
type BaseRange struct {
	v      *View
	from   []byte
	last   []byte // the last key so far
	weight int64
	found  versionSum
	next   []byte // where the next range begins; nil: not reached yet, or the base ends with this range
}

// BaseRange returns the range of the base that begins with a key: nil for the first one, and then the Next of the range before.
func (v *View) BaseRange(from []byte) *BaseRange { return &BaseRange{v: v, from: from} }

// Next returns where the next range begins, or nil if this one was the last. It is valid after a complete Scan.
func (b *BaseRange) Next() []byte { return b.next }

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
		return f(key, versions)
	})
}

// ends says whether the range ends before a key.
func (b *BaseRange) ends(key []byte) bool {
	least := cmp.Or(b.v.rangeBytes, pieceLeast)
	return b.weight >= pieceMost/pieceLeast*least || b.weight >= least && hashOf(key)%pieceKeys == 0
}
