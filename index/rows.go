package index

import (
	"runtime"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// RowsOf returns the number of keys that a write of a range looks at when it is applied, including deleted keys that
// still have a history. For a single key it is 0.
func (v *View) RowsOf(key, end []byte) int64 {
	if len(end) == 0 {
		return 0
	}
	defer runtime.KeepAlive(v)
	var from probe
	n := countIn(v.tree, from.set(key), end)
	runtime.KeepAlive(from.words)
	return int64(n)
}

// RowsOfTxn returns the number of keys that the comparisons and deletes of a transaction look at, for its more expensive
// branch, or an error if there are too many. Ranges that the transaction reads do not count because they are read after
// apply.
func (v *View) RowsOfTxn(t *kv.Txn) (int64, *kv.Error) {
	most := max(limits.TxnRows, int64(v.tree.Len()))
	rows := v.rowsOfTxn(t, most)
	if rows > most {
		return 0, kv.Errorf(kv.TooManyOperations, "the transaction compares and deletes ranges of more than %d keys in total, which is the limit", most)
	}
	return rows, nil
}

// rowsOfTxn stops counting when it exceeds most.
func (v *View) rowsOfTxn(t *kv.Txn, most int64) (rows int64) {
	for i := range t.Compares {
		if rows += v.RowsOf(t.Compares[i].Key, t.Compares[i].End); rows > most {
			return rows
		}
	}
	longer := int64(0)
	for _, ops := range [][]kv.Op{t.Success, t.Failure} {
		longer = max(longer, v.rowsOfOps(ops, most-rows))
	}
	return rows + longer
}

func (v *View) rowsOfOps(ops []kv.Op, most int64) (rows int64) {
	for i := range ops {
		switch o := &ops[i]; {
		case o.Delete != nil:
			rows += v.RowsOf(o.Delete.Key, o.Delete.End)
		case o.Txn != nil:
			rows += v.rowsOfTxn(o.Txn, most-rows)
		}
		if rows > most {
			break
		}
	}
	return rows
}
