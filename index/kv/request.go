package kv

// KeyValue is a key at one revision.
type KeyValue struct {
	Key, Value []byte
	// CreateRevision and ModRevision are those at which the key was created and last changed; Version counts its
	// changes since it was created. Lease is 0: none.
	CreateRevision, ModRevision, Version, Lease int64
}

// Event is one change of a key.
type Event struct {
	// KV is the key after the change; of one that was deleted it has Key and ModRevision only.
	KV KeyValue
	// Sub is its place among the changes of one revision.
	Sub     int64
	Deleted bool
}

// Put sets a key.
type Put struct {
	Key, Value  []byte
	Lease       int64 // 0: none
	PrevKV      bool  // the answer has the key as it was before
	IgnoreValue bool  // the value stays, and Value is empty; the key must be there
	IgnoreLease bool  // the lease stays, and Lease is 0; the key must be there
}

// Delete removes a key, or a range of keys: Key and End are a Range's.
type Delete struct {
	Key, End []byte
	PrevKV   bool // the answer has the keys as they were before
}

// Range asks for keys at one revision. Only Key must be set.
type Range struct {
	// Key alone is one key; with End it is all keys from Key to, and without, End. The End "\0" is none: all keys
	// from Key on.
	Key, End []byte
	// Revision is the one to read at; 0: the newest.
	Revision int64
	// Limit is how many pairs to read at most; 0: all.
	Limit int64
	// Serializable reads are answered by one member from what it has, without asking the others: faster, also
	// without a quorum, but perhaps of the past.
	Serializable bool
	KeysOnly     bool // values come empty
	CountOnly    bool // no pairs, only Count
	// Continued says that the range was counted before: this is not its first page, and Count may come as 0.
	Continued bool

	// Sort and Order are how the pairs come, before Limit cuts: by key, rising, unless said otherwise.
	Sort  SortTarget
	Order SortOrder
	// Pairs whose revisions are below a minimum or above a maximum are left out; 0 is no bound. Count counts them.
	MinMod, MaxMod, MinCreate, MaxCreate int64
}

// SortTarget is what pairs are sorted by.
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

// The orders, with etcd's numbers: none is that of the keys.
const (
	SortNone SortOrder = iota
	SortAscend
	SortDescend
	sortOrders
)

// Sorted says that the pairs do not come in the order of their keys: all of the range must be read before the first is known.
func (r *Range) Sorted() bool {
	return r.Order == SortDescend || r.Order == SortAscend && r.Sort != SortByKey
}

// Filtered says that pairs may be left out because of their revisions.
func (r *Range) Filtered() bool { return r.MinMod|r.MaxMod|r.MinCreate|r.MaxCreate != 0 }

// Passes says that a pair is not left out because of its revisions.
func (r *Range) Passes(pair *KeyValue) bool {
	within := func(n, least, most int64) bool { return (least == 0 || n >= least) && (most == 0 || n <= most) }
	return within(pair.ModRevision, r.MinMod, r.MaxMod) && within(pair.CreateRevision, r.MinCreate, r.MaxCreate)
}

// RangeResult is what a Range finds.
type RangeResult struct {
	Revision int64 // of the store when it was read, whatever revision was asked for; that which was read, if none was
	Count    int64 // keys in the range at the revision asked for, whatever the limit; 0 when it is Continued
	More     bool  // there are more keys than these
	KVs      []KeyValue
}

// Result is the outcome of one write. In a member it is a function of log and state, equal on every member.
type Result struct {
	Revision int64 // of the write, or of the store when it changed nothing
	Deleted  int64 // keys that a delete removed
	Txn      *TxnOutcome
	Err      *Error // why it was refused; nothing was changed then
	// Resent says that the write was applied before, when another copy of it came: this is what became of it then, without what
	// the answer has beside that. Changed says that the revision is its own.
	Resent, Changed bool
}

// Bounds are the longest key and value that a request may have, in bytes.
type Bounds struct{ Key, Value int }

// Check says why the request is refused, or nil.
func (p Put) Check(b Bounds) *Error {
	if err := b.checkKey(p.Key); err != nil {
		return err
	}
	if len(p.Value) > b.Value {
		return Errorf(ValueTooLarge, "the value has %d bytes, over the limit of %d", len(p.Value), b.Value)
	}
	switch {
	case p.IgnoreValue && len(p.Value) > 0:
		return Errorf(ValueProvided, "a put that leaves the value as it is has a value")
	case p.IgnoreLease && p.Lease != 0:
		return Errorf(LeaseProvided, "a put that leaves the lease as it is has a lease")
	}
	return nil
}

// Check says why the request is refused, or nil.
func (d Delete) Check(b Bounds) *Error { return b.checkRange(d.Key, d.End) }

// Check says why the request is refused, or nil.
func (r *Range) Check(b Bounds) *Error {
	if err := b.checkRange(r.Key, r.End); err != nil {
		return err
	}
	if r.Revision < 0 {
		return Errorf(BadRequest, "revision %d is negative", r.Revision)
	}
	return r.checkRest()
}

// checkNested is Check for a range of a transaction: which revision can be read is decided when it happens.
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

// checkRange lets both ends of a range be a byte longer than a key, so that they can follow directly behind any key.
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
