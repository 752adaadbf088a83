package backup

import (
	"errors"
	"fmt"
	"io"

	"qkv/internal/damage"
	"qkv/internal/limits"
)

// follower reads the log behind an entry, chunk by chunk, over the segments.
//
// Invariants:
//
//  1. Each chunk that next has returned continues the chunk before it: by index, and by its sum across segments.
//  2. After an error nothing more is read.
type follower struct {
	r       *Reader
	headers bool   // the content is not read
	index   uint64 // of the newest entry that was returned, or passed over
	at      int    // position of the segment; of the first one before it is open
	scanner *scanner
	newest  chunk  // read from that segment; number 0 and no bytes before the first
	any     bool   // newest is one
	raw     []byte // reused
	torn    error  // of the bytes behind the end of the log; nil: there are none
}

// follow returns a follower of the entries behind an index.
func (r *Reader) follow(index uint64) *follower {
	l := &follower{r: r, index: index}
	for l.at+1 < len(r.segments) && r.segments[l.at+1].first <= index+1 {
		l.at++
	}
	return l
}

func (l *follower) close() {
	if l.scanner != nil {
		l.scanner.f.Close()
		l.scanner = nil
	}
}

// next returns the next chunk behind the index, with its entries unless only headers are wanted. The first one may begin
// with entries up to the index. The error is io.EOF at the end of the backup's log, ErrGap if the backup continues later,
// and damage.ErrDamaged for damage. The remains of a torn write at the end of the log are in torn.
func (l *follower) next() (chunk, []Entry, error) {
	for {
		if l.scanner == nil {
			if err := l.open(); err != nil {
				return chunk{}, nil, err
			}
		}
		c, err := l.scanner.chunk()
		if err == nil && c.first > l.index+1 {
			err = damage.At(l.scanner.path, l.scanner.at, "chunk %d begins with entry %d, and entry %d is next", c.number, c.first, l.index+1)
		}
		var entries []Entry
		if err == nil && !l.headers && c.last > l.index {
			entries, err = l.entries(&c)
		}
		if err != nil {
			if err = l.after(err); err != nil {
				return chunk{}, nil, err
			}
			continue
		}
		l.newest, l.any = c, true
		if c.last > l.index {
			l.index = c.last
			return c, entries, nil
		}
	}
}

// open opens the segment at l.at.
func (l *follower) open() error {
	if l.at >= len(l.r.segments) || l.r.segments[l.at].first > l.index+1 {
		return l.ends()
	}
	s := &l.r.segments[l.at]
	if s.fault != nil {
		return l.damagedHeader(s)
	}
	sc, err := l.r.openSegment(s)
	if err != nil {
		if sc != nil {
			sc.f.Close()
		}
		return err
	}
	l.scanner, l.any = sc, false
	return nil
}

// damagedHeader returns the fault of a segment's header. A segment gets its name when its first chunk is in it, so this is
// never a torn write, unless the segment is the newest one and nothing intact is in it.
func (l *follower) damagedHeader(s *segment) error {
	if l.at+1 < len(l.r.segments) || errors.Is(s.fault, ErrForeign) {
		return s.fault
	}
	sc, err := l.r.openSegment(s)
	if sc == nil {
		return err
	}
	defer sc.f.Close()
	sc.torn, sc.next = true, 0
	if ends, err := l.tornEnd(sc); err != nil || !ends {
		return errors.Join(s.fault, err)
	}
	l.torn = s.fault
	l.at++
	return l.ends()
}

// entries reads the entries of the newest chunk.
func (l *follower) entries(c *chunk) (entries []Entry, err error) {
	if l.raw, err = l.scanner.payload(c, l.raw); err != nil {
		return nil, err
	}
	clear := l.raw
	if c.flags&flagEncrypted != 0 {
		if clear, err = decrypt(l.scanner.path, l.scanner.at, l.raw, limits.BackupChunkMost, l.r.keys); err != nil {
			return nil, err
		}
	}
	entries, err = readEntries(clear, c)
	return entries, damage.Of(l.scanner.path, l.scanner.at, err)
}

// after decides what follows the last chunk that could be read in a segment: the next segment, if it continues that chunk;
// otherwise the end of the log, or damage.
func (l *follower) after(why error) error {
	if !errors.Is(why, io.EOF) && !errors.Is(why, damage.ErrDamaged) {
		return why
	}
	damaged := !errors.Is(why, io.EOF)
	if l.at+1 < len(l.r.segments) {
		s := &l.r.segments[l.at+1]
		if l.any && s.fault == nil && s.first == l.newest.last+1 && s.before == l.r.segments[l.at].first && s.link == l.newest.sum {
			l.close() // the bytes behind that chunk are dead: the backup was interrupted there
			l.at++
			return nil
		}
		switch {
		case damaged:
			return why
		case s.fault == nil && s.before != 0 && l.any:
			return damage.At(l.r.store.path(s.name()), 0, "it continues the segment %d, and %s ends with entry %d: a part of the log is missing", s.before, l.scanner.path, l.newest.last)
		}
		l.at++
		l.close()
		return l.open()
	}
	if damaged {
		ends, err := l.tornEnd(l.scanner)
		if err != nil || !ends {
			return errors.Join(why, err)
		}
		if l.torn = why; !l.scanner.cut {
			l.torn = fmt.Errorf("%w: %w", errWholeEnd, why)
		}
	}
	l.at++
	return l.ends()
}

// errWholeEnd marks damage of the last chunk whose bytes are all there: a power failure and rot look the same.
var errWholeEnd = errors.New("the newest chunk is damaged")

// tornEnd reports whether the log may end where a segment is damaged.
func (l *follower) tornEnd(sc *scanner) (bool, error) {
	if final, _ := l.r.store.final(); final {
		return false, nil
	}
	return sc.tornEnd()
}

// ends returns io.EOF if the backup ends with the newest entry, and ErrGap if it has more.
func (l *follower) ends() error {
	if _, fault := l.r.store.final(); fault != nil {
		return fault
	}
	for _, s := range l.r.segments {
		if s.first > l.index+1 {
			return fmt.Errorf("%w: entry %d is missing, and the next segment begins with entry %d", ErrGap, l.index+1, s.first)
		}
	}
	if n := len(l.r.Bases); n > 0 && l.r.Bases[n-1].Index > l.index {
		return fmt.Errorf("%w: entry %d is missing, and the next base is of entry %d", ErrGap, l.index+1, l.r.Bases[n-1].Index)
	}
	return io.EOF
}
