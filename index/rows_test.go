package index

import (
	"fmt"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// TestRowsOfWrites counts what writes of ranges look at: keys that are deleted, too, until they are forgotten.
func TestRowsOfWrites(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	const keys = 1000
	var commands [][]byte
	for i := range keys {
		commands = append(commands, put(fmt.Sprintf("k/%04d", i), "v"))
	}
	commands = append(commands, del("k/0500", "l"))
	batch(t, s, 5e9, commands...)
	v := s.View()
	compare := kv.Compare{Key: []byte{0}, End: []byte{0}}
	half := kv.Op{Delete: &kv.Delete{Key: []byte("k/"), End: []byte("k/0500")}}
	one := kv.Op{Delete: &kv.Delete{Key: []byte("k/0001")}}
	read := kv.Op{Range: &kv.Range{Key: []byte{0}, End: []byte{0}}}
	many := make([]kv.Compare, limits.TxnRows/keys)
	for i := range many {
		many[i] = compare
	}
	within := kv.Op{Txn: &kv.Txn{Compares: many}}
	for _, c := range []struct {
		name string
		txn  kv.Txn
		rows int64 // -1: too many
	}{
		{"nothing", kv.Txn{}, 0},
		{"single keys and what is read", kv.Txn{Compares: []kv.Compare{{Key: []byte("k/0001")}}, Success: []kv.Op{one, read}}, 0},
		{"two comparisons of all", kv.Txn{Compares: []kv.Compare{compare, compare}}, 2 * keys},
		{"the longer of two lists", kv.Txn{Compares: []kv.Compare{compare}, Success: []kv.Op{half, one}, Failure: []kv.Op{half, half, half}}, keys + 3*keys/2},
		{"a transaction in it", kv.Txn{Success: []kv.Op{half, {Txn: &kv.Txn{Compares: []kv.Compare{compare}, Failure: []kv.Op{half}}}}}, 2 * keys},
		{"as many as may be", kv.Txn{Success: []kv.Op{within}}, int64(len(many)) * keys},
		{"more comparisons", kv.Txn{Compares: []kv.Compare{compare}, Success: []kv.Op{within}}, -1},
		{"more deletions", kv.Txn{Failure: []kv.Op{within, half}}, -1},
	} {
		rows, err := v.RowsOfTxn(&c.txn)
		if c.rows < 0 && (err == nil || err.Code != kv.TooManyOperations) || c.rows >= 0 && (err != nil || rows != c.rows) {
			t.Errorf("%s: %d rows, %v; wanted %d", c.name, rows, err, c.rows)
		}
	}
	if rows := v.RowsOf([]byte("k/0400"), []byte{0}); rows != 600 {
		t.Errorf("a deletion from one key on looks at %d, and not at 600", rows)
	}
}
