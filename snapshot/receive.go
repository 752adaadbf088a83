package snapshot

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	iofs "io/fs"
	"syscall"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// Incoming is a file that comes from elsewhere and is known by its name, size and SHA-256: a part, or a snapshot without its parts. The
// bytes come in order, from a member or from a backup. Each complete block is read back as soon as it has come, and verified. It is
// published by Finish alone. What has come survives a restart. After a power loss, it survives up to its last intact block.
type Incoming struct {
	// Constant after BeginIncoming.
	fs        disk.FS
	dir, name string
	aside     string // the folder for a damaged file of that name; empty: there must be none
	size      int64
	sha       [32]byte
	limits    *limits.Index // of the state that is built; nil: none is

	file    *output // nil once it is published or closed
	offset  int64   // of the next byte
	reading reading // without a walker until the prelude has come
	dropped int64   // bytes that were read back and dropped from the page cache
	sound   bool    // everything is read back and is what was announced
	build   *loading
	state   *index.State
}

// Fetch gets a file: from passes its bytes on, from Offset on. Without an error it is published. After an interruption another Fetch goes on
// with the bytes that have come. A published file is moved to the folder aside, since it is damaged, as soon as the new one is there. Without
// such a folder Fetch returns fs.ErrExist for it.
func Fetch(fs disk.FS, dir, aside, name string, size int64, sha [32]byte, from func(*Incoming) error) error {
	i, err := beginIncoming(fs, dir, aside, name, size, sha, nil)
	if err != nil {
		return err
	}
	defer i.Close()
	if err = i.Write(nil); err == nil && !i.sound || errors.Is(err, damage.ErrOtherBytes) { // of an earlier process
		err = from(i)
	}
	if err == nil {
		_, err = i.Finish()
	}
	return err
}

// BeginIncoming begins a file with that published name, size and SHA-256 (those of Reader), or continues its partial file. It removes
// partial files of others, which are never continued. It refuses a name that is no file's of a snapshot, and, before the first byte, a
// size that exceeds the free disk space. For a published file it returns fs.ErrExist. With limits, the state of a snapshot is built while
// the file comes.
func BeginIncoming(fs disk.FS, dir, name string, size int64, sha [32]byte, l *limits.Index) (*Incoming, error) {
	return beginIncoming(fs, dir, "", name, size, sha, l)
}

func beginIncoming(fs disk.FS, dir, aside, name string, size int64, sha [32]byte, l *limits.Index) (*Incoming, error) {
	if !IsFile(name) || size < preludeBytes+tailBytes {
		return nil, fmt.Errorf("receive snapshot: %q of %d bytes is not a file of a snapshot", name, size)
	}
	i, err := &Incoming{fs: fs, dir: dir, aside: aside, name: name, size: size, sha: sha, limits: l}, error(nil)
	if aside == "" {
		err = checkAbsent(fs, i.path())
	}
	if err == nil {
		err = i.removeOthers()
	}
	if err == nil {
		err = i.open()
	}
	if err == nil {
		err = CheckSpace(fs, dir, size-i.offset)
	}
	if err != nil {
		i.Close()
		return nil, i.failed(err)
	}
	return i, nil
}

// CheckSpace returns an error if the disk of a folder lacks the space for some bytes.
func CheckSpace(fs disk.FS, dir string, need int64) error {
	left, err := fs.Free(dir)
	if err == nil && need > left {
		err = fmt.Errorf("%w: it needs %d more bytes, but the disk has only %d free: free space there", syscall.ENOSPC, need, left)
	}
	return err
}

// Name is the name under which the file is published.
func (i *Incoming) Name() string { return i.name }

// Size is that of the whole file.
func (i *Incoming) Size() int64 { return i.size }

// Offset is that of the next byte.
func (i *Incoming) Offset() int64 { return i.offset }

// Path is that of the incomplete file.
func (i *Incoming) Path() string { return join(i.dir, receiving(i.name, i.sha)) }

func (i *Incoming) path() string { return join(i.dir, i.name) }

func (i *Incoming) failed(err error) error {
	return fmt.Errorf("receive snapshot %s: %w", i.path(), err)
}

// removeOthers removes partial files of others.
func (i *Incoming) removeOthers() error {
	names, err := i.fs.List(i.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := parseReceiving(name); ok && name != fileName(i.Path()) {
			err = errors.Join(err, i.fs.Remove(join(i.dir, name)))
		}
	}
	return err
}

// open continues the partial file, or makes one. A file that cannot be continued is replaced.
func (i *Incoming) open() error {
	i.offset, i.reading, i.dropped, i.build = 0, reading{}, 0, nil
	f, err := i.fs.OpenWritable(i.Path())
	if err == nil {
		if i.file = (&output{File: f, writesBack: true}); i.resume() == nil {
			return nil
		}
		i.Abort()
	} else if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	if f, err = i.fs.Create(i.Path()); err == nil {
		i.file = &output{File: f, writesBack: true}
	}
	return err
}

// resume finds the intact blocks of the partial file and cuts the rest. It reads from the disk: the page cache of an
// earlier process proves nothing (doc.go, invariant 5).
func (i *Incoming) resume() error {
	if err := errors.Join(i.file.Datasync(), i.file.DropCache(0, 0)); err != nil {
		return err
	}
	w, err := walk(i.Path(), i.file, nil, readWindow)
	for err == nil {
		i.offset = w.next
		_, err = w.block()
	}
	if !errors.Is(err, damage.ErrDamaged) { // every partial file ends like a cut file
		return err
	}
	if i.offset > i.size {
		return fmt.Errorf("%d bytes are there, %d were announced", i.offset, i.size)
	}
	i.file.offset, i.file.startedBack = i.offset, i.offset
	return i.file.Truncate(i.offset)
}

// Write takes the next bytes. Wrong ones are removed with all before them, which may have come from another place: the error wraps
// damage.ErrOtherBytes, and Offset is 0. Any other error is final.
func (i *Incoming) Write(piece []byte) error {
	if left := i.size - i.offset; i.file == nil || int64(len(piece)) > left {
		return i.failed(fmt.Errorf("%d bytes for %d came, or it is closed", len(piece), left))
	}
	if err := i.file.append(piece); err != nil {
		i.Abort()
		return i.failed(err)
	}
	i.offset += int64(len(piece))
	err := i.readBack()
	if _, ofPart := errors.AsType[*PartError](err); ofPart || !errors.Is(err, damage.ErrDamaged) && !errors.Is(err, damage.ErrFormat) {
		return err
	}
	i.Abort()
	return cmp.Or(i.open(), fmt.Errorf("%w: %w", damage.ErrOtherBytes, err))
}

// readBack reads the complete blocks that have come.
func (i *Incoming) readBack() error {
	if i.reading.walker == nil {
		if i.offset < preludeBytes {
			return nil
		}
		w, err := walk(i.Path(), i.file, sha256.New(), readWindow)
		if err != nil {
			return err
		}
		if i.reading = newReading(w, i.size, ignore{}); i.limits != nil {
			i.build = &loading{limits: *i.limits, reserve: index.NewReserve(), fs: i.fs, files: i.fs, dir: i.dir}
			i.reading = newReading(w, i.size, i.build)
		}
	}
	i.reading.size = i.offset
	for !i.sound && (i.offset == i.size || i.reading.whole()) {
		t, done, err := i.reading.step()
		if done {
			err = i.announced(t)
		}
		// Pages that were read are not read again, and arriving bytes would otherwise need fresh ones. A later call drops pages that still
		// wait to be written.
		if i.reading.next-i.dropped >= snapshotCacheBytes && err == nil {
			i.dropped = i.reading.next
			err = i.file.DropCache(0, i.dropped)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// announced compares the file with its announcement, and finishes the state.
func (i *Incoming) announced(t tail) (err error) {
	m := i.reading.meta
	if t.sha != i.sha {
		return damage.At(i.Path(), i.size-tailPayload, "its SHA-256 is %x, but the sender announced %x", t.sha, i.sha)
	}
	name := Name(m.Index, m.Term)
	if i.reading.part {
		name = partName(m.Index, t.sha)
	}
	if name != i.name {
		return damage.At(i.Path(), preludeBytes+headerBytes, "it holds %s, but the sender announced %s", name, i.name)
	}
	if i.build != nil {
		i.state, err = i.build.finish(i.Path(), m)
	}
	i.sound = err == nil
	return err
}

// Whole reports whether all bytes have come, and are the file's.
func (i *Incoming) Whole() bool { return i.sound }

// TakeState hands over the state of a whole snapshot, and keeps no reference to it.
func (i *Incoming) TakeState() *index.State {
	state := i.state
	i.state, i.build, i.reading.to, i.reading.keys.add = nil, nil, nil, nil
	return state
}

// Finish publishes the whole file, and closes it. If bytes are missing, it changes nothing.
func (i *Incoming) Finish() (Info, error) {
	if i.file == nil || !i.sound {
		return Info{}, i.failed(fmt.Errorf("%d of %d bytes have arrived, or it is closed", i.offset, i.size))
	}
	err := i.file.Sync()
	if err == nil && i.aside != "" && !disk.Gone(i.fs, i.path()) {
		if _, err = SetAside(i.fs, i.path(), i.aside); err != nil {
			err = fmt.Errorf("%w; move it away by hand", err)
		}
	}
	if err == nil {
		f := i.file
		i.file = nil
		err = publish(i.fs, f, i.dir, fileName(i.Path()), i.name)
	}
	if err != nil {
		i.Abort()
		return Info{}, i.failed(err)
	}
	return Info{Meta: i.reading.meta, Path: i.path(), Bytes: i.size}, nil
}

// Close ends it. The bytes that have come stay for another try.
func (i *Incoming) Close() {
	if i.file != nil {
		i.file.Close()
		if i.file = nil; i.offset == 0 {
			_ = i.fs.Remove(i.Path())
		}
	}
}

// Abort ends it, and removes what has come. After Finish it removes nothing.
func (i *Incoming) Abort() {
	i.offset = 0
	i.Close()
}
