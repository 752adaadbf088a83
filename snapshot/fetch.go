package snapshot

import (
	"cmp"
	"errors"
	"fmt"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// Incoming is a file that comes from elsewhere and is known by its name, size and SHA-256: a part, or a snapshot without its parts. The
// bytes come in order, from a member or from a backup, and are read back and verified as they come. It is published by Finish alone.
type Incoming struct {
	fs       disk.FS
	dir      string
	limits   *limits.Index // of the state that is built; nil: none is
	receiver *Receiver
	back     *Readback
}

// BeginIncoming begins a file, or continues its partial file: see Receive. With limits, the state of a snapshot is built while the file comes.
func BeginIncoming(fs disk.FS, dir, name string, size int64, sha [32]byte, l *limits.Index) (*Incoming, error) {
	i := &Incoming{fs: fs, dir: dir, limits: l}
	return i, i.begin(name, size, sha)
}

func (i *Incoming) begin(name string, size int64, sha [32]byte) error {
	r, err := Receive(i.fs, i.dir, name, size, sha)
	if err != nil { // after an earlier try, that one refuses further bytes
		return err
	}
	if i.receiver, i.back = r, r.Check(); i.limits != nil {
		i.back = r.Readback(*i.limits)
	}
	return nil
}

// Fetch gets a file: from passes its bytes on, from Offset on. Without an error it is published. After an interruption another Fetch goes on
// with the bytes that have come. For a published file Fetch returns fs.ErrExist.
func Fetch(fs disk.FS, dir, name string, size int64, sha [32]byte, from func(*Incoming) error) error {
	i, err := BeginIncoming(fs, dir, name, size, sha, nil)
	if err != nil {
		return err
	}
	defer i.Close()
	if err = i.Write(nil); err == nil || errors.Is(err, damage.ErrOtherBytes) { // of an earlier process
		err = from(i)
	}
	if err == nil {
		_, err = i.Finish()
	}
	return err
}

// Name is the name under which the file is published.
func (i *Incoming) Name() string { return i.receiver.name }

// Size is that of the whole file.
func (i *Incoming) Size() int64 { return i.receiver.size }

// Offset is that of the next byte.
func (i *Incoming) Offset() int64 { return i.receiver.Offset() }

// Path is that of the incomplete file.
func (i *Incoming) Path() string { return i.receiver.tmp() }

// Write takes the next bytes. Wrong ones are removed with all before them, which may have come from another place: the error wraps
// damage.ErrOtherBytes, and Offset is 0. Any other error is final.
func (i *Incoming) Write(piece []byte) error {
	err := i.receiver.WriteAt(i.receiver.offset, piece)
	if err == nil {
		_, err = i.back.Step(i.receiver.offset)
	}
	if _, ofPart := errors.AsType[*PartError](err); ofPart || !errors.Is(err, damage.ErrDamaged) && !errors.Is(err, damage.ErrFormat) {
		return err
	}
	i.Abort()
	return cmp.Or(i.begin(i.receiver.name, i.receiver.size, i.receiver.sha), fmt.Errorf("%w: %w", damage.ErrOtherBytes, err))
}

// Whole reports whether all bytes have come, and are the file's.
func (i *Incoming) Whole() bool { return i.back.sound }

// TakeState hands over the state of a whole snapshot.
func (i *Incoming) TakeState() *index.State { return i.back.TakeState() }

// Finish publishes the whole file, and closes it.
func (i *Incoming) Finish() (Info, error) {
	i.back.Close()
	return i.receiver.Finish(i.back)
}

// Close ends it. The bytes that have come stay for another try.
func (i *Incoming) Close() {
	if i.back.Close(); i.receiver.offset == 0 {
		i.receiver.Abort()
	}
	i.receiver.Close()
}

// Abort ends it, and removes what has come. After Finish it removes nothing.
func (i *Incoming) Abort() {
	i.back.Close()
	i.receiver.Abort()
}
