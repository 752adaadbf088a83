package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// segment is one of the log's files that hold something.
type segment struct {
	seq    uint64
	name   string // path
	size   int64
	header segmentHeader
	need   uint64 // the highest index that is still valid and in here: when it is released, so is the file

	damaged bool // as logFile's
}

// SegmentList is the log's segments at one time, for reads by position. It never changes.
type SegmentList struct {
	segments []listed // by seq
}

type listed struct {
	seq  uint64
	name string
}

// find returns the path of a segment, or "".
func (s *SegmentList) find(seq uint64) string {
	if s == nil {
		return ""
	}
	i, found := slices.BinarySearchFunc(s.segments, seq, func(l listed, seq uint64) int {
		switch {
		case l.seq < seq:
			return -1
		case l.seq > seq:
			return 1
		default:
			return 0
		}
	})
	if !found {
		return ""
	}
	return s.segments[i].name
}

func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }

// Segments returns the segments that hold something now. A new list follows a Sync that began a segment, and a
// Release.
func (l *Log) Segments() *SegmentList { return l.list }

func (l *Log) publish() {
	list := &SegmentList{segments: make([]listed, len(l.segments))}
	for i, seg := range l.segments {
		list.segments[i] = listed{seg.seq, seg.name}
	}
	l.list = list
}

// supersede notes that all entries above keep are replaced, and that the active segment now holds valid ones up to
// last.
func (l *Log) supersede(keep, last uint64) {
	for _, seg := range l.segments {
		seg.need = min(seg.need, keep)
	}
	l.active().need = last
}

// Release lets go of the entries up to one: a snapshot holds what they did. Segments that hold nothing else are given
// up, the oldest first, so that the log stays contiguous.
func (l *Log) Release(upTo uint64) {
	n, last := 0, len(l.segments)-1
	if l.fresh { // its header is not written: until then the one before it is the newest
		last--
	}
	for n < last && l.segments[n].need <= upTo {
		l.letGo(l.segments[n].name, l.segments[n].damaged)
		n++
	}
	if n > 0 {
		l.segments = slices.Delete(l.segments, 0, n)
		l.publish()
	}
}

// TakeReleased returns the paths of files that hold nothing of the log any more, for Maker.Recycle.
func (l *Log) TakeReleased() []string {
	names := l.released
	l.released = nil
	return names
}

// TakeDamaged returns the paths of files that hold nothing of the log any more and are damaged, for Maker.Remove, behind what
// TakeReleased has returned.
func (l *Log) TakeDamaged() []string {
	names := l.damaged
	l.damaged = nil
	return names
}

// letGo gives a file up. One that is damaged is not used again, and does not stay: the next start would meet the damage again.
func (l *Log) letGo(name string, damaged bool) {
	if damaged {
		l.damaged = append(l.damaged, name)
	} else {
		l.released = append(l.released, name)
	}
}

// AddSpare hands in a file that the segment maker has made.
func (l *Log) AddSpare(name string) { l.spares = append(l.spares, name) }

// rotate ends the active segment and begins one that frame from fits into. The new one's header is written with its
// first frames.
func (l *Log) rotate(from int) error {
	b, err := l.takeBlank(l.segmentFor(from))
	if err != nil {
		return err
	}
	old := l.file
	f := &l.group.frames[from]
	l.begin(b, f.last+1, f.lastTerm)
	if err := old.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", old.Name(), err)
	}
	return nil
}

// segmentFor is the size of a segment that holds frame from, and what is kept.
func (l *Log) segmentFor(from int) int64 {
	return pageBytes + int64(l.group.end(from)-l.group.frames[from].at) + keptBytes
}

// leaves tells whether the next group begins a segment although the active one has room: that was only reserved, and all
// spares are there, so that the disk has the room that is given up.
func (l *Log) leaves() bool {
	active := l.active()
	if active.header.compat&compatReserved == 0 || l.fresh || len(l.spares) < limits.SpareSegments || l.segmentFor(0) > l.o.SegmentBytes {
		return false
	}
	seq, _ := numberOf(path.Base(l.spares[0]))
	return seq > active.seq
}

// blank is a file that a segment may begin in. What is in it is zeros, or an old life of the file: frames of another
// number, which nobody will take for this segment's.
type blank struct {
	file     disk.File
	seq      uint64
	size     int64
	zeroed   bool
	reserved bool // not written
}

// begin makes a blank the active segment. next and lastTerm say what the log is before it.
func (l *Log) begin(b blank, next, lastTerm uint64) {
	prev := l.active()
	h := segmentHeader{
		cluster: l.o.Cluster, member: l.o.Member, seq: b.seq, size: b.size,
		salt: prev.header.nextSalt, nextSalt: l.o.Salt(), next: next, lastTerm: lastTerm, hard: l.hardBeforeLast(),
		prev: prev.seq, prevEnd: l.syncedTo, prevChain: l.syncedBy,
	}
	if b.zeroed {
		h.compat |= compatZeroed
	}
	if b.reserved {
		h.compat |= compatReserved
	}
	l.segments = append(l.segments, &segment{seq: b.seq, name: b.file.Name(), size: b.size, header: h})
	l.file, l.full, l.fresh, l.seed = b.file, false, true, seed(h.salt)
	l.writeAt, l.syncedTo, l.syncUnrecorded, l.soiled = pageBytes, 0, false, 0
	l.publish()
}

// takeBlank returns a blank for a segment of at least need bytes: a spare, or a file that is made now. That one is
// reserved and not filled: a commit of the journal with each sync costs less than zeros would, most of all where the maker
// of spares has not kept up, which is on slow disks. It is left as soon as there are spares again.
func (l *Log) takeBlank(need int64) (blank, error) {
	b, err := l.takeSpare(need)
	if err != nil || b.file != nil {
		return b, err
	}
	l.inlined++
	seq := l.active().seq + 1
	b, err = createReserved(l.o, seq, max(l.o.SegmentBytes, need))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, errors.ErrUnsupported) {
		b, err = l.createSmall(need)
	}
	if errors.Is(err, ErrNoSpace) {
		l.inlined--
	}
	return b, err
}

// createSmall makes a blank of little more than need bytes: whoever waits for it waits for its zeros.
func (l *Log) createSmall(need int64) (blank, error) {
	b, err := createZeroed(l.o, l.active().seq+1, max(min(l.o.SegmentBytes, need+inlineBytes), need))
	if errors.Is(err, syscall.ENOSPC) {
		return b, fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return b, err
}

// takeSpare returns a spare for a segment of at least need bytes; there is no file in the answer when there is none.
func (l *Log) takeSpare(need int64) (blank, error) {
	for need <= l.o.SegmentBytes && len(l.spares) > 0 {
		name := l.spares[0]
		l.spares = l.spares[1:]
		b, err := l.openSpare(name)
		if err != nil {
			return b, fmt.Errorf("opening the spare segment %s: %w", name, err)
		}
		if b.file != nil {
			return b, nil
		}
		l.released = append(l.released, name)
	}
	return blank{}, nil
}

// openSpare opens a spare; there is no file in the answer when it cannot be used, because its number has been
// overtaken or its size is another.
func (l *Log) openSpare(name string) (blank, error) {
	seq, ok := numberOf(path.Base(name))
	if !ok || seq <= l.active().seq {
		return blank{}, nil
	}
	file, err := l.o.FS.OpenWritable(name)
	if err != nil {
		return blank{}, err
	}
	b, err := openBlank(file, seq)
	if err != nil || b.size != l.o.SegmentBytes {
		return blank{}, errors.Join(err, file.Close())
	}
	return b, nil
}

// openBlank looks whether a file was used before: then its first page holds a header.
func openBlank(file disk.File, seq uint64) (blank, error) {
	size, err := file.Size()
	if err != nil {
		return blank{}, err
	}
	p := pages{file: file, size: min(size, pageBytes)}
	page, err := p.read(0, int(p.size))
	return blank{file: file, seq: seq, size: size, zeroed: err == nil && isZero(page)}, err
}

const (
	// inlineBytes is how much more than it needs a segment has that the log fills itself, at a start, where there is no room for
	// more, or where a file system reserves nothing: its caller waits for the zeros.
	inlineBytes = 1 << 20
	// zeroStep is how much is zero-filled at a time.
	zeroStep = disk.ZerosMost
	// inlineName and makerName are the files that are being filled by the log and by the maker. What has a segment's
	// name is complete and was synced: recovery may use it without a doubt about its size.
	inlineName = "log.tmp"
	makerName  = "maker.tmp"
)

// createZeroed makes a blank of zeros at once, with the lowest number from seq on that is not taken.
func createZeroed(o Options, seq uint64, size int64) (blank, error) {
	return createBlank(o, seq, size, func(file disk.File) (err error) {
		for at := int64(0); at < size && err == nil; at += zeroStep {
			err = file.WriteZeros(int(min(zeroStep, size-at)), at)
		}
		return err
	})
}

// createReserved makes a blank that has its room on the disk, but no zeros.
func createReserved(o Options, seq uint64, size int64) (blank, error) {
	b, err := createBlank(o, seq, size, func(file disk.File) error { return file.Reserve(size) })
	b.reserved = true
	return b, err
}

func createBlank(o Options, seq uint64, size int64, fill func(file disk.File) error) (blank, error) {
	file, err := createTemp(o, inlineName, size)
	if err != nil {
		return blank{}, err
	}
	if err = fill(file); err == nil {
		err = file.Sync()
	}
	if err != nil {
		discard(o.FS, file)
		return blank{}, fmt.Errorf("making a segment of %d bytes: %w", size, err)
	}
	if err := file.Close(); err != nil {
		return blank{}, fmt.Errorf("making a segment: %w", err)
	}
	name, seq, err := publish(o, file.Name(), seq)
	if err != nil {
		return blank{}, err
	}
	if file, err = o.FS.OpenWritable(name); err != nil {
		return blank{}, fmt.Errorf("making a segment: %w", err)
	}
	return blank{file: file, seq: seq, size: size, zeroed: true}, nil
}

// keepReserve fails where so many bytes more would be taken of the reserve.
func keepReserve(o Options, bytes int64) error {
	reserve := o.Reserve()
	if reserve == 0 {
		return nil
	}
	free, err := o.FS.Free(o.Dir)
	if err != nil {
		return fmt.Errorf("making a segment: %w", err)
	}
	if free-bytes < reserve {
		return fmt.Errorf("making a segment that takes %d bytes: %d are free, of which %d are %w: %w", bytes, free, reserve, ErrReserve, syscall.ENOSPC)
	}
	return nil
}

// createTemp makes a file to be filled with so many bytes, in place of one that was left.
func createTemp(o Options, name string, size int64) (disk.File, error) {
	if err := keepReserve(o, size); err != nil {
		return nil, err
	}
	file, err := o.FS.Create(o.path(name))
	if errors.Is(err, fs.ErrExist) {
		if err := o.FS.Remove(o.path(name)); err != nil {
			return nil, fmt.Errorf("making a segment: %w", err)
		}
		file, err = o.FS.Create(o.path(name))
	}
	if err != nil {
		return nil, fmt.Errorf("making a segment: %w", err)
	}
	return file, nil
}

// publish gives a complete file the lowest segment's name from seq on that is not taken, durably. The name is taken
// first by an empty file, so that the log and the maker never rename to the same one.
func publish(o Options, old string, seq uint64) (string, uint64, error) {
	var taken disk.File
	for {
		var err error
		if taken, err = o.FS.Create(o.path(nameOf(seq))); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", 0, fmt.Errorf("naming a segment: %w", err)
		}
		seq++
	}
	name := taken.Name()
	err := taken.Close()
	if err == nil {
		err = o.FS.Rename(old, name)
	}
	if err == nil {
		err = o.FS.SyncDir(o.Dir)
	}
	if err != nil {
		return "", 0, fmt.Errorf("naming a segment: %w", err)
	}
	return name, seq, nil
}

// discard closes and removes a file that could not be filled, to give back its space. That may fail, too; the file is
// removed before the next one is filled.
func discard(d disk.FS, file disk.File) {
	_ = file.Close()
	_ = d.Remove(file.Name())
}
