package index

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// oneValue is in files as the value of every version.
type oneValue struct {
	value []byte
	to    int64
}

func (f oneValue) To() int64 { return f.to }

func (f oneValue) Value([]byte, Position, func([]byte) bool) ([]byte, error) {
	return slices.Clone(f.value), nil
}

func (f oneValue) ReadTogether(all []*Unread) { offer(f, all) }

// newFilled makes a state of n keys k00000, k00001 and so on with a value of so many bytes.
func newFilled(t *testing.T, l limits.Index, members map[string]uint64, n, bytesEach int) *State {
	t.Helper()
	s := NewState(l)
	s.Found(Founders(members))
	for i := range n {
		put := new(Head).AppendPut(nil, &kv.Put{Key: numbered(i), Value: bytes.Repeat([]byte{'v'}, bytesEach)}).Bytes
		if _, err := s.Apply(uint64(i+1), 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{put}), nil); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func numbered(i int) []byte { return fmt.Appendf(nil, "k%05d", i) }

// evictStored says that files have all values of a filled state, and lets those leave memory that may.
func evictStored(s *State, bytesEach int) {
	revision := s.View().Revision()
	s.Stored(revision, revision, oneValue{bytes.Repeat([]byte{'v'}, bytesEach), revision})
	for s.Reclaim() {
		s.View()
	}
}

// A transaction whose ranged comparisons would read more than limits.ColdCompared from files is refused, nested ones included.
func TestRangedComparisonsOfColdValues(t *testing.T) {
	const keys, each = 200, 200 << 10
	l := limits.Defaults().Index
	l.MemoryBytes = 1
	s := newFilled(t, l, map[string]uint64{"n1": 1}, keys, each)
	if evictStored(s, each); s.coldLive < keys*each/2 {
		t.Fatalf("%d bytes of %d left memory", s.coldLive, keys*each)
	}
	v := s.View()
	all := kv.Compare{Key: []byte("k"), End: []byte("l"), Target: kv.CompareValue}
	few, versions, one := all, all, all
	few.End, versions.Target, one.Key, one.End = []byte("k00040"), kv.CompareMod, []byte("k00000"), nil
	for _, c := range []struct {
		name    string
		txn     kv.Txn
		refused bool
	}{
		{"a few", kv.Txn{Compares: []kv.Compare{few}}, false},
		{"versions of all, and one value", kv.Txn{Compares: []kv.Compare{versions, one}}, false},
		{"all", kv.Txn{Compares: []kv.Compare{all}}, true},
		{"a few, three times", kv.Txn{Compares: []kv.Compare{few, few}, Failure: []kv.Op{{Txn: &kv.Txn{Compares: []kv.Compare{few}}}}}, true},
		{"all, in a transaction in it", kv.Txn{Success: []kv.Op{{Txn: &kv.Txn{Compares: []kv.Compare{all}}}}}, true},
	} {
		if _, err := v.RowsOfTxn(&c.txn); (err != nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Values that point reads have used stay in memory longer than others, and come back for comparisons.
func TestUsedValuesStay(t *testing.T) {
	s := newFilled(t, limits.Defaults().Index, map[string]uint64{"n1": 1}, 40_000, 1000)
	hot := func(i int) bool { return i/100%4 == 0 }
	for i := range 40_000 {
		if hot(i) {
			s.keys.find(hashOf(numbered(i)), numbered(i)).record().use()
		}
	}
	s.budget = s.keys.memory.bytes / 2
	evictStored(s, 1000)
	left := map[bool]int{}
	for i := range 40_000 {
		if s.keys.find(hashOf(numbered(i)), numbered(i)).record().newest().has(cold) {
			left[hot(i)]++
		}
	}
	t.Logf("%d of 10,000 used values left memory, and %d of 30,000 others; %d bytes of %d are taken", left[true], left[false], s.keys.memory.bytes, s.budget)
	if s.keys.memory.bytes > s.budget || left[true]*10 > left[false] {
		t.Errorf("%d of 10,000 used values left memory, and %d of 30,000 others; %d bytes of %d are taken", left[true], left[false], s.keys.memory.bytes, s.budget)
	}
}

// The values of a cluster of one stay in memory if the limits say so, also while its state is loaded. A second member ends that.
func TestAloneInMemory(t *testing.T) {
	for _, members := range []map[string]uint64{{"n1": 1}, {"n1": 1, "n2": 2}} {
		l := limits.Defaults().Index
		l.MemoryBytes, l.AloneInMemory = 1, true
		s := newFilled(t, l, members, 2000, 1000)
		evictStored(s, 1000)
		loading, err := NewBuilder(NewReserve(), s.ViewToSave().AppendMeta(nil), l)
		if err != nil {
			t.Fatal(err)
		}
		if alone := len(members) == 1; (s.coldLive == 0) != alone || (loading.s.budget == 0) != alone {
			t.Errorf("%d members: %d bytes left memory, and a load has a budget of %d", len(members), s.coldLive, loading.s.budget)
		}
	}
}
