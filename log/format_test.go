package log

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/vmihailenco/msgpack/v5"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

// hexdump prints bytes, runs of zero lines left out.
func hexdump(b []byte) string {
	var s strings.Builder
	zeros := 0
	for i, line := range strings.SplitAfter(hex.Dump(b), "\n") {
		if line == "" {
			continue
		}
		if isZero(b[i*16 : min(i*16+16, len(b))]) {
			zeros++
			continue
		}
		if zeros > 0 {
			fmt.Fprintf(&s, "         %d zeros\n", zeros*16)
			zeros = 0
		}
		s.WriteString(line)
	}
	if zeros > 0 {
		fmt.Fprintf(&s, "         %d zeros\n", zeros*16)
	}
	return s.String()
}

// docs/formats.md names the version that this package writes.
func TestVersionOnThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("| `qkv log\\n` %d |", version); !strings.Contains(string(page), want) {
		t.Errorf("docs/formats.md lacks %s", want)
	}
}

// The bytes of each kind, as this version writes them; -rewrite writes the golden file anew.
func TestGoldenBytes(t *testing.T) {
	datadriven.RunTest(t, "testdata/bytes.txt", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "record" {
			b, _ := appendRecord(nil, record{index: 300, term: 2, kind: 1, data: []byte("data")})
			return hexdump(b)
		}
		m := simdisk.New(1)
		salt := uint64(0x1111111111111111)
		o := Options{FS: m, Dir: "wal", Cluster: 0xc1, Member: 0x3e, SegmentBytes: 64 << 10, WindowBytes: limits.WindowBytes, Salt: func() uint64 { salt *= 3; return salt }}
		if err := Create(o, Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}); err != nil {
			t.Fatal(err)
		}
		if d.Cmd == "founding" {
			return dumpFile(t, m, nameOf(1))
		}
		l, _, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if d.Cmd == "next" {
			for _, p := range l.TakeNextPages() {
				if err := NewMaker(o).WriteNext(p); err != nil {
					t.Fatal(err)
				}
			}
			return dumpFile(t, m, nameOf(1))
		}
		l.SetCommit(1)
		l.Append(&HardState{Term: 2, Vote: 0x3e, Commit: 1}, []*raftpb.Entry{
			{Index: new(uint64(2)), Term: new(uint64(1)), Data: []byte("a")},
			{Index: new(uint64(3)), Term: new(uint64(2)), Type: raftpb.EntryConfChangeV2.Enum(), Data: []byte("b")},
			{Index: new(uint64(4)), Term: new(uint64(2))},
		})
		if _, err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := l.Fence(true); err != nil {
			t.Fatal(err)
		}
		return dumpFile(t, m, nameOf(2))
	})
}

func dumpFile(t *testing.T, m *simdisk.Disk, name string) string {
	f, err := m.Open("wal/" + name)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	b := make([]byte, size)
	_, _ = f.ReadAt(b, 0)
	return hexdump(b)
}

// A record is what msgpack v5 would write.
func TestRecordIsMsgpack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		data := make([]byte, r.IntN(300))
		rec := record{index: r.Uint64() >> r.IntN(64), term: r.Uint64() >> r.IntN(64), kind: uint64(r.IntN(17)), data: data}
		got, sum := appendRecord(nil, rec)
		var b bytes.Buffer
		e := msgpack.NewEncoder(&b)
		e.UseCompactInts(true)
		for _, err := range []error{
			e.EncodeArrayLen(5), e.EncodeUint32(sum), e.EncodeUint(rec.index), e.EncodeUint(rec.term), e.EncodeUint(rec.kind), e.EncodeBytes(data),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		// The checksum is always five bytes, so that it has a place.
		want := append([]byte{0x95, 0xce, byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, b.Bytes()[b.Len()-len(got)+6:]...)
		if !bytes.Equal(got, want) {
			t.Fatalf("%+v: % x, not % x", rec, got, want)
		}
		if sum != crc32.Checksum(got[6:], castagnoli) {
			t.Fatal("the checksum is of something else")
		}
		back, n, sum2, err := readRecord(append(got, "rest"...))
		if err != nil || n != len(got) || sum2 != sum || back.index != rec.index || back.term != rec.term || back.kind != rec.kind || !bytes.Equal(back.data, data) {
			t.Fatalf("%+v read as %+v, %d bytes: %v", rec, back, n, err)
		}
		for i := range got {
			got[i] ^= 1 << r.IntN(8)
			if _, _, _, err := readRecord(got); err == nil {
				t.Fatalf("byte %d was changed and nobody noticed", i)
			}
			copy(got, want)
		}
	}
}

func TestFrameHeaderRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		h := frameHeader{
			kind: kindEntries, seq: r.Uint64(), offset: r.Int64N(1<<40) * pageBytes, first: 1 + r.Uint64()>>1,
			hard: HardState{r.Uint64(), r.Uint64(), r.Uint64()}, length: uint32(r.IntN(limits.RecordBytes)), payload: r.Uint32(), prev: r.Uint32(),
		}
		h.synced = r.Int64N(h.offset + 1)
		for range 1 + r.IntN(runsMost) {
			n := uint32(1 + r.IntN(1000))
			h.runs = append(h.runs, run{r.Uint64(), n})
			h.count += n
		}
		b := make([]byte, headerBytes)
		salt := seed(r.Uint64())
		h.seal(b, salt)
		got, err := readFrameHeader(b, salt, h.seq, h.offset)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(h) {
			t.Fatalf("%+v read as %+v: %v", h, got, err)
		}
		for what, err := range map[string]error{
			"salt":    errOf(readFrameHeader(b, salt+1, h.seq, h.offset)),
			"segment": errOf(readFrameHeader(b, salt, h.seq+1, h.offset)),
			"offset":  errOf(readFrameHeader(b, salt, h.seq, h.offset+pageBytes)),
			"half":    errOf(readFrameHeader(b[:headerBytes-1], salt, h.seq, h.offset)),
		} {
			if err != errNoFrame {
				t.Fatalf("another %s: %v", what, err)
			}
		}
		b[r.IntN(headerBytes)] ^= 1 << r.IntN(8)
		if _, err := readFrameHeader(b, salt, h.seq, h.offset); err != errNoFrame {
			t.Fatalf("a flipped bit: %v", err)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

// Whole headers that make no sense are errors of their own, not tears.
func TestFrameHeaderThatMakesNoSense(t *testing.T) {
	for want, change := range map[string]func(h *frameHeader){
		"a frame of kind 9":       func(h *frameHeader) { h.kind = 9 },
		"a frame of kind 0":       func(h *frameHeader) { h.kind = 0 },
		"3 records with runs":     func(h *frameHeader) { h.count = 3 },
		"0 records with runs":     func(h *frameHeader) { h.count, h.runs = 0, nil },
		"fence frame with runs":   func(h *frameHeader) { h.kind = kindFence },
		"reset frame of 2":        func(h *frameHeader) { h.kind, h.runs = kindReset, nil },
		"state frame of 0 record": func(h *frameHeader) { h.kind, h.runs, h.count = kindState, nil, 0 },
		"at most":                 func(h *frameHeader) { h.length = limits.RecordBytes + 1 },
		"entries from 0":          func(h *frameHeader) { h.first = 0 },
		"entries from 1844":       func(h *frameHeader) { h.first = math.MaxUint64 },
		"bytes are synced":        func(h *frameHeader) { h.synced = h.offset + 1 },
		"next frame with runs":    func(h *frameHeader) { h.kind, h.count = kindNext, 0 },
		"says that -1 bytes":      func(h *frameHeader) { h.synced = -1 },
	} {
		h := frameHeader{kind: kindEntries, seq: 1, offset: 4096, first: 5, count: 2, length: 30, runs: []run{{1, 1}, {2, 1}}}
		change(&h)
		b := make([]byte, headerBytes)
		h.seal(b, 7)
		if _, err := readFrameHeader(b, 7, 1, 4096); err == nil || errors.Is(err, errNoFrame) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	b := make([]byte, headerBytes)
	h := frameHeader{kind: kindFence, seq: 1, offset: 4096, first: 5}
	h.seal(b, 7)
	b[6] = runsMost + 1
	sealAgain(b, 7)
	if _, err := readFrameHeader(b, 7, 1, 4096); err == nil || err == errNoFrame {
		t.Errorf("too many runs: %v", err)
	}
}

// sealAgain makes a changed header's checksum right.
func sealAgain(b []byte, seed uint32) {
	sum := crc32.Update(seed, castagnoli, b[:sumAt])
	for i := range 4 {
		b[sumAt+i] = byte(sum >> (8 * i))
	}
}

func TestSegmentHeaderRoundTrip(t *testing.T) {
	h := segmentHeader{
		compat: compatZeroed, cluster: 1, member: 2, seq: 3, size: 4, salt: 5, nextSalt: 6, next: 7, lastTerm: 8,
		hard: HardState{9, 10, 11}, prev: 12, prevEnd: 13, prevChain: 14,
	}
	page := make([]byte, pageBytes)
	h.seal(page)
	got, err := readSegmentHeader(page)
	if err != nil || got != h {
		t.Fatalf("%+v read as %+v: %v", h, got, err)
	}
	for at := range pageBytes {
		page[at] ^= 4
		if _, err := readSegmentHeader(page); err != errNoHeader {
			t.Fatalf("byte %d changed: %v", at, err)
		}
		page[at] ^= 4
	}
	for name, change := range map[string]func(b []byte){
		"older":       func(b []byte) { b[8] = version - 1 },
		"newer":       func(b []byte) { b[8] = version + 1 },
		"read-compat": func(b []byte) { b[16] = 1 },
		"incompat":    func(b []byte) { b[20] = 1 },
	} {
		b := bytes.Clone(page)
		change(b)
		sealAgain(b, 0)
		if _, err := readSegmentHeader(b); !errors.Is(err, damage.ErrFormat) || errors.Is(err, damage.ErrOlder) != (name == "older") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := bytes.Clone(page)
	b[12] = 0xff
	sealAgain(b, 0)
	if _, err := readSegmentHeader(b); err != nil {
		t.Errorf("unknown compatible features: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, n := range []uint64{1, 42, 1e15, 1e16, math.MaxUint64} {
		if got, ok := numberOf(nameOf(n)); !ok || got != n {
			t.Errorf("%d: %s is %d %v", n, nameOf(n), got, ok)
		}
	}
	for _, name := range []string{"", ".wal", "1.wal", "0000000000000000.wal", "000000000000001a.wal", "0000000000000001.wal.tmp", "-000000000000001.wal", "99999999999999999999999.wal"} {
		if n, ok := numberOf(name); ok {
			t.Errorf("%q is segment %d", name, n)
		}
	}
}

// entrySize is what raft computes.
func TestEntrySize(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		e := &raftpb.Entry{}
		if r.IntN(4) > 0 {
			e.Index = new(r.Uint64() >> r.IntN(64))
		}
		if r.IntN(4) > 0 {
			e.Term = new(r.Uint64() >> r.IntN(64))
		}
		if r.IntN(4) > 0 {
			e.Type = raftpb.EntryType(r.IntN(3)).Enum()
		}
		if r.IntN(4) > 0 {
			e.Data = make([]byte, r.IntN(20000)>>r.IntN(15))
		}
		if got, want := entrySize(e), int64(proto.Size(e)); got != want {
			t.Fatalf("%v: %d, not %d", e, got, want)
		}
	}
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// golden reads a section of testdata/bytes.txt back into bytes.
func golden(t *testing.T, section string) []byte {
	text, err := os.ReadFile("testdata/bytes.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+section+"\n----\n")
	rest, _, _ = strings.Cut(rest, "\n\n")
	var b []byte
	for _, line := range strings.Split(strings.TrimSpace(rest), "\n") {
		fields := strings.Fields(line)
		if fields[1] == "zeros" {
			n, _ := strconv.Atoi(fields[0])
			b = append(b, make([]byte, n)...)
			continue
		}
		for _, f := range fields[1:17] {
			n, err := strconv.ParseUint(f, 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, byte(n))
		}
	}
	return b
}
