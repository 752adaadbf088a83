package log

import (
	"errors"
	"fmt"
	"io"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/damage"
	"qkv/log/disk"
)

const (
	// coldFiles is how many segments stay open for reading: a follower that catches up needs one at a time.
	coldFiles = 4
	// coldGap is the largest gap between two records that one read spans; a larger gap splits the read in two.
	coldGap = 64 << 10
)

// ColdRead is an order to read entries that are no longer in memory. It holds their positions at the time of the order.
type ColdRead struct {
	first    uint64 // the first entry; slots[i] is entry first+i
	slots    []slot
	segments *SegmentList
}

// next is the index after the last entry.
func (c ColdRead) next() uint64 { return c.first + uint64(len(c.slots)) }

// Empty reports whether the order has no entries.
func (c ColdRead) Empty() bool { return len(c.slots) == 0 }

// Reader reads entries that are no longer in memory (ColdRead) from the segments. It blocks on the disk, so it has an
// actor of its own.
type Reader struct {
	fs   disk.FS
	list *SegmentList
	open []coldFile // at most coldFiles; the last opened is at the end
}

type coldFile struct {
	seq  uint64
	file disk.File
}

// NewReader returns a reader of the logs on a file system.
func NewReader(fs disk.FS) *Reader { return &Reader{fs: fs} }

// Read returns the entries, verified. It may fail for entries that were released or replaced since the order was given.
func (c *Reader) Read(order ColdRead) ([]*raftpb.Entry, error) {
	c.use(order.segments)
	entries := make([]*raftpb.Entry, 0, len(order.slots))
	for len(entries) < len(order.slots) {
		rest := order.slots[len(entries):]
		span := rest[:spanOf(rest)]
		b, err := c.span(span)
		if err != nil {
			return nil, err
		}
		for i := range span {
			e, err := c.entry(order.first+uint64(len(entries)), &span[i], b[span[i].at.Offset-span[0].at.Offset:])
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// use takes over a list of segments, and closes files that are not in it.
func (c *Reader) use(list *SegmentList) {
	if c.list == list {
		return
	}
	c.list = list
	kept := c.open[:0]
	for _, f := range c.open {
		if list.find(f.seq) != "" {
			kept = append(kept, f)
		} else {
			_ = f.file.Close() // read only: Close loses nothing
		}
	}
	c.open = kept
}

// Close closes all open files.
func (c *Reader) Close() error {
	var err error
	for _, f := range c.open {
		err = errors.Join(err, f.file.Close())
	}
	c.open = nil
	return err
}

// file returns a segment opened for reading.
func (c *Reader) file(seq uint64) (disk.File, error) {
	for _, f := range c.open {
		if f.seq == seq {
			return f.file, nil
		}
	}
	name := c.list.find(seq)
	if name == "" {
		return nil, fmt.Errorf("reading the log: segment %d no longer exists", seq)
	}
	file, err := c.fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	file.NoReadahead() // the log's syncs wait for what is read
	if len(c.open) == coldFiles {
		_ = c.open[0].file.Close() // read only: Close loses nothing
		c.open = append(c.open[:0], c.open[1:]...)
	}
	c.open = append(c.open, coldFile{seq, file})
	return file, nil
}

// countWithin returns how many slots one order may read, and the bytes of their records: at most most bytes, or one
// slot.
func countWithin(slots []slot, most uint64) (n int, bytes int64) {
	for i := range slots {
		// An entry in protobuf is at most 2 bytes longer than its record, and usually shorter.
		record := int64(slots[i].at.Length)
		if bytes+record > int64(most) && i > 0 {
			return i, bytes
		}
		bytes += record
	}
	return len(slots), bytes
}

// spanOf returns how many slots lie close together in one segment, for one read.
func spanOf(slots []slot) int {
	first := slots[0].at
	for i := 1; i < len(slots); i++ {
		before, at := slots[i-1].at, slots[i].at
		gap := at.Offset - (before.Offset + int64(before.Length))
		end := at.Offset + int64(at.Length) - first.Offset
		if at.Segment != first.Segment || gap < 0 || gap > coldGap || end > coldReadBytes {
			return i
		}
	}
	return len(slots)
}

// span reads the bytes from the first to the last of these slots.
func (c *Reader) span(slots []slot) ([]byte, error) {
	first, last := slots[0].at, slots[len(slots)-1].at
	file, err := c.file(first.Segment)
	if err != nil {
		return nil, err
	}
	b := make([]byte, last.Offset+int64(last.Length)-first.Offset)
	n, err := file.ReadAt(b, first.Offset)
	if n == len(b) {
		return b, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return nil, advised(damage.At(file.Name(), first.Offset, "records cannot be read: %w", err))
}

// entry verifies a record and decodes it to an entry, whose data is part of b.
func (c *Reader) entry(i uint64, s *slot, b []byte) (*raftpb.Entry, error) {
	r, length, sum, err := readRecord(b[:s.at.Length])
	if err == nil && (length != int(s.at.Length) || sum != s.at.CRC || r.index != i || r.term != s.term) {
		err = fmt.Errorf("the record is of entry %d/%d with checksum %#08x, not of %d/%d with %#08x",
			r.index, r.term, sum, i, s.term, s.at.CRC)
	}
	if err != nil {
		return nil, advised(damage.At(c.list.find(s.at.Segment), s.at.Offset, "%v", err))
	}
	r.data = r.data[:len(r.data):len(r.data)]
	return r.entry(), nil
}
