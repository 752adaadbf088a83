package node

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// What is read ahead is what the file has, in whatever pieces, from wherever, and when the disk could not read it once.
func TestReadingAhead(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		mem := simdisk.New(seed)
		want := make([]byte, 5*limits.ReadAhead+random.IntN(limits.ReadAhead))
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
		p := make([]byte, 2*limits.ReadAhead)
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
	if _, err := file.WriteAt(make([]byte, 3*limits.ReadAhead), 0); err != nil {
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
	file := &prefetched{to: limits.ReadAhead}
	f := &aheadFile{File: file, background: func(do func()) { do() }, size: size, piece: make(chan []byte, 1)}
	for at := int64(0); at < size; at += limits.ReadAhead {
		if _, err := f.ReadAt(make([]byte, min(limits.ReadAhead, size-at)), at); err != nil {
			t.Fatal(err)
		}
	}
	if file.to != size || file.most > limits.PrefetchBytes || len(file.unasked) > 0 {
		t.Errorf("asked for %d of %d bytes, up to %d ahead; not asked for: %v", file.to, int64(size), file.most, file.unasked)
	}
}
