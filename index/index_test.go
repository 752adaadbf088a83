package index

import (
	"fmt"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// defaults are the bounds of a state in production.
var defaults = limits.Defaults().Index

// batch applies commands as the next entry.
func batch(t testing.TB, s *State, wall int64, commands ...[]byte) []kv.Result {
	t.Helper()
	applied, _ := s.Applied()
	results, err := s.Apply(applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: wall}, commands), nil)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// keep compacts all but the newest revisions, and publishes a View so they can be dropped.
func keep(t testing.TB, s *State, revisions int64) {
	t.Helper()
	if at := s.revision - revisions; at > s.compacted {
		if r := batch(t, s, s.wall, new(Head).AppendCompact(nil, at).Bytes); r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
	}
	s.View()
}

// reclaimed drops all that is compacted.
func reclaimed(s *State) {
	for s.View(); s.Reclaim(); {
	}
}

func put(key, value string) []byte {
	return new(Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: []byte(value)}).Bytes
}

// onceDel is a write of a session that deletes nothing.
func onceDel(session, sequence uint64) []byte {
	h := Head{Once: kv.WriteName{Session: session, Sequence: sequence, Window: sequence, Opened: 1}}
	return h.AppendDelete(nil, &kv.Delete{Key: []byte("nothing")}).Bytes
}

func del(key, end string) []byte {
	return new(Head).AppendDelete(nil, &kv.Delete{Key: []byte(key), End: []byte(end)}).Bytes
}

// restored returns the state built from a View's snapshot.
func restored(t testing.TB, v *View) *State {
	t.Helper()
	b, err := NewBuilder(NewReserve(), v.AppendMeta(nil), limits.Defaults().Index)
	if err != nil {
		t.Fatal(err)
	}
	v.Scan(nil, func(key []byte, versions []Version) bool {
		err = b.Add(key, versions)
		return err == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFirstSteps(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	empty := s.View()
	results := batch(t, s, 5e9, put("a", "1"), put("b", "2"), put("a", "3"), del("c", ""), del("a", "c"), put("a", "4"))
	for i, want := range []string{"{2 0 <nil> <nil> false false}", "{3 0 <nil> <nil> false false}", "{4 0 <nil> <nil> false false}", "{4 0 <nil> <nil> false false}", "{5 2 <nil> <nil> false false}", "{6 0 <nil> <nil> false false}"} {
		if got := fmt.Sprint(results[i]); got != want {
			t.Errorf("result %d is %s, want %s", i, got, want)
		}
	}
	v := s.ViewToSave()
	pair, found, err := v.Get([]byte("a"), 0)
	if err != nil || !found || string(pair.Value) != "4" || pair.CreateRevision != 6 || pair.ModRevision != 6 || pair.Version != 1 {
		t.Errorf("a is %+v, %v, %v", pair, found, err)
	}
	answer, err := v.Range(kv.Range{Key: []byte("a"), End: []byte{0}, Revision: 4}, 0)
	if err != nil || answer.Count != 2 || answer.Revision != 6 || string(answer.KVs[0].Value) != "3" || answer.KVs[0].Version != 2 {
		t.Errorf("at revision 4: %+v, %v", answer, err)
	}
	if _, _, err := v.Get([]byte("a"), 7); err == nil || err.(*kv.Error).Code != kv.FutureRevision {
		t.Errorf("a read of the future: %v", err)
	}
	if empty.Revision() != 1 || empty.Keys() != 0 {
		t.Error("a view has changed")
	}
	again := restored(t, v)
	if again.View().Digest() != v.Digest() {
		t.Error("another digest after a restore")
	}
	if wall, ok := v.TimeOf(4); !ok || wall != 5e9 {
		t.Errorf("time of revision 4: %d %v", wall, ok)
	}
}
