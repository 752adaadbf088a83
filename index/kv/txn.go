package kv

import (
	"bytes"
	"cmp"
	"slices"
)

// Txn is a transaction: its comparisons, all of the state before it, decide which of two lists of operations happens.
// What it changes has one revision. As in etcd, those of the transactions in it are made before anything is changed, too.
type Txn struct {
	Compares         []Compare // all must hold for Success; none always do
	Success, Failure []Op
}

// Op is one operation of a transaction: exactly one of the fields is set.
type Op struct {
	Put    *Put
	Delete *Delete
	Range  *Range
	Txn    *Txn
}

// CompareTarget is what of a key is compared.
type CompareTarget uint8

// The targets, with etcd's numbers.
const (
	CompareVersion CompareTarget = iota
	CompareCreate
	CompareMod
	CompareValue
	CompareLease
	compareTargets
)

// CompareResult is how what is there must be to what is given.
type CompareResult uint8

// The results, with etcd's numbers.
const (
	Equal CompareResult = iota
	Greater
	Less
	NotEqual
	compareResults
)

// Compare holds a key, or each key of a range, against a number or a value. A key that is not there has the number 0 for
// everything; of its value nothing holds, not even that it is not equal (etcd's behaviour). A range without keys is like
// such a key.
type Compare struct {
	Key, End []byte // as a Range's
	Target   CompareTarget
	Result   CompareResult
	Number   int64  // of every target but CompareValue
	Value    []byte // of CompareValue
}

// Holds says whether a key is as it should be; pair is nil where it is not there.
func (c *Compare) Holds(pair *KeyValue) bool {
	if c.Target == CompareValue {
		return pair != nil && c.is(bytes.Compare(pair.Value, c.Value))
	}
	number := int64(0)
	if pair != nil {
		switch c.Target {
		case CompareVersion:
			number = pair.Version
		case CompareCreate:
			number = pair.CreateRevision
		case CompareMod:
			number = pair.ModRevision
		case CompareLease:
			number = pair.Lease
		}
	}
	return c.is(cmp.Compare(number, c.Number))
}

func (c *Compare) is(order int) bool {
	switch c.Result {
	case Equal:
		return order == 0
	case Greater:
		return order > 0
	case Less:
		return order < 0
	default:
		return order != 0
	}
}

// TxnOutcome is what became of a transaction, without the bodies of its answers.
type TxnOutcome struct {
	// Path is whether the comparisons held: first the transaction's own, then those of the ones in it that were reached, in
	// the order of their operations, each with its own behind it.
	Path []bool
	// Deleted is how many keys each of its deletes removed, in the order in which they happened.
	Deleted []int64
}

// TxnResult is the answer to a transaction.
type TxnResult struct {
	Revision  int64 // of the transaction, or of the store when it changed nothing
	Succeeded bool  // the comparisons held
	Answers   []Answer
}

// Answer is the answer to one operation: the field of its kind is set.
type Answer struct {
	Put    *PutResult
	Delete *DeleteResult
	Range  *RangeResult
	Txn    *TxnResult // without a Revision
}

// PutResult is the answer to a put.
type PutResult struct {
	Revision int64
	Prev     *KeyValue // the key as it was before, when it was asked for and there
}

// DeleteResult is the answer to a delete.
type DeleteResult struct {
	Revision int64 // of the deletion, or of the store when there was nothing to delete
	Deleted  int64
	Prev     []KeyValue // the keys as they were before, when they were asked for
}

// ReadOnly says whether a transaction changes nothing, whichever way it goes: then it needs no entry of the log. As in
// etcd, one with a transaction in it never is.
func (t *Txn) ReadOnly() bool {
	for _, ops := range [][]Op{t.Success, t.Failure} {
		for i := range ops {
			if ops[i].Range == nil {
				return false
			}
		}
	}
	return true
}

// Puts says whether a transaction may set a key.
func (t *Txn) Puts() bool {
	for _, ops := range [][]Op{t.Success, t.Failure} {
		for i := range ops {
			if ops[i].Put != nil || ops[i].Txn != nil && ops[i].Txn.Puts() {
				return true
			}
		}
	}
	return false
}

// Parts is how many comparisons and operations there are, those of the transactions in it among them.
func (t *Txn) Parts() int {
	n := len(t.Compares) + len(t.Success) + len(t.Failure)
	for _, ops := range [][]Op{t.Success, t.Failure} {
		for i := range ops {
			if ops[i].Txn != nil {
				n += ops[i].Txn.Parts()
			}
		}
	}
	return n
}

// Ranges says whether a transaction compares, reads or deletes more than single keys.
func (t *Txn) Ranges() bool {
	for i := range t.Compares {
		if len(t.Compares[i].End) > 0 {
			return true
		}
	}
	for _, ops := range [][]Op{t.Success, t.Failure} {
		for i := range ops {
			o := &ops[i]
			if o.Range != nil && len(o.Range.End) > 0 || o.Delete != nil && len(o.Delete.End) > 0 || o.Txn != nil && o.Txn.Ranges() {
				return true
			}
		}
	}
	return false
}

// Serializable says whether a transaction that is ReadOnly may be answered by one member alone: when all its ranges may.
func (t *Txn) Serializable() bool {
	n := 0
	for _, ops := range [][]Op{t.Success, t.Failure} {
		for i := range ops {
			if n++; ops[i].Range == nil || !ops[i].Range.Serializable {
				return false
			}
		}
	}
	return n > 0
}

// Check says why the request is refused, or nil. A list may have operations entries at most; of a transaction in it, what
// that leaves (etcd's rule).
func (t *Txn) Check(b Bounds, operations int) *Error {
	if err := t.check(b, operations); err != nil {
		return err
	}
	for _, ops := range [][]Op{t.Success, t.Failure} {
		if _, err := changesOf(ops); err != nil {
			return err
		}
	}
	return nil
}

func (t *Txn) check(b Bounds, operations int) *Error {
	most := max(len(t.Compares), len(t.Success), len(t.Failure))
	if most > operations {
		return Errorf(TooManyOperations, "the transaction has %d comparisons or operations in one list, over the limit of %d", most, operations)
	}
	for i := range t.Compares {
		if err := t.Compares[i].Check(b); err != nil {
			return err
		}
	}
	for _, ops := range [][]Op{t.Success, t.Failure} {
		for i := range ops {
			if err := ops[i].check(b, operations-most); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check says why a comparison is refused, or nil.
func (c *Compare) Check(b Bounds) *Error {
	if c.Target >= compareTargets {
		return Errorf(BadRequest, "there is no comparison of kind %d", c.Target)
	}
	if c.Result >= compareResults {
		return Errorf(BadRequest, "there is no result %d of a comparison", c.Result)
	}
	return b.checkRange(c.Key, c.End)
}

func (o *Op) check(b Bounds, operations int) *Error {
	switch {
	case o.Put != nil:
		return o.Put.Check(b)
	case o.Delete != nil:
		return o.Delete.Check(b)
	case o.Range != nil:
		return o.Range.checkNested(b)
	case o.Txn != nil:
		return o.Txn.check(b, operations)
	}
	return Errorf(BadRequest, "an operation of a transaction is empty")
}

// changes are what a list of operations may put and delete, whichever way the transactions in it go.
type changes struct {
	puts    map[string]bool
	deletes []keyRange // sorted, disjoint
}

type keyRange struct{ from, to []byte }

// changesOf refuses a list in which one key is put twice, or put and deleted, as far as etcd does: a delete in a
// transaction is seen by the puts of the transactions behind it in the list, and of the list itself, not by those before.
func changesOf(ops []Op) (c changes, err *Error) {
	c.puts = map[string]bool{}
	for i := range ops {
		if d := ops[i].Delete; d != nil {
			c.delete(d.Key, d.End)
		}
	}
	for i := range ops {
		if t := ops[i].Txn; t != nil {
			if err = c.nested(t); err != nil {
				return c, err
			}
		}
	}
	for i := range ops {
		if p := ops[i].Put; p != nil {
			if err = c.put(string(p.Key), nil); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

func (c *changes) nested(t *Txn) *Error {
	success, err := changesOf(t.Success)
	if err != nil {
		return err
	}
	failure, err := changesOf(t.Failure)
	if err != nil {
		return err
	}
	for key := range success.puts {
		if err = c.put(key, nil); err != nil {
			return err
		}
	}
	for key := range failure.puts { // one of the two lists happens, so that both may change a key
		if err = c.put(key, success.puts); err != nil {
			return err
		}
	}
	c.deleteAll(success.deletes)
	c.deleteAll(failure.deletes)
	return nil
}

func (c *changes) put(key string, but map[string]bool) *Error {
	if c.puts[key] && !but[key] || c.deletesKey(key) {
		return Errorf(DuplicateKey, "the key %q is changed twice by one transaction", key)
	}
	c.puts[key] = true
	return nil
}

func (c *changes) deletesKey(key string) bool {
	i, _ := slices.BinarySearchFunc(c.deletes, key, func(r keyRange, key string) int {
		if string(r.to) <= key {
			return -1
		}
		return 1
	})
	return i < len(c.deletes) && string(c.deletes[i].from) <= key
}

func (c *changes) delete(key, end []byte) {
	r := keyRange{from: key, to: end}
	if len(end) == 0 {
		r.to = append(slices.Clone(key), 0)
	} else if bytes.Compare(key, end) >= 0 {
		return // no key is in it; etcd takes one without an end ("\x00") for such a range, too, and lets all its keys be put
	}
	c.deleteAll([]keyRange{r})
}

// deleteAll keeps the ranges sorted and disjoint.
func (c *changes) deleteAll(more []keyRange) {
	if len(more) == 0 {
		return
	}
	all := append(c.deletes, more...)
	slices.SortFunc(all, func(a, b keyRange) int { return bytes.Compare(a.from, b.from) })
	merged := all[:1]
	for _, r := range all[1:] {
		last := &merged[len(merged)-1]
		switch {
		case bytes.Compare(r.from, last.to) > 0:
			merged = append(merged, r)
		case bytes.Compare(r.to, last.to) > 0:
			last.to = r.to
		}
	}
	c.deletes = merged
}
