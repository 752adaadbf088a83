package index

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// The author of each change is found that a walk along the key's versions finds, also where history is compacted, and where a revision has
// many changes.
func TestAuthorOf(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	random := rand.New(rand.NewPCG(1, 2))
	applied, authors := uint64(0), map[string]string{} // by key and revision
	apply := func(command []byte) kv.Result {
		applied++
		results, err := s.Apply(applied, 1, AppendEnvelope(nil, Envelope{Member: 1, Incarnation: 1, Wall: int64(applied)}, [][]byte{command}), nil)
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results[0].Err)
		}
		return results[0]
	}
	apply(AppendFeatureLevel(nil, MaxLevel).Bytes)
	key := func() []byte { return fmt.Appendf(nil, "key%d", random.IntN(6)) }
	for range 3000 {
		name := fmt.Sprint("user", random.IntN(5))
		head := &Head{By: s.View().By(name)}
		switch random.IntN(20) {
		case 0:
			v := s.View()
			if oldest := v.Compacted() + random.Int64N(v.Revision()-v.Compacted()+1); oldest > v.Compacted() {
				apply(head.AppendCompact(nil, oldest).Bytes)
			}
		case 1, 2:
			k := key()
			if r := apply(head.AppendDelete(nil, &kv.Delete{Key: k}).Bytes); r.Deleted > 0 {
				authors[fmt.Sprint(string(k), r.Revision)] = name
			}
		case 3, 4, 5:
			var txn kv.Txn
			for i := range 6 {
				if random.IntN(2) == 0 {
					txn.Success = append(txn.Success, kv.Op{Put: &kv.Put{Key: fmt.Appendf(nil, "key%d", i)}})
				}
			}
			r := apply(head.AppendTxn(nil, &txn).Bytes)
			for i := range txn.Success {
				authors[fmt.Sprint(string(txn.Success[i].Put.Key), r.Revision)] = name
			}
		default:
			k := key()
			r := apply(head.AppendPut(nil, &kv.Put{Key: k}).Bytes)
			authors[fmt.Sprint(string(k), r.Revision)] = name
		}
	}
	v := s.View()
	found := 0
	for i := range 7 {
		k := fmt.Appendf(nil, "key%d", i)
		for revision := int64(-1); revision <= v.Revision()+1; revision++ {
			got, made := v.AuthorOf(k, revision), authors[fmt.Sprint(string(k), revision)]
			if got != "" {
				found++
			}
			kept := revision > v.Compacted()
			if got != made && (kept || got != "") {
				t.Fatalf("%s at %d, compacted %d: %q, made by %q", k, revision, v.Compacted(), got, made)
			}
		}
		if pair, ok, _ := v.Get(k, 0); ok && v.AuthorOf(k, pair.ModRevision) == "" {
			t.Errorf("the author of the newest change of %s is not known", k)
		}
	}
	if found < 20 {
		t.Errorf("%d authors were found", found)
	}
}

// To find the authors of all versions of a key takes time in proportion to their number.
func TestAuthorsOfManyVersions(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	const versions = 300_000
	var commands [][]byte
	for range 1000 {
		commands = append(commands, new(Head).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes)
	}
	for n := uint64(0); n < versions/1000; n++ {
		if _, err := s.Apply(n+1, 1, AppendEnvelope(nil, Envelope{Member: 1, Incarnation: 1}, commands), nil); err != nil {
			t.Fatal(err)
		}
	}
	v, begun := s.View(), time.Now()
	for revision := int64(2); revision <= v.Revision(); revision++ {
		v.AuthorOf([]byte("k"), revision)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the authors of %d versions took %v", v.Revision()-1, took)
	}
}
