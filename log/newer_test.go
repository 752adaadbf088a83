package log

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/damage"
	"qkv/internal/pack"
	"qkv/log/disk/simdisk"
)

// newerRecord is an entry's record as a later version may write it: with a sixth field.
func newerRecord(at uint64, kind uint64, data string) []byte {
	b := []byte{0x96, 0xce, 0, 0, 0, 0}
	b = pack.AppendUint(b, at)
	b = pack.AppendUint(b, 1)
	b = pack.AppendUint(b, kind)
	b = pack.AppendBytes(b, []byte(data))
	b = pack.AppendString(b, "of a later version")
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[recordPrefix:], castagnoli))
	return b
}

// newerLog makes a log whose second segment a later version wrote, as change says, behind an entry of this version.
func newerLog(t *testing.T, change func(h *segmentHeader, f *frameHeader, payload *[]byte)) Options {
	t.Helper()
	m := simdisk.New(1)
	o := fuzzOptions(m)
	if err := Create(o, Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{}}); err != nil {
		t.Fatal(err)
	}
	l, _, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	appendOne(t, l, 2, []byte("before"))
	h := segmentHeader{
		cluster: o.Cluster, member: o.Member, seq: 9, size: 16 * pageBytes, salt: l.active().header.nextSalt, nextSalt: 7,
		next: 3, lastTerm: 1, hard: l.hard, prev: l.active().seq, prevEnd: l.syncedTo, prevChain: l.syncedBy,
	}
	f := frameHeader{kind: kindEntries, seq: 9, offset: pageBytes, first: 3, hard: l.hard, runs: []run{{1, 1}}, count: 1, prevEnd: h.prevEnd}
	payload := newerRecord(3, 0, "after")
	change(&h, &f, &payload)
	b := make([]byte, h.size)
	f.prev = h.seal(b[:pageBytes])
	f.length, f.payload = uint32(len(payload)), crc32.Checksum(payload, castagnoli)
	f.seal(b[pageBytes:pageBytes+headerBytes], seed(h.salt))
	copy(b[pageBytes+headerBytes:], payload)
	file, err := m.Create("wal/" + nameOf(9))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return o
}

// What a later version writes is read where it says that it may be, and otherwise refused for what it is. It is never
// called damage.
func TestWrittenByNewer(t *testing.T) {
	o := newerLog(t, func(h *segmentHeader, _ *frameHeader, _ *[]byte) { h.compat = 1 << 7 })
	l, r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := (Storage{r.Window, NewReader(o.FS)}).Entries(2, 4, math.MaxUint64)
	if err != nil || len(entries) != 2 || string(entries[1].GetData()) != "after" {
		t.Errorf("%v %v", entries, err)
	}
	appendOne(t, l, 4, []byte("and on"))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(h *segmentHeader, f *frameHeader, payload *[]byte){
		"a longer record that is not announced": func(*segmentHeader, *frameHeader, *[]byte) {},
		"incompatible feature":                  func(h *segmentHeader, _ *frameHeader, _ *[]byte) { h.incompat = 1 },
		"read-compatible feature":               func(h *segmentHeader, _ *frameHeader, _ *[]byte) { h.readCompat = 1 },
		"a new kind of frame": func(h *segmentHeader, f *frameHeader, payload *[]byte) {
			h.compat, f.kind, f.runs, f.count, *payload = 1<<7, 6, nil, 0, []byte("what is that?")
		},
		"a new kind of record": func(h *segmentHeader, _ *frameHeader, payload *[]byte) {
			h.compat, *payload = 1<<7, newerRecord(3, 3, "")
		},
	} {
		o := newerLog(t, change)
		for _, covered := range []uint64{0, 2, 3} { // a snapshot is no reason to skip it
			o.Covered = covered
			_, _, err := Open(o)
			if !errors.Is(err, damage.ErrFormat) || errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "newer qkv") || !strings.Contains(err.Error(), nameOf(9)) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
