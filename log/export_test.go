package log

import (
	"errors"

	"go.etcd.io/raft/v3/raftpb"
)

// LastIndexOf is LastIndex without its error.
func (w *Window) LastIndexOf() uint64 { return w.last() }

// HotBytes is what is in memory.
func (w *Window) HotBytes() int64 { return w.hotBytes }

// ChunkBytes is what older entries take in memory.
func (w *Window) ChunkBytes() (n int64) {
	for _, c := range w.chunks {
		n += c.bytes
	}
	return n
}

// Storage is a window whose older entries are read when they are asked for, as the log reader does.
type Storage struct {
	*Window
	Reader *Reader
}

func (s Storage) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	for range 3 {
		entries, err := s.Window.Entries(lo, hi, maxSize)
		if err != nil || len(entries) > 0 || lo == hi {
			return entries, err
		}
		for _, order := range s.TakeWanted(nil) {
			read, err := s.Reader.Read(order)
			if _, _, err = s.Load(order, read, err); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("three times nothing was there")
}

// Names are the paths of the segments.
func (s *SegmentList) Names() (names []string) {
	for _, l := range s.segments {
		names = append(names, l.name)
	}
	return names
}

// Bounds, for tests.
const (
	ColdReadBytes  = coldReadBytes
	SpareStepBytes = spareStepBytes
)
