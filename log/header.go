package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"qkv/internal/damage"
)

const (
	// pageBytes is the smallest unit of writing. A page is never written twice.
	pageBytes = 4096
	// headerBytes is the length of a segment's and of a frame's header: one sector.
	headerBytes = 512
	// segmentLeast is the smallest segment: a header, a frame, a fence, and the page that says which segment follows.
	segmentLeast = 4 * pageBytes
	// keptBytes is the part of each segment that no group uses: a page for a fence, and the last page for a NextPage.
	keptBytes = 2 * pageBytes
	// version is the format version that is written.
	version = 2

	// compatZeroed is the feature bit of a segment whose file was all zeros when the segment was begun.
	compatZeroed = 1
	// compatReserved is the feature bit of a segment whose space was only reserved: each of its syncs commits the file
	// system's journal.
	compatReserved = 2

	segmentMagic = "qkv log\n"
	sumAt        = headerBytes - 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentHeader begins a segment.
type segmentHeader struct {
	compat, readCompat, incompat uint32 // feature bits: ignorable, ignorable by readers, not ignorable
	cluster, member              uint64
	seq                          uint64 // the number in the file name
	size                         int64  // of the file
	salt                         uint64 // of this segment's frames
	nextSalt                     uint64 // salt of the next segment
	next, lastTerm               uint64 // the index after the last entry before this segment, and that entry's term
	hard                         HardState
	prev                         uint64 // sequence of the segment before; 0: none
	prevEnd                      int64  // where that segment ends; bytes behind it are dead
	prevChain                    uint32
	sum                          uint32 // of this header; the chain value of the first frame
}

// knowsTerm reports whether lastTerm is valid. It is 0 at the beginning of a log, and where the log ended behind damage
// that a snapshot covers: then only the last entry's index is known.
func (h *segmentHeader) knowsTerm() bool { return h.lastTerm > 0 || h.next <= 2 }

// seal encodes the header into a zeroed page and returns its sum.
func (h *segmentHeader) seal(b []byte) uint32 {
	copy(b, segmentMagic)
	e := binary.LittleEndian
	e.PutUint32(b[8:], version)
	e.PutUint32(b[12:], h.compat)
	e.PutUint32(b[16:], h.readCompat)
	e.PutUint32(b[20:], h.incompat)
	for i, v := range [...]uint64{
		h.cluster, h.member, h.seq, uint64(h.size), h.salt, h.nextSalt, h.next, h.lastTerm,
		h.hard.Term, h.hard.Vote, h.hard.Commit, h.prev, uint64(h.prevEnd),
	} {
		e.PutUint64(b[24+8*i:], v)
	}
	e.PutUint32(b[128:], h.prevChain)
	h.sum = crc32.Checksum(b[:sumAt], castagnoli)
	e.PutUint32(b[sumAt:], h.sum)
	return h.sum
}

// readSegmentHeader decodes a segment's first page. An error that wraps damage.ErrFormat means an intact header of another
// version; the sequence is set nevertheless. Any other error means that the page holds no header.
func readSegmentHeader(page []byte) (segmentHeader, error) {
	var h segmentHeader
	e := binary.LittleEndian
	if len(page) < pageBytes || string(page[:8]) != segmentMagic {
		return h, errNoHeader
	}
	h.sum = e.Uint32(page[sumAt:])
	if crc32.Checksum(page[:sumAt], castagnoli) != h.sum || !isZero(page[headerBytes:pageBytes]) {
		return h, errNoHeader
	}
	h.seq = e.Uint64(page[40:])
	switch v := e.Uint32(page[8:]); {
	case v < version:
		return h, damage.ErrOlder
	case v > version:
		return h, fmt.Errorf("%w: format %d, this qkv reads %d", damage.ErrNewer, v, version)
	}
	h.compat, h.readCompat, h.incompat = e.Uint32(page[12:]), e.Uint32(page[16:]), e.Uint32(page[20:])
	var prevEnd, size uint64
	for i, p := range [...]*uint64{
		&h.cluster, &h.member, &h.seq, &size, &h.salt, &h.nextSalt, &h.next, &h.lastTerm,
		&h.hard.Term, &h.hard.Vote, &h.hard.Commit, &h.prev, &prevEnd,
	} {
		*p = e.Uint64(page[24+8*i:])
	}
	h.size, h.prevEnd = int64(size), int64(prevEnd)
	h.prevChain = e.Uint32(page[128:])
	if h.readCompat != 0 || h.incompat != 0 {
		return h, fmt.Errorf("%w: unknown feature bits %#x %#x", damage.ErrNewer, h.readCompat, h.incompat)
	}
	return h, nil
}

var errNoHeader = errors.New("no segment header")

// seed is the initial value of the checksums of a segment's frame headers. Without the salt, no header can be forged.
func seed(salt uint64) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, salt), castagnoli)
}

var zeroPage [pageBytes]byte

func isZero(b []byte) bool { return bytes.Equal(b, zeroPage[:len(b)]) }

const nameSuffix = ".wal"

// nameOf is a segment's file name.
func nameOf(seq uint64) string { return fmt.Sprintf("%016d%s", seq, nameSuffix) }

// numberOf is the inverse of nameOf; it returns false if the name is not a segment's.
func numberOf(name string) (uint64, bool) {
	digits, found := strings.CutSuffix(name, nameSuffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, found && err == nil && n > 0 && nameOf(n) == name
}
