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

// Log is a member's log, open for appending. It is owned by one actor, the log writer: no goroutine, lock or clock is
// in it.
//
// Invariants:
//
//  1. hard, last and lastTerm are what has been handed in; durable is what a restart is sure to find. They are equal
//     when the group is empty, but for hard.Commit.
//  2. Of the active segment, the bytes below syncedTo are synced and never written again; writeAt is syncedTo, or
//     above it by fences that were not synced.
//  3. segments are in order, the last one is active, and each but the last was synced to its end before the next one
//     was written.
//  4. After the first error nothing is written any more, unless it was for want of room.
//  5. From writeAt to soiled the active segment may hold anything: a write of it found no room. It is zeros before anything
//     else is written there, so that no frame of then follows one of later.
type Log struct {
	// Set by Open, then constant.
	o Options

	// What was handed in.
	group          group     // what the next Sync writes
	begun          int       // so many frames of it are durable: a Sync found no room for the others
	hard           HardState // the newest; only its Commit may be newer than the group's
	voteDirty      bool      // Term or Vote differ from those of durable.hard
	last, lastTerm uint64    // of the newest entry, group included

	// The files.
	segments       []*segment
	file           disk.File    // of the active segment
	full           bool         // nothing more goes into the active segment: its end is torn, and there was no room for the next
	fresh          bool         // the active segment's header is not written yet: it goes with its first group
	seed           uint32       // of the active segment's frames
	chain          uint32       // the sum of the newest header made; the next frame's prev
	writeAt        int64        // where the next frame of the active segment begins; a multiple of pageBytes
	syncedTo       int64        // at most writeAt; all of the active segment below it is synced
	syncedBy       uint32       // the chain value at syncedTo
	soiled         int64        // where a write ends that found no room; 0: there was none since the last one that did
	syncUnrecorded bool         // no frame says yet that the last group is synced
	spares         []string     // paths, in the order of their numbers
	released       []string     // paths of files that hold nothing, until TakeReleased
	damaged        []string     // the same of files that are damaged, until TakeDamaged
	nextPages      []NextPage   // what is to be said in segments, until TakeNextPages
	list           *SegmentList // of segments

	durable          durable
	encodedHardState HardState // in the newest header made, written or not
	writtenHardState HardState // in the newest header written, synced or not
	groups           int64     // see Stats, as the next two
	records          int64
	inlined          int64
	finished         error // why nothing is written any more
}

// durable is what a restart is sure to find.
type durable struct {
	last, lastTerm uint64
	hard           HardState
}

// Append adds to the group in memory: the hard state when it is not nil, and the entries, which replace those from
// the first one's index on. The next Sync makes both durable; a hard state that moved nothing but its Commit goes
// with the next frame and writes nothing. Entries must not be changed any more, now or later.
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

// setHard takes over a hard state, which never goes back.
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

// SetCommit lets the next frame carry a newer commit index. It writes nothing.
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

// Reset makes the log begin anew after a marker: a snapshot has been installed, and all before it is superseded.
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

// Forget drops what of the group no Sync has written: it found no room, and a Reset follows behind which nothing of it counts. A
// term and a vote stay.
func (l *Log) Forget() {
	l.group.reset()
	l.begun = 0
	l.last, l.lastTerm = l.durable.last, l.durable.lastTerm
}

// Pending returns how many bytes the next Sync writes.
func (l *Log) Pending() int64 {
	if len(l.group.frames) == 0 {
		return 0
	}
	return int64(len(l.group.buf) - pageBytes)
}

// Fits tells whether a group of so many bytes of records finds room without another file: in the active segment, or in a spare.
func (l *Log) Fits(bytes int64) bool {
	if !l.full && bytes <= l.active().size-l.writeAt-keptBytes {
		return true
	}
	return len(l.spares) > 0 && bytes <= l.o.SegmentBytes-pageBytes-keptBytes
}

// Unsynced reports whether the next Sync has anything to make durable: a group, or a new Term or Vote alone.
func (l *Log) Unsynced() bool { return l.voteDirty || len(l.group.frames) > 0 }

// Sync makes the group durable by one write and one fdatasync, or more when the group does not fit into the active
// segment, and returns the positions of the entries appended since the last Sync, in their order. It does nothing
// when there is no group. An error is final, unless it is ErrNoSpace: what is on the disk is not known any more, and the
// caller ends the process.
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
	for l.begun < len(l.group.frames) {
		to := l.fitting(l.begun)
		if to == l.begun || l.begun == 0 && l.leaves() {
			err := l.rotate(l.begun)
			if errors.Is(err, ErrNoSpace) {
				return nil, err
			}
			if err != nil {
				return nil, l.finish(err)
			}
			continue
		}
		err := l.write(l.begun, to, l.group.positions)
		if errors.Is(err, ErrNoSpace) {
			return nil, err
		}
		if err != nil {
			return nil, l.finish(err)
		}
		l.begun = to
	}
	positions := slices.Clone(l.group.positions)
	l.voteDirty, l.begun = false, 0
	l.group.reset()
	return positions, nil
}

// finish makes an error final.
func (l *Log) finish(err error) error {
	l.finished = fmt.Errorf("the log cannot go on: %w", err)
	return l.finished
}

// fitting returns how far the frames from one on fit into the active segment, but for what is kept of it.
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

// write makes some frames durable at the end of the active segment, with its header if they are the first ones.
func (l *Log) write(from, to int, positions []Position) error {
	if err := l.clean(); err != nil {
		return err
	}
	g, chain, encoded := &l.group, l.chain, l.encodedHardState
	start := g.frames[from].at
	shift := l.writeAt - int64(start) // from the buffer to the file
	if l.fresh {
		l.sealHeader(g.buf[start-pageBytes : start])
		start -= pageBytes // frames there, if any, are durable in the segment before
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

// sealFrame writes the header of frame i, now that its place is known.
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

// hardBeforeLast is the hard state of a header that is not the last one of its group: a new commit index is of entries that
// may follow, and a tear may leave other ones in their place.
func (l *Log) hardBeforeLast() HardState {
	return HardState{Term: l.hard.Term, Vote: l.hard.Vote, Commit: l.writtenHardState.Commit}
}

// writeAndSync is the only way to the disk. A write that finds no room changes nothing: a file has holes when it was copied or
// when its file system writes nothing in place, whatever was reserved.
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

// clean makes zeros of what a write has left that found no room.
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

// place notes what frames that are durable now mean.
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

// Fence writes a frame that says that the last group is synced, so that a damage to it will not be taken for a torn
// write, and that carries the newest commit index. It is for idle times, and with sync for the end of a process. It
// writes nothing when a group is waiting, which will say the same, or when nothing new is to be said.
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
		return nil // what it would say is said by the next group
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

// Close closes the log's file. A group that was not synced is dropped.
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
