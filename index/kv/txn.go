package kv

import (
	"bytes"
	"cmp"
	"slices"
)

// Txn is a transaction. Its comparisons, all evaluated on the state before it, decide which of its two lists of
// operations happens. All its changes share one revision. As in etcd, the comparisons of nested transactions are also
// evaluated before any change.
type Txn struct {
	Compares         []Compare // all must hold for Success; an empty list holds
	Success, Failure []Op      // the operations if the comparisons hold, and if they do not; either may be empty
}

// Op is one operation of a transaction: exactly one of the fields is set.
type Op struct {
	Put    *Put
	Delete *Delete
	Range  *Range
	Txn    *Txn
}

// CompareTarget is the field of a key that is compared.
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

// CompareResult is the required relation between the key's field and the given value.
type CompareResult uint8

// The results, with etcd's numbers.
const (
	Equal CompareResult = iota
	Greater
	Less
	NotEqual
	compareResults
)

// Compare is a condition of a transaction: it compares a key, or each key of a range, with a number or a value. The zero Target and
// Result mean: the version is equal. For example, {Key: k, Target: CompareCreate} holds if k does not exist. A
// missing key counts as 0 for every numeric target. A comparison of a missing key's value is always false, even
// NotEqual, as in etcd. An empty range behaves like a missing key.
type Compare struct {
	Key, End []byte // as in a Range
	Target   CompareTarget
	Result   CompareResult
	Number   int64  // for every target but CompareValue
	Value    []byte // for CompareValue
}

// Holds says whether the comparison holds for a key; pair is nil if the key does not exist.
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

// TxnOutcome is the outcome of a transaction without the bodies of its answers.
type TxnOutcome struct {
	// Path says which comparisons held: first the transaction's own, then those of the nested transactions that were
	// reached. These follow in the order of their operations, each directly followed by its own nested ones.
	Path []bool
	// Deleted is the number of keys that each delete removed, in the order in which the deletes happened.
	Deleted []int64
}

// TxnResult is the answer to a transaction.
type TxnResult struct {
	Revision  int64    // of the transaction; the store's revision if it changed nothing
	Succeeded bool     // the comparisons held
	Answers   []Answer // to the operations of the list that was applied, in its order
}

// Answer is the answer to one operation. Only the field of the operation's kind is set.
type Answer struct {
	Put    *PutResult
	Delete *DeleteResult
	Range  *RangeResult
	Txn    *TxnResult // Revision is not set
}

// PutResult is the answer to a put.
type PutResult struct {
	Revision int64
	Prev     *KeyValue // the previous version of the key, if requested and present
}

// DeleteResult is the answer to a delete.
type DeleteResult struct {
	Revision int64 // of the deletion; the store's revision if nothing was deleted
	Deleted  int64
	Prev     []KeyValue // the previous versions of the keys, if requested
}

// ReadOnly says whether neither branch of the transaction can change anything: such a transaction needs no log entry. As
// in etcd, a transaction with a nested transaction is never read-only.
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

// Puts says whether the transaction may put a key.
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

// Parts is the number of comparisons and operations, including those of nested transactions.
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

// Ranges says whether the transaction compares, reads or deletes a range of keys.
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

// Serializable says whether one member alone may answer a ReadOnly transaction: all its ranges are serializable.
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

// Check returns why the request is refused, or nil. The longest of the transaction's lists may have at most operations
// entries; a nested transaction gets the remainder (etcd's rule).
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

// Check returns why a comparison is refused, or nil.
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

// changes are the keys that a list of operations may put and delete, whichever branches its nested transactions take.
type changes struct {
	puts    map[string]bool
	deletes []keyRange // sorted, disjoint
}

type keyRange struct{ from, to []byte }

// changesOf refuses a list that puts a key twice, or puts and deletes it, as far as etcd does. A delete inside a nested
// transaction conflicts with puts of later nested transactions and of the list itself. It does not conflict with puts of
// earlier nested transactions.
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
	for key := range failure.puts { // only one of the two lists happens, so both may change the same key
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
		return // an empty range; etcd treats the end "\x00" as such a range as well, and allows puts of all its keys
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
