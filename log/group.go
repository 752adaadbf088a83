package log

import (
	"hash/crc32"
	"unsafe"

	"qkv/internal/limits"
)

// group holds the frames that the next sync makes durable, encoded as they are appended. Its buffer has the layout of
// the file, for one write: a page for a segment's header, used if the group is the first of its segment, then the
// frames, each beginning on a new page.
//
// Invariants:
//
//  1. Each frame begins at a multiple of pageBytes; its header's sector is zero until the group is written.
//  2. The padding of each frame's last page is zero; close pads the last frame.
//  3. positions[i].Offset is relative to the buffer, and Segment is 0.
type group struct {
	buf       []byte
	frames    []frame
	positions []Position
	closed    bool // the last frame accepts no more records: a Sync has begun
}

// frame is a frame of a group in memory.
type frame struct {
	kind   frameKind
	at     int // offset in the buffer
	first  uint64
	runs   []run
	count  uint32
	length int // of the payload
	marker Marker
	// The last entry of the log before this frame.
	last, lastTerm uint64
	entries        int // number of positions before this frame
}

// next is the index after the frame's entries.
func (f *frame) next() uint64 { return f.first + uint64(f.count) }

// begin pads the last frame and starts another.
func (g *group) begin(kind frameKind, first, last, lastTerm uint64) *frame {
	g.close()
	g.closed = false
	if len(g.frames) == 0 {
		g.reserve(pageBytes)
		g.buf = g.buf[:pageBytes]
	}
	g.reserve(headerBytes)
	at := len(g.buf)
	g.buf = g.buf[:at+headerBytes]
	clear(g.buf[at:])
	if len(g.frames) < cap(g.frames) { // reuse the runs' memory
		g.frames = g.frames[:len(g.frames)+1]
	} else {
		g.frames = append(g.frames, frame{})
	}
	f := &g.frames[len(g.frames)-1]
	*f = frame{
		kind: kind, at: at, first: first, runs: f.runs[:0],
		last: last, lastTerm: lastTerm, entries: len(g.positions),
	}
	return f
}

// current returns the last frame, nil when there is none.
func (g *group) current() *frame {
	if len(g.frames) == 0 {
		return nil
	}
	return &g.frames[len(g.frames)-1]
}

// add appends a record to the last frame.
func (g *group) add(r record) {
	g.reserve(len(r.data) + recordOverhead)
	f := g.current()
	start := len(g.buf)
	var sum uint32
	g.buf, sum = appendRecord(g.buf, r)
	f.count++
	f.length = len(g.buf) - f.at - headerBytes
	if f.kind != kindEntries {
		return
	}
	if n := len(f.runs); n > 0 && f.runs[n-1].term == r.term {
		f.runs[n-1].count++
	} else {
		f.runs = append(f.runs, run{r.term, 1})
	}
	g.positions = append(g.positions, Position{Offset: int64(start), Length: uint32(len(g.buf) - start), CRC: sum})
}

// takes reports whether the last frame accepts an entry of this size.
func (g *group) takes(i, term uint64, bytes, most int) bool {
	f := g.current()
	if g.closed || f == nil || f.kind != kindEntries || f.next() != i {
		return false
	}
	if len(f.runs) == runsMost && f.runs[runsMost-1].term != term {
		return false
	}
	return f.length+bytes <= most
}

// close pads the last page with zeros.
func (g *group) close() {
	if rest := len(g.buf) % pageBytes; rest > 0 {
		g.reserve(pageBytes - rest)
		end := len(g.buf)
		g.buf = g.buf[:end+pageBytes-rest]
		clear(g.buf[end:])
	}
}

// end is where frame i ends in the buffer, once the group is closed.
func (g *group) end(i int) int {
	if i+1 < len(g.frames) {
		return g.frames[i+1].at
	}
	return len(g.buf)
}

// header is the header of frame i, without the fields that depend on the frame's place in the file.
func (g *group) header(i int) frameHeader {
	f := &g.frames[i]
	return frameHeader{
		kind: f.kind, first: f.first, runs: f.runs, count: f.count, length: uint32(f.length),
		payload: crc32.Checksum(g.buf[f.at+headerBytes:f.at+headerBytes+f.length], castagnoli),
	}
}

// reserve grows the buffer for n more bytes. The buffer is aligned to pages, as disk.File.WritePages requires.
func (g *group) reserve(n int) {
	need := len(g.buf) + n
	if need <= cap(g.buf) {
		return
	}
	size := max(2*cap(g.buf), (need+pageBytes-1)/pageBytes*pageBytes, 64<<10)
	raw := make([]byte, size+pageBytes)
	skip := pageBytes - int(uintptr(unsafe.Pointer(&raw[0]))%pageBytes)
	fresh := raw[skip : skip+len(g.buf) : skip+size]
	copy(fresh, g.buf)
	g.buf = fresh
}

// reset empties the group. It keeps the buffer, unless one large group has grown it far beyond limits.GroupBytes.
func (g *group) reset() {
	if cap(g.buf) > 2*limits.GroupBytes {
		g.buf = nil
	}
	g.buf, g.frames, g.positions, g.closed = g.buf[:0], g.frames[:0], g.positions[:0], false
}
