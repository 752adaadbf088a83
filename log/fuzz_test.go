package log

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

func fuzzOptions(m *simdisk.Disk) Options {
	salt := uint64(0)
	return Options{FS: m, Dir: "wal", Cluster: 1, Member: 2, SegmentBytes: 16 << 10, WindowBytes: limits.WindowBytes, Salt: func() uint64 { salt++; return salt }}
}

// fuzzLog makes a log of a few segments.
func fuzzLog(t testing.TB) *simdisk.Disk {
	m := simdisk.New(1)
	o := fuzzOptions(m)
	if err := Create(o, Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}); err != nil {
		t.Fatal(err)
	}
	l, _, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(4) {
		l.Append(&HardState{Term: 1 + i/2, Vote: i % 2, Commit: i}, []*raftpb.Entry{{Index: new(2 + i), Term: new(1 + i/2), Data: bytes.Repeat([]byte("x"), 10)}})
		if _, err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Fence(true); err != nil {
		t.Fatal(err)
	}
	return m
}

// FuzzRecovery changes bytes of a log, makes the checksums right again where it is told to, and opens what comes of
// it: whatever it says, it must neither panic nor ask for more memory than the limits allow, and what it opens must be
// readable.
func FuzzRecovery(f *testing.F) {
	base := fuzzLog(f)
	f.Add([]byte{})
	f.Add([]byte{1, 0x10, 0x44, 0xff, 0x81})
	f.Add([]byte{1, 0x10, 0x28, 0xff, 0x81, 1, 0x00, 0x48, 0, 0x80})
	f.Add(bytes.Repeat([]byte{2, 0x20, 0x06, 0x7f, 0x81}, 3))
	f.Fuzz(func(t *testing.T, edits []byte) {
		m := base.Clone(1)
		for ; len(edits) >= 5; edits = edits[5:] {
			edit(m, edits[:5])
		}
		openFuzzed(t, m)
	})
}

// edit changes one byte: segment, offset in two bytes, value, and what to do with the checksums.
func edit(m *simdisk.Disk, e []byte) {
	file, err := m.OpenWritable("wal/" + nameOf(1+uint64(e[0])%4))
	if err != nil {
		return
	}
	at := int64(e[1])<<8 | int64(e[2])
	_, _ = file.WriteAt(e[3:4], at)
	size, _ := file.Size()
	b := make([]byte, size)
	if n, _ := file.ReadAt(b, 0); int64(n) != size || e[4] < 0x80 {
		return
	}
	page := at / pageBytes * pageBytes
	if page+pageBytes > size {
		return
	}
	sector := b[page:][:pageBytes]
	if page == 0 {
		sealAgain(sector, 0)
	} else {
		h, err := readSegmentHeader(b[:pageBytes])
		if err != nil {
			return
		}
		if e[4]&1 == 1 { // the payload's checksum, too
			n := min(int(uint32(sector[68])|uint32(sector[69])<<8), pageBytes-headerBytes)
			sum := checksum(sector[headerBytes : headerBytes+n])
			copy(sector[72:76], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
		}
		sealAgain(sector, seed(h.salt))
	}
	_, _ = file.WriteAt(sector, page)
}

func openFuzzed(t *testing.T, m *simdisk.Disk) {
	_ = Dump(m, "wal", io.Discard, DumpOptions{Entries: true})
	o := fuzzOptions(m)
	l, r, err := Open(o)
	if err != nil {
		if !errors.Is(err, damage.ErrDamaged) && !errors.Is(err, damage.ErrFormat) && !errors.Is(err, ErrForeign) && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("an unknown error: %v", err)
		}
		return
	}
	if r.First <= r.Last {
		if _, err := (Storage{r.Window, NewReader(o.FS)}).Entries(r.First, r.Last+1, math.MaxUint64); err != nil {
			t.Fatal(err)
		}
	}
	if r.Last < math.MaxUint64-1 {
		l.Append(nil, []*raftpb.Entry{{Index: new(r.Last + 1), Term: new(max(r.LastTerm, r.HardState.Term))}})
		if _, err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		if _, again, err := Open(o); err != nil || again.Last != r.Last+1 {
			t.Fatalf("opened, appended, and then: %v", err)
		}
	}
}

// FuzzSegments opens whatever bytes.
func FuzzSegments(f *testing.F) {
	base := fuzzLog(f)
	for n := range uint64(3) {
		file, err := base.Open("wal/" + nameOf(1+n))
		if err != nil {
			f.Fatal(err)
		}
		size, _ := file.Size()
		b := make([]byte, size)
		_, _ = file.ReadAt(b, 0)
		f.Add(bytes.TrimRight(b, "\x00"), []byte("rest")) // short ones are mutated faster
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		m := simdisk.New(1)
		_ = m.MkdirAll("wal")
		for i, content := range [][]byte{a, b} {
			file, _ := m.Create("wal/" + nameOf(uint64(1+i)))
			_, _ = file.WriteAt(content, 0)
		}
		openFuzzed(t, m)
	})
}

// FuzzRecord reads whatever bytes as a record.
func FuzzRecord(f *testing.F) {
	b, _ := appendRecord(nil, record{index: 1, term: 2, kind: 2, data: []byte("data")})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, _, err := readRecord(b)
		if err != nil {
			return
		}
		again, _ := appendRecord(nil, r)
		if n > len(b) || len(r.data) > limits.RecordBytes || len(again) > n {
			t.Fatalf("%d bytes read as %+v, %d bytes, written again as %d", len(b), r, n, len(again))
		}
	})
}

// A value may hold a copy of a log, page for page: of its own frames, and of ones that were made up by somebody who
// knows all but the salt. Behind a torn frame none of them is believed. (With the salt they would be: so the test
// tests something.)
func TestValueThatHoldsALog(t *testing.T) {
	for _, known := range []bool{false, true} {
		m := simdisk.New(1)
		o := fuzzOptions(m)
		o.SegmentBytes = 64 << 10
		if err := Create(o, Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{}}); err != nil {
			t.Fatal(err)
		}
		l, _, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		appendOne(t, l, 2, []byte("first"))
		salt := uint64(12345)
		if known {
			salt = l.active().header.salt
		}
		appendOne(t, l, 3, hostileValue(t, m, salt))
		for _, rot := range []int64{8192 + 100, 8192 + 600} { // its header, its payload
			c := m.Clone(1)
			if err := c.Rot("wal/"+nameOf(2), rot, 0); err != nil {
				t.Fatal(err)
			}
			o.FS = c
			_, r, err := Open(o)
			if known {
				if !errors.Is(err, damage.ErrDamaged) {
					t.Fatalf("forged with the salt: %v", err)
				}
			} else if err != nil || r.Last != 2 || r.HardState.Term != 1 {
				t.Fatalf("last %v: %v", r, err)
			}
		}
	}
}

func appendOne(t *testing.T, l *Log, i uint64, data []byte) Position {
	t.Helper()
	l.Append(nil, []*raftpb.Entry{{Index: new(i), Term: new(uint64(1)), Data: data}})
	at, err := l.Sync()
	if err != nil {
		t.Fatal(err)
	}
	return at[0]
}

// hostileValue is a value for a frame at byte 8192 of segment 2, whose pages will lie on the file's pages.
func hostileValue(t *testing.T, m *simdisk.Disk, salt uint64) []byte {
	file, err := m.Open("wal/" + nameOf(2))
	if err != nil {
		t.Fatal(err)
	}
	own := make([]byte, 2*pageBytes)
	_, _ = file.ReadAt(own, 0)
	const before = headerBytes + recordPrefix + 3 + 3 // index, term, kind; the binary's length
	data := append(make([]byte, pageBytes-before), own...)
	for at := int64(8192 + pageBytes + len(own)); at < 48<<10; at += pageBytes {
		h := frameHeader{kind: kindFence, seq: 2, offset: at, synced: at, first: 3, hard: HardState{Term: 99}}
		page := make([]byte, pageBytes)
		h.seal(page, seed(salt))
		data = append(data, page...)
	}
	return data
}

// A file that is used again holds whole frames of its older life, which say that all was synced. They are not believed.
func TestRecycledSegment(t *testing.T) {
	m := simdisk.New(1)
	o := fuzzOptions(m)
	if err := Create(o, Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{}}); err != nil {
		t.Fatal(err)
	}
	l, _, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(2)
	sync := func() {
		l.Append(nil, []*raftpb.Entry{{Index: new(next), Term: new(uint64(1)), Data: []byte("data")}})
		next++
		if _, err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	maker := NewMaker(o)
	for range 40 {
		sync()
		l.Release(next - 2)
		for _, name := range l.TakeReleased() {
			if err := maker.Recycle(name); err != nil {
				t.Fatal(err)
			}
		}
		for l.Stats().Spares == 0 {
			spare, done, err := maker.Step()
			if err != nil {
				t.Fatal(err)
			}
			if done {
				l.AddSpare(spare)
			}
		}
		c := m.Clone(1)
		again := o
		again.FS = c
		_, r, err := Open(again)
		if err != nil || r.Last != next-1 || r.Torn != nil {
			t.Fatalf("last %d, not %d: %+v %v", r.Last, next-1, r, err)
		}
	}
	if l.Stats().Inline != 0 {
		t.Errorf("the log made %d segments itself", l.Stats().Inline)
	}
	var b strings.Builder
	if err := Dump(m, "wal", &b, DumpOptions{}); err != nil || !strings.Contains(b.String(), "not a segment") {
		t.Errorf("no spare: %v\n%s", err, b.String())
	}
}

// The bytes of testdata/bytes.txt open for ever.
func TestGoldenBytesOpen(t *testing.T) {
	m := simdisk.New(1)
	if err := m.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	for n, section := range []string{"founding", "entries"} {
		file, err := m.Create("wal/" + nameOf(uint64(n+1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(golden(t, section), 0); err != nil {
			t.Fatal(err)
		}
	}
	o := fuzzOptions(m)
	o.Cluster, o.Member = 0xc1, 0x3e
	l, r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if r.First != 2 || r.Last != 4 || r.LastTerm != 2 || r.HardState != (HardState{2, 0x3e, 1}) || len(r.Marker.ConfState.GetVoters()) != 3 || r.Torn != nil {
		t.Errorf("%+v", r)
	}
	entries, err := (Storage{r.Window, NewReader(o.FS)}).Entries(2, 5, math.MaxUint64)
	if err != nil || string(entries[0].GetData()) != "a" || entries[1].GetType() != raftpb.EntryConfChangeV2 || entries[2].GetData() != nil {
		t.Errorf("%v %v", entries, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A frame that was replaced by another whole one, salt and all, is noticed by what follows it: the next frame, or the
// next segment's header.
func TestChain(t *testing.T) {
	for _, segments := range []int{1, 2} {
		m := simdisk.New(1)
		o := fuzzOptions(m)
		o.SegmentBytes = 20 << 10
		if err := Create(o, Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{}}); err != nil {
			t.Fatal(err)
		}
		l, _, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		appendOne(t, l, 2, []byte("first"))
		appendOne(t, l, 3, []byte("second")) // the last that fits, with a fence behind it
		if segments == 2 {
			appendOne(t, l, 4, []byte("third"))
		}
		at := int64(pageBytes * segments)
		edit(m, []byte{1, byte(at >> 8), 56, 9, 0x80}) // its commit index
		_, r, err := Open(o)
		var corrupt *damage.Error
		if !errors.As(err, &corrupt) || corrupt.File != "wal/"+nameOf(2) || corrupt.Offset != at+pageBytes {
			t.Errorf("%d segments: %+v %v", segments, r, err)
		}
	}
}
