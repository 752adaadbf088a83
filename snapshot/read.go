package snapshot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"

	"qkv/index"
	"qkv/log/disk"
)

// content receives what a file holds, in the file's order. All slices are valid only during the call.
type content interface {
	open(m Meta, state []byte) error
	key(key []byte, versions []index.Version) error
}

// reading is one pass over a file, a block at a time.
type reading struct {
	*walker
	to    content
	total int64 // bytes of the whole file, of which walker may see the beginning only
	begun bool  // the head is read
	left  uint64
	state []byte // so far; left bytes of it follow
	keys  decoder
	open  bool // content has the state
	meta  Meta
}

func newReading(w *walker, total int64, c content) reading {
	return reading{walker: w, to: c, total: total, keys: decoder{add: c.key, longer: w.longer}}
}

// read passes all of a file to c, in memory bounded by a few blocks, the state's bytes and the versions of one key.
// What c was given is proven only when read returns no error.
func read(path string, f disk.File, sum hash.Hash, c content) (Meta, tail, error) {
	w, err := walk(path, f, sum, readWindow)
	if err != nil {
		return Meta{}, tail{}, err
	}
	r := newReading(w, w.size, c)
	for {
		if t, done, err := r.step(); done || err != nil {
			return r.meta, t, err
		}
	}
}

// step reads the next block: the head, a piece of the state, keys, or the tail, which is the last.
func (r *reading) step() (t tail, done bool, err error) {
	switch {
	case !r.begun:
		r.begun = true
		err = r.head()
	case r.left > 0:
		err = r.piece()
	default:
		return r.keysOrTail()
	}
	if err == nil && r.left == 0 && !r.open {
		r.open = true
		if err = r.to.open(r.meta, r.state); err != nil {
			err = fmt.Errorf("snapshot %s: %w", r.path, err)
		}
		r.state = nil
	}
	return t, false, err
}

// head reads the first block, which says how many bytes of state follow it.
func (r *reading) head() error {
	b, err := r.block()
	if err != nil {
		return err
	}
	if b.kind != kindHead {
		return corruptAt(r.path, b.at, "the first block is of kind %s, not head", b.kind)
	}
	m, state, err := readHead(b.payload, r.longer)
	if errors.Is(err, errLonger) {
		return formatOf(r.path, "in the head at byte %d, %v", b.at, err)
	}
	if err != nil {
		return corruptAt(r.path, b.at+headerBytes, "the head: %v", err)
	}
	if n, ok := parseName(base(r.path)); ok && (n.index != m.Index || n.term != m.Term) {
		return corruptAt(r.path, b.at+headerBytes, "the file holds index %d of term %d, its name says index %d of term %d",
			m.Index, m.Term, n.index, n.term)
	}
	if left := r.total - r.next; state > uint64(left) {
		return corruptAt(r.path, b.at+headerBytes, "the head announces %d bytes of state, the file has %d more", state, left)
	}
	r.meta, r.left = m, state
	return nil
}

// piece gathers the state that is not keys: content gets it as one.
func (r *reading) piece() error {
	b, err := r.block()
	if err != nil {
		return err
	}
	if n := len(b.payload); b.kind != kindStat || n == 0 || uint64(n) > r.left {
		return corruptAt(r.path, b.at, "block %d is %d bytes of kind %s where %d bytes of kind %s are missing",
			b.number, n, b.kind, r.left, kindStat)
	}
	r.state = append(r.state, b.payload...)
	r.left -= uint64(len(b.payload))
	return nil
}

func (r *reading) keysOrTail() (t tail, done bool, err error) {
	b, err := r.block()
	if err != nil {
		return t, false, err
	}
	switch {
	case b.kind == kindKeys:
		wrong, refused := r.keys.block(b.header, b.payload)
		if errors.Is(wrong, errLonger) {
			return t, false, formatOf(r.path, "in block %d at byte %d, %v", b.number, b.at, wrong)
		}
		if wrong != nil {
			return t, false, corruptAt(r.path, b.at+headerBytes, "block %d: %v", b.number, wrong)
		}
		if refused != nil {
			return t, false, fmt.Errorf("snapshot %s, block %d at byte %d: %w", r.path, b.number, b.at, refused)
		}
		return t, false, nil
	case b.kind == kindTail && !r.keys.split:
		t, err = r.tail(b)
		return t, err == nil, err
	default:
		return t, false, corruptAt(r.path, b.at, "block %d is of kind %s where keys belong", b.number, b.kind)
	}
}

// tail holds the last block against all that was read.
func (r *reading) tail(b block) (tail, error) {
	t := readTail(b.payload)
	got := tail{uint64(r.next), uint64(r.number), r.keys.keys, r.keys.count, t.sha}
	if r.sum != nil {
		r.sum.Sum(got.sha[:0])
	}
	switch {
	case t.sha != got.sha:
		return t, corruptAt(r.path, b.at+headerBytes, "the tail's SHA-256 is %x, the file gives %x", t.sha, got.sha)
	case t != got:
		return t, corruptAt(r.path, b.at+headerBytes, "the tail counts %d bytes, %d blocks, %d keys and %d versions, the file has %d, %d, %d and %d",
			t.bytes, t.blocks, t.keys, t.versions, got.bytes, got.blocks, got.keys, got.versions)
	case r.next != r.total:
		return t, corruptAt(r.path, r.next, "%d bytes follow the tail", r.total-r.next)
	}
	return t, nil
}

// ignore is content for a pass that only checks.
type ignore struct{}

func (ignore) open(Meta, []byte) error           { return nil }
func (ignore) key([]byte, []index.Version) error { return nil }

// medium is a file of which what is on the medium is read, and not what is in the page cache.
type medium struct {
	disk.File
	piece int // the most to read with one call, a multiple of disk.DirectBytes; 0: there is no bound
}

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	return pieces(p, m.piece, func(p []byte, done int) (int, error) { return m.ReadMedium(p, off+int64(done)) })
}

// pieces calls do with pieces of b, and what is done before each, until all is done, or one is not or not wholly.
func pieces(b []byte, most int, do func(b []byte, done int) (int, error)) (n int, err error) {
	if most == 0 {
		most = len(b)
	}
	for n < len(b) && err == nil {
		piece := b[n:min(n+most, len(b))]
		var did int
		if did, err = do(piece, n); did < len(piece) {
			return n + did, err
		}
		n += did
	}
	return n, err
}

// Verifier checks everything of one file that can be checked without building the state, the SHA-256 included, in steps of bounded
// size. It reads what the medium has, not what is in the page cache.
type Verifier struct {
	// Piece is the most to read with one call, a multiple of disk.DirectBytes; 0: as much as there is for one. Set before Step, by
	// its caller.
	Piece int

	medium  *medium
	reading reading
}

// BeginVerify opens a file to verify it. Its error is the disk's, or of a prelude that is damaged or of another format.
func BeginVerify(fs disk.FS, path string) (*Verifier, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("verify snapshot: %w", err)
	}
	m := &medium{File: f}
	w, err := walk(path, m, sha256.New(), headWindow)
	if err != nil {
		f.Close()
		return nil, err
	}
	w.step = readWindow
	return &Verifier{medium: m, reading: newReading(w, w.size, ignore{})}, nil
}

// Step reads about n bytes, at least one block. It reports done when the whole file is sound; an error is final.
func (v *Verifier) Step(n int) (done bool, err error) {
	v.medium.piece = v.Piece
	for end := v.reading.next + int64(max(n, 1)); !done && err == nil && v.reading.next < end; {
		_, done, err = v.reading.step()
	}
	return done, err
}

// Close closes the file.
func (v *Verifier) Close() { v.medium.Close() }
