package simdisk

import (
	"bytes"

	"qkv/log/disk"
)

// pageBytes is a page of the page cache, and the unit of the rule that a synced page is never written again.
const pageBytes = 4096

// sectorBytes is the unit that a simulated disk writes atomically, unless the write is torn.
const sectorBytes = 512

// table is a file's contents: pages of pageBytes, nil for a page of zeros. A page in a table is immutable, so tables
// share pages, and copying a file copies only pointers.
type table struct {
	pages [][]byte
	size  int64
}

func (t *table) clone() table { return table{pages: append([][]byte(nil), t.pages...), size: t.size} }

// reach extends the table to a page.
func (t *table) reach(page int64) {
	for int64(len(t.pages)) <= page {
		t.pages = append(t.pages, nil)
	}
}

// put writes n bytes at off without changing the size: p, which must never change afterwards, or zeros if p is nil.
func (t *table) put(off int64, p []byte, n int64) {
	for done := int64(0); done < n; {
		page, from := (off+done)/pageBytes, (off+done)%pageBytes
		length := min(pageBytes-from, n-done)
		var piece []byte
		if p != nil {
			piece = p[done : done+length : done+length]
		}
		t.reach(page)
		t.putPage(page, from, piece, length)
		done += length
	}
}

func (t *table) putPage(page, from int64, piece []byte, length int64) {
	switch {
	case length == pageBytes:
		t.pages[page] = piece
	case piece == nil && t.pages[page] == nil:
	default:
		fresh := make([]byte, pageBytes)
		copy(fresh, t.pages[page])
		if piece == nil {
			clear(fresh[from : from+length])
		} else {
			copy(fresh[from:], piece)
		}
		t.pages[page] = fresh
	}
}

// resize sets the size. Bytes beyond it become zero.
func (t *table) resize(size int64) {
	last := (size + pageBytes - 1) / pageBytes
	if int64(len(t.pages)) > last {
		clear(t.pages[last:])
		t.pages = t.pages[:last]
	}
	if rest := size % pageBytes; rest != 0 && last <= int64(len(t.pages)) {
		t.putPage(last-1, rest, nil, pageBytes-rest)
	}
	t.size = size
}

// read copies bytes from off into p, up to the size.
func (t *table) read(p []byte, off int64) int {
	if off >= t.size {
		return 0
	}
	n := int(min(int64(len(p)), t.size-off))
	for done := 0; done < n; {
		page, from := (off+int64(done))/pageBytes, (off+int64(done))%pageBytes
		length := min(pageBytes-int(from), n-done)
		if page < int64(len(t.pages)) && t.pages[page] != nil {
			copy(p[done:done+length], t.pages[page][from:])
		} else {
			clear(p[done : done+length])
		}
		done += length
	}
	return n
}

// flip inverts one bit.
func (t *table) flip(off int64, bit uint) {
	if off >= t.size {
		return
	}
	var b [1]byte
	t.read(b[:], off)
	b[0] ^= 1 << (bit % 8)
	t.put(off, b[:], 1)
}

// zeros is what WriteZeros writes, and what zero compares with.
var zeros [disk.ZerosMost]byte

// zero reports whether all of p is zero.
func zero(p []byte) bool {
	for len(p) > len(zeros) {
		if !bytes.Equal(p[:len(zeros)], zeros[:]) {
			return false
		}
		p = p[len(zeros):]
	}
	return bytes.Equal(p, zeros[:len(p)])
}
