package snapshot

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// calls notes the reads of files.
type calls struct {
	disk.FS
	all []call
}

type call struct {
	path     string
	from, to int64
}

type callFile struct {
	disk.File
	of *calls
}

func (c *calls) Open(name string) (disk.File, error) {
	f, err := c.FS.Open(name)
	return callFile{f, c}, err
}

func (f callFile) ReadAt(p []byte, at int64) (int, error) {
	f.of.all = append(f.of.all, call{f.Name(), at, at + int64(len(p))})
	return f.File.ReadAt(p, at)
}

// take returns the bytes that were read, and forgets the reads.
func (c *calls) take() (bytes int64) {
	for _, one := range c.all {
		bytes += one.to - one.from
	}
	c.all = nil
	return bytes
}

// scattered is a member whose values of size bytes are nearly all in files only. They were written twice, in no order of the keys.
func scattered(t testing.TB, fs disk.FS, keys, size int, piece int64) (m *partMember, want map[string][]byte) {
	t.Helper()
	l := smallExtents
	l.ExtentBytes, l.ColdBytes, l.MemoryBytes, l.PieceBytes = 400_000, 1, 1, piece
	m = newPartMember(t, fs, l)
	m.shelf, want = NewShelf(nil), map[string][]byte{}
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 2 {
		for _, n := range r.Perm(keys) {
			key, value := fmt.Sprintf("key %06d", n), sized(size)(int64(n+round*keys))
			apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: value}).Bytes)
			want[key] = value
		}
	}
	m.snapshot()
	if cold, _ := m.state.View().Cold(); cold < int64(keys) || len(m.shelf.extents) < 4 {
		t.Fatalf("of %d values %d are in files only, in %d extents", 2*keys, cold, len(m.shelf.extents))
	}
	return m, want
}

// everything reads a range to its end.
func everything(t testing.TB, v *index.View, q kv.Range) (all []kv.KeyValue, err error) {
	r := index.NewUnpagedReader(q, 1<<30)
	for {
		if got, done, err := r.Step(v, 1<<20); done || err != nil {
			return got.KVs, err
		}
	}
}

// A range reads a byte of a file once at most, for all values there, and chunks without a gap with one call.
func TestRangeReadsAChunkOnce(t *testing.T) {
	fs := &calls{FS: simdisk.New(1)}
	m, want := scattered(t, fs, 4000, 300, 0)
	v, chunks := m.state.View(), 0
	for _, one := range m.shelf.extents {
		chunks += len(one.chunks)
	}
	for _, sort := range []kv.SortTarget{kv.SortByKey, kv.SortByMod} {
		fs.take()
		got, err := everything(t, v, kv.Range{Key: []byte("k"), End: []byte("l"), Sort: sort, Order: kv.SortDescend})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d of %d pairs, %v", len(got), len(want), err)
		}
		for _, pair := range got {
			if !bytes.Equal(pair.Value, want[string(pair.Key)]) {
				t.Fatalf("%s has another value", pair.Key)
			}
		}
		slices.SortFunc(fs.all, func(a, b call) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.from, b.from)) })
		for i := range len(fs.all) - 1 {
			if one, next := fs.all[i], fs.all[i+1]; one.path == next.path && one.to > next.from {
				t.Errorf("bytes %d to %d of %s are read twice", next.from, one.to, one.path)
			}
		}
		if n := len(fs.all); n == 0 || n > chunks/4 {
			t.Errorf("%d calls for %d chunks", n, chunks)
		}
	}
}

// A range over a damaged chunk ends with the error of the first value there that cannot be read. All other values are read.
func TestRangeOverADamagedChunk(t *testing.T) {
	fs := simdisk.New(1)
	m, want := scattered(t, fs, 4000, 300, 0)
	v := m.state.View()
	one := m.shelf.extents[len(m.shelf.extents)-2]
	f, err := fs.OpenWritable("d/" + one.Name())
	if err == nil {
		_, err = f.WriteAt(make([]byte, 1000), one.chunks[len(one.chunks)/2].offset+400)
	}
	if err != nil {
		t.Fatal(err)
	}
	failed, first := 0, ""
	for n := range len(want) {
		key := fmt.Sprintf("key %06d", n)
		pair, found, err := v.Get([]byte(key), 0)
		if err == nil && (!found || !bytes.Equal(pair.Value, want[key])) {
			t.Fatalf("%s has another value", key)
		}
		if err != nil && failed == 0 {
			first = err.Error()
		}
		if err != nil {
			failed++
		}
	}
	m.shelf.Damaged()
	if _, err = everything(t, v, kv.Range{Key: []byte("k"), End: []byte("l")}); failed < 2 || err == nil || err.Error() != first {
		t.Errorf("of %d values that cannot be read, the first says %q, the range %v", failed, first, err)
	}
	if found := m.shelf.Damaged(); found == nil || found.Part != one.Part {
		t.Errorf("%v is reported as damaged", found)
	}
}

// A base is written from files of which at most three bytes are read for one written, and is the same with a small window of its keys.
func TestBytesReadForABase(t *testing.T) {
	for _, c := range []struct {
		keys, size int
		piece      int64
	}{{8000, 256, 0}, {400, 10_000, 0}, {3000, 256, 20_000}} {
		fs := &calls{FS: simdisk.New(1)}
		m, _ := scattered(t, fs, c.keys, c.size, c.piece)
		m.rebase(len(m.state.View().Extents()) - 2)
		m.state.View()
		fs.take()
		m.store()
		read, written := fs.take(), int64(0)
		for _, one := range m.base {
			written += one.Bytes
		}
		t.Logf("%d values of %d bytes: %d bytes read, %d written in %d files", c.keys, c.size, read, written, len(m.base))
		if read == 0 || written < int64(c.keys*c.size) || c.piece == 0 && read > 3*written {
			t.Errorf("%d values of %d bytes: %d bytes read, %d written", c.keys, c.size, read, written)
		}
		loaded, _, err := Load(fs, m.snapshot(), smallExtents)
		if err != nil || loaded.View().Digest() != m.state.View().Digest() {
			t.Errorf("%d values of %d bytes: the loaded state differs, %v", c.keys, c.size, err)
		}
	}
}
