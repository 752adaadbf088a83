package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/log/disk"
)

// The small files of a data folder are written in place: a full disk does not block them.
//
//	file = slot, slot                                                    limits.FolderFileBytes each
//	slot = magic, format u32, length u32, number u64, content, CRC u32, zeros    big-endian; CRC-32C of all before it
//
// The magic is "qkvfile\n". A slot has this layout in every format, which distinguishes a file of a newer qkv from a damaged one. The
// content is a struct in the encoding of package codec; a change that an older qkv must not ignore is another format.
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
	slotMagic   = "qkvfile\n"
	slotFormat  = 2
	slotHead    = 8 + 4 + 4 + 8
	slotContent = slotBytes - slotHead - 4
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errChecksum = errors.New("its checksum is wrong")
	errMagic    = errors.New("it does not begin like a file of qkv 0.2 or newer: it is damaged, or was written by an older qkv; docs/upgrading.md says how to move the data of an older qkv")
)

// slot is one half of a small file.
type slot struct {
	format  uint32
	number  uint64
	content []byte
}

func (s slot) encode() []byte {
	b := make([]byte, 0, slotBytes)
	b = append(b, slotMagic...)
	b = binary.BigEndian.AppendUint32(b, s.format)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.content)))
	b = binary.BigEndian.AppendUint64(b, s.number)
	b = append(b, s.content...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:slotBytes]
}

// decodeSlot decodes one half of a small file; the error is errMagic or errChecksum.
func decodeSlot(b []byte) (s slot, err error) {
	if string(b[:len(slotMagic)]) != slotMagic {
		return s, errMagic
	}
	head := b[len(slotMagic):]
	n := binary.BigEndian.Uint32(head[4:])
	if n > slotContent {
		return s, errChecksum
	}
	end := slotHead + n
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return s, errChecksum
	}
	return slot{binary.BigEndian.Uint32(head), binary.BigEndian.Uint64(head[8:]), b[slotHead:end]}, nil
}

// slots is the content of a small file.
type slots struct {
	newest slot
	at     int // the half that holds newest
	same   int // how many slots have the newest number
	whole  int // how many slots are whole
}

// readSlots reads a file from the medium. Without an error the newest slot is whole, and of a known format.
func readSlots(file disk.File) (s slots, err error) {
	b := make([]byte, 2*slotBytes)
	if err := file.DropCache(0, 0); err != nil {
		return s, err
	}
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	err = errMagic
	for i := range 2 {
		one, damage := decodeSlot(b[i*slotBytes : (i+1)*slotBytes])
		switch {
		case damage != nil && s.whole == 0 && damage != errMagic:
			err = damage
		case damage != nil:
		case s.whole == 0 || one.number > s.newest.number:
			s, err = slots{one, i, 1, s.whole + 1}, nil
		default:
			s.whole++
			if one.number == s.newest.number {
				s.same++
			}
		}
	}
	switch {
	case err != nil:
	case s.newest.format < slotFormat:
		err = usagef("it was %w", pack.ErrOlder)
	case s.newest.format > slotFormat:
		err = usagef("it was written by a newer qkv: its format is %d, but this qkv knows only %d: use the version that wrote it, or a newer one", s.newest.format, slotFormat)
	}
	return s, err
}

// read returns the content of a small file on the medium; pending writes of another process are written first.
func (f *folder) read(name string) ([]byte, error) {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Datasync(); err != nil {
		return nil, err
	}
	s, err := readSlots(file)
	return s.newest.content, err
}

// repair makes both slots of a small file hold its content, if a crash between their writes, or damage, has left one without it.
// Otherwise damage to the other slot would bring the older content back, or destroy both. It reports damage.
func (f *folder) repair(name string) (damaged bool, err error) {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return false, nil // there is no file, or its reader reports the error
	}
	defer file.Close()
	s, err := readSlots(file)
	if err != nil {
		return false, nil // as above
	}
	if s.same == 2 {
		return false, nil
	}
	return s.whole < 2, f.write(name, s.newest.content)
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
	s, err := readSlots(file)
	if isDamaged(err) { // a member never overwrites a file that it could not read
		err = fmt.Errorf("both of its copies are damaged: %w", err)
	}
	for _, i := range []int{1 - s.at, s.at} {
		if err == nil {
			_, err = file.WriteAt(slot{slotFormat, s.newest.number + 1, content}.encode(), int64(i)*slotBytes)
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
	half := slot{slotFormat, 1, content}.encode()
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
