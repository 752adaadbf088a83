package log

import (
	"bytes"
	"errors"
	"fmt"
	"path"

	"qkv/log/disk"
)

// NextPage is the last page of a segment's file, which says that the next segment was begun and synced: without it nobody would
// miss a newest segment that is gone, or emptied. It is written when it is true, by whoever makes spares and not by the log, so
// that no commit waits for it: a crash leaves it behind what is on the disk, never ahead.
type NextPage struct {
	name   string // of the segment that it is in
	seed   uint32
	header frameHeader
}

// nextPage tells of the active segment in the one before it; there is none where that one has no page left, or is none.
func (l *Log) nextPage() (p NextPage, ok bool) {
	if len(l.segments) < 2 {
		return p, false
	}
	prev, h := l.segments[len(l.segments)-2], &l.active().header
	at := prev.header.size - pageBytes
	if prev.seq != h.prev || at < h.prevEnd { // a qkv of before kept no page
		return p, false
	}
	return NextPage{prev.name, seed(prev.header.salt), frameHeader{
		kind: kindNext, seq: prev.seq, offset: at, synced: h.prevEnd, first: h.next, hard: h.hard,
		prev: h.prevChain, prevEnd: prev.header.prevEnd, nextSeq: h.seq,
	}}, true
}

// sayNext has it said that the active segment is on the disk.
func (l *Log) sayNext() {
	if p, ok := l.nextPage(); ok {
		l.nextPages = append(l.nextPages, p)
	}
}

// TakeNextPages returns what Maker.WriteNext is to write, before it is handed what was released since.
func (l *Log) TakeNextPages() []NextPage {
	pages := l.nextPages
	l.nextPages = nil
	return pages
}

// WriteNext writes a page that says which segment follows. What is there already is only synced. A failure loses nothing but what
// the page says, and the next start writes it again.
func (m *Maker) WriteNext(p NextPage) error {
	file, err := m.o.FS.OpenWritable(p.name)
	if err == nil {
		err = errors.Join(p.write(file), file.Close())
	}
	if err != nil {
		return fmt.Errorf("saying in %s that %s follows it: %w", p.name, nameOf(p.header.nextSeq), err)
	}
	return nil
}

func (p *NextPage) write(file disk.File) error {
	page, there := make([]byte, pageBytes), make([]byte, pageBytes)
	p.header.seal(page[:headerBytes], p.seed)
	if err := file.DropCache(p.header.offset, pageBytes); err != nil { // after a failed sync it shows what the disk does not have
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

// lost is the damage of a next segment that the newest one says was begun and synced: it is gone, or has no whole header. What was
// in it nobody knows, nor which terms and votes, so that no snapshot makes up for it.
func (s *inventory) lost(newest *logFile) error {
	at := newest.header.size - pageBytes
	if at < pageBytes || at+pageBytes > newest.size { // cut: that is seen where it is read
		return nil
	}
	return s.with(newest, func(_ *logFile, file disk.File) error {
		p := pages{file: file, size: newest.size}
		sector, err := p.read(at, headerBytes)
		if err != nil {
			return &CorruptError{File: newest.name, Offset: at, Reason: "the page that says which segment follows cannot be read", Cause: err}
		}
		h, err := readFrameHeader(sector, seed(newest.header.salt), newest.number, at)
		if err != nil || h.kind != kindNext {
			return nil
		}
		by := fmt.Sprintf(", and %s proves at byte %d that it was synced", path.Base(newest.name), at)
		switch next := s.find(h.nextSeq); {
		case next == nil:
			return &CorruptError{File: s.o.path(nameOf(h.nextSeq)), Reason: "the segment is gone" + by}
		case next.failed != nil:
			return next.failed
		default:
			return &CorruptError{File: next.name, Reason: "the segment's header is damaged" + by}
		}
	})
}
