package kv

import (
	"fmt"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// The encoding of transactions, members and membership changes in the log, and of transactions in requests. A struct grows
// by fields at its end: see [pack.Reader.Struct]. The state and its log contain an appended field only from a feature
// level on.
//
//	transaction  93 [compare...] [operation...] [operation...]
//	compare      96 key end target result number value
//	operation    95 1 key value lease flags                                put; flags: 1 previous, 2 ignore value, 4 ignore lease
//	operation    94 2 key end flags                                        delete; flags: 1 previous
//	operation    9c 3 key end revision limit flags sort order              range; flags: 1 serializable, 2 keys only,
//	                min-mod max-mod min-create max-create                          4 count only, 8 continued
//	operation    92 4 transaction
//	member       9e id name role manual since replaces [peer...] [client...] [web...] version level folder boot process
//	change       kind id name [peer...] manual instead folder              no array: in a command's body
const (
	opPut    = 1
	opDelete = 2
	opRange  = 3
	opTxn    = 4

	compareFields = 6
	txnFields     = 3
	memberFields  = 14
)

// opFields is the number of fields of an operation, by its kind.
var opFields = [...]int{opPut: 5, opDelete: 4, opRange: 12, opTxn: 2}

func flagsOf(all ...bool) (flags uint64) {
	for i, on := range all {
		if on {
			flags |= 1 << i
		}
	}
	return flags
}

// readFlags reads the given number of flags, the first one as bit 0. Unknown flags are an error.
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

// ReadPut reads the output of AppendPut. The put's slices share the reader's memory, as in the functions below.
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

// ReadDelete reads the output of AppendDelete.
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

// ReadRange reads the output of AppendRange.
func ReadRange(r *pack.Reader) (q Range) {
	q.Key, q.End, q.Revision, q.Limit = r.Bytes(), r.Bytes(), r.Int(), r.Int()
	flags := readFlags(r, 4)
	q.Serializable, q.KeysOnly, q.CountOnly, q.Continued = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	q.Sort, q.Order = SortTarget(small(r)), SortOrder(small(r))
	q.MinMod, q.MaxMod, q.MinCreate, q.MaxCreate = r.Int(), r.Int(), r.Int(), r.Int()
	return q
}

// small reads a number of one byte. It returns 255, which no enumeration uses, for larger numbers.
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
		return AppendPut(pack.AppendUint(pack.AppendArray(dst, opFields[opPut]), opPut), o.Put)
	case o.Delete != nil:
		return AppendDelete(pack.AppendUint(pack.AppendArray(dst, opFields[opDelete]), opDelete), o.Delete)
	case o.Range != nil:
		return AppendRange(pack.AppendUint(pack.AppendArray(dst, opFields[opRange]), opRange), o.Range)
	case o.Txn != nil:
		return AppendTxn(pack.AppendUint(pack.AppendArray(dst, opFields[opTxn]), opTxn), o.Txn)
	}
	return pack.AppendUint(pack.AppendArray(dst, 1), 0)
}

// ReadTxn reads a transaction. A transaction that is nested too deep or has too many parts is malformed: the limits bound
// the reader's stack and memory.
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
	whole := r.Struct(txnFields)
	if n := countParts(r, parts); n > 0 {
		t.Compares = make([]Compare, n)
	}
	for i := range t.Compares {
		c := &t.Compares[i]
		s := r.Struct(compareFields)
		c.Key, c.End, c.Target, c.Result = r.Bytes(), r.Bytes(), CompareTarget(small(r)), CompareResult(small(r))
		c.Number, c.Value = r.Int(), r.Bytes()
		r.End(s)
	}
	t.Success = readOps(r, parts, depth)
	t.Failure = readOps(r, parts, depth)
	r.End(whole)
}

// countParts reads the length of a list and adds it to the transaction's parts.
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
		if kind == 0 || kind >= uint64(len(opFields)) {
			r.Fail(fmt.Sprintf("an operation of kind %d, which is not known", kind))
			return nil
		}
		s := r.Fields(fields-1, opFields[kind]-1)
		switch kind {
		case opPut:
			o.Put = new(ReadPut(r))
		case opDelete:
			o.Delete = new(ReadDelete(r))
		case opRange:
			o.Range = new(ReadRange(r))
		case opTxn:
			o.Txn = &Txn{}
			readTxn(r, o.Txn, parts, depth+1)
		}
		if r.End(s); r.Err() != nil {
			return nil
		}
	}
	return ops
}

// AppendMember appends a member. The state's digest covers these bytes. A field that is appended later is therefore
// written only if it is not zero: members of two versions agree until the feature level allows the field to be set.
func AppendMember(dst []byte, m *Member) []byte {
	dst = pack.AppendString(pack.AppendUint(pack.AppendArray(dst, memberFields), m.ID), m.Name)
	dst = pack.AppendInt(pack.AppendBool(pack.AppendUint(dst, uint64(m.Role)), m.Manual), m.Since)
	dst = pack.AppendUint(dst, m.Replaces)
	dst = pack.AppendStrings(pack.AppendStrings(pack.AppendStrings(dst, m.Peers), m.Clients), m.Web)
	dst = pack.AppendUint(pack.AppendString(dst, m.Version), m.Level)
	return pack.AppendBytes(pack.AppendUint(pack.AppendBytes(dst, m.Folder[:]), m.Boot), m.Process[:])
}

// ReadMember reads the output of AppendMember. The member shares no memory with the input.
func ReadMember(r *pack.Reader) (m Member) {
	s := r.Struct(memberFields)
	m.ID, m.Name, m.Role, m.Manual, m.Since, m.Replaces = r.Uint(), r.String(), Role(small(r)), r.Bool(), r.Int(), r.Uint()
	m.Peers, m.Clients, m.Web = r.Strings(), r.Strings(), r.Strings()
	m.Version, m.Level = r.String(), r.Uint()
	r.Fixed(m.Folder[:])
	m.Boot = r.Uint()
	r.Fixed(m.Process[:])
	r.End(s)
	return m
}

// AppendMemberChange appends the fields of a membership change.
func AppendMemberChange(dst []byte, c *MemberChange) []byte {
	dst = pack.AppendString(pack.AppendUint(pack.AppendUint(dst, uint64(c.Kind)), c.ID), c.Name)
	dst = pack.AppendUint(pack.AppendBool(pack.AppendStrings(dst, c.Peers), c.Manual), c.Instead)
	return pack.AppendBytes(dst, c.Folder[:])
}

// ReadMemberChange reads the output of AppendMemberChange. A kind over 255 becomes 255, which is unknown.
func ReadMemberChange(r *pack.Reader) MemberChange {
	c := MemberChange{
		Kind: MemberChangeKind(small(r)), ID: r.Uint(), Name: r.String(), Peers: r.Strings(), Manual: r.Bool(), Instead: r.Uint(),
	}
	r.Fixed(c.Folder[:])
	return c
}
