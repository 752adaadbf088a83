package index

import (
	"cmp"
	"errors"
	"runtime"
	"slices"

	"qkv/index/kv"
)

// comparedKeys is the data that a transaction's comparisons read: the newest revision of the state, or a View at a position.
type comparedKeys interface {
	// current returns a key's current version, or nil.
	current(key []byte) *version
	// eachCurrent calls f with the current versions of a range's keys, until f returns false.
	eachCurrent(key, end []byte, f func(*version) bool)
	// value returns the value of such a version.
	value(at *version) []byte
}

func (s *keyspace) current(key []byte) *version {
	if r := s.find(hashOf(key), key); r != 0 && !r.record().newest().has(tombstone) {
		return r.record().newest()
	}
	return nil
}

func (s *keyspace) eachCurrent(key, end []byte, f func(*version) bool) {
	s.each(key, end, func(r ref) bool { return f(r.record().newest()) })
}

func (s *keyspace) value(at *version) []byte { return at.value() } // live values are in memory

// appendPath appends whether the comparisons of a transaction hold, followed by those of the nested transactions that are
// reached.
func appendPath(path []bool, in comparedKeys, t *kv.Txn) []bool {
	holds := true
	for i := range t.Compares {
		if holds = compare(in, &t.Compares[i]); !holds {
			break
		}
	}
	path = append(path, holds)
	ops := branch(t, holds)
	for i := range ops {
		if nested := ops[i].Txn; nested != nil {
			path = appendPath(path, in, nested)
		}
	}
	return path
}

func branch(t *kv.Txn, holds bool) []kv.Op {
	if holds {
		return t.Success
	}
	return t.Failure
}

func compare(in comparedKeys, c *kv.Compare) (holds bool) {
	check := func(at *version) bool {
		pair := at.keyValue(nil)
		pair.Value = in.value(at)
		return c.Holds(&pair)
	}
	if len(c.End) == 0 {
		if at := in.current(c.Key); at != nil {
			return check(at)
		}
		return c.Holds(nil)
	}
	holds, found := true, false
	in.eachCurrent(c.Key, c.End, func(at *version) bool {
		found, holds = true, check(at)
		return holds
	})
	if !found {
		return c.Holds(nil)
	}
	return holds
}

// eachOp calls f with the operations that happen, in order, including those of nested transactions.
func eachOp(t *kv.Txn, path []bool, f func(o *kv.Op) bool) (rest []bool, goOn bool) {
	ops := branch(t, path[0])
	rest = path[1:]
	for i := range ops {
		if goOn = f(&ops[i]); goOn && ops[i].Txn != nil {
			rest, goOn = eachOp(ops[i].Txn, rest, f)
		}
		if !goOn {
			return rest, false
		}
	}
	return rest, true
}

// txn applies a transaction: its changes share one revision. All errors are found before anything is changed.
func (s *State) txn(t *kv.Txn) kv.Result {
	outcome := &kv.TxnOutcome{Path: appendPath(nil, &s.keys, t)}
	if err := s.checkTxn(t, outcome.Path); err != nil {
		return s.refused(err)
	}
	top := opPrefetcher{ops: branch(t, outcome.Path[0])}
	eachOp(t, outcome.Path, func(o *kv.Op) bool {
		switch hash, known := top.hash(s, o); {
		case o.Put != nil:
			if !known {
				hash = hashOf(o.Put.Key)
			}
			s.put(hash, o.Put)
		case o.Delete != nil:
			outcome.Deleted = append(outcome.Deleted, s.delete(hashOf(o.Delete.Key), o.Delete.Key, o.Delete.End))
		}
		return true
	})
	s.endRevision()
	s.counts.Transactions++
	return kv.Result{Revision: s.revision, Txn: outcome}
}

// opPrefetcher iterates over a transaction's outermost operations and prefetches many of them at once.
type opPrefetcher struct {
	ops    []kv.Op
	next   int
	hashes []uint64 // of the ops of the current block of prefetchCommands; valid until the next prefetch
}

// hash returns the hash of the key that o puts, if o is the next outermost operation.
func (a *opPrefetcher) hash(s *State, o *kv.Op) (hash uint64, ok bool) {
	if len(a.ops) == 1 || a.next == len(a.ops) || o != &a.ops[a.next] {
		return 0, false
	}
	at := a.next % prefetchCommands
	if at == 0 {
		a.hashes = s.keys.prefetchOps(a.ops[a.next:min(a.next+prefetchCommands, len(a.ops))])
	}
	a.next++
	return a.hashes[at], true
}

// checkTxn returns why a transaction's chosen operations cannot be applied, or nil.
func (s *State) checkTxn(t *kv.Txn, path []bool) (err *kv.Error) {
	for i := range t.Compares {
		if err = t.Compares[i].Check(requestBounds); err != nil {
			return err
		}
	}
	var before []*kv.Op
	eachOp(t, path, func(o *kv.Op) bool {
		err = s.checkOp(o, before)
		before = append(before, o)
		return err == nil
	})
	return err
}

// checkOp checks an operation, given the operations that happen before it.
func (s *State) checkOp(o *kv.Op, before []*kv.Op) *kv.Error {
	switch {
	case o.Put != nil:
		if err := o.Put.Check(requestBounds); err != nil {
			return err
		}
		if err := s.leases.refuses(o.Put.Lease); err != nil {
			return err
		}
		if (o.Put.IgnoreValue || o.Put.IgnoreLease) && !s.existsAfter(o.Put.Key, before) {
			return keyNotFound(o.Put.Key)
		}
		return nil
	case o.Delete != nil:
		return o.Delete.Check(requestBounds)
	case o.Range != nil:
		return s.checkRange(o.Range.Revision)
	case o.Txn == nil:
		return kv.Errorf(kv.BadRequest, "an operation of a transaction is empty")
	}
	return nil
}

// existsAfter says whether a key exists, and still exists after some operations. A key that only these operations put does not
// count: etcd looks only at the state before the transaction. In etcd, a put that keeps the value of a key that the
// transaction has just deleted ends the process.
func (s *State) existsAfter(key []byte, before []*kv.Op) bool {
	for _, o := range slices.Backward(before) {
		switch {
		case o.Put != nil && string(o.Put.Key) == string(key):
			return s.keys.current(key) != nil
		case o.Delete != nil && within(key, o.Delete.Key, o.Delete.End):
			return false
		}
	}
	return s.keys.current(key) != nil
}

// within says whether a key is in a request's key range.
func within(key, from, end []byte) bool {
	if len(end) == 0 {
		return string(key) == string(from)
	}
	return string(key) >= string(from) && !beyond(key, end)
}

// Evaluate evaluates a read-only transaction on a View. The result equals the result of a log entry. The error is a
// *kv.Error.
func (v *View) Evaluate(t *kv.Txn) (kv.Result, error) {
	defer runtime.KeepAlive(v)
	now := viewAt{v: v, at: endOf(v.revision)}
	r := kv.Result{Revision: v.revision, Txn: &kv.TxnOutcome{Path: appendPath(nil, &now, t)}}
	if now.err != nil {
		return kv.Result{Revision: v.revision}, now.err
	}
	var err *kv.Error
	eachOp(t, r.Txn.Path, func(o *kv.Op) bool {
		err = v.checkRange(o.Range.Revision)
		return err == nil
	})
	if err != nil {
		return kv.Result{Revision: v.revision, Err: err}, err
	}
	return r, nil
}

// AnswerReader reads the answer to an applied write in steps of bounded length: previous values, and the ranges of a
// transaction, each as of its position among the transaction's changes. It reads one View, the first that was
// published with the write: that View has all the data, whatever was compacted by then. It is for one goroutine.
type AnswerReader struct {
	revision int64
	changed  bool   // the write made the revision
	sub      uint32 // number of the write's changes before the next operation
	bytes    int64  // size that the answer may still add
	most     int64  // bytes before the first step
	measure  *measure

	ops     []opAnswer
	deleted []int64
	next    int
	ranging *UnpagedReader // the reader of the range of ops[next], if begun
	result  kv.TxnResult
}

// opAnswer is an operation and the answer that it fills.
type opAnswer struct {
	op *kv.Op
	to *kv.Answer
}

// NewAnswerReader returns a reader of a transaction's answer; result is the transaction's result. The answer's keys and
// values may have at most bytes bytes together.
func NewAnswerReader(t *kv.Txn, result *kv.Result, bytes int64) *AnswerReader {
	a := &AnswerReader{revision: result.Revision, bytes: bytes, most: bytes, deleted: result.Txn.Deleted}
	a.result = kv.TxnResult{Revision: result.Revision}
	a.prepare(t, result.Txn.Path, &a.result)
	deleted := a.deleted
	for _, s := range a.ops {
		switch {
		case s.op.Put != nil:
			a.changed = true
		case s.op.Delete != nil:
			a.changed = a.changed || deleted[0] > 0
			deleted = deleted[1:]
		}
	}
	return a
}

// NewPutReader returns a reader of the answer to a single put.
func NewPutReader(p *kv.Put, result *kv.Result, bytes int64) *AnswerReader {
	return newAloneReader(kv.Op{Put: p}, result, bytes)
}

// NewDeleteReader is NewPutReader for a delete.
func NewDeleteReader(d *kv.Delete, result *kv.Result, bytes int64) *AnswerReader {
	return newAloneReader(kv.Op{Delete: d}, result, bytes)
}

func newAloneReader(o kv.Op, result *kv.Result, bytes int64) *AnswerReader {
	whole := *result
	whole.Txn = &kv.TxnOutcome{Path: []bool{true}, Deleted: []int64{result.Deleted}}
	return NewAnswerReader(&kv.Txn{Success: []kv.Op{o}}, &whole, bytes)
}

// Measure makes the reader leave values unread that are not in memory, as [RangeReader.Measure].
func (a *AnswerReader) Measure() { a.measure = new(measure) }

// Measured returns the bytes of the values that Measure has left unread, and of the whole answer.
func (a *AnswerReader) Measured() (unread, all int64) { return a.measure.unread, a.most - a.bytes }

func (a *AnswerReader) prepare(t *kv.Txn, path []bool, to *kv.TxnResult) (rest []bool) {
	to.Succeeded = path[0]
	ops := branch(t, path[0])
	to.Answers = make([]kv.Answer, len(ops))
	rest = path[1:]
	for i := range ops {
		if ops[i].Txn != nil {
			to.Answers[i].Txn = &kv.TxnResult{}
			rest = a.prepare(ops[i].Txn, rest, to.Answers[i].Txn)
			continue
		}
		a.ops = append(a.ops, opAnswer{op: &ops[i], to: &to.Answers[i]})
	}
	return rest
}

// positionOfNext is the position before the next operation.
func (a *AnswerReader) positionOfNext() position {
	if !a.changed {
		return endOf(a.revision)
	}
	return position{mod: a.revision, sub: a.sub}
}

// Step looks at about rows more keys. When done is true the answer is complete; its slices are parts of the View. An
// answer over its size limit is a *kv.Error; the write still happened.
func (a *AnswerReader) Step(v *View, rows int) (result *kv.TxnResult, done bool, err error) {
	defer runtime.KeepAlive(v)
	for a.next < len(a.ops) {
		if rows <= 0 {
			return nil, false, nil
		}
		used, ended, err := a.step(v, rows)
		if err != nil {
			if a.changed {
				err = asHappened(err)
			}
			return nil, true, err
		}
		if rows -= used; ended {
			a.next++
		}
	}
	return &a.result, true, nil
}

func (a *AnswerReader) step(v *View, rows int) (used int, ended bool, err error) {
	s := &a.ops[a.next]
	switch {
	case s.op.Put != nil:
		s.to.Put = &kv.PutResult{Revision: a.revision}
		if s.op.Put.PrevKV {
			if r, at := v.find(s.op.Put.Key, a.positionOfNext()); at != nil {
				pair := at.keyValue(r.key())
				if at.has(cold) {
					pair.Value, err = a.measure.read(v.unread(pair.Key, at))
				}
				s.to.Put.Prev = &pair
				err = cmp.Or(err, a.take(&pair))
			}
		}
		a.sub++
		return 1, true, err
	case s.op.Delete != nil:
		d := s.op.Delete
		if s.to.Delete == nil {
			s.to.Delete = &kv.DeleteResult{Revision: a.revision, Deleted: a.deleted[0]}
		}
		if d.PrevKV && a.deleted[0] > 0 {
			page, ended, err := a.read(v, kv.Range{Key: d.Key, End: d.End}, rows)
			if err != nil || !ended {
				return rows, false, err
			}
			s.to.Delete.Prev = page.KVs
		}
		a.sub += uint32(a.deleted[0])
		a.deleted = a.deleted[1:]
		return 1, true, nil
	}
	page, ended, err := a.read(v, *s.op.Range, rows)
	if err != nil || !ended {
		return rows, false, err
	}
	page.Revision = a.revision
	s.to.Range = &page
	return rows, true, nil
}

// asHappened returns the error of an answer that cannot be read. It must not say that the write can be retried.
func asHappened(err error) error {
	if e, ok := errors.AsType[*kv.Error](err); ok && e.Code == kv.Unavailable {
		return kv.Errorf(kv.AnswerGone, "the write did happen, but its answer cannot be read: %s", e.Message)
	}
	return err
}

// read continues the range of the next operation.
func (a *AnswerReader) read(v *View, q kv.Range, rows int) (all kv.RangeResult, ended bool, err error) {
	if a.ranging == nil {
		at := a.positionOfNext()
		if q.Revision > 0 {
			at = endOf(q.Revision)
		}
		a.ranging = newUnpagedReader(q, a.bytes)
		a.ranging.pin(at)
		a.ranging.setMeasure(a.measure)
	}
	if all, ended, err = a.ranging.Step(v, rows); err != nil || !ended {
		return all, false, err
	}
	a.bytes, a.ranging = a.ranging.bytes, nil
	return all, true, nil
}

// take counts a pair against the answer's size limit.
func (a *AnswerReader) take(pair *kv.KeyValue) error {
	if a.bytes -= pairBytes(pair); a.bytes < 0 {
		return errAnswerTooLarge
	}
	return nil
}
