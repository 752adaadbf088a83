package snapshot

import (
	"errors"
	"fmt"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A file is read back while it comes, whatever the pieces are; the state that is built of it is the one that Load finds, and
// what is damaged is found with the block it is in, wherever that is.
func TestReadbackWhileItComes(t *testing.T) {
	fs, state := newDisk(t), index.NewState(limits.Defaults().Index)
	for i := range 300 {
		apply(t, state, index.AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%03d", i), Value: make([]byte, 1000+i*20)}))
	}
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
	defer from.Close()
	b := slurp(t, fs, saver.Info().Path)
	for _, piece := range []int{1000, 300_000, len(b)} {
		to := newDisk(t)
		r := receive(t, to, from)
		back := r.Readback(limits.Defaults().Index)
		sound := false
		for at := int64(0); at < from.Size(); at = r.Offset() {
			if sound {
				t.Fatalf("in pieces of %d it is sound at %d of %d", piece, at, from.Size())
			}
			if err := feed(r, b, piece, at+1); err != nil {
				t.Fatal(err)
			}
			if sound, err = back.Step(r.Offset()); err != nil {
				t.Fatal(err)
			}
			if behind := r.Offset() - back.reading.at; back.reading.walker != nil && r.Offset()-back.reading.next > limits.SnapshotBlockMost+headerBytes {
				t.Fatalf("in pieces of %d it is %d behind", piece, behind)
			}
		}
		info, err := r.Finish(back)
		if err != nil || !sound {
			t.Fatal(sound, err)
		}
		want, _, err := Load(to, info.Path, limits.Defaults().Index)
		if err != nil {
			t.Fatal(err)
		}
		if got := back.TakeState(); got.View().Digest() != want.View().Digest() || got.View().Revision() != want.View().Revision() || back.TakeState() != nil {
			t.Errorf("in pieces of %d another state was built than the file holds", piece)
		}
		back.Close()
	}
	for at := 0; at < len(b); at += 40_001 {
		to := newDisk(t)
		r := receive(t, to, from)
		back := r.Readback(limits.Defaults().Index)
		b[at] ^= 1
		var err error
		for err == nil && r.Offset() < from.Size() {
			if err = feed(r, b, 100_000, r.Offset()+1); err == nil {
				_, err = back.Step(r.Offset())
			}
		}
		if most := min(int64(at)+limits.SnapshotBlockMost+100_000, from.Size()); (!errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat)) || r.Offset() > most {
			t.Errorf("byte %d is wrong, at %d it says %v", at, r.Offset(), err)
		}
		b[at] ^= 1
		back.Close()
		r.Abort()
	}
}

// What is read back is the file that is published, and sound.
func TestFinishAsksWhoHasReadIt(t *testing.T) {
	from, b := sent(t, small())
	fs := newDisk(t)
	r := receive(t, fs, from)
	if err := feed(r, b, 1<<20, from.Size()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("published, and nobody has read it")
		}
	}()
	_, _ = r.Finish(r.Readback(limits.Defaults().Index))
}

func applied(s *index.State) uint64 {
	at, _ := s.View().Applied()
	return at
}
