package node

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
)

// What is read ahead is what the file has, in whatever pieces, from wherever, and when the disk could not read it once.
func TestReadingAhead(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		mem := simdisk.New(seed)
		want := make([]byte, 5*readAhead+random.IntN(readAhead))
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		file, err := mem.Create("/file")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		var ahead, served int
		files := readingAhead{mem, func(do func()) { ahead++; do() }}
		f, err := files.Open("/file")
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		p := make([]byte, 2*readAhead)
		for at := int64(0); at < int64(len(want)); {
			if random.IntN(4) == 0 {
				mem.Fail(simdisk.Fault{Op: simdisk.OpRead, Call: 1 + random.Int64N(2)})
			}
			p := p[:1+random.IntN(len(p))]
			n, err := f.ReadAt(p, at)
			if err != nil && err != io.EOF {
				failed++ // n bytes were read before
			}
			if !bytes.Equal(p[:n], want[at:at+int64(n)]) {
				t.Fatalf("seed %d: %d bytes at %d are others", seed, n, at)
			}
			if at += int64(n); n < len(p) && err == nil {
				t.Fatalf("seed %d: %d of %d bytes at %d, and no error", seed, n, len(p), at)
			}
			served++
			if random.IntN(6) == 0 {
				at = random.Int64N(int64(len(want)))
			}
		}
		mem.ClearFaults()
		if n, err := f.ReadAt(p, int64(len(want))); n != 0 || err != io.EOF {
			t.Errorf("seed %d: behind the end: %d bytes, %v", seed, n, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if ahead == 0 {
			t.Errorf("seed %d: nothing was read ahead", seed)
		}
		if testing.Verbose() {
			fmt.Println(seed, served, "reads,", ahead, "ahead,", failed, "failed")
		}
	}
}

// closing is a file that knows whether it was closed when all was read.
type closing struct {
	disk.File
	read *bool
	t    *testing.T
}

func (c closing) Close() error {
	if !*c.read {
		c.t.Error("the file was closed while it was read ahead")
	}
	return c.File.Close()
}

// A file is closed when nobody reads it any more.
func TestReadingAheadCloses(t *testing.T) {
	mem := simdisk.New(1)
	file, err := mem.Create("/file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(make([]byte, 3*readAhead), 0); err != nil {
		t.Fatal(err)
	}
	var read bool
	later := func(do func()) {
		go func() {
			for range 1000 {
				runtime.Gosched()
			}
			read = true
			do()
		}()
	}
	f, err := readingAhead{mem, later}.Open("/file")
	if err != nil {
		t.Fatal(err)
	}
	f.(*aheadFile).File = closing{f.(*aheadFile).File, &read, t}
	if _, err := f.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// prefetched is a file of zeros that notes up to where the disk was asked for it, and what was read before.
type prefetched struct {
	disk.File
	to, most int64 // of what was asked for, and farthest beyond what was being read
	unasked  []int64
}

func (f *prefetched) Prefetch(off, n int64) {
	if off <= f.to {
		f.to = max(f.to, off+n)
	}
}

func (f *prefetched) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 && off+int64(len(p)) > f.to { // the first bytes are read before anything is known
		f.unasked = append(f.unasked, off)
	}
	f.most = max(f.most, f.to-off-int64(len(p)))
	return len(p), nil
}

// The disk is asked for all that a snapshot has before it is read, up to a bound.
func TestTheDiskIsAskedForSnapshots(t *testing.T) {
	const size = limits.PrefetchBytes*2 + 12345
	file := &prefetched{to: readAhead}
	f := &aheadFile{File: file, background: func(do func()) { do() }, size: size, piece: make(chan []byte, 1)}
	for at := int64(0); at < size; at += readAhead {
		if _, err := f.ReadAt(make([]byte, min(readAhead, size-at)), at); err != nil {
			t.Fatal(err)
		}
	}
	if file.to != size || file.most > limits.PrefetchBytes || len(file.unasked) > 0 {
		t.Errorf("asked for %d of %d bytes, up to %d ahead; not asked for: %v", file.to, int64(size), file.most, file.unasked)
	}
}

// readCounting counts the bytes that are read of its files.
type readCounting struct {
	disk.FS
	bytes *int64
}

func (c readCounting) Open(name string) (disk.File, error) {
	f, err := c.FS.Open(name)
	return countedReads{f, c.bytes}, err
}

type countedReads struct {
	disk.File
	bytes *int64
}

func (f countedReads) ReadAt(p []byte, off int64) (int, error) {
	*f.bytes += int64(len(p))
	return f.File.ReadAt(p, off)
}

// saveParts saves the pieces of a state's base, its extents, and a snapshot that lists them.
func saveParts(t *testing.T, fs disk.FS, dir string, v *index.View) {
	t.Helper()
	all := func(s *snapshot.Saver, err error) *snapshot.Saver {
		t.Helper()
		for done := false; err == nil && !done; {
			done, err = s.Step(1 << 20)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var m snapshot.Meta
	m.Cluster, m.Member, m.Version = 1, 1, "test"
	m.Index, m.Term = v.Applied()
	for piece := v.BaseRange(nil); piece != nil; piece = piece.Next() {
		m.Parts = append(m.Parts, all(snapshot.BeginRangeFile(fs, dir, v.Base(), piece)).Part())
	}
	for _, e := range v.Extents() {
		m.Parts = append(m.Parts, all(snapshot.BeginExtent(fs, dir, v, e)).Part())
	}
	all(snapshot.Begin(fs, dir, m, v))
}

// A load reads whole files ahead. Afterwards a value costs about one chunk of its part, and all values of a part, in its order, cost about
// the part.
func TestBytesReadForAValueAfterALoad(t *testing.T) {
	mem, bytes := simdisk.New(1), int64(0)
	files := readCounting{mem, &bytes}
	if err := mem.MkdirAll("data/snap"); err != nil {
		t.Fatal(err)
	}
	l := limits.Defaults()
	l.Index.ExtentBytes = 1 << 20
	state := index.NewState(l.Index)
	state.Found(index.Founders(map[string]uint64{"n1": 7}))
	state.Stored(0, 0, nil)
	head, at := new(index.Head), uint64(0)
	apply := func(commands ...[]byte) {
		at++
		envelope := index.AppendEnvelope(nil, index.Envelope{Level: index.MaxLevel, Wall: int64(at)}, commands)
		if _, err := state.Apply(at, 1, envelope, nil); err != nil {
			t.Fatal(err)
		}
	}
	apply(index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)
	const rounds, keys = 8, 1024
	for round := range rounds {
		for n := range keys {
			apply(head.AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %04d", n), Value: fmt.Appendf(nil, "%0512d", round*keys+n)}).Bytes)
		}
	}
	saveParts(t, mem, "data/snap", state.View())
	listing, err := snapshot.List(mem, "data/snap")
	if err != nil || len(listing.Published) != 1 {
		t.Fatal(listing, err)
	}
	s := storage{folder: &folder{fs: files, dir: "data"}, limits: l, background: func(do func()) { go do() }}
	loading := s.load(listing.Published[0])
	defer loading.reserve.Close()
	loaded := loading.wait()
	if loaded.err != nil {
		t.Fatal(loaded.err)
	}
	view := loaded.state.View()
	if away, _ := view.Cold(); away < (rounds-2)*keys {
		t.Fatalf("%d values are in files only", away)
	}
	bytes = 0
	view.Scan(nil, func(_ []byte, versions []index.Version) bool {
		for i := range versions {
			if err := versions[i].Read(); err != nil {
				t.Fatal(err)
			}
		}
		return false
	})
	if bytes == 0 || bytes > rounds*5/4<<14 { // a chunk of a file, 16 KiB, for each value
		t.Errorf("%d bytes are read for the %d values of a key", bytes, rounds)
	}
	bytes = 0
	changes, values := view.ChangesOf(view.Extents()[0]), int64(0)
	changes.Scan(index.Position{}, func(_ []byte, one *index.Version) bool {
		if err := one.Read(); err != nil {
			t.Fatal(err)
		}
		values++
		return true
	})
	if values < 1000 || bytes == 0 || bytes > values*(512+128) {
		t.Errorf("%d bytes are read for %d values of 512 bytes in the order of their part", bytes, values)
	}
}
