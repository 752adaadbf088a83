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

// newCold makes a state of n keys k0000, k0001 and so on with a value of so many bytes, which files have. Most have left memory.
func newCold(t *testing.T, n, bytesEach int) *State {
	t.Helper()
	l := limits.Defaults().Index
	l.MemoryBytes = 1
	s := NewState(l)
	value := bytes.Repeat([]byte{'v'}, bytesEach)
	for i := range n {
		put := new(Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%04d", i), Value: value}).Bytes
		if _, err := s.Apply(uint64(i+1), 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{put}), nil); err != nil {
			t.Fatal(err)
		}
	}
	revision := s.View().Revision()
	s.Stored(revision, revision, oneValue{value, revision})
	for s.Reclaim() {
		s.View()
	}
	if s.coldLive < int64(n)*int64(bytesEach)/2 {
		t.Fatalf("%d bytes of %d left memory", s.coldLive, n*bytesEach)
	}
	return s
}

// A transaction whose ranged comparisons would read more than limits.ColdCompared from files is refused, nested ones included.
func TestRangedComparisonsOfColdValues(t *testing.T) {
	s := newCold(t, 200, 200<<10)
	v := s.View()
	all := kv.Compare{Key: []byte("k"), End: []byte("l"), Target: kv.CompareValue}
	few, versions, one := all, all, all
	few.End, versions.Target, one.Key, one.End = []byte("k0040"), kv.CompareMod, []byte("k0000"), nil
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
	l := limits.Defaults().Index
	s := NewState(l)
	value := bytes.Repeat([]byte{'v'}, 1000)
	for i := range 40_000 {
		put := new(Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%05d", i), Value: value}).Bytes
		if _, err := s.Apply(uint64(i+1), 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{put}), nil); err != nil {
			t.Fatal(err)
		}
	}
	hot := func(i int) bool { return i/100%4 == 0 }
	for i := range 40_000 {
		if hot(i) {
			s.keys.find(hashOf(fmt.Appendf(nil, "k%05d", i)), fmt.Appendf(nil, "k%05d", i)).record().use()
		}
	}
	s.budget = s.keys.memory.bytes / 2
	s.Stored(s.View().Revision(), s.View().Revision(), oneValue{value, s.View().Revision()})
	for s.Reclaim() {
		s.View()
	}
	left := map[bool]int{}
	for i := range 40_000 {
		if key := fmt.Appendf(nil, "k%05d", i); s.keys.find(hashOf(key), key).record().newest().has(cold) {
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
	value := bytes.Repeat([]byte{'v'}, 1000)
	for _, members := range []map[string]uint64{{"n1": 1}, {"n1": 1, "n2": 2}} {
		l := limits.Defaults().Index
		l.MemoryBytes, l.AloneInMemory = 1, true
		s := NewState(l)
		s.Found(Founders(members))
		for i := range 2000 {
			put := new(Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "k%04d", i), Value: value}).Bytes
			if _, err := s.Apply(uint64(i+1), 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{put}), nil); err != nil {
				t.Fatal(err)
			}
		}
		revision := s.View().Revision()
		s.Stored(revision, revision, oneValue{value, revision})
		for s.Reclaim() {
			s.View()
		}
		loading, err := NewBuilder(NewReserve(), s.ViewToSave().AppendMeta(nil), l)
		if err != nil {
			t.Fatal(err)
		}
		if alone := len(members) == 1; (s.coldLive == 0) != alone || (loading.s.budget == 0) != alone {
			t.Errorf("%d members: %d bytes left memory, and a load has a budget of %d", len(members), s.coldLive, loading.s.budget)
		}
	}
}
