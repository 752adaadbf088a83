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

// segment is one file of the log that holds entries.
type segment struct {
	seq    uint64
	name   string // path
	size   int64
	header segmentHeader
	need   uint64 // the highest valid index in here: releasing it releases the file

	damaged bool // as in logFile
}

// SegmentList is the log's segments at one time, for reads by position. It is immutable.
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

// Segments returns the current segments. A Sync that begins a segment, and a Release, make a new list.
func (l *Log) Segments() *SegmentList { return l.list }

func (l *Log) publish() {
	list := &SegmentList{segments: make([]listed, len(l.segments))}
	for i, seg := range l.segments {
		list.segments[i] = listed{seg.seq, seg.name}
	}
	l.list = list
}

// supersede records that all entries above keep are replaced, and that the active segment now holds valid entries up to
// last.
func (l *Log) supersede(keep, last uint64) {
	for _, seg := range l.segments {
		seg.need = min(seg.need, keep)
	}
	l.active().need = last
}

// Release drops the entries up to an index: a snapshot holds their effect. Segments without other entries are released,
// oldest first, so that the log stays contiguous.
func (l *Log) Release(upTo uint64) {
	n, last := 0, len(l.segments)-1
	if l.fresh { // the header is not written: until then the segment before is the newest
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

// TakeDamaged returns the paths of damaged files that hold nothing of the log any more, for Maker.Remove. The caller
// hands them in after the files that TakeReleased returned.
func (l *Log) TakeDamaged() []string {
	names := l.damaged
	l.damaged = nil
	return names
}

// MarkDamaged notes that a segment's file was found damaged: once it holds nothing of the log, it is removed.
func (l *Log) MarkDamaged(name string) {
	for _, seg := range l.segments {
		seg.damaged = seg.damaged || seg.name == name
	}
}

// letGo releases a file. A damaged file is removed instead of recycled: otherwise the next start would meet the damage
// again.
func (l *Log) letGo(name string, damaged bool) {
	if damaged {
		l.damaged = append(l.damaged, name)
	} else {
		l.released = append(l.released, name)
	}
}

// AddSpare hands in a file that the segment maker has made.
func (l *Log) AddSpare(name string) { l.spares = append(l.spares, name) }

// rotate ends the active segment and begins one with space for frame from. The new segment's header is written with its
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

// segmentFor is the size of a segment that holds frame from and the reserved pages.
func (l *Log) segmentFor(from int) int64 {
	return pageBytes + int64(l.group.end(from)-l.group.frames[from].at) + keptBytes
}

// leaves reports whether the next group begins a new segment although the active one has free space. It does if the
// active segment was only reserved and all spares are ready: then the disk can afford to give up that space.
func (l *Log) leaves() bool {
	active := l.active()
	if active.header.compat&compatReserved == 0 || l.fresh || len(l.spares) < limits.SpareSegments || l.segmentFor(0) > l.o.SegmentBytes {
		return false
	}
	seq, _ := numberOf(path.Base(l.spares[0]))
	return seq > active.seq
}

// blank is a file for a new segment. It holds zeros, or frames of its previous use: these have another number, so they
// are never taken for this segment's.
type blank struct {
	file     disk.File
	seq      uint64
	size     int64
	zeroed   bool
	reserved bool // the file is allocated but not written
}

// begin makes a blank the active segment. next and lastTerm describe the log before it.
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

// takeBlank returns a blank for a segment of at least need bytes: a spare, or a new file. The new file is reserved and
// not filled. A journal commit with each sync costs less than zeros, above all on slow disks, where the maker falls
// behind. The log leaves the reserved file as soon as there are spares again.
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

// createSmall makes a blank of little more than need bytes, because its caller waits for the zeros.
func (l *Log) createSmall(need int64) (blank, error) {
	b, err := createZeroed(l.o, l.active().seq+1, max(min(l.o.SegmentBytes, need+inlineBytes), need))
	if errors.Is(err, syscall.ENOSPC) {
		return b, fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return b, err
}

// takeSpare returns a spare for a segment of at least need bytes. The file in the answer is nil if there is no spare.
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

// openSpare opens a spare. The file in the answer is nil if the spare is unusable: its number was overtaken, or its
// size differs.
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

// openBlank checks whether a file was used before: then its first page holds a header.
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
	// inlineBytes is how many bytes more than needed the log fills in a segment that it zeroes itself. That happens at
	// a start, on a nearly full disk, or where a file system cannot reserve space. The caller waits for the zeros, so
	// it is small.
	inlineBytes = 1 << 20
	// zeroStep is how many bytes one call fills with zeros.
	zeroStep = disk.ZerosMost
	// inlineName and makerName are the files that the log and the maker are filling. A file with a segment's name is
	// complete and synced, so recovery can rely on its size.
	inlineName = "log.tmp"
	makerName  = "maker.tmp"
)

// createZeroed makes a blank filled with zeros, with the lowest free number from seq on.
func createZeroed(o Options, seq uint64, size int64) (blank, error) {
	return createBlank(o, seq, size, func(file disk.File) (err error) {
		for at := int64(0); at < size && err == nil; at += zeroStep {
			err = file.WriteZeros(int(min(zeroStep, size-at)), at)
		}
		return err
	})
}

// createReserved makes a blank whose space is allocated but not filled.
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

// keepReserve fails if taking so many more bytes would use the reserve.
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

// createTemp makes a file to be filled with so many bytes. It replaces the remains of an earlier attempt.
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

// publish durably gives a complete file the lowest free segment name from seq on. An empty file claims the name first,
// so that the log and the maker never rename to the same name.
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

// discard closes and removes a file that could not be filled, to free its space. Errors are ignored: the next
// createTemp removes the file.
func discard(d disk.FS, file disk.File) {
	_ = file.Close()
	_ = d.Remove(file.Name())
}
