package log

import (
	"hash/crc32"
	"unsafe"

	"qkv/internal/limits"
)

// group is what the next sync covers, encoded while it is appended. Its buffer is laid out as the file will be, so
// that one write takes it there: a page for a segment's header, used when the group is the first of its segment, then
// the frames, each on a page of its own.
//
// Invariants:
//
//  1. Each frame begins at a multiple of pageBytes; its header's sector is zero until the group is written.
//  2. What pads the last page of each frame but the last one is zero; close does the same for the last one.
//  3. positions[i].Offset is relative to the buffer, and Segment is 0.
type group struct {
	buf       []byte
	frames    []frame
	positions []Position
	closed    bool // the last frame takes no more: a Sync has begun
}

// frame is a frame of a group in memory.
type frame struct {
	kind   frameKind
	at     int // where it begins in the buffer
	first  uint64
	runs   []run
	count  uint32
	length int // of the payload
	marker Marker
	// What the log was before this frame: the last entry.
	last, lastTerm uint64
	entries        int // the number of positions before this frame
}

// next is the index that follows the frame's entries.
func (f *frame) next() uint64 { return f.first + uint64(f.count) }

// begin closes the last frame and starts another.
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
	if len(g.frames) < cap(g.frames) { // keeps the runs' memory
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

// takes says whether the last frame takes an entry of a length.
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

// close fills the last page with zeros.
func (g *group) close() {
	if rest := len(g.buf) % pageBytes; rest > 0 {
		g.reserve(pageBytes - rest)
		end := len(g.buf)
		g.buf = g.buf[:end+pageBytes-rest]
		clear(g.buf[end:])
	}
}

// end is where frame i ends in the buffer, the group being closed.
func (g *group) end(i int) int {
	if i+1 < len(g.frames) {
		return g.frames[i+1].at
	}
	return len(g.buf)
}

// header is the header of frame i but for what its place says.
func (g *group) header(i int) frameHeader {
	f := &g.frames[i]
	return frameHeader{
		kind: f.kind, first: f.first, runs: f.runs, count: f.count, length: uint32(f.length),
		payload: crc32.Checksum(g.buf[f.at+headerBytes:f.at+headerBytes+f.length], castagnoli),
	}
}

// reserve makes room for n more bytes in a buffer that begins at a page, as disk.File.WritePages wants it.
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

// reset makes the group empty. The buffer stays, unless one large group has blown it up.
func (g *group) reset() {
	if cap(g.buf) > 2*limits.GroupBytes {
		g.buf = nil
	}
	g.buf, g.frames, g.positions, g.closed = g.buf[:0], g.frames[:0], g.positions[:0], false
}
