package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// The small files of a data folder are written in place, so that a full disk holds nothing up:
//
//	file = slot, slot                                      limits.FolderFileBytes each
//	slot = number u64, length u32, content, CRC u32, zeros    big-endian; CRC-32C of all before it
//
// What a file lacks at its end is damage to a slot like any other, and what it has too much is nothing.
//
// The higher number is the newer content. What is replaced is the older slot first, or the damaged one, and when that is
// synced the other one, which then holds the same: a crash leaves at least one slot whole, with the content before or with
// the new one, and between two writes damage to one slot loses nothing.
//
// What is read is what the medium has: after a failed sync, or in the place of a process that was killed before its sync,
// the page cache shows a slot that may never have got there. Who believed it would act on what a loss of power takes back,
// and write over the other slot, which is the only whole one.

const (
	slotBytes   = limits.FolderFileBytes
	slotHead    = 8 + 4
	slotContent = slotBytes - slotHead - 4
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errChecksum = errors.New("its checksum is wrong")
)

// encodeSlot returns a slot's bytes.
func encodeSlot(number uint64, content []byte) []byte {
	b := make([]byte, 0, slotBytes)
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = append(b, content...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:slotBytes]
}

// decodeSlot returns what a slot holds, if it is whole.
func decodeSlot(b []byte) (number uint64, content []byte, whole bool) {
	n := binary.BigEndian.Uint32(b[8:])
	if n > slotContent {
		return 0, nil, false
	}
	end := slotHead + n
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(b), b[slotHead:end], true
}

// readSlots returns a file's newest content, its number, and in which slot it is, as they are on the medium.
func readSlots(file disk.File) (content []byte, number uint64, at int, err error) {
	b := make([]byte, 2*slotBytes)
	if err := file.DropCache(0, 0); err != nil {
		return nil, 0, 0, err
	}
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, 0, err
	}
	err = errChecksum
	for i := range 2 {
		if n, c, whole := decodeSlot(b[i*slotBytes : (i+1)*slotBytes]); whole && (err != nil || n > number) {
			content, number, at, err = c, n, i, nil
		}
	}
	return content, number, at, err
}

// read returns the content of a small file, as it is on the medium: what another process has left to be written is
// written first.
func (f *folder) read(name string) ([]byte, error) {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Datasync(); err != nil {
		return nil, err
	}
	content, _, _, err := readSlots(file)
	return content, err
}

// repair makes both slots of a small file hold its content, where a crash between their writes or damage has left one that does not:
// the next damage, to the other one, would bring the older content back, or take both. It tells of damage.
func (f *folder) repair(name string) (damaged bool, err error) {
	file, err := f.fs.Open(f.path(name))
	if err != nil {
		return false, nil // there is none, or who needs it says what is wrong
	}
	defer file.Close()
	content, number, _, err := readSlots(file)
	if err != nil {
		return false, nil // as above
	}
	b := make([]byte, 2*slotBytes)
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	same := 0
	for i := range 2 {
		n, _, whole := decodeSlot(b[i*slotBytes : (i+1)*slotBytes])
		damaged = damaged || !whole
		if whole && n == number {
			same++
		}
	}
	if same == 2 {
		return false, nil
	}
	return damaged, f.write(name, content)
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
	_, number, newest, err := readSlots(file)
	if errors.Is(err, errChecksum) { // nobody writes what it could not read
		err = fmt.Errorf("both of its halves are damaged: %w", err)
	}
	for _, i := range []int{1 - newest, newest} {
		if err == nil {
			_, err = file.WriteAt(encodeSlot(number+1, content), int64(i)*slotBytes)
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

// createSlots makes a small file under another name, and renames it when it is durable.
func (f *folder) createSlots(name string, content []byte) error {
	temporary := f.path(name + ".tmp")
	if err := f.fs.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.fs.Create(temporary)
	if err != nil {
		return err
	}
	slot := encodeSlot(1, content)
	_, err = file.WriteAt(append(slot, slot...), 0)
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
