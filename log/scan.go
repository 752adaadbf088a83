package log

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// readAheadBytes is how much of a file is read at once.
const readAheadBytes = 1 << 20

// pages reads a file front to back through a buffer, and asks the disk to read ahead. A start is then as quick as the
// disk. The kernel's own readahead may fall behind the decoder (measured: 430 of 1,900 MB/s).
type pages struct {
	file  disk.File
	size  int64
	buf   []byte // the last read; reused from file to file
	at    int64  // offset of buf
	ahead disk.Readahead
}

// read returns n bytes at an offset, valid until the next read. It returns io.ErrUnexpectedEOF if the file ends before.
func (p *pages) read(at int64, n int) ([]byte, error) {
	if at < 0 || at+int64(n) > p.size {
		return nil, io.ErrUnexpectedEOF
	}
	if at < p.at || at+int64(n) > p.at+int64(len(p.buf)) {
		want := int(min(int64(max(n, readAheadBytes)), p.size-at))
		if cap(p.buf) < want {
			p.buf = make([]byte, want)
		}
		p.buf = p.buf[:want]
		p.ahead.Ask(p.file, at, min(at+int64(want)+limits.PrefetchBytes, p.size))
		got, err := p.file.ReadAt(p.buf, at)
		p.buf = p.buf[:got]
		if got < n { // bytes read before a bad page are still usable
			p.buf = p.buf[:0]
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		p.at = at
	}
	return p.buf[at-p.at:][:n], nil
}

// badFrame says why a frame could not be read. If certain is set, no torn write can be the cause: a disk cannot be
// read, or an intact header or a payload with the right checksum makes no sense, and was therefore written like that.
type badFrame struct {
	offset  int64
	reason  error
	unread  bool // the disk cannot be read, or the format is unknown
	certain bool
	cut     bool // the file ends before the frame does
}

// damage is the error for a bad frame that was synced.
func (b *badFrame) damage(name string) error {
	return damage.Of(name, b.offset, b.reason)
}

// scanner reads the frames of one segment in order.
type scanner struct {
	pages
	name   string
	header segmentHeader
	seed   uint32
	next   int64  // where the next frame begins
	chain  uint32 // the chain value before that frame
}

func newScanner(f *logFile, file disk.File, buf []byte) *scanner {
	return &scanner{
		pages: pages{file: file, size: f.size, buf: buf[:0]}, name: f.name,
		header: f.header, seed: seed(f.header.salt), next: pageBytes, chain: f.header.sum,
	}
}

// frame reads the next frame and its payload, which is valid until the next call.
func (s *scanner) frame() (frameHeader, []byte, *badFrame) {
	h, bad := s.headerAt(s.next)
	if bad != nil {
		return h, nil, bad
	}
	// it belongs to no group; without a next segment (as in released ones), nothing else says where this one ends
	if h.kind == kindNext {
		return h, nil, &badFrame{offset: s.next, reason: errors.New("this page names the next segment and is not a frame")}
	}
	bad = &badFrame{offset: s.next, certain: true}
	switch {
	case h.prev != s.chain:
		bad.reason = fmt.Errorf("the frame follows a frame with checksum %#08x, but the one before it has %#08x", h.prev, s.chain)
		return h, nil, bad
	case h.prevEnd != s.header.prevEnd:
		bad.reason = fmt.Errorf("the frame says that the segment before ends at %d, the segment's header says at %d", h.prevEnd, s.header.prevEnd)
		return h, nil, bad
	}
	payload, bad := s.payload(&h)
	if bad != nil {
		return h, nil, bad
	}
	s.next, s.chain = h.end(), h.sum
	return h, payload, nil
}

// payload reads and verifies the payload behind an intact header.
func (s *scanner) payload(h *frameHeader) ([]byte, *badFrame) {
	bad := &badFrame{offset: h.offset}
	whole, err := s.read(h.offset, int(h.end()-h.offset))
	if err != nil {
		bad.reason, bad.cut = fmt.Errorf("the frame's payload cannot be read: %w", err), errors.Is(err, io.ErrUnexpectedEOF)
		bad.certain = !bad.cut
		return nil, bad
	}
	payload, padding := whole[headerBytes:headerBytes+h.length], whole[headerBytes+h.length:]
	if crc32.Checksum(payload, castagnoli) != h.payload || !isZero(padding) {
		bad.reason = errors.New("the frame's checksum is wrong")
		return nil, bad
	}
	return payload, nil
}

// resume continues behind a damaged frame at from, with the next intact frame that depends only on entries that a
// snapshot covers. Everything damaged between is superseded: entries below the frame's first by the snapshot, later
// ones by the frame itself. It returns false if there is no such frame.
func (s *scanner) resume(from int64, covered uint64) (first uint64, ok bool) {
	for at := from + pageBytes; at+headerBytes <= s.size; at += pageBytes {
		h, bad := s.headerAt(at)
		if bad != nil || h.kind == kindNext || h.first-1 > covered {
			continue
		}
		if _, bad := s.payload(&h); bad != nil {
			continue
		}
		s.next, s.chain = at, h.prev
		return h.first, true
	}
	return 0, false
}

// headerAt reads the frame header at an offset.
func (s *scanner) headerAt(at int64) (frameHeader, *badFrame) {
	sector, err := s.read(at, headerBytes)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && at >= s.size:
		return frameHeader{}, &badFrame{offset: at, reason: errors.New("the file ends"), cut: true}
	case err != nil:
		return frameHeader{}, &badFrame{offset: at, reason: fmt.Errorf("the frame's header cannot be read: %w", err), unread: true, certain: true}
	}
	h, err := readFrameHeader(sector, s.seed, s.header.seq, at)
	if err != nil {
		return h, &badFrame{offset: at, reason: err, unread: errors.Is(err, damage.ErrFormat), certain: err != errNoFrame}
	}
	return h, nil
}

// intactHeaders sums up the intact headers behind a bad frame.
type intactHeaders struct {
	proof   *frameHeader // it proves that the bad frame was synced
	newest  *frameHeader
	end     int64 // of the newest
	prevEnd int64 // where the segment before ends according to the newest; 0 if there is none
}

// findIntactHeaders searches all pages between two offsets for intact headers.
func (s *scanner) findIntactHeaders(from, to int64) (intactHeaders, *badFrame) {
	var b intactHeaders
	for at := from; at+headerBytes <= to; at += pageBytes {
		h, bad := s.headerAt(at)
		if bad != nil && bad.certain {
			return b, bad
		}
		if bad != nil || h.kind == kindNext { // a kindNext page belongs to the next segment, not to the torn frames
			continue
		}
		if h.synced > from && b.proof == nil {
			b.proof = &h
		}
		b.newest, b.end, b.prevEnd = &h, h.end(), h.prevEnd
	}
	return b, nil
}

// longerRecords reports whether the segment's records may have unknown fields: it has an unknown compatible feature.
func (h *segmentHeader) longerRecords() bool { return h.compat&^(compatZeroed|compatReserved) != 0 }

// readPayload decodes the records of an intact frame. Its errors are damage, not a torn write: the checksum was right.
func readPayload(h *frameHeader, payload []byte, longer bool, f func(r record, at Position)) error {
	at := int64(0)
	i, terms := h.first, h.runs
	used := uint32(0)
	for range h.count {
		r, length, sum, err := readRecord(payload[at:])
		if err != nil {
			return fmt.Errorf("record %d of the frame: %w", i, err)
		}
		if r.longer && !longer {
			return fmt.Errorf("%w: record %d has more fields than are known", damage.ErrNewer, i)
		}
		if r.kind > kindRaftMost && r.kind != kindMarker {
			return fmt.Errorf("%w: record %d is of kind %d", damage.ErrNewer, i, r.kind)
		}
		if h.kind == kindEntries {
			if used == terms[0].count {
				terms, used = terms[1:], 0
			}
			used++
			if r.index != i || r.term != terms[0].term || r.kind >= kindMarker {
				return fmt.Errorf("record %d/%d of kind %d where entry %d/%d belongs", r.index, r.term, r.kind, i, terms[0].term)
			}
		} else if r.kind != kindMarker || r.index+1 != h.first {
			return fmt.Errorf("record %d of kind %d where the marker %d belongs", r.index, r.kind, h.first-1)
		}
		f(r, Position{h.seq, h.offset + headerBytes + at, uint32(length), sum})
		at += int64(length)
		i++
	}
	if at != int64(len(payload)) {
		return fmt.Errorf("%d bytes follow the frame's records", int64(len(payload))-at)
	}
	return nil
}
