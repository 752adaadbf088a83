package snapshot

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/log/disk"
)

// content receives the content of a file, in file order. All slices are valid only during the call.
type content interface {
	open(m Meta, state []byte) error
	key(key []byte, versions []index.Version) error
	changes(all []index.KeyedVersion) error
}

// reading is one pass over a file, block by block.
type reading struct {
	*walker
	to    content
	total int64 // of the whole file; the walker may see only its beginning
	begun bool  // the head is read
	left  uint64
	state []byte // the bytes of state read so far; left more follow
	keys  decoder
	open  bool // content has received the state
	meta  Meta
}

func newReading(w *walker, total int64, c content) reading {
	return reading{walker: w, to: c, total: total, keys: decoder{add: c.key, replay: c.changes}}
}

// read passes a whole file to c. Its memory is bounded by a few blocks, the state's bytes and the versions of one key.
// The data given to c is verified only if read returns no error.
func read(path string, f disk.File, sum hash.Hash, c content) (Meta, tail, error) {
	return readIndexed(path, f, sum, c, nil)
}

// readIndexed is read, and notes in an index where the chunks of records begin.
func readIndexed(path string, f disk.File, sum hash.Hash, c content, noted *chunkIndex) (Meta, tail, error) {
	w, err := walk(path, f, sum, readWindow)
	if err != nil {
		return Meta{}, tail{}, err
	}
	r := newReading(w, w.size, c)
	r.keys.chunkIndex = noted
	for {
		if t, done, err := r.step(); done || err != nil {
			return r.meta, t, err
		}
	}
}

// step reads the next block: the head, bytes of state, keys or changes, or the tail, which is the last.
func (r *reading) step() (t tail, done bool, err error) {
	switch {
	case !r.begun:
		r.begun = true
		err = r.head()
	case r.left > 0:
		err = r.statBlock()
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

// head reads the first block, which states how many bytes of state follow.
func (r *reading) head() error {
	b, err := r.block()
	if err != nil {
		return err
	}
	if b.kind != kindHead {
		return damage.At(r.path, b.at, "the first block is of kind %s, not head", b.kind)
	}
	h, err := readHead(b.payload, r.part)
	if err != nil {
		return damage.Of(r.path, b.at+headerBytes, fmt.Errorf("the head: %w", err))
	}
	if n, ok := parseName(fileName(r.path)); ok && (n.index != h.Index || n.term != h.Term || n.part != r.part) {
		return damage.At(r.path, b.at+headerBytes, "the file holds index %d of term %d, its name says index %d of term %d",
			h.Index, h.Term, n.index, n.term)
	}
	if left := r.total - r.next; h.State > uint64(left) {
		return damage.At(r.path, b.at+headerBytes, "the head announces %d bytes of state, but the file has only %d more", h.State, left)
	}
	r.meta, r.left = h.Meta, h.State
	return nil
}

// statBlock reads the next block of state. content gets the bytes of all such blocks in one slice.
func (r *reading) statBlock() error {
	b, err := r.block()
	if err != nil {
		return err
	}
	if n := len(b.payload); b.kind != kindStat || n == 0 || uint64(n) > r.left {
		return damage.At(r.path, b.at, "block %d has %d bytes of kind %s, but %d bytes of kind %s are still missing",
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
	case b.kind == kindKeys || b.kind == kindChanges && !r.keys.split:
		decode := r.keys.block
		if b.kind == kindChanges {
			decode = r.keys.changes
		}
		wrong, refused := decode(&b)
		if wrong != nil {
			return t, false, damage.Of(r.path, b.at+headerBytes, fmt.Errorf("block %d: %w", b.number, wrong))
		}
		if refused != nil {
			return t, false, fmt.Errorf("snapshot %s, block %d at byte %d: %w", r.path, b.number, b.at, refused)
		}
		return t, false, nil
	case b.kind == kindTail && !r.keys.split:
		t, err = r.tail(b)
		return t, err == nil, err
	default:
		return t, false, damage.At(r.path, b.at, "block %d is of kind %s, but keys or changes must follow", b.number, b.kind)
	}
}

// tail compares the last block with everything that was read.
func (r *reading) tail(b block) (tail, error) {
	t := readTail(b.payload)
	got := tail{uint64(r.next), uint64(r.number), r.keys.keys, r.keys.count, t.sha}
	if r.sum != nil {
		r.sum.Sum(got.sha[:0])
	}
	switch {
	case t.sha != got.sha:
		return t, damage.At(r.path, b.at+headerBytes, "the tail's SHA-256 is %x, the file gives %x", t.sha, got.sha)
	case t != got:
		return t, damage.At(r.path, b.at+headerBytes, "the tail counts %d bytes, %d blocks, %d keys and %d versions, the file has %d, %d, %d and %d",
			t.bytes, t.blocks, t.keys, t.versions, got.bytes, got.blocks, got.keys, got.versions)
	case r.next != r.total:
		return t, damage.At(r.path, r.next, "%d bytes follow the tail", r.total-r.next)
	}
	return t, nil
}

// ignore is the content for a pass that only checks.
type ignore struct{}

func (ignore) open(Meta, []byte) error            { return nil }
func (ignore) key([]byte, []index.Version) error  { return nil }
func (ignore) changes([]index.KeyedVersion) error { return nil }

// medium is a file whose reads come from the medium and not from the page cache.
type medium struct {
	disk.File
	callBytes int // bound of one read, a multiple of disk.DirectBytes; 0: none
}

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	return inCalls(p, m.callBytes, func(p []byte, done int) (int, error) { return m.ReadMedium(p, off+int64(done)) })
}

// inCalls calls do with consecutive sections of b, each of at most most bytes, and with the number of bytes before each. It ends after all
// of b, an error, or an incomplete call.
func inCalls(b []byte, most int, do func(b []byte, done int) (int, error)) (n int, err error) {
	if most == 0 {
		most = len(b)
	}
	for n < len(b) && err == nil {
		section := b[n:min(n+most, len(b))]
		var did int
		if did, err = do(section, n); did < len(section) {
			return n + did, err
		}
		n += did
	}
	return n, err
}

// Verifier checks a whole file, including the SHA-256, in steps of bounded size. It does not build the state. It reads
// from the medium, not from the page cache.
type Verifier struct {
	// CallBytes bounds one read: a multiple of disk.DirectBytes; 0: no limit. The caller sets it before Step.
	CallBytes int

	medium  *medium
	reading reading
	tail    tail  // once the file is verified
	part    *Part // that the file must be; nil: a snapshot
}

// BeginVerify opens a file to verify it. Its error comes from the disk, or from a prelude that is damaged or of another
// format.
func BeginVerify(fs disk.FS, path string) (*Verifier, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("verify snapshot: %w", err)
	}
	return beginVerify(shownPath(fs, path), f, ignore{})
}

// BeginVerifyPart is BeginVerify for a part, which must be what its name says.
func BeginVerifyPart(fs disk.FS, path string, p Part) (*Verifier, error) {
	v, err := BeginVerify(fs, path)
	if err == nil {
		v.part = &p
	}
	return v, err
}

// beginVerify verifies an open file, and closes it after an error.
func beginVerify(path string, f disk.File, c content) (*Verifier, error) {
	m := &medium{File: f}
	w, err := walk(path, m, sha256.New(), headWindow)
	if err != nil {
		f.Close()
		return nil, err
	}
	w.step = readWindow
	return &Verifier{medium: m, reading: newReading(w, w.size, c)}, nil
}

// Step reads about n bytes, at least one block. It returns done once the whole file is verified; an error is final.
func (v *Verifier) Step(n int) (done bool, err error) {
	v.medium.callBytes = v.CallBytes
	for end := v.reading.next + int64(max(n, 1)); !done && err == nil && v.reading.next < end; {
		v.tail, done, err = v.reading.step()
	}
	if !done || err != nil {
		return done, err
	}
	if v.part != nil && (v.tail.sha != v.part.SHA || !v.reading.part) {
		err = damage.At(v.reading.path, 0, "it is not the part that its name says")
	}
	return err == nil, err
}

// finish does all steps, and closes the file.
func (v *Verifier) finish() error {
	defer v.Close()
	for {
		if done, err := v.Step(readWindow); done || err != nil {
			return err
		}
	}
}

// Close closes the file.
func (v *Verifier) Close() { v.medium.Close() }
