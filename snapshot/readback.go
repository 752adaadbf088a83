package snapshot

import (
	"crypto/sha256"
	"fmt"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// Readback reads back the bytes that a [Receiver] has written, while more arrive, and builds their state: after the
// last chunk almost no work is left. It has its own open file, and may belong to another goroutine than the Receiver.
//
// Invariants:
//
//  1. It has read only complete blocks, in order, within the bytes that its caller reported as arrived.
//  2. After an error it does nothing more.
type Readback struct {
	// Constant after construction.
	fs         disk.FS
	path, name string
	size       int64 // of the whole file
	sha        [32]byte
	content    content

	// Owned by Step.
	file    disk.File // nil before the first step, and after Close
	reading reading   // without a walker until the prelude has arrived
	dropped int64     // bytes dropped from the page cache
	sound   bool      // everything is read and equals the announcement
	build   *loading  // content, if a state is wanted
	state   *index.State
}

// Readback returns a reader of the arriving bytes, which builds the state within these limits.
func (r *Receiver) Readback(l limits.Index) *Readback {
	build := &loading{limits: l, reserve: index.NewReserve(), fs: r.fs, files: r.fs, dir: r.dir}
	b := r.readback(build)
	b.build = build
	return b
}

// Check returns a reader of the arriving bytes that builds no state.
func (r *Receiver) Check() *Readback { return r.readback(ignore{}) }

func (r *Receiver) readback(c content) *Readback {
	return &Readback{fs: r.fs, path: r.tmp(), name: r.name, size: r.size, sha: r.sha, content: c}
}

// Step reads the bytes that have arrived; arrived counts them from the file's beginning. It returns true when the whole
// file is read and verified. An error that wraps damage.ErrDamaged means that the sender must send the snapshot again from its
// beginning.
func (b *Readback) Step(arrived int64) (sound bool, err error) {
	if err := b.open(arrived); err != nil || b.reading.walker == nil {
		return false, err
	}
	b.reading.size = arrived
	for !b.sound && (arrived == b.size || b.reading.whole()) {
		t, done, err := b.reading.step()
		if done {
			err = b.announced(t)
		}
		if err != nil {
			return false, err
		}
		if err := b.dropRead(); err != nil {
			return false, err
		}
	}
	return b.sound, nil
}

// dropRead drops pages that were read: they are not read again, and arriving data would otherwise need fresh ones. A
// later call drops pages that still wait to be written.
func (b *Readback) dropRead() error {
	if b.reading.next-b.dropped < snapshotCacheBytes {
		return nil
	}
	b.dropped = b.reading.next
	if err := b.file.DropCache(0, b.dropped); err != nil {
		return fmt.Errorf("read back snapshot: %w", err)
	}
	return nil
}

// open begins once the prelude has arrived.
func (b *Readback) open(arrived int64) (err error) {
	if b.reading.walker != nil || arrived < preludeBytes {
		return nil
	}
	if b.file == nil {
		if b.file, err = b.fs.Open(b.path); err != nil {
			return fmt.Errorf("read back snapshot: %w", err)
		}
	}
	w, err := walk(b.path, upTo{b.file, arrived}, sha256.New(), readWindow)
	if err != nil {
		return err
	}
	w.f = b.file
	b.reading = newReading(w, b.size, b.content)
	return nil
}

// upTo is the beginning of a file.
type upTo struct {
	disk.File
	bytes int64
}

func (u upTo) Size() (int64, error) { return u.bytes, nil }

// announced compares the file with its announcement, and finishes the state.
func (b *Readback) announced(t tail) (err error) {
	m := b.reading.meta
	if t.sha != b.sha {
		return damage.At(b.path, b.size-tailPayload, "its SHA-256 is %x, but the sender announced %x", t.sha, b.sha)
	}
	name := Name(m.Index, m.Term)
	if b.reading.part {
		name = partName(m.Index, t.sha)
	}
	if name != b.name {
		return damage.At(b.path, preludeBytes+headerBytes, "it holds %s, but the sender announced %s", name, b.name)
	}
	if b.build != nil {
		if b.state, err = b.build.finish(b.path, m); err != nil {
			return err
		}
	}
	b.sound = true
	return nil
}

// TakeState hands over the built state, once Step has returned true. The Readback keeps no reference to it.
func (b *Readback) TakeState() *index.State {
	state := b.state
	b.state, b.build, b.content, b.reading.to, b.reading.keys.add = nil, nil, nil, nil, nil
	return state
}

// Close closes the file.
func (b *Readback) Close() {
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}
