package index

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// The times of imported revisions are unknown, and a time before the import is refused by name. What is written afterwards has its times.
func TestForgetTimes(t *testing.T) {
	const imported, second = int64(1000e9), int64(1e9)
	for _, revisions := range []int{1, 2, 5, 40} {
		s := NewState(limits.Defaults().Index)
		s.Found(Founders(map[string]uint64{"n1": 1}))
		entry := uint64(0)
		put := func(wall int64, bytes int) int64 {
			t.Helper()
			entry++
			command := new(Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: make([]byte, bytes)}).Bytes
			if results, err := s.Apply(entry, 1, AppendEnvelope(nil, Envelope{Level: 1, Wall: wall}, [][]byte{command}), nil); err != nil || results[0].Err != nil {
				t.Fatal(err, results)
			}
			return s.View().Revision()
		}
		var last int64
		for range revisions {
			last = put(imported, 10<<10) // 40 of them have several points, by weight
		}
		s.forgetTimes(imported)
		check := func(v *View, after int64) {
			t.Helper()
			for revision := int64(2); revision <= last; revision++ {
				if wall, ok := v.TimeOf(revision); ok && revisions > 1 {
					t.Errorf("%d revisions: revision %d has the time %d", revisions, revision, wall)
				}
			}
			if wall, ok := v.KnownTime(2); revisions > 1 && (wall != imported || !ok) {
				t.Errorf("%d revisions: the first known time is %d %v", revisions, wall, ok)
			}
			got, err := v.RevisionAt(imported-second, imported+100*second)
			if revisions > 1 && (err == nil || err.Code != kv.BadRequest || !strings.Contains(err.Message, "are not known: they were imported from another store. Times from "+time.Unix(0, imported).UTC().Format(time.RFC3339)+" on")) {
				t.Errorf("%d revisions: before the import: revision %d, %v", revisions, got, err)
			}
			for at, want := range map[int64]int64{imported: last, imported + 5*second: last, imported + 10*second: after, imported + 15*second: after} {
				if got, err := v.RevisionAt(at, imported+100*second); revisions > 1 && (err != nil || got != want) {
					t.Errorf("%d revisions: at %d the revision is %d, not %d: %v", revisions, (at-imported)/second, got, want, err)
				}
			}
			if wall, ok := v.TimeOf(after); after > last && (!ok || wall != imported+10*second) {
				t.Errorf("%d revisions: revision %d has the time %d %v", revisions, after, wall, ok)
			}
		}
		check(s.View(), last)
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		after := put(imported+10*second, 1)
		check(s.View(), after)
		if err := s.Check(); err != nil {
			t.Error(err)
		}
	}
}

// An imported state is saved and loaded with its unknown times, and another member gets the same digest.
func TestForgottenTimesAreSaved(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	s.Found(Founders(map[string]uint64{"n1": 1}))
	for entry := range uint64(3) {
		command := new(Head).AppendPut(nil, &kv.Put{Key: []byte{'a' + byte(entry)}, Value: []byte("value")}).Bytes
		if results, err := s.Apply(entry+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Wall: 5e18}, [][]byte{command}), nil); err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	s.forgetTimes(6e18)
	loaded := restored(t, s.View())
	if got, want := loaded.View().Digest(), s.View().Digest(); got != want {
		t.Errorf("the digest is %016x, not %016x", got, want)
	}
	if wall, ok := loaded.View().TimeOf(3); ok {
		t.Errorf("revision 3 has the time %d", wall)
	}
	if _, err := loaded.View().RevisionAt(5e18, 7e18); err == nil || !strings.Contains(err.Message, "not known") {
		t.Errorf("%v", err)
	}
}

// The times of the revisions that an import loads are unknown. Revisions that are copied later have their times, and a view of before is
// unchanged.
func TestLoadedTimesAreUnknown(t *testing.T) {
	const loading, second = int64(1000e9), int64(1e9)
	source := NewState(limits.Defaults().Index)
	for i := range 5 {
		batch(t, source, 1, new(Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: []byte{byte(i)}}).Bytes)
	}
	last := source.View().Revision()
	f := newImporter(t, rand.New(rand.NewPCG(1, 1)), NewState(limits.Defaults().Index), 0)
	f.now = loading
	f.records(recordsOf(source.View(), Position{}))
	before := f.View()
	known, ok := before.TimeOf(last)
	if !ok {
		t.Error("the import forgot the times before it was loaded")
	}
	f.now += second
	f.Loaded()
	for revision := int64(2); revision <= last; revision++ {
		if wall, ok := f.View().TimeOf(revision); ok {
			t.Errorf("revision %d has the time %d", revision, wall)
		}
	}
	batch(t, source, 1, new(Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: []byte("later")}).Bytes)
	f.now += 100 * second
	f.records(recordsOf(source.View(), f.at))
	if wall, ok := f.View().TimeOf(last + 1); !ok || wall != f.now {
		t.Errorf("a revision that was copied later has the time %d %v", wall, ok)
	}
	if again, _ := before.TimeOf(last); again != known {
		t.Error("a view has changed")
	}
	if got, want := restored(t, f.state.ViewToSave()).View().Digest(), f.View().Digest(); got != want {
		t.Errorf("the digest is %016x, not %016x", got, want)
	}
}

// The clock of the host that imports is behind the time of the source's last write. The clock of the state does not go back.
func TestForgetTimesWithASlowClock(t *testing.T) {
	const written = int64(1000e9)
	s := NewState(limits.Defaults().Index)
	s.Found(Founders(map[string]uint64{"n1": 1}))
	put := new(Head).AppendPut(nil, &kv.Put{Key: []byte("key")}).Bytes
	for i := range uint64(2) {
		if results, err := s.Apply(1+i, 1, AppendEnvelope(nil, Envelope{Level: 1, Wall: written}, [][]byte{put}), nil); err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	s.forgetTimes(written - int64(time.Hour))
	if wall, ok := s.View().KnownTime(2); wall != written || !ok {
		t.Errorf("the first known time is %d %v, not %d", wall, ok, written)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}
