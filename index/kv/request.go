package kv

// KeyValue is a key with its value at one revision: a pair.
type KeyValue struct {
	Key, Value []byte
	// CreateRevision and ModRevision are the revisions at which the key was created and last put. Version counts the
	// puts since it was created, from 1 on. A key that is deleted and put again is another creation. Lease is the id of the lease with
	// which the key ends; 0: none.
	CreateRevision, ModRevision, Version, Lease int64
}

// Event is one change of a key.
type Event struct {
	// KV is the key after the change. A deleted key has only Key and ModRevision, which is the revision of the deletion.
	KV KeyValue
	// Sub is the event's position among the changes of one revision.
	Sub     int64
	Deleted bool // the change is a deletion, also by the end of a lease; otherwise it is a put
}

// Put is a request that sets a key.
type Put struct {
	Key, Value  []byte
	Lease       int64 // the id of a lease; 0: none, and the key leaves its present lease
	PrevKV      bool  // the answer has the previous version of the key
	IgnoreValue bool  // keep the key's value; Value must be empty, and the key must exist
	IgnoreLease bool  // keep the key's lease; Lease must be 0, and the key must exist
}

// Delete is a request that removes a key, or a range of keys. Key and End are as in a Range.
type Delete struct {
	Key, End []byte
	PrevKV   bool // the answer has the previous versions of the keys
}

// Range is a read of a key, or of a range of keys, at one revision. Only Key must be set; the zero values of the other fields mean: this
// key alone, now, with its value, linearizable.
type Range struct {
	// Key without End is a single key. With End, the range is all keys from Key up to and excluding End. The End "\0"
	// means no end: all keys from Key on.
	Key, End []byte
	// Revision is the revision to read at; 0 means the newest. An older one that is compacted, or does not exist yet, is an Error.
	Revision int64
	// Limit is the largest number of pairs to return; 0 means all.
	Limit int64
	// Serializable reads are answered by one member from its own state, without asking other members. They are faster and
	// need no quorum, but may be stale.
	Serializable bool
	KeysOnly     bool // return pairs without values
	CountOnly    bool // return only Count, no pairs
	// Continued is for the client library, which sets it: the range was counted before, this is a later page, and Count may be 0.
	Continued bool
	// Usage is for the client library, which sets it for Admin.Usage. It asks, of a streamed range only, for the [UsageRow] of each key in
	// place of its value. Keys of which only the history is left are included. The Count is then the Period of the [UsageResult].
	Usage bool

	// Sort and Order set the order of the pairs before Limit cuts them. The default is ascending keys. Without an Order, Sort counts for
	// nothing.
	Sort  SortTarget
	Order SortOrder
	// Pairs whose revisions are below a minimum or above a maximum are filtered out; the bounds themselves pass, and 0 means no bound. Count
	// includes the filtered pairs.
	MinMod, MaxMod, MinCreate, MaxCreate int64
}

// SortTarget is the field that pairs are sorted by.
type SortTarget uint8

// The targets, with etcd's numbers.
const (
	SortByKey SortTarget = iota
	SortByVersion
	SortByCreate
	SortByMod
	SortByValue
	sortTargets
)

// SortOrder is the direction of a sort.
type SortOrder uint8

// The orders, with etcd's numbers. SortNone is key order.
const (
	SortNone SortOrder = iota
	SortAscend
	SortDescend
	sortOrders
)

// Sorted says that the pairs do not come in ascending key order. The whole range must then be read before the first pair
// is known.
func (r *Range) Sorted() bool {
	return r.Order == SortDescend || r.Order == SortAscend && r.Sort != SortByKey
}

// Filtered says that the range has bounds on revisions, which may filter pairs out.
func (r *Range) Filtered() bool { return r.MinMod|r.MaxMod|r.MinCreate|r.MaxCreate != 0 }

// Passes says whether a pair's revisions are within the range's bounds.
func (r *Range) Passes(pair *KeyValue) bool {
	within := func(n, least, most int64) bool { return (least == 0 || n >= least) && (most == 0 || n <= most) }
	return within(pair.ModRevision, r.MinMod, r.MaxMod) && within(pair.CreateRevision, r.MinCreate, r.MaxCreate)
}

// RangeResult is the answer to a Range.
type RangeResult struct {
	// the store's newest revision at the time of the read; if none was requested, that is the revision that was read
	Revision int64
	// all keys in the range at the revision that was read, regardless of Limit and bounds; 0 if Continued
	Count int64
	More  bool       // more pairs follow the returned ones, which Limit or the size of a page left out
	KVs   []KeyValue // none for a missing key, and with CountOnly
}

// Result is the outcome of one write. Inside a member it is a function of log and state, equal on every member.
type Result struct {
	Revision int64 // of the write; the store's revision if the write changed nothing
	Deleted  int64 // number of keys that a delete removed
	Txn      *TxnOutcome
	Err      *Error // why the write was refused; it changed nothing then
	// Resent says that an earlier copy of the write was already applied. The Result is then the earlier outcome, without
	// the previous values and ranges of its answer. Changed says that the write made Revision itself.
	Resent, Changed bool
}

// Bounds are the largest key and value of a request, in bytes.
type Bounds struct{ Key, Value int }

// Check returns why the request is refused, or nil.
func (p Put) Check(b Bounds) *Error {
	if err := b.checkKey(p.Key); err != nil {
		return err
	}
	if len(p.Value) > b.Value {
		return Errorf(ValueTooLarge, "the value has %d bytes, over the limit of %d", len(p.Value), b.Value)
	}
	switch {
	case p.IgnoreValue && len(p.Value) > 0:
		return Errorf(ValueProvided, "a put that keeps the key's value must not have a value")
	case p.IgnoreLease && p.Lease != 0:
		return Errorf(LeaseProvided, "a put that keeps the key's lease must not have a lease")
	}
	return nil
}

// Check returns why the request is refused, or nil.
func (d Delete) Check(b Bounds) *Error { return b.checkRange(d.Key, d.End) }

// Check returns why the request is refused, or nil.
func (r *Range) Check(b Bounds) *Error {
	if err := b.checkRange(r.Key, r.End); err != nil {
		return err
	}
	if r.Revision < 0 {
		return Errorf(BadRequest, "revision %d is negative", r.Revision)
	}
	return r.checkRest()
}

// checkNested is Check for a range inside a transaction. Whether its revision can be read is decided when the transaction
// is applied.
func (r *Range) checkNested(b Bounds) *Error {
	if err := b.checkRange(r.Key, r.End); err != nil {
		return err
	}
	return r.checkRest()
}

func (r *Range) checkRest() *Error {
	switch {
	case r.Limit < 0:
		return Errorf(BadRequest, "limit %d is negative", r.Limit)
	case r.Sort >= sortTargets:
		return Errorf(InvalidSort, "there is no sort target %d", r.Sort)
	case r.Order >= sortOrders:
		return Errorf(InvalidSort, "there is no sort order %d", r.Order)
	}
	return nil
}

func (b Bounds) checkKey(key []byte) *Error {
	if len(key) == 0 {
		return &Error{Code: EmptyKey, Message: "the key is empty"}
	}
	if len(key) > b.Key {
		return Errorf(KeyTooLarge, "the key has %d bytes, over the limit of %d", len(key), b.Key)
	}
	return nil
}

// checkRange allows both ends of a range one byte more than a key, so an end can directly follow any key.
func (b Bounds) checkRange(key, end []byte) *Error {
	begin := b
	if len(end) > 0 {
		begin.Key++
	}
	if err := begin.checkKey(key); err != nil {
		return err
	}
	if len(end) > b.Key+1 {
		return Errorf(KeyTooLarge, "the end of the range has %d bytes, over the limit of %d", len(end), b.Key+1)
	}
	return nil
}
