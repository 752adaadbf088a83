package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// The small files of a data folder are written in place: a full disk does not block them. A file is two slots of limits.FolderFileBytes each.
// A slot is a prelude (package damage) with a number and the content, and zeros. The content is a struct in the encoding of package codec; a
// change that an older qkv must not ignore is another format.
//
// A file that ends too early has a damaged slot. Bytes behind the second slot are ignored.
//
// The slot with the higher number has the newer content. A write replaces the older slot first, or the damaged one, syncs it, and then
// replaces the other slot with the same content. So a crash leaves at least one slot whole, with the old or the new content, and between
// two writes damage to one slot loses nothing.
//
// A file is read from the medium. After a failed sync, or after a process that was killed before its sync, the page cache shows a slot
// that may never have reached the medium. A member that believed this slot would act on a content that a power cut takes back, and would
// write over the other slot, which is the only whole one.

const (
	slotBytes   = limits.FolderFileBytes
	slotContent = slotBytes - damage.PreludeBytes
)

var slotFormat = damage.Format{Magic: "qkvslot\n", Version: 1, Older: "qkvfile\n"}

// slotOf returns one half of a small file.
func slotOf(f damage.Format, number uint64, content []byte) []byte {
	return f.Append(make([]byte, 0, slotBytes), 0, number, content)[:slotBytes]
}

// slots is the content of a small file.
type slots struct {
	newest damage.Prelude
	at     int // the half that holds newest
	same   int // how many slots have the newest number
	whole  int // how many slots are whole
}

// readSlots reads a file from the medium. Without an error the newest slot is whole, and of a known format.
func readSlots(name string, file disk.File) (s slots, err error) {
	b := make([]byte, 2*slotBytes)
	if err := file.DropCache(0, 0); err != nil {
		return s, err
	}
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	var faults [2]error
	for i := range 2 {
		one, fault := slotFormat.Read(name, int64(i)*slotBytes, b[i*slotBytes:(i+1)*slotBytes])
		switch {
		case fault != nil:
			faults[i] = fault
		case s.whole == 0 || one.Number > s.newest.Number:
			s = slots{one, i, 1, s.whole + 1}
		default:
			s.whole++
			if one.Number == s.newest.Number {
				s.same++
			}
		}
	}
	switch {
	case s.whole > 0:
		return s, slotFormat.Known(name, s.newest)
	case errors.Is(faults[0], damage.ErrFormat):
		return s, faults[0]
	}
	return s, fmt.Errorf("%w; %w", faults[0], faults[1])
}

// read returns the content of a small file on the medium; pending writes of another process are written first.
func (f *folder) read(name string) ([]byte, error) {
	file, err := f.fs.Open(f.path(name))
	if errors.Is(err, disk.ErrNotRegular) {
		return nil, damage.Of(f.path(name), 0, err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Datasync(); err != nil {
		return nil, err
	}
	s, err := readSlots(f.path(name), file)
	return s.newest.Content, err
}

// repair makes both slots of a small file hold its content, if a crash between their writes, or damage, has left one without it.
// Otherwise damage to the other slot would bring the older content back, or destroy both. It reports damage.
func (f *folder) repair(name string) (damaged bool, err error) {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return false, nil // there is no file, or its reader reports the error
	}
	defer file.Close()
	s, err := readSlots(f.path(name), file)
	if err != nil {
		return false, nil // as above
	}
	if s.same == 2 {
		return false, nil
	}
	return s.whole < 2, f.write(name, s.newest.Content)
}

// write replaces the content of a small file, durably.
func (f *folder) write(name string, content []byte) error {
	if err := f.writeSlots(name, content); err != nil {
		return fmt.Errorf("write %s: %w", f.path(name), err)
	}
	return nil
}

func (f *folder) writeSlots(name string, content []byte) error {
	if len(content) > slotContent {
		return fmt.Errorf("%d bytes are over the limit of %d", len(content), slotContent)
	}
	file, err := f.fs.OpenWritable(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return f.createSlots(name, content)
	}
	if err != nil {
		return err
	}
	s, err := readSlots(f.path(name), file)
	for _, i := range []int{1 - s.at, s.at} {
		if err == nil { // a member never overwrites a file that it could not read
			_, err = file.WriteAt(slotOf(slotFormat, s.newest.Number+1, content), int64(i)*slotBytes)
		}
		if err == nil {
			err = file.Datasync()
		}
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	return err
}

// createSlots creates a small file under another name, and renames it when it is durable.
func (f *folder) createSlots(name string, content []byte) error {
	temporary := f.path(name + ".tmp")
	if err := f.fs.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.fs.Create(temporary)
	if err != nil {
		return err
	}
	half := slotOf(slotFormat, 1, content)
	_, err = file.WriteAt(append(half, half...), 0)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = f.fs.Rename(temporary, f.path(name))
	}
	if err == nil {
		err = f.fs.SyncDir(f.dir)
	}
	return err
}
