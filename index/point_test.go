package index

import (
	"fmt"
	"sync"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// coldStore is a state with keys "k000" to "k199", of which the values of the first hundred are in files.
func coldStore(t testing.TB) (*State, *madeFiles) {
	l := limits.Defaults().Index
	l.SlabBytes, l.MemoryBytes = 4<<10, 1
	s := NewState(l)
	for n := range 200 {
		batch(t, s, 1, put(fmt.Sprintf("k%03d", n), valueOf(200, byte(n%26))))
	}
	files := filesOf(t, s.View(), s.revision)
	s.Stored(s.revision, s.revision, files)
	reclaimed(s)
	return s, files
}

func (s *State) usedKey(key string) bool {
	return s.keys.find(hashOf([]byte(key)), []byte(key)).record().used()
}

// Peek reads no file, and says what Get reads from there.
func TestPeek(t *testing.T) {
	s, files := coldStore(t)
	batch(t, s, 1, put("k000", "hot"))
	v := s.View()
	for _, c := range []struct {
		key      string
		revision int64
		want     string
		inFiles  bool
		found    bool
	}{{"k000", 0, "hot", false, true}, {"k000", v.Revision() - 1, valueOf(200, 0), true, true}, {"k001", 0, valueOf(200, 1), true, true}, {"none", 0, "", false, false}} {
		files.reads = 0
		pair, unread, found, err := v.Peek([]byte(c.key), c.revision)
		if found != c.found || (unread != nil) != c.inFiles || err != nil || files.reads != 0 {
			t.Errorf("%s: found %v, in files %v, %v, %d reads", c.key, found, unread != nil, err, files.reads)
		}
		if unread != nil {
			if len(pair.Value) != len(c.want) || unread.Size() != len(c.want) {
				t.Errorf("%s: %q, and %d bytes in files", c.key, pair.Value, unread.Size())
			}
			if pair.Value, err = unread.Read(); err != nil {
				t.Error(err)
			}
		}
		whole, there, err := v.Get([]byte(c.key), c.revision)
		if string(pair.Value) != c.want || string(whole.Value) != c.want || there != c.found || err != nil || pair.ModRevision != whole.ModRevision {
			t.Errorf("%s: %q, %q, %v", c.key, pair.Value, whole.Value, err)
		}
	}
	if _, _, _, err := v.Peek([]byte("k000"), v.Revision()+1); err == nil {
		t.Error("a future revision can be read")
	}
	files.err = ErrElsewhere
	if _, found, err := v.Get([]byte("k001"), 0); found || err == nil {
		t.Errorf("found %v, %v", found, err)
	}
}

// A read of one key at the newest revision is noted in its record. Ranges and older revisions are not.
func TestPointReadsAreNoted(t *testing.T) {
	s, _ := coldStore(t)
	v := s.View()
	old := v.Revision() - 1
	for what, c := range map[string]struct {
		read func(key string) error
		want bool
	}{
		"Get":               {func(key string) error { _, _, err := v.Get([]byte(key), 0); return err }, true},
		"Peek":              {func(key string) error { _, _, _, err := v.Peek([]byte(key), 0); return err }, true},
		"Range of a key":    {func(key string) error { _, err := v.Range(kv.Range{Key: []byte(key)}, 0); return err }, true},
		"Get in the past":   {func(key string) error { _, _, err := v.Get([]byte(key), old); return err }, false},
		"Range in the past": {func(key string) error { _, err := v.Range(kv.Range{Key: []byte(key), Revision: old}, 0); return err }, false},
		"Range":             {func(key string) error { _, err := v.Range(kv.Range{Key: []byte(key), End: []byte("z")}, 0); return err }, false},
		"ModifiedAt":        {func(key string) error { v.ModifiedAt([]byte(key), v.Revision()); return nil }, false},
	} {
		s.keys.find(hashOf([]byte("k005")), []byte("k005")).record().unuse()
		if err := c.read("k005"); err != nil || s.usedKey("k005") != c.want {
			t.Errorf("%s: %v, noted %v", what, err, s.usedKey("k005"))
		}
	}
}

// Keys are read while their records are relocated.
func TestPointReadsOfRelocatedKeys(t *testing.T) {
	l := limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 12, EvacuationBytes: 100, CountedRows: 10}
	s := NewState(l)
	s.Stored(0, 0, nil)
	for n := range 500 {
		batch(t, s, 1, put(fmt.Sprintf("a key %d", n), "v"))
	}
	views := make(chan *View)
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for v := range views {
				for n := 0; n < 500; n += 7 {
					if _, _, err := v.Get(fmt.Appendf(nil, "a key %d", n), 0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for n := range 500 {
		if n%7 > 0 {
			batch(t, s, 1, del(fmt.Sprintf("a key %d", n), ""))
			batch(t, s, 1, new(Head).AppendCompact(nil, s.revision).Bytes)
		}
		if n%20 == 0 {
			views <- s.View()
		}
	}
	reclaimed(s)
	close(views)
	reading.Wait()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPointRead(b *testing.B) {
	s, _ := coldStore(b)
	batch(b, s, 1, put("hot", valueOf(200, 0)))
	v := s.View()
	key := []byte("hot")
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if _, found, _ := v.Get(key, 0); !found {
				b.Fatal()
			}
		}
	})
	b.Run("range", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.Range(kv.Range{Key: key}, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
