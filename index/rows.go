package index

import (
	"runtime"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// RowsOf returns how many keys a write of a range looks at when it is applied: those that are deleted, too, as long as they have a
// history. Of a single key it is none.
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

// RowsOfTxn returns how many keys the comparisons and the deletions of a transaction look at, whichever way it goes, or says that they
// are too many. What a transaction reads does not count, since that is done behind apply.
func (v *View) RowsOfTxn(t *kv.Txn) (int64, *kv.Error) {
	most := max(limits.TxnRows, int64(v.tree.Len()))
	rows := v.rowsOfTxn(t, most)
	if rows > most {
		return 0, kv.Errorf(kv.TooManyOperations, "the transaction compares and deletes ranges of more than %d keys together, the limit of one", most)
	}
	return rows, nil
}

// rowsOfTxn counts no further than most.
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
