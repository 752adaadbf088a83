package snapshot

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"syscall"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// Receiver takes a snapshot or a part file from another member, chunk by chunk in order, and publishes it when it is complete.
// Received data survives a restart. After a power loss, the data on the disk survives up to its last intact block.
//
// After a disk error the partial file is gone and the error stays. A refused chunk changes nothing.
type Receiver struct {
	// Set by Receive, then constant.
	fs   disk.FS
	dir  string
	name string
	size int64
	sha  [32]byte

	// Owned by WriteAt and Finish.
	file   *output // nil once it is published, closed or abandoned
	offset int64   // of the next chunk
	err    error
}

// Receive begins to receive the snapshot with that published name, size and SHA-256 (those of Reader), or continues its
// partial file. It removes partial files of other snapshots, which are never continued. It refuses a name that is not a
// snapshot's, and, before the first byte, a size that exceeds the free disk space. For a published snapshot it returns
// fs.ErrExist.
func Receive(fs disk.FS, dir, name string, size int64, sha [32]byte) (*Receiver, error) {
	if _, ok := parseName(name); !ok {
		return nil, fmt.Errorf("receive snapshot: %q is not the name of a snapshot", name)
	}
	r := &Receiver{fs: fs, dir: dir, name: name, size: size, sha: sha}
	if size < preludeBytes+tailBytes {
		return nil, fmt.Errorf("receive snapshot %s: %d bytes are too few for a snapshot", r.path(), size)
	}
	err := checkAbsent(fs, r.path())
	if err == nil {
		err = r.removeOthers()
	}
	if err == nil {
		err = r.open()
	}
	if err == nil {
		err = r.checkSpace()
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

// removeOthers removes partial files of other snapshots.
func (r *Receiver) removeOthers() error {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := parseReceiving(name); ok && name != fileName(r.tmp()) {
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
	r.file = &output{File: f, writesBack: true}
	if err := r.resume(); err == nil || errors.Is(err, damage.ErrFormat) {
		return err
	}
	r.drop()
	r.offset = 0
	return r.create()
}

func (r *Receiver) create() error {
	f, err := r.fs.Create(r.tmp())
	if err == nil {
		r.file = &output{File: f, writesBack: true}
	}
	return err
}

// resume finds the intact blocks of the partial file and cuts the rest. It reads from the disk: the page cache of an
// earlier process proves nothing (doc.go, invariant 5).
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
	if !errors.Is(err, damage.ErrDamaged) { // every partial file ends like a cut file
		return err
	}
	if r.offset > r.size {
		return fmt.Errorf("%d bytes are there, %d were announced", r.offset, r.size)
	}
	r.file.offset, r.file.startedBack = r.offset, r.offset
	return r.file.Truncate(r.offset)
}

// checkSpace refuses a file that exceeds the free disk space.
func (r *Receiver) checkSpace() error {
	left, err := r.fs.Free(r.dir)
	if err != nil {
		return err
	}
	if need := r.size - r.offset; need > left {
		return fmt.Errorf("%w: it needs %d more bytes, but the disk has only %d free: free space there", syscall.ENOSPC, need, left)
	}
	return nil
}

// Offset is where the next chunk begins; the sender asks for it first.
func (r *Receiver) Offset() int64 { return r.offset }

// WriteAt appends the chunk that begins at off. A chunk that was already written is ignored (the sender may send
// again). After a gap, or for bytes beyond the announced size, it returns an error, and the sender has to ask for
// Offset.
func (r *Receiver) WriteAt(off int64, chunk []byte) error {
	if r.err != nil || r.file == nil {
		return r.ended()
	}
	end := off + int64(len(chunk))
	switch {
	case off < 0 || end < off || end > r.size:
		return fmt.Errorf("receive snapshot %s: a chunk of %d bytes at byte %d exceeds its %d bytes", r.path(), len(chunk), off, r.size)
	case end <= r.offset:
		return nil
	case off != r.offset:
		return fmt.Errorf("receive snapshot %s: a chunk for byte %d arrived, but byte %d is next", r.path(), off, r.offset)
	}
	if off == 0 && len(chunk) >= preludeBytes { // refuse an unknown format now and not at the end
		if _, err := readPrelude(r.tmp(), chunk[:preludeBytes]); err != nil {
			return fmt.Errorf("receive snapshot: %w", err)
		}
	}
	if err := r.file.append(chunk); err != nil {
		return r.fail(err)
	}
	r.offset = end
	return nil
}

// Finish syncs the file, which back has verified, and publishes it. If bytes are missing, it returns an error and changes nothing.
func (r *Receiver) Finish(back *Readback) (Info, error) {
	if r.err != nil || r.file == nil {
		return Info{}, r.ended()
	}
	if r.offset != r.size {
		return Info{}, fmt.Errorf("receive snapshot %s: %d of %d bytes have arrived", r.path(), r.offset, r.size)
	}
	if back.size != r.size || back.sha != r.sha || back.name != r.name || !back.sound {
		panic(fmt.Sprintf("publish %s, which was not verified", r.path()))
	}
	if err := r.file.Sync(); err != nil {
		return Info{}, r.fail(err)
	}
	f := r.file
	r.file = nil
	if err := publish(r.fs, f, r.dir, fileName(r.tmp()), r.name); err != nil {
		return Info{}, r.fail(err)
	}
	return Info{Meta: back.reading.meta, Path: r.path(), Bytes: r.size}, nil
}

func (r *Receiver) fail(err error) error {
	r.err = fmt.Errorf("receive snapshot %s: %w", r.path(), err)
	r.drop()
	return r.err
}

// ended is the error of a receiver that is finished or closed.
func (r *Receiver) ended() error {
	if r.err != nil {
		return r.err
	}
	return fmt.Errorf("receive snapshot %s: it is finished or closed", r.path())
}

// Close stops receiving and keeps the partial file, so Receive can continue it.
func (r *Receiver) Close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Abort stops receiving and removes the partial file. After Finish it does nothing.
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
