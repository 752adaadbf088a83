package log

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// Open recovers the log of a directory by the numbered steps of the package comment, and opens it for appending. Its
// errors wrap damage.ErrDamaged, damage.ErrFormat or ErrForeign; then nothing was changed.
func Open(o Options) (*Log, *Recovered, error) {
	o = o.withDefaults()
	s := &inventory{o: o}
	if err := s.open(); err != nil {
		return nil, nil, advised(err)
	}
	if err := s.makeDurable(); err != nil {
		return nil, nil, advised(err)
	}
	r, err := s.replay()
	if err != nil {
		return nil, nil, advised(err)
	}
	l, err := s.begin(r)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log in %s: %w", o.Dir, err)
	}
	if t := r.torn; t != nil {
		o.Logger.Warn("the end of the log was torn by a crash; it was never synced, and is cut",
			"file", t.File, "offset", t.Offset, "bytes", t.Bytes, "reason", t.Reason)
	}
	return l, r.recovered(l), nil
}

// logFile is a file with a segment's name.
type logFile struct {
	number  uint64 // in its name
	name    string // path
	size    int64
	valid   bool          // it begins with an intact header of its own number: it is a segment
	header  segmentHeader // when valid
	failed  error         // why its header could not be read
	durable bool          // synced, and dropped from the cache: reads show the disk's content
	damaged bool          // it holds damage that Options.Covered made harmless
}

// inventory lists the files in the log's directory.
type inventory struct {
	o          Options
	anyone     bool       // accept segments of any cluster and member; the log may be in use
	files      []*logFile // by number, ascending
	unfinished []string   // paths of files that were being filled
	skipped    error      // damage that Options.Covered made harmless
}

// open lists all files (step 1) and reads their headers. It leaves no file open, so the number of files needs no bound.
func (s *inventory) open() error {
	names, err := s.o.FS.List(s.o.Dir)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	for _, name := range names {
		if name == inlineName || name == makerName {
			s.unfinished = append(s.unfinished, s.o.path(name))
		}
		if number, ok := numberOf(name); ok {
			s.files = append(s.files, &logFile{number: number, name: s.o.path(name)})
		}
	}
	slices.SortFunc(s.files, func(a, b *logFile) int { return cmp.Compare(a.number, b.number) })
	listed := s.files
	s.files = nil
	for _, f := range listed {
		err := s.with(f, s.readHeader)
		if s.anyone && errors.Is(err, fs.ErrNotExist) {
			continue // a log in use has released it since
		}
		if err != nil {
			return err
		}
		s.files = append(s.files, f)
	}
	return nil
}

// with opens a file, calls do and closes the file.
func (s *inventory) with(f *logFile, do func(f *logFile, file disk.File) error) error {
	file, err := s.o.FS.Open(f.name)
	if errors.Is(err, disk.ErrNotRegular) {
		f.valid = false
		return s.unreadable(f, "it is not a segment", err)
	}
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	err = do(f, file)
	_ = file.Close() // read only: Close loses nothing
	return err
}

// unreadable is the damage of a segment whose header cannot be read. With a snapshot it is only recorded, and the
// following segment's header decides whether the segment is needed.
func (s *inventory) unreadable(f *logFile, reason string, cause error) error {
	err := error(damage.At(f.name, 0, "%s: %w", reason, cause))
	if s.o.Covered > 0 {
		s.skipped, f.failed, err = cmp.Or(s.skipped, err), err, nil
	}
	return err
}

// readHeader sets whether a file is a segment. Without a header of its own number it is a spare or a recycled file.
func (s *inventory) readHeader(f *logFile, file disk.File) (err error) {
	f.valid, f.failed = false, nil
	if f.size, err = file.Size(); err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	if f.size < pageBytes {
		return nil
	}
	p := pages{file: file, size: pageBytes}
	page, err := p.read(0, pageBytes)
	if err != nil {
		return s.unreadable(f, "the segment's header cannot be read", err)
	}
	h, err := readSegmentHeader(page)
	if h.seq != f.number || err == errNoHeader {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if h.next == 0 {
		return damage.At(f.name, 0, "the segment's header says that no entry can follow")
	}
	if !s.anyone && (h.cluster != s.o.Cluster || h.member != s.o.Member) {
		return fmt.Errorf("%w: %s is of cluster %016x, member %016x, not of cluster %016x, member %016x; nothing was changed: put each member's own files back",
			ErrForeign, f.name, h.cluster, h.member, s.o.Cluster, s.o.Member)
	}
	f.header, f.valid = h, true
	return nil
}

// newest returns the index of the segment with the highest number, -1 if there is none.
func (s *inventory) newest() int {
	for i := len(s.files) - 1; i >= 0; i-- {
		if s.files[i].valid {
			return i
		}
	}
	return -1
}

// makeDurable makes the cache equal to the disk for all files that may differ (step 2). After a kill, frames that were
// never synced look valid; after a failed sync, the cache shows data that the disk does not have. Only the newest
// segment and the files after it can differ, since each segment is synced before the next one is written.
func (s *inventory) makeDurable() error {
	for {
		again := false
		for _, f := range s.files[max(s.newest(), 0):] {
			if f.durable {
				continue
			}
			err := s.with(f, func(f *logFile, file disk.File) error {
				if err := errors.Join(file.Datasync(), file.DropCache(0, 0)); err != nil {
					return fmt.Errorf("opening the log: %w", err)
				}
				return s.readHeader(f, file)
			})
			if err != nil {
				return err
			}
			f.durable, again = true, true
		}
		if !again {
			return nil
		}
	}
}

// chain returns the segments that hold the log, oldest first (step 3). From the newest on, each names the segment
// before it. The chain ends where that segment is gone, because it was released, or where there was none.
func (s *inventory) chain() ([]*logFile, error) {
	i := s.newest()
	if i < 0 {
		return nil, damage.At(s.o.Dir, 0, "none of %d segments has an intact header", len(s.files))
	}
	if err := s.lost(s.files[i]); err != nil {
		return nil, err
	}
	chain := []*logFile{s.files[i]}
	for {
		f := chain[len(chain)-1]
		prev := s.find(f.header.prev)
		if prev == nil {
			slices.Reverse(chain)
			return chain, nil
		}
		var fault error
		switch {
		case f.header.prev >= f.number:
			fault = damage.At(f.name, 0, "the segment names segment %d as its predecessor", f.header.prev)
		case prev.failed != nil:
			fault = prev.failed
		case !prev.valid:
			fault = damage.At(prev.name, 0, "the segment's header is damaged, and %s proves that it was synced", path.Base(f.name))
		case prev.header.nextSalt != f.header.salt:
			fault = damage.At(f.name, 0, "the segment does not follow %s: its salt differs", path.Base(prev.name))
		}
		if fault != nil && f.header.next-1 <= s.o.Covered {
			s.skipped, prev.damaged = cmp.Or(fault, s.skipped), true
			slices.Reverse(chain)
			return chain, nil
		}
		if fault != nil {
			return nil, fault
		}
		chain = append(chain, prev)
	}
}

// find returns the file with a number, nil if there is none.
func (s *inventory) find(number uint64) *logFile {
	for _, f := range s.files {
		if f.number == number {
			return f
		}
	}
	return nil
}

// after returns the files with a higher number.
func (s *inventory) after(number uint64) []*logFile {
	i := slices.IndexFunc(s.files, func(f *logFile) bool { return f.number > number })
	if i < 0 {
		return nil
	}
	return s.files[i:]
}

// begin opens the log for appending (step 7) and releases the other files. If the newest segment ends cleanly, has free
// space and no damage, the log continues in it.
func (s *inventory) begin(r *replay) (*Log, error) {
	l := &Log{o: s.o, hard: r.hard, writtenHardState: r.hard, last: r.window.last(), lastTerm: r.window.lastTerm()}
	l.durable = durable{l.last, l.lastTerm, l.hard}
	for i, f := range r.chain {
		l.segments = append(l.segments, &segment{
			seq: f.number, name: f.name, size: f.size, header: f.header, need: r.needs[i], damaged: f.damaged,
		})
	}
	l.chain, l.syncedBy, l.syncedTo, l.writeAt = r.sum, r.sum, r.end, r.end
	for _, f := range r.spares {
		l.spares = append(l.spares, f.name)
	}
	for _, f := range s.files {
		if !slices.Contains(r.spares, f) && !slices.Contains(r.chain, f) {
			l.letGo(f.name, f.damaged)
		}
	}
	if err := l.resume(r); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.sweep()
	return l, nil
}

// resume opens the newest segment again, or begins another one after it.
func (l *Log) resume(r *replay) (err error) {
	active := l.active()
	if r.torn == nil && !active.damaged && active.size-r.end >= segmentLeast {
		return l.goOn(r)
	}
	b, err := l.takeSpare(segmentLeast)
	if err == nil && b.file == nil {
		b, err = l.createSmall(segmentLeast)
	}
	if errors.Is(err, ErrNoSpace) { // start nevertheless: only a running member can free space
		l.full = r.torn != nil
		return l.goOn(r)
	}
	if err != nil {
		return err
	}
	l.begin(b, l.last+1, l.lastTerm)
	if err = l.writeHeader(); !errors.Is(err, ErrNoSpace) {
		return err
	}
	return errors.Join(l.unbegin(), l.goOn(r))
}

// unbegin takes back the newly begun segment, for whose header there was no space. Parts of that header may be on the
// disk and say where the segment before ends. So nothing more is written to the segment before.
func (l *Log) unbegin() error {
	began, file := l.active(), l.file
	h := &began.header
	l.segments = l.segments[:len(l.segments)-1]
	l.spares = slices.Insert(l.spares, 0, began.name)
	l.full, l.fresh, l.soiled = true, false, 0
	l.writeAt, l.syncedTo, l.chain, l.syncedBy = h.prevEnd, h.prevEnd, h.prevChain, h.prevChain
	return file.Close()
}

// goOn opens the newest segment for appending.
func (l *Log) goOn(r *replay) (err error) {
	active := l.active()
	if l.file, err = l.o.FS.OpenWritable(active.name); err != nil {
		return err
	}
	l.seed, l.syncUnrecorded = seed(active.header.salt), !r.fenced && r.end > pageBytes
	l.sayNext() // a crash may have come before the page was written
	l.publish()
	return nil
}

// writeHeader makes the active segment's header durable without a group.
func (l *Log) writeHeader() error {
	l.group.reserve(pageBytes)
	page := l.group.buf[:pageBytes]
	l.sealHeader(page)
	err := l.writeAndSync(page, 0)
	l.syncUnrecorded = false // the header holds nothing that is not stored elsewhere
	return err
}

// sweep removes partly filled files.
func (s *inventory) sweep() {
	for _, name := range s.unfinished {
		if err := s.o.FS.Remove(name); err != nil {
			s.o.Logger.Warn("an unfinished log segment could not be removed", "file", name, "error", err)
		}
	}
}
