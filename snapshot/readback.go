package snapshot

import (
	"crypto/sha256"
	"fmt"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// Readback reads back what a [Receiver] has written, while more comes, and builds the state of it: when the last piece has come
// there is nearly nothing left to do. It has a file of its own, and may belong to another goroutine than the Receiver.
//
// Invariants:
//
//  1. What it has read are whole blocks, in their order, of the bytes that it was told to have arrived.
//  2. After an error it does nothing any more.
type Readback struct {
	// Constant after construction.
	fs         disk.FS
	path, name string
	size       int64 // of the whole file
	sha        [32]byte
	content    content

	// Owned by Step.
	file    disk.File // nil before the first step, and after Close
	reading reading   // without a walker before there is a prelude
	dropped int64     // so many bytes were given up in the page cache
	sound   bool      // all is read, and it is what was announced
	build   *loading  // content, if a state is wanted
	state   *index.State
}

// Readback returns a reader of what arrives, which builds the state with these bounds.
func (r *Receiver) Readback(l limits.Index) *Readback {
	build := &loading{limits: l, reserve: index.NewReserve()}
	b := r.readback(build)
	b.build = build
	return b
}

func (r *Receiver) readback(c content) *Readback {
	return &Readback{fs: r.fs, path: r.tmp(), name: r.name, size: r.size, sha: r.sha, content: c}
}

// Step reads what has arrived, so many bytes from the file's beginning, and tells whether that is the whole file, and sound.
// An error that wraps ErrCorrupt means that the snapshot has to be sent again from its beginning.
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

// dropRead lets go of pages that were read: nobody reads them again, and each that is kept is a fresh one for what comes. Those that
// still wait to be written go with a later call.
func (b *Readback) dropRead() error {
	if b.reading.next-b.dropped < limits.SnapshotCacheBytes {
		return nil
	}
	b.dropped = b.reading.next
	if err := b.file.DropCache(0, b.dropped); err != nil {
		return fmt.Errorf("read back snapshot: %w", err)
	}
	return nil
}

// open begins when there is a prelude.
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

// announced tells how the file differs from what was announced, and finishes the state.
func (b *Readback) announced(t tail) (err error) {
	m := b.reading.meta
	if t.sha != b.sha {
		return corruptAt(b.path, b.size-tailPayload, "its SHA-256 is %x, %x was announced", t.sha, b.sha)
	}
	if name := Name(m.Index, m.Term); name != b.name {
		return corruptAt(b.path, preludeBytes+headerBytes, "it holds %s", name)
	}
	if b.build != nil {
		if b.state, err = b.build.finish(b.path, m); err != nil {
			return err
		}
	}
	b.sound = true
	return nil
}

// TakeState hands out the state that was built, once Step has said that the file is sound. Nothing of it is kept.
func (b *Readback) TakeState() *index.State {
	state := b.state
	b.state, b.build, b.content, b.reading.to, b.reading.keys.add = nil, nil, nil, nil, nil
	return state
}

// Close lets go of the file.
func (b *Readback) Close() {
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}
