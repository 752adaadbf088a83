package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

const (
	// recordPrefix is the array's header and the checksum, which covers the rest.
	recordPrefix = 6
	// recordOverhead is the most bytes that a record adds to its data.
	recordOverhead = recordPrefix + 9 + 9 + 2 + 5
	// kindMarker is the kind of a reset marker's record; smaller kinds are raft's kinds of entries.
	kindMarker = 16
	// kindRaftMost is the highest of raft's kinds of entries.
	kindRaftMost = uint64(raftpb.EntryConfChangeV2)
	// recordFields is the number of fields; a newer qkv may append some.
	recordFields = 5
)

// record is an entry, or a reset marker: [crc, index, term, kind, data] in msgpack.
type record struct {
	index, term uint64
	kind        uint64
	data        []byte // contiguous and unchanged, so that it can be read in place
	longer      bool   // it was read with unknown fields behind the data
}

// appendRecord appends the record and returns its CRC.
func appendRecord(dst []byte, r record) ([]byte, uint32) {
	start := len(dst)
	dst = append(dst, 0x95, 0xce, 0, 0, 0, 0)
	dst = pack.AppendUint(dst, r.index)
	dst = pack.AppendUint(dst, r.term)
	dst = pack.AppendUint(dst, r.kind)
	dst = pack.AppendBytes(dst, r.data)
	sum := crc32.Checksum(dst[start+recordPrefix:], castagnoli)
	binary.BigEndian.PutUint32(dst[start+2:], sum)
	return dst, sum
}

// readRecord decodes the record at the beginning of b, and returns its length and CRC. The data is part of b.
func readRecord(b []byte) (r record, length int, sum uint32, err error) {
	if len(b) < recordPrefix || b[0] < 0x90+recordFields || b[0] > 0x9f || b[1] != 0xce {
		return r, 0, 0, fmt.Errorf("no record begins here")
	}
	sum = binary.BigEndian.Uint32(b[2:])
	p := pack.NewReader(b[recordPrefix:])
	r.index, r.term, r.kind, r.data = p.Uint(), p.Uint(), p.Uint(), p.Bytes()
	for range b[0] - 0x90 - recordFields {
		p.Skip()
		r.longer = true
	}
	if p.Err() != nil {
		return r, 0, 0, p.Err()
	}
	length = len(b) - len(p.Rest())
	switch {
	case crc32.Checksum(b[recordPrefix:length], castagnoli) != sum:
		return r, 0, 0, fmt.Errorf("the record's checksum is wrong")
	case length > limits.RecordBytes:
		return r, 0, 0, fmt.Errorf("a record of %d bytes, at most %d", length, limits.RecordBytes)
	default:
		return r, length, sum, nil
	}
}

// entry converts a record to raft's entry.
func (r *record) entry() *raftpb.Entry {
	kind := raftpb.EntryType(r.kind)
	e := &raftpb.Entry{Term: &r.term, Index: &r.index, Type: &kind}
	if len(r.data) > 0 {
		e.Data = r.data
	}
	return e
}

// Record is an entry outside of the log, as the state applies it.
type Record struct {
	Index, Term uint64
	Change      bool   // raft treats it as a change of the configuration
	Envelope    []byte // empty for the entry that begins a leader's term
}

// AppendRecord appends a record in the encoding of the log, whose data is the envelope alone.
func AppendRecord(dst []byte, r Record) []byte {
	kind := raftpb.EntryNormal
	if r.Change {
		kind = raftpb.EntryConfChangeV2
	}
	dst, _ = appendRecord(dst, record{index: r.Index, term: r.Term, kind: uint64(kind), data: r.Envelope})
	return dst
}

// ReadRecord reads the record at the beginning of b, and returns what follows it. The envelope is part of b.
func ReadRecord(b []byte) (Record, []byte, error) {
	r, length, _, err := readRecord(b)
	switch {
	case err != nil:
		return Record{}, nil, err
	case r.longer || r.kind > kindRaftMost:
		return Record{}, nil, fmt.Errorf("%w: entry %d has another kind, or more fields", pack.ErrNewer, r.index)
	}
	return Record{r.index, r.term, raftpb.EntryType(r.kind) != raftpb.EntryNormal, r.data[:len(r.data):len(r.data)]}, b[length:], nil
}
