package log

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// Log is a member's log, open for appending. One actor, the log writer, owns it: it has no goroutine, lock or clock.
//
// Invariants:
//
//  1. hard, last and lastTerm are the state that was handed in; durable is the state that a restart certainly finds.
//     They are equal when the group is empty, except for hard.Commit.
//  2. In the active segment, the bytes below syncedTo are synced and never written again. writeAt equals syncedTo, or
//     is above it by fences that were not synced.
//  3. segments are in order, and the last one is active. Each other one was synced to its end before the next one was
//     written.
//  4. After the first error nothing more is written, unless the error was a lack of disk space.
//  5. The active segment may hold anything from writeAt to soiled, because a write there found no space. That range is
//     zeroed before anything else is written there, so that no frame of the failed write follows a later frame.
type Log struct {
	// Set by Open, then constant.
	o Options

	// The input.
	group          group     // the frames that the next Sync writes
	written        int       // number of its frames that are durable: a Sync found no space for the others
	hard           HardState // the newest; only Commit may be newer than the group's
	voteDirty      bool      // Term or Vote differ from durable.hard
	last, lastTerm uint64    // of the newest entry, including the group's

	// The files.
	segments []*segment
	file     disk.File // of the active segment
	// the active segment takes no more frames: its end is torn, and the disk has no space for the next one
	full           bool
	fresh          bool         // the active segment's header is written with its first group
	seed           uint32       // of the active segment's frames
	chain          uint32       // the sum of the newest encoded header; the next frame's prev
	writeAt        int64        // where the next frame of the active segment begins; a multiple of pageBytes
	syncedTo       int64        // everything in the active segment below it is synced; at most writeAt
	syncedBy       uint32       // chain value at syncedTo
	soiled         int64        // end of a write that found no space; 0 if later writes succeeded
	syncUnrecorded bool         // no frame states yet that the last group is synced
	spares         []string     // paths, ordered by number
	released       []string     // paths of files that hold nothing of the log, until TakeReleased
	damaged        []string     // paths of released files that are damaged, until TakeDamaged
	nextPages      []NextPage   // pages to write into segments, until TakeNextPages
	list           *SegmentList // of segments

	durable          durable
	encodedHardState HardState // in the newest encoded header, written or not
	writtenHardState HardState // in the newest written header, synced or not
	groups           int64     // see Stats; also the next two
	records          int64
	inlined          int64
	finished         error // the final error: nothing more is written
}

// durable is the state that a restart certainly finds.
type durable struct {
	last, lastTerm uint64
	hard           HardState
}

// Append adds to the group in memory: the hard state unless it is nil, and the entries, which replace all entries from
// the first one's index on. The next Sync makes both durable. A hard state that changes only Commit causes no write:
// the next frame carries it. The caller must never change the entries afterwards.
func (l *Log) Append(hs *HardState, entries []*raftpb.Entry) {
	if l.finished != nil {
		return
	}
	if hs != nil {
		l.setHard(*hs)
	}
	for _, e := range entries {
		l.appendEntry(e)
	}
}

// setHard takes over a hard state. Term and vote must not go back.
func (l *Log) setHard(hs HardState) {
	old := l.hard
	if hs.Term < old.Term || hs.Term == old.Term && old.Vote != 0 && hs.Vote != old.Vote {
		panic(fmt.Sprintf("log: term %d vote %d after term %d vote %d", hs.Term, hs.Vote, old.Term, old.Vote))
	}
	if hs.Term != old.Term || hs.Vote != old.Vote {
		l.voteDirty = true
	}
	hs.Commit = max(hs.Commit, old.Commit)
	l.hard = hs
}

// SetCommit gives the next frame a newer commit index. It causes no write.
func (l *Log) SetCommit(commit uint64) { l.hard.Commit = max(l.hard.Commit, commit) }

func (l *Log) appendEntry(e *raftpb.Entry) {
	r := record{index: e.GetIndex(), term: e.GetTerm(), kind: uint64(e.GetType()), data: e.GetData()}
	size := len(r.data) + recordOverhead
	switch {
	case r.index == 0 || r.index > l.last+1:
		panic(fmt.Sprintf("log: entry %d after entry %d", r.index, l.last))
	case r.index == l.last+1 && r.term < l.lastTerm:
		panic(fmt.Sprintf("log: entry %d of term %d after term %d", r.index, r.term, l.lastTerm))
	case size > limits.RecordBytes:
		panic(fmt.Sprintf("log: entry %d of %d bytes, at most %d", r.index, len(r.data), limits.RecordBytes-recordOverhead))
	case r.kind >= kindMarker:
		panic(fmt.Sprintf("log: entry %d of unknown kind %d", r.index, r.kind))
	}
	if !l.group.takes(r.index, r.term, size, l.o.frameMost()) {
		l.group.begin(kindEntries, r.index, l.last, l.lastTerm)
	}
	l.group.add(r)
	l.last, l.lastTerm = r.index, r.term
}

// Reset makes the log begin anew after a marker: an installed snapshot supersedes everything before it.
func (l *Log) Reset(m Marker) {
	if l.finished != nil {
		return
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.ConfState)
	if err != nil || m.Index == 0 || len(data)+recordOverhead > limits.RecordBytes {
		panic(fmt.Sprintf("log: reset to %d/%d with a ConfState of %d bytes: %v", m.Index, m.Term, len(data), err))
	}
	f := l.group.begin(kindReset, m.Index+1, l.last, l.lastTerm)
	f.marker = m
	l.group.add(record{index: m.Index, term: m.Term, kind: kindMarker, data: data})
	l.last, l.lastTerm = m.Index, m.Term
	l.hard.Commit = max(l.hard.Commit, m.Index)
}

// Forget drops the frames of the group that no Sync has written because the disk had no space. A Reset follows, which
// supersedes them. Term and vote stay.
func (l *Log) Forget() {
	l.group.reset()
	l.written = 0
	l.last, l.lastTerm = l.durable.last, l.durable.lastTerm
}

// Pending returns how many bytes the next Sync writes.
func (l *Log) Pending() int64 {
	if len(l.group.frames) == 0 {
		return 0
	}
	return int64(len(l.group.buf) - pageBytes)
}

// Fits reports whether a group with this many bytes of records needs no new file: it fits into the active segment or a
// spare.
func (l *Log) Fits(bytes int64) bool {
	if !l.full && bytes <= l.active().size-l.writeAt-keptBytes {
		return true
	}
	return len(l.spares) > 0 && bytes <= l.o.SegmentBytes-pageBytes-keptBytes
}

// Unsynced reports whether the next Sync makes anything durable: a group, or only a new Term or Vote.
func (l *Log) Unsynced() bool { return l.voteDirty || len(l.group.frames) > 0 }

// Sync makes the group durable by one write and one fdatasync, or by more if the group does not fit into the active
// segment. It returns the positions of the entries appended since the last Sync, in order. Without a group it does
// nothing. Every error except ErrNoSpace is final: the content of the disk is unknown, and the caller ends the process.
func (l *Log) Sync() ([]Position, error) {
	if l.finished != nil {
		return nil, l.finished
	}
	for l.voteDirty && len(l.group.frames) < 2 {
		l.group.begin(kindState, l.last+1, l.last, l.lastTerm)
	}
	if len(l.group.frames) == 0 {
		return nil, nil
	}
	l.group.close()
	l.group.closed = true
	for l.written < len(l.group.frames) {
		to := l.fitting(l.written)
		if to == l.written || l.written == 0 && l.leaves() {
			err := l.rotate(l.written)
			if errors.Is(err, ErrNoSpace) {
				return nil, err
			}
			if err != nil {
				return nil, l.finish(err)
			}
			continue
		}
		err := l.write(l.written, to, l.group.positions)
		if errors.Is(err, ErrNoSpace) {
			return nil, err
		}
		if err != nil {
			return nil, l.finish(err)
		}
		l.written = to
	}
	positions := slices.Clone(l.group.positions)
	l.voteDirty, l.written = false, 0
	l.group.reset()
	return positions, nil
}

// finish makes an error final.
func (l *Log) finish(err error) error {
	l.finished = fmt.Errorf("the log cannot go on: %w", err)
	return l.finished
}

// fitting returns the end of the range of frames, beginning with from, that fits into the active segment beside its
// reserved pages.
func (l *Log) fitting(from int) int {
	if l.full {
		return from
	}
	room := l.active().size - l.writeAt - keptBytes
	start, to := l.group.frames[from].at, from
	for to < len(l.group.frames) && int64(l.group.end(to)-start) <= room {
		to++
	}
	return to
}

// write makes frames durable at the end of the active segment, with the segment's header if they are its first frames.
func (l *Log) write(from, to int, positions []Position) error {
	if err := l.clean(); err != nil {
		return err
	}
	g, chain, encoded := &l.group, l.chain, l.encodedHardState
	start := g.frames[from].at
	shift := l.writeAt - int64(start) // from buffer offsets to file offsets
	if l.fresh {
		l.sealHeader(g.buf[start-pageBytes : start])
		start -= pageBytes // earlier frames, if any, are already durable in the segment before
	}
	for i := from; i < to; i++ {
		l.sealFrame(i, shift)
	}
	if err := l.writeAndSync(g.buf[start:g.end(to-1)], int64(start)+shift); err != nil {
		l.chain, l.encodedHardState = chain, encoded
		return err
	}
	l.place(from, to, shift, positions)
	l.groups++
	return nil
}

func (l *Log) sealHeader(page []byte) {
	clear(page)
	l.encodedHardState = l.active().header.hard
	l.chain = l.active().header.seal(page)
}

// sealFrame encodes the header of frame i, once its place is known.
func (l *Log) sealFrame(i int, shift int64) {
	h := l.group.header(i)
	at := l.group.frames[i].at
	h.seq, h.offset = l.active().seq, int64(at)+shift
	h.synced, h.hard, h.prev, h.prevEnd = l.syncedTo, l.hard, l.chain, l.active().header.prevEnd
	if i < len(l.group.frames)-1 {
		h.hard = l.hardBeforeLast()
	}
	l.encodedHardState = h.hard
	l.chain = h.seal(l.group.buf[at:at+headerBytes], l.seed)
}

// hardBeforeLast is the hard state for every header except the last one of a group. It holds the old commit index: the
// new one may cover entries that follow in the group, and a torn write may leave older entries in their places.
func (l *Log) hardBeforeLast() HardState {
	return HardState{Term: l.hard.Term, Vote: l.hard.Vote, Commit: l.writtenHardState.Commit}
}

// writeAndSync writes and syncs to the active segment. A write that finds no space changes nothing. Reserved space can
// be missing: a copied file may have holes, and some file systems never write in place.
func (l *Log) writeAndSync(b []byte, at int64) error {
	if err := l.file.WritePages(b, at); err != nil {
		err = fmt.Errorf("writing %d bytes at byte %d of %s: %w", len(b), at, l.file.Name(), err)
		if errors.Is(err, syscall.ENOSPC) {
			l.soiled = at + int64(len(b))
			err = fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
		return err
	}
	if err := l.file.Datasync(); err != nil {
		return fmt.Errorf("syncing %s: %w", l.file.Name(), err)
	}
	l.writeAt = at + int64(len(b))
	l.syncedTo, l.syncedBy = l.writeAt, l.chain
	if l.fresh {
		l.sayNext()
	}
	l.fresh, l.syncUnrecorded = false, true
	l.writtenHardState = l.encodedHardState
	return nil
}

// clean zeroes the remains of a write that found no space.
func (l *Log) clean() error {
	if l.soiled == 0 {
		return nil
	}
	from := l.writeAt // behind a fence, which is not synced and stays
	if l.fresh {
		from = 0
	}
	for at := from; at < l.soiled; at += zeroStep {
		err := l.file.WriteZeros(int(min(zeroStep, l.soiled-at)), at)
		if errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
		if err != nil {
			return fmt.Errorf("cleaning %s: %w", l.file.Name(), err)
		}
	}
	if err := l.file.Datasync(); err != nil {
		return fmt.Errorf("syncing %s: %w", l.file.Name(), err)
	}
	l.soiled = 0
	return nil
}

// place updates the state for frames that are now durable.
func (l *Log) place(from, to int, shift int64, positions []Position) {
	g := &l.group
	for i := from; i < to; i++ {
		f := &g.frames[i]
		switch f.kind {
		case kindEntries:
			l.supersede(f.first-1, f.next()-1)
			l.durable.last, l.durable.lastTerm = f.next()-1, f.runs[len(f.runs)-1].term
		case kindReset:
			l.supersede(0, f.marker.Index)
			l.durable.last, l.durable.lastTerm = f.marker.Index, f.marker.Term
		}
		l.records += int64(f.length)
	}
	last := len(g.positions)
	if to < len(g.frames) {
		last = g.frames[to].entries
	}
	for i := g.frames[from].entries; i < last; i++ {
		p := g.positions[i]
		p.Segment, p.Offset = l.active().seq, p.Offset+shift
		positions[i] = p
	}
	l.durable.hard = l.writtenHardState
}

// Fence writes a frame that says that the last group is synced, and that carries the newest commit index. Recovery then
// recognizes damage to that group instead of taking it for a torn write. Fence is for idle times and, with sync, for
// the end of a process. It writes nothing if a group is waiting, because that group will say the same, or if nothing
// new is to be said.
func (l *Log) Fence(sync bool) error {
	if l.finished != nil {
		return l.finished
	}
	if len(l.group.frames) > 0 || l.voteDirty || l.fresh {
		return nil
	}
	if l.syncUnrecorded || sync && l.hard.Commit > l.writtenHardState.Commit {
		if err := l.writeFence(); err != nil {
			return l.finish(err)
		}
	}
	if !sync || l.writeAt == l.syncedTo || l.soiled > 0 {
		return nil
	}
	if err := l.file.Datasync(); err != nil {
		return l.finish(fmt.Errorf("syncing %s: %w", l.file.Name(), err))
	}
	l.syncedTo, l.syncedBy = l.writeAt, l.chain
	l.durable.hard = l.writtenHardState
	return nil
}

func (l *Log) writeFence() error {
	if l.full || l.writeAt+keptBytes > l.active().size {
		return nil
	}
	if err := l.clean(); errors.Is(err, ErrNoSpace) {
		return nil // the next group says the same
	} else if err != nil {
		return err
	}
	chain, encoded := l.chain, l.encodedHardState
	l.group.begin(kindFence, l.last+1, l.last, l.lastTerm)
	l.group.close()
	l.sealFrame(0, l.writeAt-pageBytes)
	err := l.file.WritePages(l.group.buf[pageBytes:], l.writeAt)
	l.group.reset()
	if errors.Is(err, syscall.ENOSPC) {
		l.soiled = l.writeAt + pageBytes
		l.chain, l.encodedHardState = chain, encoded
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing a fence at byte %d of %s: %w", l.writeAt, l.file.Name(), err)
	}
	l.writeAt += pageBytes
	l.syncUnrecorded = false
	l.writtenHardState = l.hard
	return nil
}

// Stats returns the log's figures.
func (l *Log) Stats() Stats {
	s := Stats{
		Segments: len(l.segments), Spares: len(l.spares),
		Index: l.durable.last, Term: l.durable.lastTerm, HardState: l.durable.hard,
		Groups: l.groups, RecordBytes: l.records, Inline: l.inlined,
	}
	switch {
	case len(l.spares) > 0:
		s.Quarters = 4
	case !l.full:
		s.Quarters = int(min(4*(l.active().size-l.writeAt)/l.o.SegmentBytes, 4))
	}
	for _, seg := range l.segments {
		s.Bytes += seg.size
	}
	return s
}

// Close closes the log's file and drops a group that was not synced.
func (l *Log) Close() error {
	if l.finished == nil {
		l.finished = ErrClosed
	}
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}
