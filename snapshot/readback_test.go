package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// A file is read back while it comes, whatever the pieces are; the state that is built of it is the one that Load finds, and
// what is damaged is found with the block it is in, wherever that is.
func TestReadbackWhileItComes(t *testing.T) {
	fs, state := newDisk(t), index.NewState(limits.Defaults().Index)
	for i := range 300 {
		apply(t, state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%03d", i), Value: make([]byte, 1000+i*20)}).Bytes)
	}
	from := opened(t, fs, state)
	defer from.Close()
	b := slurp(t, fs, "d/"+from.Name())
	for _, piece := range []int{1000, 300_000, len(b)} {
		to := newDisk(t)
		r := building(t, to, from)
		for at := int64(0); at < from.Size(); at = r.Offset() {
			if r.Whole() {
				t.Fatalf("in pieces of %d it is sound at %d of %d", piece, at, from.Size())
			}
			if err := feed(r, b, piece, at+1); err != nil {
				t.Fatal(err)
			}
			if behind := r.Offset() - r.reading.at; r.reading.walker != nil && r.Offset()-r.reading.next > snapshotBlockMost+headerBytes {
				t.Fatalf("in pieces of %d it is %d behind", piece, behind)
			}
		}
		info, err := r.Finish()
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := Load(to, info.Path, limits.Defaults().Index)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.TakeState(); got.View().Digest() != want.View().Digest() || got.View().Revision() != want.View().Revision() || r.TakeState() != nil {
			t.Errorf("in pieces of %d another state was built than the file holds", piece)
		}
	}
	for at := 0; at < len(b); at += 40_001 {
		to := newDisk(t)
		r := building(t, to, from)
		b[at] ^= 1
		var err error
		came := int64(0)
		for err == nil && r.Offset() < from.Size() {
			came = min(r.Offset()+100_000, from.Size())
			err = feed(r, b, 100_000, came)
		}
		if most := min(int64(at)+snapshotBlockMost+100_000, from.Size()); !errors.Is(err, damage.ErrOtherBytes) || came > most {
			t.Errorf("byte %d is wrong, at %d it says %v", at, came, err)
		}
		b[at] ^= 1
		r.Abort()
	}
}

// building begins a snapshot whose state is built while it comes.
func building(t *testing.T, fs disk.FS, from *Reader) *Incoming {
	t.Helper()
	l := limits.Defaults().Index
	r, err := BeginIncoming(fs, "d", from.Name(), from.Size(), from.SHA(), &l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// large saves a snapshot of so many bytes, and opens it to be sent.
func large(t *testing.T, fs disk.FS, bytes int) *Reader {
	t.Helper()
	state := index.NewState(limits.Index{ExtentBytes: 1 << 40, CompactionWork: 1 << 20, SlabBytes: 1 << 20, EvacuationBytes: 1 << 20, CountedRows: 10})
	for i := range bytes >> 20 {
		apply(t, state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%03d", i), Value: make([]byte, 1<<20)}).Bytes)
	}
	return opened(t, fs, state)
}

// opened saves a state, and opens the file to be sent.
func opened(t *testing.T, fs disk.FS, state *index.State) *Reader {
	t.Helper()
	saver, err := Begin(fs, "d", Meta{Cluster: 1, Member: 2, Index: applied(state), Term: 1}, state.ViewToSave())
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if done, err = saver.Step(1 << 20); err != nil {
			t.Fatal(err)
		}
	}
	from, err := Open(fs, saver.Info().Path)
	if err != nil {
		t.Fatal(err)
	}
	return from
}

// givenUp returns how far a file's pages were given up, by the trace of a disk, which begins anew.
func givenUp(t *testing.T, trace *strings.Builder) (most int64) {
	t.Helper()
	for line := range strings.Lines(trace.String()) {
		fields, at, n := strings.Fields(line), int64(0), int64(0)
		if len(fields) != 3 || fields[0] != "dropcache" {
			continue
		}
		if _, err := fmt.Sscanf(fields[2], "%d+%d", &at, &n); err != nil || at != 0 {
			t.Fatal(line, err)
		}
		most = max(most, n)
	}
	trace.Reset()
	return most
}

// What was read back does not fill the page cache, and what was not is left there.
func TestReadbackLetsGo(t *testing.T) {
	fs := newDisk(t)
	from := large(t, fs, 2*snapshotCacheBytes+3<<20)
	defer from.Close()
	b, to := slurp(t, fs, "d/"+from.Name()), newDisk(t)
	var trace strings.Builder
	to.SetTrace(&trace)
	r := building(t, to, from)
	all := int64(0)
	for r.Offset() < from.Size() {
		if err := feed(r, b, 1<<20, r.Offset()+1); err != nil {
			t.Fatal(err)
		}
		n := givenUp(t, &trace)
		if n > r.reading.next {
			t.Errorf("%d bytes are given up, %d were read", n, r.reading.next)
		}
		if all = max(all, n); r.reading.walker != nil && r.reading.next-all >= snapshotCacheBytes {
			t.Fatalf("of %d bytes that were read only %d are given up", r.reading.next, all)
		}
	}
	if _, err := r.Finish(); err != nil {
		t.Fatal(err)
	}
}

// What was sent does not fill the page cache, also where it is sent again.
func TestReaderLetsGo(t *testing.T) {
	fs := newDisk(t)
	from := large(t, fs, 2*snapshotCacheBytes+3<<20)
	defer from.Close()
	var trace strings.Builder
	fs.SetTrace(&trace)
	piece, want := make([]byte, 1<<20), slurp(t, fs, "d/"+from.Name())
	for _, begin := range []int64{0, 1 << 20} {
		all := begin
		for at := begin; at < from.Size(); at += int64(len(piece)) {
			n, err := from.ReadAt(piece, at)
			if end := at + int64(n); !bytes.Equal(piece[:n], want[at:end]) || (err != nil && end != from.Size()) {
				t.Fatal(at, n, err)
			}
			n64 := givenUp(t, &trace)
			if n64 > at+int64(n) {
				t.Errorf("%d bytes are given up, %d were read", n64, at+int64(n))
			}
			if all = max(all, n64); at+int64(n)-all >= snapshotCacheBytes {
				t.Fatalf("from %d on: of %d bytes that were read only %d are given up", begin, at+int64(n), all)
			}
		}
	}
}

// A disk that gives up no pages is broken, and who reads is told.
func TestCacheThatStays(t *testing.T) {
	fs := newDisk(t)
	from := large(t, fs, snapshotCacheBytes+3<<20)
	defer from.Close()
	b, to := slurp(t, fs, "d/"+from.Name()), newDisk(t)
	fs.Fail(simdisk.Fault{Op: simdisk.OpDropCache, Err: syscall.EIO})
	if _, err := from.ReadAt(make([]byte, snapshotCacheBytes), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("what is sent: %v", err)
	}
	r := building(t, to, from)
	defer r.Close()
	to.Fail(simdisk.Fault{Op: simdisk.OpDropCache, Err: syscall.EIO})
	if err := feed(r, b, 1<<20, from.Size()); r.Whole() || !errors.Is(err, syscall.EIO) || errors.Is(err, damage.ErrOtherBytes) {
		t.Errorf("what is read back: %v", err)
	}
}

func applied(s *index.State) uint64 {
	at, _ := s.View().Applied()
	return at
}

// How far a save is grows with each step, by what is written and by what is read back.
func TestDoneGrows(t *testing.T) {
	s := blocks()
	sv, err := beginFake(newDisk(t), "d", s.meta(), s)
	if err != nil {
		t.Fatal(err)
	}
	before, reading := int64(-1), 0
	for done := false; !done; {
		if done, err = sv.Step(1); err != nil {
			t.Fatal(err)
		}
		now, size := sv.Done(), sv.Info().Bytes
		if now < before || sv.back == nil && !done && now != size || done && now != 2*size {
			t.Errorf("%d of %d bytes, after %d", now, size, before)
		}
		if sv.back != nil && size < now && now < 2*size {
			reading++
		}
		before = now
	}
	if reading == 0 {
		t.Error("nothing that is read back counts before all is")
	}
}
