package index

import (
	"bytes"
	"cmp"

	"qkv/internal/limits"
)

// BasePiece is the versions of a range of the base's keys. The content decides where a piece ends, not the pieces before it: after a
// change of few keys, the pieces without these keys are the same.
type BasePiece struct {
	v      *View
	from   []byte
	last   []byte // the last key so far
	weight int64
	found  versionSum
	next   []byte // where the next piece begins; nil: not reached yet, or the base ends with this piece
}

// BasePiece returns the piece of the base that begins with a key. Of a View, from is nil at first, and then the piece's Next.
func (v *View) BasePiece(from []byte) *BasePiece { return &BasePiece{v: v, from: from} }

// Next returns where the next piece begins, or nil if this one was the last. It is valid after a complete Scan.
func (b *BasePiece) Next() []byte { return b.next }

// Scan calls f with the versions of the piece as scanBase does, from a key on.
func (b *BasePiece) Scan(from []byte, f func(key []byte, versions []Version) bool) {
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

// ends says whether the piece ends before a key.
func (b *BasePiece) ends(key []byte) bool {
	least := cmp.Or(b.v.pieceBytes, limits.BasePieceLeast)
	return b.weight >= limits.BasePieceMost/limits.BasePieceLeast*least || b.weight >= least && hashOf(key)%limits.BasePieceKeys == 0
}
