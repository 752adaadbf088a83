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
// apply. Values that are in files only count as well: apply reads those that it compares.
func (v *View) RowsOfTxn(t *kv.Txn) (int64, *kv.Error) {
	most := max(limits.TxnRows, int64(v.tree.Len()))
	rows := v.rowsOfTxn(t, most)
	if rows > most {
		return 0, kv.Errorf(kv.TooManyOperations, "the transaction compares and deletes ranges of more than %d keys in total, which is the limit", most)
	}
	if left := v.compareCold(t, limits.ColdCompared); left < 0 {
		return 0, kv.Errorf(kv.TooManyOperations, "the transaction compares values of ranges, of which more than %d bytes are not in memory, which is the limit: compare single keys, or versions", limits.ColdCompared)
	}
	return rows, nil
}

// compareCold subtracts from left the bytes of the values that ranged comparisons would read from files, until there are too many.
func (v *View) compareCold(t *kv.Txn, left int64) int64 {
	defer runtime.KeepAlive(v)
	var from probe
	for i := range t.Compares {
		c := &t.Compares[i]
		if c.Target != kv.CompareValue || len(c.End) == 0 {
			continue
		}
		v.tree.Ascend(from.set(c.Key), func(r ref) bool {
			if beyond(r.record().key(), c.End) {
				return false
			}
			if newest := r.record().newest(); newest.has(cold) {
				left -= int64(newest.valueSize())
			}
			return left >= 0
		})
		runtime.KeepAlive(from.words)
	}
	for _, ops := range [][]kv.Op{t.Success, t.Failure} {
		for i := range ops {
			if inner := ops[i].Txn; inner != nil && left >= 0 {
				left = v.compareCold(inner, left)
			}
		}
	}
	return left
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
