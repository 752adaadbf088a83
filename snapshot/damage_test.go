package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qkv/index"
	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/internal/testlong"
)

const smallPath = "d/00000000000000000042-00000000000000000003.snap"

// refused fails unless both Load's and Verify's pass refuse the bytes with that error, name the file, and return
// the position that they name.
func refused(t testing.TB, b []byte, as error, what string, args ...any) int64 {
	t.Helper()
	what = fmt.Sprintf(what, args...)
	_, _, err := contents(inMemory{b: b}, smallPath)
	_, verr := Verify(inMemory{b: b}, smallPath)
	return refusals(t, as, what, err, verr)
}

// refusals fails unless all of these errors are as they should be.
func refusals(t testing.TB, as error, what string, errs ...error) int64 {
	t.Helper()
	for _, e := range errs {
		if e == nil {
			t.Fatalf("%s: was read", what)
		}
		if !errors.Is(e, as) || !strings.Contains(e.Error(), smallPath) {
			t.Fatalf("%s: refused with %v", what, e)
		}
	}
	if m := position.FindStringSubmatch(errs[0].Error()); m != nil {
		at, _ := strconv.ParseInt(m[1], 10, 64)
		return at
	}
	if errors.Is(as, damage.ErrDamaged) {
		t.Fatalf("%s: %v names no position", what, errs[0])
	}
	return -1
}

var position = regexp.MustCompile(`at byte (\d+)`)

func TestCutAtEveryByte(t *testing.T) {
	b := fileOf(t, small())
	for n := range b {
		if at := refused(t, b[:n:n], damage.ErrDamaged, "cut after %d bytes", n); at > int64(n) {
			t.Errorf("cut after %d bytes, the error names byte %d", n, at)
		}
	}
	for _, more := range [][]byte{{0}, make([]byte, 4096), b} {
		refused(t, append(bytes.Clone(b), more...), damage.ErrDamaged, "%d bytes more", len(more))
	}
}

// A flipped bit is found, and the error names the block that it is in.
func TestFlippedBits(t *testing.T) {
	testlong.Skip(t)
	s := small()
	for i := range int64(220) {
		s.put(fmt.Sprintf("key %04d", i), sized(280), 1000+i)
	}
	b := fileOf(t, s)
	if len(b) < 64<<10 {
		t.Fatalf("the example has only %d bytes", len(b))
	}
	step := 16
	if full {
		step = 1
	}
	var starts []int64
	eachBlock(t, b, func(bl block) { starts = append(starts, bl.at) })
	for bit := 0; bit < 64<<10*8; bit += step {
		b[bit/8] ^= 1 << (bit % 8)
		_, _, err := contents(inMemory{b: b}, smallPath)
		errs := []error{err}
		if full || bit%(16*step) == 0 {
			_, err = Verify(inMemory{b: b}, smallPath)
			errs = append(errs, err)
		}
		at := refusals(t, damage.ErrDamaged, fmt.Sprintf("bit %d", bit), errs...)
		b[bit/8] ^= 1 << (bit % 8)
		if from, to := blockOf(starts, int64(bit/8)); at < from || at >= to {
			t.Fatalf("bit %d of byte %d, block from %d to %d: the error names byte %d", bit%8, bit/8, from, to, at)
		}
	}
}

// blockOf returns where the block, or the prelude, that holds a byte begins and ends.
func blockOf(starts []int64, at int64) (from, to int64) {
	i, found := slices.BinarySearch(starts, at)
	if found {
		i++
	}
	if i > 0 {
		from = starts[i-1]
	}
	if to = 1 << 62; i < len(starts) {
		to = starts[i]
	}
	return from, to
}

// Sectors that were zeroed, lost (an older snapshot shows through) or written to the wrong place.
func TestWrongSectors(t *testing.T) {
	testlong.Skip(t)
	s := blocks()
	b := fileOf(t, s)
	other := blocks()
	other.applied++
	older := fileOf(t, other)
	if len(older) != len(b) {
		t.Fatalf("the older file has %d bytes, not %d", len(older), len(b))
	}
	path := "d/" + Name(s.applied, s.term)
	check := func(bad []byte, what string, args ...any) {
		t.Helper()
		if _, _, err := contents(inMemory{b: bad}, path); !errors.Is(err, damage.ErrDamaged) {
			t.Fatalf("%s: %v", fmt.Sprintf(what, args...), err)
		}
	}
	for at := 0; at < len(b)-4096; at += 64 << 10 {
		bad := bytes.Clone(b)
		clear(bad[at : at+512])
		check(bad, "zeros at %d", at)
		copy(bad[at:], b[at+512:at+1024])
		check(bad, "misdirected sector at %d", at)
	}
	var all []block
	eachBlock(t, b, func(bl block) { all = append(all, bl) })
	for i, bl := range all {
		bad := bytes.Clone(b)
		end := int(bl.at) + headerBytes + int(bl.length)
		copy(bad[bl.at:], older[bl.at:end])
		if !bytes.Equal(bad, b) {
			check(bad, "block %d of an older snapshot", i)
		}
		bad = append(bad[:end:end], b[bl.at:]...)
		check(bad, "block %d twice", i)
		bad = slices.Concat(b[:bl.at], b[end:])
		check(bad, "without block %d", i)
	}
}

// forge builds files that no saver writes, with every checksum right.
type forge struct {
	b      []byte
	chain  uint32
	number uint32
}

func forged() *forge {
	f := &forge{b: format.Append(nil, 0, 0, nil)}
	f.chain, _ = damage.Sealed(f.b)
	return f
}

func (f *forge) block(k kind, records, flags uint32, payload []byte) *forge {
	return f.raw(header{kind: k, records: records, flags: flags, length: uint32(len(payload))}, payload)
}

func (f *forge) raw(h header, payload []byte) *forge {
	h.number, h.chain, h.payload = f.number, f.chain, damage.Sum(payload)
	b := make([]byte, headerBytes)
	f.chain = putHeader(b, h)
	f.b = append(append(f.b, b...), payload...)
	f.number++
	return f
}

func (f *forge) head(state int) *forge {
	s := small()
	return f.block(kindHead, 0, 0, appendHead(s.meta(), state, false))
}

func (f *forge) tail(keys, versions uint64) *forge {
	return f.block(kindTail, 0, 0, appendTail(nil, tail{bytes: uint64(len(f.b)) + tailBytes, blocks: uint64(f.number) + 1, keys: keys, versions: versions}))
}

func record(key string, revisions ...int64) []byte {
	b := pack.AppendBytes(pack.AppendArray(nil, 2), []byte(key))
	b = pack.AppendArray(b, len(revisions))
	for _, rev := range revisions {
		v := version(3)[0]
		v.Mod = rev
		b = appendVersion(b, &v)
	}
	return b
}

// What is well sealed but says what a saver never says.
func TestForged(t *testing.T) {
	for name, f := range map[string]*forge{
		"only a prelude":            forged(),
		"no head":                   forged().block(kindKeys, 1, 0, record("k", 2)),
		"two heads":                 forged().head(0).head(0),
		"head of one byte":          forged().block(kindHead, 0, 0, []byte{1}),
		"head with records":         forged().block(kindHead, 1, 0, appendHead(small().meta(), 0, false)),
		"head of another file":      forged().block(kindHead, 0, 0, appendHead(Meta{Index: 43, Term: 3}, 0, false)),
		"state beyond the file":     forged().head(1<<40).tail(0, 0),
		"state longer than said":    forged().head(1).block(kindStat, 0, 0, []byte("ab")),
		"state empty":               forged().head(1).block(kindStat, 0, 0, nil),
		"state missing":             forged().head(1).block(kindKeys, 1, 0, record("k", 2)),
		"state after keys":          forged().head(0).block(kindKeys, 1, 0, record("k", 2)).block(kindStat, 0, 0, []byte("a")),
		"more records than bytes":   forged().head(0).block(kindKeys, 1<<31, 0, record("k", 2)),
		"fewer records than there":  forged().head(0).block(kindKeys, 1, 0, append(record("k", 2), record("l", 2)...)),
		"more records than there":   forged().head(0).block(kindKeys, 2, 0, record("k", 2)),
		"empty key":                 forged().head(0).block(kindKeys, 1, 0, record("", 2)),
		"long key":                  forged().head(0).block(kindKeys, 1, 0, record(strings.Repeat("k", limits.KeyBytes+1), 2)),
		"no version":                forged().head(0).block(kindKeys, 1, 0, record("k")),
		"same version twice":        forged().head(0).block(kindKeys, 1, 0, record("k", 2, 2)),
		"same key twice":            forged().head(0).block(kindKeys, 2, 0, append(record("k", 2), record("k", 3)...)),
		"keys out of order":         forged().head(0).block(kindKeys, 2, 0, append(record("l", 2), record("k", 3)...)),
		"same key in the next":      forged().head(0).block(kindKeys, 1, 0, record("k", 2)).block(kindKeys, 1, 0, record("k", 3)),
		"goes on, but another":      forged().head(0).block(kindKeys, 1, continues, record("k", 2)).block(kindKeys, 1, 0, record("l", 3)),
		"goes on, but older":        forged().head(0).block(kindKeys, 1, continues, record("k", 2)).block(kindKeys, 1, 0, record("k", 2)),
		"goes on, but ends":         forged().head(0).block(kindKeys, 1, continues, record("k", 2)).tail(1, 1),
		"goes on without a record":  forged().head(0).block(kindKeys, 0, continues, nil).block(kindKeys, 1, 0, record("k", 2)),
		"tail counts keys wrong":    forged().head(0).block(kindKeys, 1, 0, record("k", 2)).tail(2, 1),
		"tail counts versions":      forged().head(0).block(kindKeys, 1, 0, record("k", 2)).tail(1, 2),
		"tail of another length":    forged().head(0).block(kindTail, 0, 0, make([]byte, 63)),
		"no tail":                   forged().head(0).block(kindKeys, 1, 0, record("k", 2)),
		"length beyond the file":    forged().head(0).raw(header{kind: kindKeys, length: 1 << 20}, nil),
		"length beyond the limit":   forged().head(0).raw(header{kind: kindKeys, length: snapshotBlockMost + 1}, nil),
		"largest length":            forged().head(0).raw(header{kind: kindKeys, length: 1<<32 - 1}, nil),
		"head beyond its limit":     forged().raw(header{kind: kindHead, length: limits.SnapshotHeadBytes + 1}, nil),
		"versions beyond the block": forged().head(0).block(kindKeys, 1, 0, append(pack.AppendBytes([]byte{0x92}, []byte("k")), 0xdd, 255, 255, 255, 255)),
		"change of two versions":    forged().head(0).block(kindChanges, 1, 0, record("k", 2, 3)).tail(1, 2),
		"change of no version":      forged().head(0).block(kindChanges, 1, 0, record("k")).tail(1, 0),
		"change of an empty key":    forged().head(0).block(kindChanges, 1, 0, record("", 2)).tail(1, 1),
		"change of a long key":      forged().head(0).block(kindChanges, 1, 0, record(strings.Repeat("k", limits.KeyBytes+1), 2)).tail(1, 1),
		"same change twice":         forged().head(0).block(kindChanges, 2, 0, append(record("k", 2), record("l", 2)...)).tail(2, 2),
		"changes out of order":      forged().head(0).block(kindChanges, 2, 0, append(record("k", 3), record("l", 2)...)).tail(2, 2),
		"older in the next":         forged().head(0).block(kindChanges, 1, 0, record("k", 3)).block(kindChanges, 1, 0, record("k", 2)).tail(2, 2),
		"fewer changes than there":  forged().head(0).block(kindChanges, 1, 0, append(record("k", 2), record("l", 3)...)).tail(1, 1),
		"more changes than there":   forged().head(0).block(kindChanges, 2, 0, record("k", 2)).tail(2, 2),
		"change that goes on":       forged().head(0).block(kindChanges, 1, continues, record("k", 2)).tail(1, 1),
		"changes within a key":      forged().head(0).block(kindKeys, 1, continues, record("k", 2)).block(kindChanges, 1, 0, record("k", 3)).tail(2, 2),
		"tail counts changes wrong": forged().head(0).block(kindChanges, 1, 0, record("k", 2)).tail(1, 2),
	} {
		t.Run(name, func(t *testing.T) { refused(t, f.b, damage.ErrDamaged, "%s", name) })
	}
	f := forged().head(0)
	f.number++
	if refused(t, f.tail(0, 0).b, damage.ErrDamaged, "a number left out"); !strings.Contains(readError(f.b), "block 2 is in the place of block 1") {
		t.Errorf("a number left out: %s", readError(f.b))
	}
	// The tail's SHA-256 of a forged file is zero: Load does not look at it, Verify does.
	f = forged().head(0).block(kindKeys, 1, 0, record("k", 2)).tail(1, 1)
	if _, _, err := contents(inMemory{b: f.b}, smallPath); err != nil {
		t.Errorf("a well-formed file: %v", err)
	}
	if _, err := Verify(inMemory{b: f.b}, smallPath); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a wrong SHA-256: %v", err)
	}
}

func readError(b []byte) string {
	_, _, err := contents(inMemory{b: b}, smallPath)
	return fmt.Sprint(err)
}

// What a newer qkv may write is told apart from damage.
func TestUnknownFormat(t *testing.T) {
	change := func(at int, v uint32) []byte {
		f := forged()
		binary.LittleEndian.PutUint32(f.b[at:], v)
		damage.Seal(f.b)
		return f.b
	}
	for name, b := range map[string][]byte{
		"older":    change(8, format.Version-1),
		"newer":    change(8, format.Version+1),
		"features": change(12, 1<<31),
		"kind":     forged().head(0).block('x', 0, 0, nil).b,
		"flags":    forged().head(0).block(kindKeys, 1, 2, record("k", 2)).b,
	} {
		refused(t, b, damage.ErrFormat, "%s", name)
		if _, _, err := contents(inMemory{b: b}, smallPath); errors.Is(err, damage.ErrDamaged) || errors.Is(err, damage.ErrOlder) != (name == "older") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a next version would write: more elements in every array, and more fields in the head.
	more := func(b []byte, elements byte) []byte { // of the first array in b
		b[0] += elements
		return b
	}
	key := func(elements byte) []byte {
		b := pack.AppendBytes([]byte{0x92 + elements}, []byte("k"))
		b = append(b, 0x91)
		b = append(b, more(appendVersion(nil, &index.Version{Mod: 2, Create: 2, Version: 1, Value: []byte("v"), Author: 1}), elements)...)
		for range elements {
			b = pack.AppendString(b, "a version's new field")
		}
		for range elements {
			b = pack.AppendArray(b, 0)
		}
		return b
	}
	old := appendHead(small().meta(), 0, false)
	newer := codec.Append(nil, &struct {
		Meta `msgpack:"m,noinline"`
		New  bool `msgpack:"new"`
	}{small().meta(), true})
	for name, blocks := range map[string][2][]byte{"head": {newer, key(0)}, "keys": {old, key(1)}, "both": {newer, key(2)}} {
		refused(t, forged().block(kindHead, 0, 0, blocks[0]).block(kindKeys, 1, 0, blocks[1]).tail(1, 1).b, damage.ErrFormat, "%s", name)
	}
	if _, m, err := contents(inMemory{b: forged().block(kindHead, 0, 0, old).block(kindKeys, 1, 0, key(0)).tail(1, 1).b}, smallPath); err != nil || m.Index != 42 {
		t.Errorf("this version: %+v %v", m, err)
	}
}

// FuzzRead: no bytes make a reader panic, or allocate more than a small multiple of what they are.
func FuzzRead(f *testing.F) {
	for _, file := range []string{"testdata/small.snap", "testdata/state.snap", "testdata/piece.part", "testdata/extent.part"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, g := range []*forge{
		forged().head(0).block(kindKeys, 1, continues, record("k", 2)).block(kindKeys, 1, 0, record("k", 3)).tail(1, 2),
		forged().head(3).block(kindStat, 0, 0, []byte("abc")).block(kindKeys, 2, 0, append(record("k", 2), record("l", 3, 4)...)).tail(2, 3),
		forged().head(0).raw(header{kind: kindKeys, length: 1<<32 - 1}, nil),
	} {
		f.Add(g.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, reseal(bytes.Clone(b))} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := contents(inMemory{b: b}, smallPath)
			runtime.ReadMemStats(&after)
			// A version takes 6 bytes of a file at least, and 80 in memory; a slice that grows has been copied.
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10+64*uint64(len(b)) {
				t.Fatalf("%d bytes made the reader allocate %d", len(b), n)
			}
			if err != nil && !errors.Is(err, damage.ErrDamaged) && !errors.Is(err, damage.ErrFormat) {
				t.Fatalf("refused with %v", err)
			}
			Load(inMemory{b: b}, "state", limits.Defaults().Index)
			Verify(inMemory{b: b}, smallPath)
			Dump(inMemory{b: b}, smallPath, &bytes.Buffer{}, false)
			Open(inMemory{b: b}, smallPath)
		}
	})
}

// reseal makes all checksums, chains and numbers of a file right, as far as its blocks can be told, so that the
// fuzzer gets behind them.
func reseal(b []byte) []byte {
	if len(b) < preludeBytes {
		return b
	}
	chain, number := damage.Seal(b[:preludeBytes]), uint32(0)
	for at := preludeBytes; at+headerBytes <= len(b); number++ {
		h, _, _ := readHeader(b[at:])
		h.number, h.chain = number, chain
		end := at + headerBytes + int(h.length)
		if end <= len(b) {
			h.payload = damage.Sum(b[at+headerBytes : end])
		}
		chain = putHeader(b[at:], h)
		at = end
	}
	return b
}

// shrinking is a file that loses its end while it is read.
type shrinking struct{ bytesFile }

func (f shrinking) Size() (int64, error) { return f.Reader.Size() + 1000, nil }

func TestFileShrinks(t *testing.T) {
	b := fileOf(t, small())
	_, _, err := read(smallPath, shrinking{bytesFile{Reader: bytes.NewReader(b)}}, nil, ignore{})
	if !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("at byte %d", len(b))) {
		t.Errorf("a file of %d bytes that had more: %v", len(b), err)
	}
}

// Open believes a tail only when it is whole and that of a file of this length.
func TestOpenDamaged(t *testing.T) {
	b := fileOf(t, small())
	for n := range b {
		if _, err := Open(inMemory{b: b[:n:n]}, smallPath); !errors.Is(err, damage.ErrDamaged) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	for at := len(b) - tailBytes; at < len(b); at++ {
		bad := bytes.Clone(b)
		bad[at] ^= 1
		if _, err := Open(inMemory{b: bad}, smallPath); !errors.Is(err, damage.ErrDamaged) {
			t.Fatalf("byte %d of the tail is wrong: %v", at, err)
		}
	}
	longer := append(bytes.Clone(b), b[len(b)-tailBytes:]...)
	if _, err := Open(inMemory{b: longer}, smallPath); !errors.Is(err, damage.ErrDamaged) {
		t.Errorf("a second tail: %v", err)
	}
}
