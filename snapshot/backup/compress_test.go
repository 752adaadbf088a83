package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"qkv/index"
	"qkv/index/kv"
	"qkv/snapshot"
	"qkv/snapshot/backup/store"
)

// otherCompressors has each content compressed by another compressor than the one before, as members of several versions of qkv do it. It returns
// the function that ends this.
func otherCompressors(t testing.TB) (end func()) {
	t.Helper()
	another, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	must(t, err)
	own, calls := compressor, 0
	compressor = func() *zstd.Encoder {
		if calls++; calls%2 == 0 {
			return another
		}
		return own()
	}
	return func() { compressor = own }
}

// noise returns bytes that cannot be compressed.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// A content of any size is read back from any byte on, by another decoder, too, and no frame exceeds its bound.
func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 100, frameBytes - 1, frameBytes, frameBytes + 1, 2*frameBytes + 77} {
		for what, content := range map[string][]byte{"noise": noise(size), "words": bytes.Repeat([]byte("a word "), size/7+1)[:size]} {
			b := compress(content)
			f, err := readFrames("file", bytes.NewReader(b), int64(len(b)), int64(size))
			must(t, err)
			file := f.file(f.frame)
			for _, off := range []int{0, 1, frameBytes - 1, frameBytes, size - 1, size} {
				if off = min(max(off, 0), size); size > 0 {
					got := make([]byte, size-off)
					if n, err := file.ReadAt(got, int64(off)); n != len(got) || err != nil || !bytes.Equal(got, content[off:]) {
						t.Errorf("%d bytes of %s from byte %d on: %d are read, %v", size, what, off, n, err)
					}
				}
			}
			if n, err := file.ReadAt(make([]byte, 1), int64(size)); n > 0 || err == nil {
				t.Errorf("%d bytes of %s: it goes on", size, what)
			}
			whole, err := decompress("file", b, int64(size))
			if err != nil || !bytes.Equal(whole, content) || !bytes.Equal(unpack(t, b), content) {
				t.Errorf("%d bytes of %s: other bytes come back: %v", size, what, err)
			}
			if most := size + size/1024 + 100; len(b) > most || what == "words" && size > frameBytes && len(b) > size/100 {
				t.Errorf("%d bytes of %s take %d", size, what, len(b))
			}
		}
	}
}

// framed returns an object with these frames, each of which is a stream of zstd, or claims to be one.
func framed(all ...[]byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, tableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(4*len(all)))
	for _, one := range all {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(one)))
	}
	return slices.Concat(append([][]byte{b}, all...)...)
}

// liars are objects that have not the content of their size, which is that of content: their table lies, or their frames do.
func liars(t testing.TB, content []byte) map[string][]byte {
	t.Helper()
	frame := func(content []byte, o ...zstd.EOption) []byte {
		z, err := zstd.NewWriter(nil, o...)
		must(t, err)
		return z.EncodeAll(content, nil)
	}
	// blocks is a frame of zeros without its size in the header. A block is 3 bytes: its size, that it repeats one byte, and whether it is the last.
	blocks := func(window byte, sizes ...int) []byte {
		b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window}
		for i, n := range sizes {
			head := n<<3 | 1<<1
			if i == len(sizes)-1 {
				head |= 1
			}
			b = append(b, byte(head), byte(head>>8), byte(head>>16), 0)
		}
		return b
	}
	sound := compress(content)
	edit := func(at int, value uint32) []byte {
		b := bytes.Clone(sound)
		binary.LittleEndian.PutUint32(b[at:], value)
		return b
	}
	size := binary.LittleEndian.Uint32(sound[tableHead:])
	return map[string][]byte{
		"nothing":                 {},
		"no table":                frame(content),
		"half a table":            sound[:tableHead+2],
		"a table alone":           sound[:tableHead+4],
		"a cut frame":             sound[:len(sound)-1],
		"a byte more":             append(bytes.Clone(sound), 0),
		"another magic":           edit(0, tableMagic+1),
		"a longer table":          edit(4, 8),
		"a table of 4 GiB":        edit(4, math.MaxUint32),
		"a smaller frame":         edit(tableHead, size-1),
		"a larger frame":          edit(tableHead, size+1),
		"a frame of 4 GiB":        edit(tableHead, math.MaxUint32),
		"a frame of 2 GiB":        edit(tableHead, 1<<31),
		"no frame":                framed(),
		"an empty frame":          framed(nil),
		"a frame more":            framed(frame(content), frame(content)),
		"two frames as one":       framed(slices.Concat(frame(content), frame(content))),
		"a byte less":             framed(frame(content[1:])),
		"a byte more in it":       framed(frame(append(bytes.Clone(content), 0))),
		"a bomb":                  framed(frame(make([]byte, 64<<20))),
		"a bomb without its size": framed(blocks(10<<3, slices.Repeat([]int{128 << 10}, 512)...)),
		"a large window":          framed(blocks(31<<3, len(content))),
		"noise":                   framed(noise(len(sound))),
		"a frame of 2 MiB":        framed(noise(2 << 20)),
		"other bytes":             framed(frame(make([]byte, len(content)))),
	}
}

// A store has an object instead of a file of the bases, or of the log, and a list, or a name, that names it. Whatever reads it refuses it in words
// and in little memory. The log behind an older base leads to the same state, or what is lost is named.
func TestFramesThatLie(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	base := reading(t, on).Bases[1]
	clear := unpack(t, m.files["to/b/"+fileName(base.Files[2])])
	var before, after runtime.MemStats
	check := func(what, name string, on memory, notes bool) {
		t.Helper()
		runtime.ReadMemStats(&before)
		rd := reading(t, on)
		got, err := rd.Restore(At{}, testLimits(), nil)
		said := fmt.Sprint(err)
		if notes {
			must(t, err)
			h.same(got, uint64(len(h.entries)))
			said = fmt.Sprint(got.Notes)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 40<<20 || !strings.Contains(said, name) {
			t.Errorf("%s: %d bytes were allocated: %s", what, grown, said)
		}
		named(t, on, name, what)
	}
	for what, object := range liars(t, clear) {
		bad, name := instead(t, m, base.Files[2].ID, object, base.Files[2].Bytes)
		check(what, name, bad, true)
	}
	for what, size := range map[string]int64{"0": 0, "less": base.Files[2].Bytes - 1, "more": base.Files[2].Bytes + 1, "a frame more": 2 << 20, "1 GiB": 1 << 30} {
		bad, name := instead(t, m, base.Files[2].ID, compress(clear), size)
		check("a size of "+what, name, bad, true)
	}
	all := logs(t, place(on))
	of := all[len(all)-1]
	entries := h.entries[of.first-1 : of.last]
	content := appendEntries(nil, entries)
	inLog := func(what string, payload []byte, size int64) {
		head := stretch{Cluster: testCluster, First: of.first, Last: of.last, Term: entries[len(entries)-1].Term, Wall: h.wall, Bytes: size}
		name, object := head.put(payload)
		check("the log: "+what, name.name(), m.with("to/b/"+of.name(), nil).with("to/b/"+name.name(), object), false)
	}
	for what, payload := range liars(t, content) {
		inLog(what, payload, int64(len(content)))
	}
	for _, size := range []int64{math.MinInt64, -1, 0, 1, int64(len(content)) + 1, backupObjectMost, backupObjectMost + 1, math.MaxInt64} {
		inLog(fmt.Sprintf("a size of %d", size), compress(content), size)
	}
}

// ranged is a store that notes what is read of the parts.
type ranged struct {
	store.Store
	reads []int64 // the sizes
}

func (r *ranged) Get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	if strings.HasPrefix(name, filesDir+"/") {
		r.reads = append(r.reads, most)
	}
	return r.Store.Get(ctx, name, off, most)
}

// A branch reads one frame for a value, and none for the next one in it. For a value that lies in two frames, it reads both.
func TestBranchReadsFrames(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 8).grow(4), newFolder(t)
		const keys = 80
		put := func(value func(i int) []byte) int64 {
			var all []kv.Op
			for i := range keys {
				all = append(all, kv.Op{Put: &kv.Put{Key: fmt.Appendf(nil, "pod %03d", i), Value: value(i)}})
			}
			h.add(false, new(index.Head).AppendTxn(nil, &kv.Txn{Success: all}).Bytes)
			return h.state.Revision()
		}
		random := noise(keys * 40_000)
		was := func(i int) []byte { return random[i*40_000:][:40_000] }
		older := put(was)
		put(func(int) []byte { return make([]byte, 200) })
		w := open(t, on, to...)
		must(t, h.base(w))
		must(t, w.Close())
		counted := &ranged{Store: place(on)}
		rd, err := Open(background, counted, key)
		must(t, err)
		rd.LeaveParts()
		got, err := rd.Restore(At{}, testLimits(), nil)
		must(t, err)
		part := slices.MaxFunc(snapshot.ShelfOf(got.State.View()).Parts(), func(a, b snapshot.Part) int { return int(a.Bytes - b.Bytes) })
		if part.Bytes < 3<<20 {
			t.Fatalf("the largest part has %d bytes", part.Bytes)
		}
		none, two := 0, 0
		for turn := range 2 * keys {
			i := turn
			if turn >= keys { // the frame before does not help
				i = turn * 37 % keys
			}
			counted.reads = nil
			pair, _, err := got.State.View().Get(fmt.Appendf(nil, "pod %03d", i), older)
			if err != nil || !bytes.Equal(pair.Value, was(i)) {
				t.Fatalf("value %d: %d bytes, %v", i, len(pair.Value), err)
			}
			total := int64(0)
			for _, n := range counted.reads {
				total += n
			}
			switch {
			case len(to) > 0: // each opening reads the header, and the end of the stream
			case len(counted.reads) == 0:
				none++
			case len(counted.reads) == 2:
				two++
			case len(counted.reads) > 2:
				t.Errorf("value %d takes %d reads", i, len(counted.reads))
			}
			if most := int64(2 * frameMost); len(to) == 0 && total > most || total > 3*most {
				t.Errorf("value %d takes %d bytes", i, total)
			}
		}
		if len(to) == 0 && (none < keys/2 || two == 0) {
			t.Errorf("%d of %d values take no read, and %d two", none, keys, two)
		}
	}
}

// Another version of the compressor changes nothing: what is there is not stored again, and an interrupted base goes on.
func TestOtherCompressor(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 8).grow(20), newFolder(t)
		h.weigh()
		r := h.save()
		t.Cleanup(func() { r.Close() })
		w := open(t, on, to...)
		c, err := w.Base(r, h.part)
		for must(t, err); len(namesIn(t, on, "to/b/parts")) < 2; {
			_, err := c.Step(background, 1<<20)
			must(t, err)
		}
		before := inMemory(t, on)
		end := otherCompressors(t)
		compressor() // the next one is the other one
		w = open(t, on, to...)
		must(t, h.copyBase(w, r, 1<<16))
		h.grow(3).weigh()
		must(t, h.base(w))
		h.grow(3)
		must(t, w.Append(background, h.from(w.bases[0].Index)))
		must(t, w.Close())
		after := inMemory(t, on)
		parts := map[[32]byte]int{}
		for name := range after.files {
			if of, ok := parseFile(name[strings.LastIndexByte(name, '/')+1:]); ok {
				parts[of.ID]++
			}
		}
		for name, b := range before.files {
			if !bytes.Equal(b, after.files[name]) {
				t.Errorf("%s was changed", name)
			}
			if of, ok := parseFile(name[strings.LastIndexByte(name, '/')+1:]); ok && of.ID != w.id(r.SHA()) && parts[of.ID] != 1 {
				t.Errorf("%s is there %d times", name, parts[of.ID])
			}
		}
		rd := reading(t, on, key)
		got, err := rd.Restore(At{}, testLimits(), nil)
		must(t, err)
		h.same(got, uint64(len(h.entries)))
		must(t, rd.Verify(testLimits(), nil, func(*Verified) {}))
		end()
	}
}
