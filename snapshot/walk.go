package snapshot

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"qkv/internal/damage"
	"qkv/log/disk"
)

const (
	// readWindow is the size of one read: a few blocks, so that calls are few and the window stays in the CPU cache.
	readWindow = 1 << 20
	// headWindow is large enough for prelude and head in nearly every file.
	headWindow = 4 << 10
)

// block is one block of a file; its payload is valid until the next call of the walker.
type block struct {
	header
	at      int64 // of its header in the file
	payload []byte
}

// walker reads a file's blocks in order through a sliding window. It checks everything about a block that does not need
// its content: header, chain, lengths, payload checksum.
//
// Invariants:
//
//  1. window holds the bytes of the file from at on; next is never before at, and at is a multiple of disk.DirectBytes.
//  2. sum, if not nil, has been fed the input of the SHA-256: the prelude and the header of each block before next, or
//     all their bytes. The tail is left out.
//  3. After an error of a header nothing more can be read; after an error of a payload, the walk can continue.
type walker struct {
	path string
	f    disk.File
	size int64
	sum  hash.Hash // nil if the SHA-256 is not wanted
	step int64     // smallest size of one read

	prelude // its chain is the value that the next block must have

	window []byte
	at     int64
	next   int64  // where the next block begins
	number uint32 // of the next block
}

// walk reads the prelude and returns a walker before the first block.
func walk(path string, f disk.File, sum hash.Hash, step int64) (*walker, error) {
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of snapshot %s: %w", path, err)
	}
	w := &walker{path: path, f: f, size: size, sum: sum, step: step}
	b, err := w.bytes(preludeBytes, "the prelude")
	if err != nil {
		return nil, err
	}
	if w.prelude, err = readPrelude(path, b); err != nil {
		return nil, err
	}
	w.take(b)
	return w, nil
}

// bytes returns the next n bytes of the file without moving on. The caller has bounded n.
func (w *walker) bytes(n int64, what string) ([]byte, error) {
	if left := w.size - w.next; n > left {
		return nil, damage.At(w.path, w.next, "%s has %d bytes, the file ends after %d: it was cut", what, n, left)
	}
	if w.next-w.at+n > int64(len(w.window)) {
		if err := w.slide(n); err != nil {
			return nil, err
		}
	}
	from := w.next - w.at
	return w.window[from : from+n], nil
}

// slide moves the window to the next n bytes, and fills it. The window grows if they exceed a step. It begins and ends
// at multiples of disk.DirectBytes, or ends with the file.
func (w *walker) slide(n int64) error {
	at := w.next &^ (disk.DirectBytes - 1)
	rest := w.window[at-w.at:]
	end := (max(w.next+n, at+w.step) + disk.DirectBytes - 1) &^ (disk.DirectBytes - 1)
	size := min(end, w.size) - at
	if size > int64(cap(w.window)) {
		grown := make([]byte, size)
		copy(grown, rest)
		w.window = grown
	} else {
		copy(w.window[:size], rest)
		w.window = w.window[:size]
	}
	w.at = at
	return w.fill(w.window[len(rest):], w.at+int64(len(rest)))
}

// fill reads b from the file. An early end of the file means that the file shrank since it was opened.
func (w *walker) fill(b []byte, at int64) error {
	n, err := w.f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	w.window = w.window[:0]
	if err == nil || errors.Is(err, io.EOF) {
		return damage.At(w.path, at+int64(n), "the file ends here, and had %d bytes when it was opened", w.size)
	}
	return fmt.Errorf("read snapshot %s at byte %d: %w", w.path, at+int64(n), err)
}

// take moves on behind b, which bytes has returned.
func (w *walker) take(b []byte) {
	if w.sum != nil {
		w.sum.Write(b[:headerBytes]) // a prelude is as long as a header
	}
	w.next += int64(len(b))
}

// block returns the next block. If its header is right but its payload is not, it returns the block and an error, and
// the walk can continue behind it. After any other error it returns kind 0.
func (w *walker) block() (block, error) {
	b, err := w.bytes(headerBytes, "the next block's header")
	if err != nil {
		return block{}, err
	}
	h, chain, ok := readHeader(b)
	if !ok {
		return block{}, damage.At(w.path, w.next, "the checksum of the header of block %d is %08x, its bytes give %08x",
			w.number, chain, damage.Sum(b[:headerBytes-4]))
	}
	if err := w.check(h); err != nil {
		return block{}, err
	}
	what := fmt.Sprintf("block %d (%s)", h.number, h.kind)
	if b, err = w.bytes(headerBytes+int64(h.length), what); err != nil {
		return block{}, err
	}
	bl := block{header: h, at: w.next, payload: b[headerBytes:]}
	if sum := damage.Sum(bl.payload); sum != h.payload {
		err = damage.At(w.path, w.next+headerBytes, "the checksum of the %d bytes of %s is %08x, they give %08x",
			h.length, what, h.payload, sum)
	}
	if h.kind != kindTail || w.sum == nil { // the SHA-256 covers the bytes before the tail
		w.take(b)
	} else {
		w.next += int64(len(b))
	}
	w.number++
	w.chain = chain
	return bl, err
}

// whole reports whether the next block can be read to its end, or to its first fault.
func (w *walker) whole() bool {
	if w.next+headerBytes > w.size {
		return false
	}
	b, err := w.bytes(headerBytes, "the next block's header")
	if err != nil {
		return true
	}
	h, _, ok := readHeader(b)
	return !ok || w.check(h) != nil || w.next+headerBytes+int64(h.length) <= w.size
}

// check compares a header whose checksum is right with its place in the file.
func (w *walker) check(h header) error {
	switch {
	case h.chain != w.chain:
		return damage.At(w.path, w.next, "block %d follows a block with checksum %08x, but the one before it has %08x: it belongs to another file",
			h.number, h.chain, w.chain)
	case h.number != w.number:
		return damage.At(w.path, w.next, "block %d is in the place of block %d", h.number, w.number)
	case h.kind != kindHead && h.kind != kindStat && h.kind != kindKeys && h.kind != kindChanges && h.kind != kindTail:
		return damage.Newer(w.path, "block %d at byte %d is of kind %q, which this qkv does not know", h.number, w.next, h.kind)
	case h.flags&^continues != 0:
		return damage.Newer(w.path, "block %d at byte %d has flags %#x, which this qkv does not know", h.number, w.next, h.flags)
	case h.length > h.kind.blockMost():
		return damage.At(w.path, w.next, "block %d (%s) claims %d bytes, the limit is %d", h.number, h.kind, h.length, h.kind.blockMost())
	case h.kind == kindTail && h.length != tailPayload:
		return damage.At(w.path, w.next, "the tail has %d bytes instead of %d", h.length, tailPayload)
	case h.records > h.length:
		return damage.At(w.path, w.next, "block %d claims %d records in %d bytes", h.number, h.records, h.length)
	case h.kind != kindKeys && (h.flags != 0 || h.kind != kindChanges && h.records != 0):
		return damage.At(w.path, w.next, "block %d (%s) has %d records and flags %#x, only keys have flags, and keys and changes records", h.number, h.kind, h.records, h.flags)
	}
	return nil
}

// readTailOf reads only a file's last block. It verifies the tail, and nothing before it.
func readTailOf(path string, f disk.File) (tail, error) {
	size, err := f.Size()
	if err != nil {
		return tail{}, fmt.Errorf("size of snapshot %s: %w", path, err)
	}
	at := size - tailBytes
	if at < preludeBytes {
		return tail{}, damage.At(path, size, "%d bytes are too few for a snapshot: it was cut", size)
	}
	b := make([]byte, tailBytes)
	if n, err := f.ReadAt(b, at); n < len(b) {
		return tail{}, fmt.Errorf("read snapshot %s at byte %d: %w", path, at, err)
	}
	h, _, ok := readHeader(b)
	if !ok || h.kind != kindTail || h.length != tailPayload || h.payload != damage.Sum(b[headerBytes:]) {
		return tail{}, damage.At(path, at, "the file does not end with a tail: it was cut, or its last %d bytes are damaged", tailBytes)
	}
	t := readTail(b[headerBytes:])
	if t.bytes != uint64(size) {
		return tail{}, damage.At(path, at, "the tail belongs to a file of %d bytes, but this file has %d", t.bytes, size)
	}
	return t, nil
}
