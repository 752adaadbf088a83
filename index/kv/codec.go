package kv

import (
	"fmt"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// The bytes of a transaction, in requests and in the log alike:
//
//	transaction  93 [compare...] [operation...] [operation...]
//	compare      96 key end target result number value
//	operation    95 1 key value lease flags                                put; flags: 1 previous, 2 ignore value, 4 ignore lease
//	operation    94 2 key end flags                                        delete; flags: 1 previous
//	operation    9c 3 key end revision limit flags sort order              range; flags: 1 serializable, 2 keys only,
//	                min-mod max-mod min-create max-create                          4 count only, 8 continued
//	operation    92 4 transaction

const (
	opPut    = 1
	opDelete = 2
	opRange  = 3
	opTxn    = 4

	compareFields = 6
	putFields     = 5
	deleteFields  = 4
	rangeFields   = 12
	txnFields     = 3
)

func flagsOf(all ...bool) (flags uint64) {
	for i, on := range all {
		if on {
			flags |= 1 << i
		}
	}
	return flags
}

// readFlags reads so many flags, the first as bit 0.
func readFlags(r *pack.Reader, known int) (flags uint64) {
	if flags = r.Uint(); flags>>known != 0 {
		r.Fail(fmt.Sprintf("flags %#x, of which %#x are known here", flags, 1<<known-1))
	}
	return flags
}

// AppendPut appends a put's fields.
func AppendPut(dst []byte, p *Put) []byte {
	dst = pack.AppendInt(pack.AppendBytes(pack.AppendBytes(dst, p.Key), p.Value), p.Lease)
	return pack.AppendUint(dst, flagsOf(p.PrevKV, p.IgnoreValue, p.IgnoreLease))
}

// ReadPut reads what AppendPut wrote; its slices are parts of it. So it is with all that follow.
func ReadPut(r *pack.Reader) (p Put) {
	p.Key, p.Value, p.Lease = r.Bytes(), r.Bytes(), r.Int()
	flags := readFlags(r, 3)
	p.PrevKV, p.IgnoreValue, p.IgnoreLease = flags&1 != 0, flags&2 != 0, flags&4 != 0
	return p
}

// AppendDelete appends a delete's fields.
func AppendDelete(dst []byte, d *Delete) []byte {
	return pack.AppendUint(pack.AppendBytes(pack.AppendBytes(dst, d.Key), d.End), flagsOf(d.PrevKV))
}

// ReadDelete reads what AppendDelete wrote.
func ReadDelete(r *pack.Reader) (d Delete) {
	d.Key, d.End = r.Bytes(), r.Bytes()
	d.PrevKV = readFlags(r, 1) != 0
	return d
}

// AppendRange appends a range's fields.
func AppendRange(dst []byte, q *Range) []byte {
	dst = pack.AppendBytes(pack.AppendBytes(dst, q.Key), q.End)
	dst = pack.AppendInt(pack.AppendInt(dst, q.Revision), q.Limit)
	dst = pack.AppendUint(dst, flagsOf(q.Serializable, q.KeysOnly, q.CountOnly, q.Continued))
	dst = pack.AppendUint(pack.AppendUint(dst, uint64(q.Sort)), uint64(q.Order))
	dst = pack.AppendInt(pack.AppendInt(dst, q.MinMod), q.MaxMod)
	return pack.AppendInt(pack.AppendInt(dst, q.MinCreate), q.MaxCreate)
}

// ReadRange reads what AppendRange wrote.
func ReadRange(r *pack.Reader) (q Range) {
	q.Key, q.End, q.Revision, q.Limit = r.Bytes(), r.Bytes(), r.Int(), r.Int()
	flags := readFlags(r, 4)
	q.Serializable, q.KeysOnly, q.CountOnly, q.Continued = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	q.Sort, q.Order = SortTarget(small(r)), SortOrder(small(r))
	q.MinMod, q.MaxMod, q.MinCreate, q.MaxCreate = r.Int(), r.Int(), r.Int(), r.Int()
	return q
}

// small reads a number of one byte; a larger one becomes the largest, which means nothing.
func small(r *pack.Reader) uint8 { return uint8(min(r.Uint(), 255)) }

// AppendTxn appends a transaction.
func AppendTxn(dst []byte, t *Txn) []byte {
	dst = pack.AppendArray(pack.AppendArray(dst, txnFields), len(t.Compares))
	for i := range t.Compares {
		c := &t.Compares[i]
		dst = pack.AppendBytes(pack.AppendBytes(pack.AppendArray(dst, compareFields), c.Key), c.End)
		dst = pack.AppendUint(pack.AppendUint(dst, uint64(c.Target)), uint64(c.Result))
		dst = pack.AppendBytes(pack.AppendInt(dst, c.Number), c.Value)
	}
	for _, ops := range [][]Op{t.Success, t.Failure} {
		dst = pack.AppendArray(dst, len(ops))
		for i := range ops {
			dst = appendOp(dst, &ops[i])
		}
	}
	return dst
}

func appendOp(dst []byte, o *Op) []byte {
	switch {
	case o.Put != nil:
		return AppendPut(pack.AppendUint(pack.AppendArray(dst, putFields), opPut), o.Put)
	case o.Delete != nil:
		return AppendDelete(pack.AppendUint(pack.AppendArray(dst, deleteFields), opDelete), o.Delete)
	case o.Range != nil:
		return AppendRange(pack.AppendUint(pack.AppendArray(dst, rangeFields), opRange), o.Range)
	case o.Txn != nil:
		return AppendTxn(pack.AppendUint(pack.AppendArray(dst, 2), opTxn), o.Txn)
	}
	return pack.AppendUint(pack.AppendArray(dst, 1), 0)
}

// ReadTxn reads a transaction. One that is too deep, or has too many parts, is malformed: that bounds the stack and the
// memory of whoever reads it.
func ReadTxn(r *pack.Reader) *Txn {
	parts := 0
	t := &Txn{}
	readTxn(r, t, &parts, 1)
	return t
}

func readTxn(r *pack.Reader, t *Txn, parts *int, depth int) {
	if depth > limits.TxnDepth {
		r.Fail(fmt.Sprintf("a transaction nested more than %d deep", limits.TxnDepth))
		return
	}
	r.ArrayOf(txnFields)
	if n := countParts(r, parts); n > 0 {
		t.Compares = make([]Compare, n)
	}
	for i := range t.Compares {
		c := &t.Compares[i]
		r.ArrayOf(compareFields)
		c.Key, c.End, c.Target, c.Result = r.Bytes(), r.Bytes(), CompareTarget(small(r)), CompareResult(small(r))
		c.Number, c.Value = r.Int(), r.Bytes()
	}
	t.Success = readOps(r, parts, depth)
	t.Failure = readOps(r, parts, depth)
}

// countParts reads the header of a list.
func countParts(r *pack.Reader, parts *int) int {
	n := r.Array()
	if *parts += n; *parts > limits.TxnParts {
		r.Fail(fmt.Sprintf("a transaction of more than %d comparisons and operations", limits.TxnParts))
		return 0
	}
	return n
}

func readOps(r *pack.Reader, parts *int, depth int) []Op {
	n := countParts(r, parts)
	if n == 0 || r.Err() != nil {
		return nil
	}
	ops := make([]Op, n)
	for i := range ops {
		o := &ops[i]
		fields, kind := r.Array(), r.Uint()
		want := 2
		switch kind {
		case opPut:
			p := ReadPut(r)
			o.Put, want = &p, putFields
		case opDelete:
			d := ReadDelete(r)
			o.Delete, want = &d, deleteFields
		case opRange:
			q := ReadRange(r)
			o.Range, want = &q, rangeFields
		case opTxn:
			o.Txn = &Txn{}
			readTxn(r, o.Txn, parts, depth+1)
		default:
			r.Fail(fmt.Sprintf("an operation of kind %d, which is not known", kind))
		}
		if fields != want {
			r.Fail("an operation of another number of fields")
		}
		if r.Err() != nil {
			return nil
		}
	}
	return ops
}
