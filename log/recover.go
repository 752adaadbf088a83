package log

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"syscall"

	"qkv/log/disk"
)

// Open recovers the log of a directory, by the steps that the package comment numbers, and opens it for appending.
// Errors satisfy errors.Is with ErrCorrupt, ErrFormat or ErrForeign; then nothing was changed.
func Open(o Options) (*Log, *Recovered, error) {
	o = o.withDefaults()
	s := &survey{o: o}
	defer s.close()
	if err := s.open(); err != nil {
		return nil, nil, err
	}
	if err := s.settle(); err != nil {
		return nil, nil, err
	}
	r, err := s.replay()
	if err != nil {
		return nil, nil, err
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

// found is a file with a segment's name.
type found struct {
	number  uint64
	name    string // path
	file    disk.File
	size    int64
	valid   bool // header is that of this file
	header  segmentHeader
	settled bool // synced, and out of the cache
}

// survey is what lies in the log's directory.
type survey struct {
	o          Options
	anyone     bool     // segments of any cluster and member will do
	files      []*found // by number
	unfinished []string // paths of files that were being filled
}

func (s *survey) close() {
	for _, f := range s.files {
		_ = f.file.Close() // opened to read
	}
}

// open opens all files (step 1) and reads their headers.
func (s *survey) open() error {
	names, err := s.o.FS.List(s.o.Dir)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	for _, name := range names {
		if name == inlineName || name == makerName {
			s.unfinished = append(s.unfinished, s.o.path(name))
		}
		number, ok := numberOf(name)
		if !ok {
			continue
		}
		f := &found{number: number, name: s.o.path(name)}
		if f.file, err = s.o.FS.Open(f.name); err != nil {
			return fmt.Errorf("opening the log: %w", err)
		}
		s.files = append(s.files, f)
		if f.size, err = f.file.Size(); err != nil {
			return fmt.Errorf("opening the log: %w", err)
		}
	}
	slices.SortFunc(s.files, func(a, b *found) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return s.readHeaders()
}

// readHeaders reads the headers of all files, a second time where the cache has been dropped.
func (s *survey) readHeaders() error {
	for _, f := range s.files {
		if err := s.readHeader(f); err != nil {
			return err
		}
	}
	return nil
}

// readHeader tells whether a file is a segment. What is no header, or one of another number, makes it none: it was
// made ahead, or recycled.
func (s *survey) readHeader(f *found) error {
	f.valid = false
	if f.size < pageBytes {
		return nil
	}
	p := pages{file: f.file, size: pageBytes}
	page, err := p.read(0, pageBytes)
	if err != nil {
		return &CorruptError{File: f.name, Reason: "the segment's header cannot be read", Cause: err}
	}
	h, err := readSegmentHeader(page)
	if h.seq != f.number || err == errNoHeader {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if h.next == 0 {
		return &CorruptError{File: f.name, Reason: "the segment's header says that no entry can follow"}
	}
	if !s.anyone && (h.cluster != s.o.Cluster || h.member != s.o.Member) {
		return fmt.Errorf("%w: %s is of cluster %x, member %x, not of cluster %x, member %x",
			ErrForeign, f.name, h.cluster, h.member, s.o.Cluster, s.o.Member)
	}
	f.header, f.valid = h, true
	return nil
}

// newest returns the segment with the highest number, -1 when there is none.
func (s *survey) newest() int {
	for i := len(s.files) - 1; i >= 0; i-- {
		if s.files[i].valid {
			return i
		}
	}
	return -1
}

// settle makes what will be read what the disk has (step 2): after a kill, frames that were never synced look valid,
// and after a failed sync the cache shows what the disk does not have. Only the newest segment and files after it can
// be in question, since a segment is synced before the next one is written.
func (s *survey) settle() error {
	for {
		again := false
		for _, f := range s.files[max(s.newest(), 0):] {
			if f.settled {
				continue
			}
			if err := errors.Join(f.file.Datasync(), f.file.DropCache()); err != nil {
				return fmt.Errorf("opening the log: %w", err)
			}
			f.settled, again = true, true
		}
		if !again {
			return nil
		}
		if err := s.readHeaders(); err != nil {
			return err
		}
	}
}

// chain returns the segments that hold the log, the oldest first (step 3): from the newest on each names the one
// before. The chain ends where that one is gone, because it was released, or where there was none.
func (s *survey) chain() ([]*found, error) {
	i := s.newest()
	if i < 0 {
		return nil, &CorruptError{File: s.o.Dir, Reason: fmt.Sprintf("none of %d segments has a whole header", len(s.files))}
	}
	chain := []*found{s.files[i]}
	for {
		f := chain[len(chain)-1]
		prev := s.find(f.header.prev)
		if prev == nil {
			slices.Reverse(chain)
			return chain, nil
		}
		switch {
		case f.header.prev >= f.number:
			return nil, &CorruptError{File: f.name, Reason: fmt.Sprintf("the segment names %d as the one before it", f.header.prev)}
		case !prev.valid:
			reason := "the segment's header is damaged, and " + path.Base(f.name) + " proves that it was synced"
			return nil, &CorruptError{File: prev.name, Reason: reason}
		case prev.header.heir != f.header.salt:
			return nil, &CorruptError{File: f.name, Reason: "the segment is not the heir of " + path.Base(prev.name)}
		}
		chain = append(chain, prev)
	}
}

// find returns the file of a number, nil when there is none.
func (s *survey) find(number uint64) *found {
	for _, f := range s.files {
		if f.number == number {
			return f
		}
	}
	return nil
}

// after returns the files with a higher number.
func (s *survey) after(number uint64) []*found {
	i := slices.IndexFunc(s.files, func(f *found) bool { return f.number > number })
	if i < 0 {
		return nil
	}
	return s.files[i:]
}

// begin opens a new segment whose synced header says where the log ends (step 7), and gives up what is behind.
func (s *survey) begin(r *replay) (*Log, error) {
	l := &Log{o: s.o, hard: r.hard, said: r.hard, last: r.window.last(), lastTerm: r.window.lastTerm()}
	l.durable = durable{l.last, l.lastTerm, l.hard}
	for i, f := range r.chain {
		l.segments = append(l.segments, &segment{
			seq: f.number, name: f.name, size: f.size, header: f.header, need: r.needs[i],
		})
	}
	l.chain, l.syncedBy, l.syncedTo = r.sum, r.sum, r.end
	b, used, err := s.newFile()
	if err != nil {
		return nil, err
	}
	l.begin(b, l.last+1, l.lastTerm)
	if err := l.writeHeader(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.trim(l, r)
	s.sweep()
	for _, f := range s.files {
		if f != used && !slices.Contains(r.chain, f) {
			l.released = append(l.released, f.name)
		}
	}
	return l, nil
}

// newFile returns a file for the new segment: one that was made ahead, under a number that no file has had, or one
// that is made now.
func (s *survey) newFile() (blank, *found, error) {
	number := s.files[len(s.files)-1].number + 1
	i := slices.IndexFunc(s.files, func(f *found) bool { return !f.valid && f.size == s.o.SegmentBytes })
	if i < 0 {
		b, err := createZeroed(s.o, number, s.o.SegmentBytes)
		if errors.Is(err, syscall.ENOSPC) { // a full disk is a reason to start: only a member that runs can free space
			b, err = createZeroed(s.o, number, segmentLeast)
		}
		return b, nil, err
	}
	name := s.o.path(nameOf(number))
	if err := s.o.FS.Rename(s.files[i].name, name); err != nil {
		return blank{}, nil, err
	}
	if err := s.o.FS.SyncDir(s.o.Dir); err != nil {
		return blank{}, nil, err
	}
	file, err := s.o.FS.OpenWritable(name)
	if err != nil {
		return blank{}, nil, err
	}
	b, err := openBlank(file, number)
	if err != nil {
		return blank{}, nil, errors.Join(err, file.Close())
	}
	return b, s.files[i], nil
}

// writeHeader makes the active segment's header durable without a group.
func (l *Log) writeHeader() error {
	l.group.reserve(pageBytes)
	page := l.group.buf[:pageBytes]
	l.sealHeader(page)
	err := l.writeAndSync(page, 0)
	l.unsaid = false // the header holds nothing that is not elsewhere
	return err
}

// trim gives back the space behind the log's end in what was the active segment, so that a process that restarts again
// and again does not fill the disk with empty segments. What a crash has torn is kept to be looked at.
func (s *survey) trim(l *Log, r *replay) {
	seg := l.segments[len(l.segments)-2]
	if r.torn != nil || seg.size <= r.end {
		return
	}
	file, err := s.o.FS.OpenWritable(seg.name)
	if err == nil {
		err = errors.Join(file.Truncate(r.end), file.Close())
	}
	if err != nil {
		s.o.Logger.Warn("the free end of a log segment could not be given back", "file", seg.name, "error", err)
		return
	}
	seg.size = r.end
}

// sweep removes files that were being filled.
func (s *survey) sweep() {
	for _, name := range s.unfinished {
		if err := s.o.FS.Remove(name); err != nil {
			s.o.Logger.Warn("an unfinished log segment could not be removed", "file", name, "error", err)
		}
	}
}
