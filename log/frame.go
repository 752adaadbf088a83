package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"qkv/internal/damage"
	"qkv/internal/limits"
)

type frameKind uint8

const (
	kindEntries frameKind = iota + 1 // payload: a record for each entry
	kindReset                        // payload: the marker's record
	kindState                        // no payload: a second copy of Term and Vote
	kindFence                        // no payload: says that everything before it is synced
	kindNext                         // no payload, in the last page: says that the next segment is synced, see NextPage
)

func (k frameKind) String() string {
	switch k {
	case kindEntries:
		return "entries"
	case kindReset:
		return "reset"
	case kindState:
		return "state"
	case kindFence:
		return "fence"
	case kindNext:
		return "next"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

const (
	frameMagic = 0x66766b71 // "qkvf", little endian
	runsAt     = 88
	runBytes   = 12
	runsMost   = (sumAt - runsAt) / runBytes
)

// run is a number of consecutive entries of one term.
type run struct {
	term  uint64
	count uint32
}

// frameHeader begins a frame. Its checksum is salted and covers only the header, so it can be verified alone, whatever
// happened to the frames before it.
type frameHeader struct {
	kind    frameKind
	seq     uint64 // sequence of the segment
	offset  int64  // the frame's own; a header found at another offset is invalid
	synced  int64  // the segment was synced up to this offset when the header was written
	first   uint64 // the first entry's index; without entries, the index of the next one
	hard    HardState
	runs    []run
	count   uint32 // records
	length  uint32 // of the payload
	payload uint32 // CRC of the payload
	prev    uint32 // the chain value before: the sum of the previous header
	prevEnd int64  // where the segment before ends, synced completely; as in the segment's header
	nextSeq uint64 // for kindNext: the sequence of the next segment; stored in place of runs
	sum     uint32 // of this header: the chain value after it
}

// end is where the next frame begins.
func (h *frameHeader) end() int64 { return h.offset + frameBytes(int(h.length)) }

// frameBytes is the size of a frame in the file: whole pages.
func frameBytes(payload int) int64 {
	return (headerBytes + int64(payload) + pageBytes - 1) / pageBytes * pageBytes
}

// seal encodes the header into a zeroed sector and returns its sum.
func (h *frameHeader) seal(b []byte, seed uint32) uint32 {
	e := binary.LittleEndian
	e.PutUint32(b, frameMagic)
	b[4] = byte(h.kind)
	e.PutUint16(b[6:], uint16(len(h.runs)))
	for i, v := range [...]uint64{
		h.seq, uint64(h.offset), uint64(h.synced), h.first, h.hard.Term, h.hard.Vote, h.hard.Commit,
	} {
		e.PutUint64(b[8+8*i:], v)
	}
	e.PutUint32(b[64:], h.count)
	e.PutUint32(b[68:], h.length)
	e.PutUint32(b[72:], h.payload)
	e.PutUint32(b[76:], h.prev)
	e.PutUint64(b[80:], uint64(h.prevEnd))
	for i, r := range h.runs {
		e.PutUint64(b[runsAt+runBytes*i:], r.term)
		e.PutUint32(b[runsAt+runBytes*i+8:], r.count)
	}
	if h.kind == kindNext {
		e.PutUint64(b[runsAt:], h.nextSeq)
	}
	h.sum = crc32.Update(seed, castagnoli, b[:sumAt])
	e.PutUint32(b[sumAt:], h.sum)
	return h.sum
}

// errNoFrame is returned for bytes that are not a frame header of this segment and offset. Intact headers with
// contradictory fields return other errors, because no torn write produces them.
var errNoFrame = errors.New("no frame begins here")

// readFrameHeader decodes the header at an offset of a segment.
func readFrameHeader(b []byte, seed uint32, seq uint64, offset int64) (frameHeader, error) {
	var h frameHeader
	e := binary.LittleEndian
	if len(b) < headerBytes || e.Uint32(b) != frameMagic || e.Uint64(b[8:]) != seq || int64(e.Uint64(b[16:])) != offset {
		return h, errNoFrame
	}
	h.sum = e.Uint32(b[sumAt:])
	if crc32.Update(seed, castagnoli, b[:sumAt]) != h.sum {
		return h, errNoFrame
	}
	h.kind, h.seq, h.offset = frameKind(b[4]), seq, offset
	h.synced, h.first = int64(e.Uint64(b[24:])), e.Uint64(b[32:])
	h.hard = HardState{e.Uint64(b[40:]), e.Uint64(b[48:]), e.Uint64(b[56:])}
	h.count, h.length = e.Uint32(b[64:]), e.Uint32(b[68:])
	h.payload, h.prev = e.Uint32(b[72:]), e.Uint32(b[76:])
	h.prevEnd = int64(e.Uint64(b[80:]))
	n := int(e.Uint16(b[6:]))
	if n > runsMost {
		return h, fmt.Errorf("a frame with %d runs of terms", n)
	}
	for i := range n {
		at := b[runsAt+runBytes*i:]
		h.runs = append(h.runs, run{e.Uint64(at), e.Uint32(at[8:])})
	}
	if h.kind == kindNext {
		h.nextSeq = e.Uint64(b[runsAt:])
	}
	return h, h.check()
}

// check compares the header's fields with each other.
func (h *frameHeader) check() error {
	var entries uint64
	for _, r := range h.runs {
		entries += uint64(r.count)
	}
	switch {
	case h.kind < kindEntries || h.kind > kindNext:
		return fmt.Errorf("%w: a frame of kind %d", damage.ErrNewer, h.kind)
	case h.kind == kindEntries && (entries == 0 || entries != uint64(h.count)):
		return fmt.Errorf("a frame of %d records with runs of %d entries", h.count, entries)
	case h.kind != kindEntries && entries != 0:
		return fmt.Errorf("a %v frame with runs of %d entries", h.kind, entries)
	case h.kind == kindReset && h.count != 1:
		return fmt.Errorf("a reset frame of %d records", h.count)
	case h.kind >= kindState && (h.count != 0 || h.length != 0):
		return fmt.Errorf("a %v frame of %d records and %d bytes", h.kind, h.count, h.length)
	case h.length > limits.RecordBytes:
		return fmt.Errorf("a frame of %d bytes, at most %d", h.length, limits.RecordBytes)
	case h.first == 0 || h.first+uint64(h.count) < h.first:
		return fmt.Errorf("a frame of %d entries from %d", h.count, h.first)
	case h.prevEnd < 0:
		return fmt.Errorf("a frame that says that the segment before ends at %d", h.prevEnd)
	case h.synced < 0 || h.synced > h.offset:
		return fmt.Errorf("a frame at %d that says that %d bytes are synced", h.offset, h.synced)
	default:
		return nil
	}
}
