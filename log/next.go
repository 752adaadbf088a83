package log

import (
	"bytes"
	"errors"
	"fmt"
	"path"

	"qkv/internal/damage"
	"qkv/log/disk"
)

// NextPage is the last page of a segment's file. It says that the next segment was begun and synced; without it, the
// loss of the newest segment would go unnoticed. The segment maker writes it after the fact, so no commit waits for it.
// A crash can only leave it missing; it is never ahead of the disk.
type NextPage struct {
	name   string // of the segment that contains the page
	seed   uint32
	header frameHeader
}

// nextPage returns the page that announces the active segment in the segment before it. It returns false if that
// segment is gone.
func (l *Log) nextPage() (p NextPage, ok bool) {
	if len(l.segments) < 2 {
		return p, false
	}
	prev, h := l.segments[len(l.segments)-2], &l.active().header
	at := prev.header.size - pageBytes
	if prev.seq != h.prev {
		return p, false
	}
	return NextPage{prev.name, seed(prev.header.salt), frameHeader{
		kind: kindNext, seq: prev.seq, offset: at, synced: h.prevEnd, first: h.next, hard: h.hard,
		prev: h.prevChain, prevEnd: prev.header.prevEnd, nextSeq: h.seq,
	}}, true
}

// sayNext queues the page that says that the active segment is on the disk.
func (l *Log) sayNext() {
	if p, ok := l.nextPage(); ok {
		l.nextPages = append(l.nextPages, p)
	}
}

// TakeNextPages returns the pages for Maker.WriteNext. The maker writes them before it gets files that were released
// since.
func (l *Log) TakeNextPages() []NextPage {
	pages := l.nextPages
	l.nextPages = nil
	return pages
}

// WriteNext writes a page that says which segment follows. If the page is already there, it is only synced. After a
// failure only this statement is missing, and the next start writes it again.
func (m *Maker) WriteNext(p NextPage) error {
	file, err := m.o.FS.OpenWritable(p.name)
	if err == nil {
		err = errors.Join(p.write(file), file.Close())
	}
	if err != nil {
		return fmt.Errorf("writing in %s that %s follows it: %w", p.name, nameOf(p.header.nextSeq), err)
	}
	return nil
}

func (p *NextPage) write(file disk.File) error {
	page, there := make([]byte, pageBytes), make([]byte, pageBytes)
	p.header.seal(page[:headerBytes], p.seed)
	// after a failed sync the cache shows data that the disk does not have
	if err := file.DropCache(p.header.offset, pageBytes); err != nil {
		return err
	}
	if _, err := file.ReadAt(there, p.header.offset); err != nil {
		return err
	}
	if !bytes.Equal(page, there) {
		if _, err := file.WriteAt(page, p.header.offset); err != nil {
			return err
		}
	}
	return file.Datasync()
}

// lost returns damage if the newest segment says that another one was begun and synced, but that one is gone or has no
// intact header. Its entries, terms and votes are unknown, so no snapshot replaces them.
func (s *inventory) lost(newest *logFile) error {
	at := newest.header.size - pageBytes
	if at < pageBytes || at+pageBytes > newest.size { // cut file: the scanner reports that
		return nil
	}
	return s.with(newest, func(_ *logFile, file disk.File) error {
		p := pages{file: file, size: newest.size}
		sector, err := p.read(at, headerBytes)
		if err != nil {
			return damage.At(newest.name, at, "the page that says which segment follows cannot be read: %w", err)
		}
		h, err := readFrameHeader(sector, seed(newest.header.salt), newest.number, at)
		if err != nil || h.kind != kindNext {
			return nil
		}
		by := fmt.Sprintf(", and %s proves at byte %d that it was synced", path.Base(newest.name), at)
		switch next := s.find(h.nextSeq); {
		case next == nil:
			return damage.At(s.o.path(nameOf(h.nextSeq)), 0, "the segment is gone%s", by)
		case next.failed != nil:
			return next.failed
		default:
			return damage.At(next.name, 0, "the segment's header is damaged%s", by)
		}
	})
}
