package log

import (
	"errors"
	"fmt"
	"io"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log/disk"
	"qkv/log/limits"
)

const (
	// coldFiles is how many segments are kept open for reading: a follower that catches up needs one at a time.
	coldFiles = 4
	// coldGap is how much between two records is read along rather than split into two reads.
	coldGap = 64 << 10
)

// coldReader reads entries by position.
type coldReader struct {
	fs   disk.FS
	list *SegmentList
	open []coldFile
}

type coldFile struct {
	seq  uint64
	file disk.File
}

// publish takes over a new list, and closes what is not in it any more.
func (c *coldReader) publish(list *SegmentList) {
	c.list = list
	kept := c.open[:0]
	for _, f := range c.open {
		if list.find(f.seq) != "" {
			kept = append(kept, f)
		} else {
			_ = f.file.Close() // opened to read
		}
	}
	c.open = kept
}

func (c *coldReader) close() error {
	var err error
	for _, f := range c.open {
		err = errors.Join(err, f.file.Close())
	}
	c.open = nil
	return err
}

// file returns a segment opened for reading.
func (c *coldReader) file(seq uint64) (disk.File, error) {
	for _, f := range c.open {
		if f.seq == seq {
			return f.file, nil
		}
	}
	name := c.list.find(seq)
	if name == "" {
		return nil, fmt.Errorf("reading the log: segment %d is not there any more", seq)
	}
	file, err := c.fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	if len(c.open) == coldFiles {
		_ = c.open[0].file.Close() // opened to read
		c.open = append(c.open[:0], c.open[1:]...)
	}
	c.open = append(c.open, coldFile{seq, file})
	return file, nil
}

// read returns the entries of slots, the first one being entry lo, as far as most allows, but at least one.
func (c *coldReader) read(lo uint64, slots []slot, most uint64) ([]*raftpb.Entry, error) {
	entries := make([]*raftpb.Entry, 0, len(slots[:countWithin(slots, most)]))
	size := uint64(0)
	for len(entries) < cap(entries) {
		n := spanOf(slots[len(entries):cap(entries)])
		span := slots[len(entries) : len(entries)+n]
		b, err := c.span(span)
		if err != nil {
			return nil, err
		}
		for i := range span {
			e, err := c.entry(lo+uint64(len(entries)), &span[i], b[span[i].at.Offset-span[0].at.Offset:])
			if err != nil {
				return nil, err
			}
			if size += uint64(entrySize(e)); size > most && len(entries) > 0 {
				return entries[:len(entries):len(entries)], nil
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// countWithin returns how many slots may be read: their records add up to most, or it is one.
func countWithin(slots []slot, most uint64) int {
	size := uint64(0)
	for i := range slots {
		// An entry in protobuf is at most 2 bytes longer than its record, and mostly shorter.
		if size += uint64(slots[i].at.Length); size > most && i > 0 {
			return i
		}
	}
	return len(slots)
}

// spanOf returns how many slots lie close together in one segment, to be read at once.
func spanOf(slots []slot) int {
	first := slots[0].at
	for i := 1; i < len(slots); i++ {
		before, at := slots[i-1].at, slots[i].at
		gap := at.Offset - (before.Offset + int64(before.Length))
		end := at.Offset + int64(at.Length) - first.Offset
		if at.Segment != first.Segment || gap < 0 || gap > coldGap || end > limits.MessageEntriesBytes {
			return i
		}
	}
	return len(slots)
}

// span reads what lies between the first and the last of some slots.
func (c *coldReader) span(slots []slot) ([]byte, error) {
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
	return nil, &CorruptError{File: file.Name(), Offset: first.Offset, Reason: "records cannot be read", Cause: err}
}

// entry verifies a record and makes it an entry, whose data is part of b.
func (c *coldReader) entry(i uint64, s *slot, b []byte) (*raftpb.Entry, error) {
	r, length, sum, err := readRecord(b[:s.at.Length])
	if err == nil && (length != int(s.at.Length) || sum != s.at.CRC || r.index != i || r.term != s.term) {
		err = fmt.Errorf("the record is of entry %d/%d with checksum %#08x, not of %d/%d with %#08x",
			r.index, r.term, sum, i, s.term, s.at.CRC)
	}
	if err != nil {
		return nil, &CorruptError{File: c.list.find(s.at.Segment), Offset: s.at.Offset, Reason: err.Error()}
	}
	r.data = r.data[:len(r.data):len(r.data)]
	return r.entry(), nil
}
