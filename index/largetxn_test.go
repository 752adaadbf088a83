package index

import (
	"bytes"
	"fmt"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A transaction that is prefetched in parts, with a deletion and another transaction on the way, changes the keys that it names.
func TestLargeTransaction(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	const keys = 3*prefetchCommands + 5
	key := func(i int) []byte { return fmt.Append(nil, "key ", i) }
	for round := range 2 { // the second one finds what the first one has put
		q := &kv.Txn{}
		for i := range keys {
			q.Success = append(q.Success, kv.Op{Put: &kv.Put{Key: key(i), Value: fmt.Append(nil, round, " ", i)}})
			switch i {
			case prefetchCommands / 2:
				q.Success = append(q.Success, kv.Op{Delete: &kv.Delete{Key: []byte("other")}})
			case prefetchCommands + 1:
				q.Success = append(q.Success, kv.Op{Txn: &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte("nested")}}}}})
			}
		}
		batch(t, s, 1, new(Head).AppendTxn(nil, q).Bytes, put("other", ""))
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		view := s.View()
		if got := view.Keys(); got != keys+2 {
			t.Errorf("round %d: %d keys, not %d", round, got, keys+2)
		}
		for i := range keys {
			if got, want := s.keys.current(key(i)), fmt.Append(nil, round, " ", i); got == nil || !bytes.Equal(got.value(), want) {
				t.Errorf("round %d: key %d is %v, not %q", round, i, got, want)
			}
		}
	}
}
