package snapshot

import (
	"errors"
	"fmt"
	iofs "io/fs"

	"qkv/log/disk"
)

// Receiver takes a snapshot from another member, piece by piece in order, and publishes it when it is whole. What
// has arrived survives a restart, and a loss of power as far as the disk had it, up to the last whole block of that.
//
// After an error of the disk the partial file is gone and the error stays. A refused piece changes nothing.
type Receiver struct {
	// Set by Receive, then constant.
	fs   disk.FS
	dir  string
	name string
	size int64
	sha  [32]byte

	// Owned by WriteAt and Finish.
	file   *output // nil once it is published, closed or abandoned
	offset int64   // of the next piece
	err    error
}

// Receive begins to receive the snapshot of that published name, size and SHA-256 (those of Reader), or continues
// it when a partial file of it is there. Those of others are removed, since nothing will continue them. A name that is no
// snapshot's is refused, one that is published already is fs.ErrExist, and a size for which the disk has no room is an error
// before the first byte.
func Receive(fs disk.FS, dir, name string, size int64, sha [32]byte) (*Receiver, error) {
	if _, ok := parseName(name); !ok {
		return nil, fmt.Errorf("receive snapshot: %q is not the name of a snapshot", name)
	}
	r := &Receiver{fs: fs, dir: dir, name: name, size: size, sha: sha}
	if size < preludeBytes+tailBytes {
		return nil, fmt.Errorf("receive snapshot %s: it cannot have only %d bytes", r.path(), size)
	}
	err := free(fs, r.path())
	if err == nil {
		err = r.removeOthers()
	}
	if err == nil {
		err = r.open()
	}
	if err == nil {
		err = r.room()
	}
	if err != nil {
		if r.offset == 0 {
			r.drop()
		}
		r.Close()
		return nil, fmt.Errorf("receive snapshot %s: %w", r.path(), err)
	}
	return r, nil
}

func (r *Receiver) path() string { return join(r.dir, r.name) }

func (r *Receiver) tmp() string { return join(r.dir, receiving(r.name, r.sha)) }

// removeOthers removes what was received of other snapshots.
func (r *Receiver) removeOthers() error {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := parseReceiving(name); ok && name != base(r.tmp()) {
			err = errors.Join(err, r.fs.Remove(join(r.dir, name)))
		}
	}
	return err
}

// open continues the partial file, or makes one. A file that cannot be continued is replaced.
func (r *Receiver) open() error {
	f, err := r.fs.OpenWritable(r.tmp())
	if errors.Is(err, iofs.ErrNotExist) {
		return r.create()
	}
	if err != nil {
		return err
	}
	r.file = &output{File: f, behind: true}
	if err := r.resume(); err == nil || errors.Is(err, ErrFormat) {
		return err
	}
	r.drop()
	r.offset = 0
	return r.create()
}

func (r *Receiver) create() error {
	f, err := r.fs.Create(r.tmp())
	if err == nil {
		r.file = &output{File: f, behind: true}
	}
	return err
}

// resume finds how much of the partial file is good, and cuts the rest. It reads from the disk: what an earlier
// process has left in the page cache proves nothing (doc.go, invariant 5).
func (r *Receiver) resume() error {
	if err := r.file.Datasync(); err != nil {
		return err
	}
	if err := r.file.DropCache(0, 0); err != nil {
		return err
	}
	w, err := walk(r.tmp(), r.file, nil, readWindow)
	for err == nil {
		r.offset = w.next
		_, err = w.block()
	}
	if !errors.Is(err, ErrCorrupt) { // every partial file ends as one that was cut
		return err
	}
	if r.offset > r.size {
		return fmt.Errorf("%d bytes are there, %d were announced", r.offset, r.size)
	}
	r.file.offset, r.file.back = r.offset, r.offset
	return r.file.Truncate(r.offset)
}

// room refuses what the disk cannot hold.
func (r *Receiver) room() error {
	left, err := r.fs.Free(r.dir)
	if err != nil {
		return err
	}
	if need := r.size - r.offset; need > left {
		return fmt.Errorf("%d bytes are missing, the disk has %d left: make room there", need, left)
	}
	return nil
}

// Offset is where the next piece belongs; the sender asks for it first.
func (r *Receiver) Offset() int64 { return r.offset }

// WriteAt appends the piece that begins at off. One that was written already is ignored (the sender may send again);
// a gap, or bytes past the announced size, are refused, and the sender has to ask for Offset.
func (r *Receiver) WriteAt(off int64, piece []byte) error {
	if r.err != nil || r.file == nil {
		return r.ended()
	}
	end := off + int64(len(piece))
	switch {
	case off < 0 || end < off || end > r.size:
		return fmt.Errorf("receive snapshot %s: %d bytes at %d, but it has only %d", r.path(), len(piece), off, r.size)
	case end <= r.offset:
		return nil
	case off != r.offset:
		return fmt.Errorf("receive snapshot %s: a piece at %d where the one at %d is next", r.path(), off, r.offset)
	}
	if off == 0 && len(piece) >= preludeBytes { // so that an unknown format is refused now, and not at the end
		if _, _, err := checkPrelude(r.tmp(), piece[:preludeBytes]); err != nil {
			return fmt.Errorf("receive snapshot: %w", err)
		}
	}
	if err := r.file.append(piece); err != nil {
		return r.fail(err)
	}
	r.offset = end
	return nil
}

// Finish syncs the file and publishes it. It was found sound by back, or by nobody yet, and is read back now: nil. When bytes
// are missing it says so and changes nothing; when they are wrong, the file is removed and the snapshot has to be sent again
// from its beginning.
func (r *Receiver) Finish(back *Readback) (Info, error) {
	if r.err != nil || r.file == nil {
		return Info{}, r.ended()
	}
	if r.offset != r.size {
		return Info{}, fmt.Errorf("receive snapshot %s: %d of %d bytes have arrived", r.path(), r.offset, r.size)
	}
	if back == nil {
		back = r.readback(ignore{})
		defer back.Close()
		if _, err := back.Step(r.size); err != nil {
			return Info{}, r.fail(err)
		}
	}
	if back.size != r.size || back.sha != r.sha || back.name != r.name || !back.sound {
		panic(fmt.Sprintf("publish %s, of which nobody has said that it is sound", r.path()))
	}
	if err := r.file.Sync(); err != nil {
		return Info{}, r.fail(err)
	}
	f := r.file
	r.file = nil
	if err := publish(r.fs, f, r.dir, base(r.tmp()), r.name); err != nil {
		return Info{}, r.fail(err)
	}
	return Info{Meta: back.reading.meta, Path: r.path(), Bytes: r.size}, nil
}

func (r *Receiver) fail(err error) error {
	r.err = fmt.Errorf("receive snapshot %s: %w", r.path(), err)
	r.drop()
	return r.err
}

// ended is the error of a receiver that is not receiving.
func (r *Receiver) ended() error {
	if r.err != nil {
		return r.err
	}
	return fmt.Errorf("receive snapshot %s: it is finished or closed", r.path())
}

// Close stops receiving and leaves what has arrived, so that Receive can continue it.
func (r *Receiver) Close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Abort stops receiving and removes what has arrived. After Finish it does nothing.
func (r *Receiver) Abort() {
	if r.file != nil {
		r.err = fmt.Errorf("receive snapshot %s: it was aborted", r.path())
		r.drop()
	}
}

func (r *Receiver) drop() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
		r.fs.Remove(r.tmp())
	}
}
