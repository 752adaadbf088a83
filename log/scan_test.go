package log

import (
	"slices"
	"testing"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// asked is a file of zeros that notes up to where it was asked to read ahead, and what was read before it was asked for.
type asked struct {
	disk.File
	to, most int64 // of what was asked for, and farthest beyond what was being read
	unasked  []int64
	pieces   []int64
}

func (f *asked) Prefetch(off, n int64) {
	if off == f.to {
		f.to += n
	}
	f.pieces = append(f.pieces, n)
}

func (f *asked) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.to {
		f.unasked = append(f.unasked, off)
	}
	f.most = max(f.most, f.to-off-int64(len(p)))
	return len(p), nil
}

// The disk is asked for all that a segment has before it is read, up to a bound, once and in pieces that any disk takes.
func TestSegmentsAreReadAhead(t *testing.T) {
	const size = limits.PrefetchBytes*2 + 12345
	f := &asked{}
	p := pages{file: f, size: size}
	for at := int64(0); at+pageBytes <= size; at += pageBytes {
		if _, err := p.read(at, pageBytes); err != nil {
			t.Fatal(err)
		}
	}
	if f.to != size || f.most != limits.PrefetchBytes || len(f.unasked) > 0 || slices.Max(f.pieces) > readAheadBytes {
		t.Errorf("asked for %d of %d bytes, up to %d ahead, in pieces of %d; not asked for: %v", f.to, int64(size), f.most, slices.Max(f.pieces), f.unasked)
	}
}
