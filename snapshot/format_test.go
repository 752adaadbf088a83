package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

var golden = flag.Bool("golden", false, "write the golden files anew")

// The bytes of the formats. -golden writes them anew, which is over once .ci/frozen names a commit: see docs/formats.md.
func TestGolden(t *testing.T) {
	want := small()
	saved, path := fileOf(t, want), filepath.Join("testdata", "small.snap")
	b, err := os.ReadFile(path)
	if *golden {
		b, err = saved, os.WriteFile(path, saved, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, saved) {
		t.Error("the same state is saved as other bytes")
	}
	got, _, err := contents(inMemory{b: b}, path)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
	if _, err := Verify(inMemory{b: b}, path); err != nil {
		t.Error(err)
	}
}

// TestIdentity: the SHA-256 is of the prelude and the headers, and through them of every byte: a file that differs in one byte of a
// payload, with every checksum and the whole chain right, is another file.
func TestIdentity(t *testing.T) {
	s := blocks()
	b, path := fileOf(t, s), "d/"+Name(s.applied, s.term)
	sum := sha256.New()
	sum.Write(b[:preludeBytes])
	var all []block
	eachBlock(t, b, func(bl block) {
		if all = append(all, bl); bl.kind != kindTail {
			sum.Write(b[bl.at : bl.at+headerBytes])
		}
	})
	tail := b[len(b)-tailPayload:]
	if got := readTail(tail); !bytes.Equal(sum.Sum(nil), got.sha[:]) {
		t.Errorf("the tail's SHA-256 is %x, that of prelude and headers is %x", got.sha, sum.Sum(nil))
	}
	f := forged()
	for _, bl := range all {
		payload := bytes.Clone(b[bl.at+headerBytes : bl.at+headerBytes+int64(bl.length)])
		if bl.kind == kindKeys && f.number == 4 {
			payload[len(payload)-1] ^= 1 // of the last value
		}
		f.block(bl.kind, bl.records, bl.flags, payload)
	}
	if _, _, err := contents(inMemory{b: f.b}, path); err != nil {
		t.Fatalf("the other file is not sound: %v", err)
	}
	if _, err := Verify(inMemory{b: f.b}, path); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another file has the same identity: %v", err)
	}
}

// However the steps are cut, the file is the same, and what is read is what was saved.
func TestRoundTrip(t *testing.T) {
	for name, s := range map[string]*fake{
		"nothing": {applied: 1, term: 1, revision: 1},
		"small":   small(),
		"blocks":  blocks(),
	} {
		t.Run(name, func(t *testing.T) {
			first := fileOf(t, s)
			for _, step := range []int{-1, 100_000, 1 << 20, 1 << 30} {
				fs := newDisk(t)
				path := save(t, fs, "d", s, step)
				if !bytes.Equal(slurp(t, fs, path), first) {
					t.Fatalf("steps of %d bytes give another file than steps of one block", step)
				}
				got, m, err := contents(fs, path)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, got, s)
				want := s.meta()
				want.Digest, want.Revision = s.digest, s.revision
				if fmt.Sprint(m) != fmt.Sprint(want) {
					t.Errorf("head %+v, want %+v", m, want)
				}
				if _, err := Verify(fs, path); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// drawn is a state of random shape.
func drawn(r *rand.Rand) *fake {
	s := &fake{applied: r.Uint64(), term: r.Uint64(), revision: r.Int64(), digest: r.Uint64(), state: sized(r.IntN(1 << r.IntN(20)))(1)}
	rev := int64(0)
	for i := range r.IntN(200) {
		value := sized(r.IntN(1 << r.IntN(17)))
		var revisions []int64
		for range 1 + r.IntN(1<<r.IntN(8)) {
			if rev++; r.IntN(4) == 0 {
				revisions = append(revisions, -rev)
			} else {
				revisions = append(revisions, rev)
			}
		}
		s.put(fmt.Sprintf("%0*d", 1+r.IntN(30), i*1000+r.IntN(1000)), value, revisions...)
	}
	for i := range s.keys {
		for j := range s.keys[i].versions {
			if r.IntN(2) == 0 {
				s.keys[i].versions[j].Author = r.Uint32() >> r.IntN(32)
			}
		}
	}
	return s
}

func TestRoundTripOfAnyShape(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := drawn(r)
		fs := newDisk(t)
		path := save(t, fs, "d", s, 1<<r.IntN(22))
		got, _, err := contents(fs, path)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := difference(got, s); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// A keys block is full, and larger only by its last version; a step writes at most one block more than asked for.
func TestBounds(t *testing.T) {
	s := blocks()
	fs := newDisk(t)
	sv, err := beginFake(fs, "d", s.meta(), s)
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		before := sv.Info().Bytes
		if done, err = sv.Step(500_000); err != nil {
			t.Fatal(err)
		}
		if n := sv.Info().Bytes - before; n > 500_000+snapshotBlockMost {
			t.Errorf("a step of 500,000 bytes wrote %d", n)
		}
	}
	kinds := map[string]int{}
	eachBlock(t, slurp(t, fs, sv.Info().Path), func(b block) {
		kinds[b.kind.String()]++
		if b.kind == kindKeys && b.length > snapshotBlockBytes+1_500_000+100 {
			t.Errorf("block %d has %d bytes", b.number, b.length)
		}
		if b.kind == kindKeys && b.flags&continues != 0 {
			kinds["goes on"]++
		}
	})
	if kinds["head"] != 1 || kinds["stat"] != 3 || kinds["keys"] < 6 || kinds["tail"] != 1 || kinds["goes on"] < 2 {
		t.Errorf("the example does not hold what it should: %v", kinds)
	}
}

// eachBlock walks through a good file.
func eachBlock(t testing.TB, b []byte, f func(block)) {
	t.Helper()
	w, err := walk("", bytesFile{Reader: bytes.NewReader(b)}, nil, readWindow)
	for err == nil && w.next < w.size {
		var bl block
		if bl, err = w.block(); err == nil {
			f(bl)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Nothing is written that the limits would not let be read again.
func TestTooLarge(t *testing.T) {
	for name, s := range map[string]*fake{
		"value": {keys: []fakeKey{{[]byte("k"), version(limits.EnvelopeBytes + 1)}}},
		"key":   {keys: []fakeKey{{make([]byte, limits.KeyBytes+1), version(1)}}},
		"empty": {keys: []fakeKey{{nil, version(1)}}},
	} {
		fs := newDisk(t)
		if _, err := trySave(fs, "d", s, 1); err == nil {
			t.Errorf("%s over the limit was written", name)
		}
		wantFiles(t, fs, "d")
	}
	fs := newDisk(t)
	largest := &fake{keys: []fakeKey{{make([]byte, limits.KeyBytes), version(limits.EnvelopeBytes)}}}
	if _, err := Verify(fs, save(t, fs, "d", largest, 1)); err != nil {
		t.Error(err)
	}
}
