package log

import (
	"fmt"
	"math/bits"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/log/disk"
	"qkv/log/limits"
)

// Window is the log as raft reads it: all its entries by position, the newest of them in memory. It is owned by
// consensus, which fills it from what the log writer reports, so that it holds only what is durable. It implements
// raft.Storage.
//
// Invariants:
//
//  1. slots[i] is entry base+1+i.
//  2. The entries from hot on are in memory, and no others; their sizes add up to hotBytes, which is at most
//     most unless one entry alone is larger.
type Window struct {
	hard *raftpb.HardState
	conf *raftpb.ConfState
	snap *raftpb.Snapshot

	base      uint64 // the entry before the first one
	baseTerm  uint64
	baseKnown bool // false only between recovery and Release, when older entries were superseded
	slots     []slot
	hot       uint64
	hotBytes  int64
	most      int64 // that hotBytes may be

	cold coldReader
}

// slot is an entry's place, and the entry while it is hot.
type slot struct {
	at    Position
	term  uint64
	entry *raftpb.Entry
}

var _ raft.Storage = (*Window)(nil)

func newWindow(d disk.FS, base, baseTerm uint64) *Window {
	return &Window{base: base, baseTerm: baseTerm, baseKnown: true, hot: base + 1, most: limits.WindowBytes, cold: coldReader{fs: d}}
}

func (w *Window) first() uint64 { return w.base + 1 }

func (w *Window) last() uint64 { return w.base + uint64(len(w.slots)) }

func (w *Window) lastTerm() uint64 {
	if len(w.slots) == 0 {
		return w.baseTerm
	}
	return w.slots[len(w.slots)-1].term
}

// Append takes over entries that are durable at their positions. They replace those from the first one's index on.
func (w *Window) Append(entries []*raftpb.Entry, at []Position) {
	if len(entries) != len(at) {
		panic(fmt.Sprintf("log: %d entries at %d positions", len(entries), len(at)))
	}
	for i, e := range entries {
		if e.GetIndex() <= w.base {
			continue // released since it was handed to the log writer
		}
		w.put(e.GetIndex(), slot{at[i], e.GetTerm(), e})
		w.hotBytes += entrySize(e)
	}
	w.cool()
}

// put sets an entry, and drops those behind it.
func (w *Window) put(i uint64, s slot) {
	if i > w.last()+1 {
		panic(fmt.Sprintf("log: entry %d after entry %d", i, w.last()))
	}
	if i <= w.last() {
		w.truncate(i)
	}
	w.slots = append(w.slots, s)
}

// truncate drops the entries from one on.
func (w *Window) truncate(from uint64) {
	tail := w.slots[from-w.base-1:]
	for i := range tail {
		if tail[i].entry != nil {
			w.hotBytes -= entrySize(tail[i].entry)
		}
	}
	clear(tail)
	w.slots = w.slots[:from-w.base-1]
	w.hot = min(w.hot, from)
}

// cool lets go of the oldest entries in memory.
func (w *Window) cool() {
	for w.hotBytes > w.most && w.hot < w.last() {
		s := &w.slots[w.hot-w.base-1]
		w.hotBytes -= entrySize(s.entry)
		s.entry = nil
		w.hot++
	}
}

// recall takes over an entry that recovery found. An entry below the first one means that what was before it has been
// superseded and released: the log begins with it, and the term before it is not known.
func (w *Window) recall(i, term uint64, at Position) {
	if i <= w.base {
		w.base, w.baseTerm, w.baseKnown = i-1, 0, false
		w.slots = w.slots[:0]
	}
	w.put(i, slot{at: at, term: term})
	w.hot = w.last() + 1
}

// Publish hands in the segments that cold reads go to.
func (w *Window) Publish(list *SegmentList) { w.cold.publish(list) }

// Release drops the entries up to one, of a term: a snapshot holds what they did.
func (w *Window) Release(upTo, term uint64) {
	if upTo < w.base || upTo == w.base && w.baseKnown {
		return
	}
	if upTo > w.last() {
		panic(fmt.Sprintf("log: release up to %d, the last entry is %d", upTo, w.last()))
	}
	n := upTo - w.base
	if n > 0 && w.slots[n-1].term != term {
		panic(fmt.Sprintf("log: release up to %d of term %d, it has term %d", upTo, term, w.slots[n-1].term))
	}
	for i := range w.slots[:n] {
		if e := w.slots[i].entry; e != nil {
			w.hotBytes -= entrySize(e)
		}
	}
	w.slots = slices.Clone(w.slots[n:])
	w.base, w.baseTerm, w.baseKnown = upTo, term, true
	w.hot = max(w.hot, upTo+1)
}

// Reset makes the log begin after a marker.
func (w *Window) Reset(m Marker) {
	w.base, w.baseTerm, w.baseKnown = m.Index, m.Term, true
	w.slots, w.hot, w.hotBytes = nil, m.Index+1, 0
}

// SetInitial hands in what InitialState returns.
func (w *Window) SetInitial(hs HardState, conf *raftpb.ConfState) {
	w.hard = &raftpb.HardState{Term: &hs.Term, Vote: &hs.Vote, Commit: &hs.Commit}
	w.conf = conf
}

// SetSnapshot hands in what Snapshot returns, nil for none.
func (w *Window) SetSnapshot(snap *raftpb.Snapshot) { w.snap = snap }

// InitialState implements raft.Storage.
func (w *Window) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return w.hard, raftpb.EnsureConfState(w.conf), nil
}

// FirstIndex implements raft.Storage.
func (w *Window) FirstIndex() (uint64, error) { return w.first(), nil }

// LastIndex implements raft.Storage.
func (w *Window) LastIndex() (uint64, error) { return w.last(), nil }

// Term implements raft.Storage.
func (w *Window) Term(i uint64) (uint64, error) {
	switch {
	case i < w.base || i == w.base && !w.baseKnown:
		return 0, raft.ErrCompacted
	case i == w.base:
		return w.baseTerm, nil
	case i > w.last():
		return 0, raft.ErrUnavailable
	default:
		return w.slots[i-w.base-1].term, nil
	}
}

// Snapshot implements raft.Storage.
func (w *Window) Snapshot() (*raftpb.Snapshot, error) {
	if w.snap == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return w.snap, nil
}

// Entries implements raft.Storage. What is not in memory is read from the disk and verified, at most
// limits.MessageEntriesBytes of it, unless the first entry alone is larger.
func (w *Window) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	switch {
	case lo <= w.base:
		return nil, raft.ErrCompacted
	case hi > w.last()+1:
		return nil, raft.ErrUnavailable
	case lo >= hi:
		return nil, nil
	case lo < w.hot:
		slots := w.slots[lo-w.base-1 : min(hi, w.hot)-w.base-1]
		entries, err := w.cold.read(lo, slots, min(maxSize, limits.MessageEntriesBytes))
		if err != nil || len(entries) < len(slots) || hi <= w.hot {
			return entries, err
		}
		return w.warm(entries, w.hot, hi, maxSize), nil
	default:
		return w.warm(nil, lo, hi, maxSize), nil
	}
}

// warm appends entries from memory as far as the size allows.
func (w *Window) warm(entries []*raftpb.Entry, lo, hi, maxSize uint64) []*raftpb.Entry {
	size := uint64(0)
	for _, e := range entries {
		size += uint64(entrySize(e))
	}
	slots := w.slots[lo-w.base-1 : hi-w.base-1]
	n := 0
	for ; n < len(slots); n++ {
		size += uint64(entrySize(slots[n].entry))
		if size > maxSize && len(entries)+n > 0 {
			break
		}
	}
	entries = slices.Grow(entries, n)
	for i := range slots[:n] {
		entries = append(entries, slots[i].entry)
	}
	return entries[:len(entries):len(entries)]
}

// Close closes the files that cold reads have opened.
func (w *Window) Close() error { return w.cold.close() }

// entrySize is the length of an entry in protobuf, which raft's limits count.
func entrySize(e *raftpb.Entry) int64 {
	n := int64(0)
	if e.Type != nil {
		n += 1 + varint(uint64(*e.Type))
	}
	if e.Term != nil {
		n += 1 + varint(*e.Term)
	}
	if e.Index != nil {
		n += 1 + varint(*e.Index)
	}
	if e.Data != nil {
		n += 1 + varint(uint64(len(e.Data))) + int64(len(e.Data))
	}
	return n
}

func varint(v uint64) int64 { return int64(bits.Len64(v|1)+6) / 7 }
