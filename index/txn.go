package index

import (
	"runtime"
	"slices"

	"qkv/index/kv"
)

// keys is where a transaction's comparisons look: the newest revision of the state, or a View.
type keys interface {
	// look returns a key as it is, or nil.
	look(key []byte) *version
	// lookAt hands out a range's keys, until f returns false.
	lookAt(key, end []byte, f func(*version) bool)
}

func (s *State) look(key []byte) *version {
	if r := s.find(hashOf(key), key); r != 0 && !r.record().newest().has(tombstone) {
		return r.record().newest()
	}
	return nil
}

func (s *State) lookAt(key, end []byte, f func(*version) bool) {
	s.each(key, end, func(r ref) bool { return f(r.record().newest()) })
}

func (v *View) look(key []byte) *version {
	_, at := v.find(key, behind(v.revision))
	return at
}

func (v *View) lookAt(key, end []byte, f func(*version) bool) {
	var from probe
	v.tree.Ascend(from.set(key), func(r ref) bool {
		if beyond(r.record().key(), end) {
			return false
		}
		at := r.record().newest().at(behind(v.revision))
		return at == nil || f(at)
	})
	runtime.KeepAlive(from.words)
}

// appendPath appends whether the comparisons of a transaction hold, and of those in it that are reached.
func appendPath(path []bool, in keys, t *kv.Txn) []bool {
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

func compare(in keys, c *kv.Compare) (holds bool) {
	check := func(at *version) bool {
		pair := at.keyValue(nil)
		return c.Holds(&pair)
	}
	if len(c.End) == 0 {
		if at := in.look(c.Key); at != nil {
			return check(at)
		}
		return c.Holds(nil)
	}
	holds, found := true, false
	in.lookAt(c.Key, c.End, func(at *version) bool {
		found, holds = true, check(at)
		return holds
	})
	if !found {
		return c.Holds(nil)
	}
	return holds
}

// steps goes through the operations of a transaction that happen, in their order, the transactions in it among them.
func steps(t *kv.Txn, path []bool, f func(o *kv.Op) bool) (rest []bool, goOn bool) {
	ops := branch(t, path[0])
	rest = path[1:]
	for i := range ops {
		if goOn = f(&ops[i]); goOn && ops[i].Txn != nil {
			rest, goOn = steps(ops[i].Txn, rest, f)
		}
		if !goOn {
			return rest, false
		}
	}
	return rest, true
}

// txn makes a transaction: what it changes has one revision. Whatever can be wrong is found before anything is changed.
func (s *State) txn(t *kv.Txn) kv.Result {
	outcome := &kv.TxnOutcome{Path: appendPath(nil, s, t)}
	if err := s.checkTxn(t, outcome.Path); err != nil {
		return s.refused(err)
	}
	top := ahead{ops: branch(t, outcome.Path[0])}
	steps(t, outcome.Path, func(o *kv.Op) bool {
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
	s.end()
	s.counts.Transactions++
	return kv.Result{Revision: s.revision, Txn: outcome}
}

// ahead goes through the outermost operations of a transaction, many of which are prefetched at once.
type ahead struct {
	ops    []kv.Op
	next   int
	hashes []uint64 // of ops up to next and of some behind it; valid while nothing else prefetches
}

// hash returns the hash of the key that the next outermost operation puts, if this is that operation.
func (a *ahead) hash(s *State, o *kv.Op) (hash uint64, ok bool) {
	if len(a.ops) == 1 || a.next == len(a.ops) || o != &a.ops[a.next] {
		return 0, false
	}
	at := a.next % prefetchCommands
	if at == 0 {
		a.hashes = s.prefetchOps(a.ops[a.next:min(a.next+prefetchCommands, len(a.ops))])
	}
	a.next++
	return a.hashes[at], true
}

// checkTxn says why what a transaction is about to do cannot be done.
func (s *State) checkTxn(t *kv.Txn, path []bool) (err *kv.Error) {
	for i := range t.Compares {
		if err = t.Compares[i].Check(requestBounds); err != nil {
			return err
		}
	}
	var before []*kv.Op
	steps(t, path, func(o *kv.Op) bool {
		err = s.checkOp(o, before)
		before = append(before, o)
		return err == nil
	})
	return err
}

// checkOp checks an operation, with those that happen before it.
func (s *State) checkOp(o *kv.Op, before []*kv.Op) *kv.Error {
	switch {
	case o.Put != nil:
		if err := o.Put.Check(requestBounds); err != nil {
			return err
		}
		if err := s.checkLease(o.Put.Lease); err != nil {
			return err
		}
		if (o.Put.IgnoreValue || o.Put.IgnoreLease) && !s.stays(o.Put.Key, before) {
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

// stays says whether a key is there, and still will be behind some operations. One that they put does not count: etcd
// looks at the state before the transaction alone. There a put that keeps what was just deleted ends the process.
func (s *State) stays(key []byte, before []*kv.Op) bool {
	for _, o := range slices.Backward(before) {
		switch {
		case o.Put != nil && string(o.Put.Key) == string(key):
			return s.look(key) != nil
		case o.Delete != nil && within(key, o.Delete.Key, o.Delete.End):
			return false
		}
	}
	return s.look(key) != nil
}

// within says whether a key is one of those that a request names.
func within(key, from, end []byte) bool {
	if len(end) == 0 {
		return string(key) == string(from)
	}
	return string(key) >= string(from) && !beyond(key, end)
}

func (r *replicated) checkRange(revision int64) *kv.Error {
	switch {
	case revision == 0:
		return nil
	case revision > r.revision:
		return kv.Errorf(kv.FutureRevision, "revision %d is not there yet, the newest is %d", revision, r.revision)
	case revision < r.compacted || revision < 0:
		return kv.Errorf(kv.Compacted, "revision %d was compacted, the oldest that can be read is %d", revision, r.compacted)
	}
	return nil
}

// Evaluate makes a transaction that changes nothing, on a View: the result of what would be an entry. The error is a
// *kv.Error.
func (v *View) Evaluate(t *kv.Txn) (kv.Result, error) {
	defer runtime.KeepAlive(v)
	r := kv.Result{Revision: v.revision, Txn: &kv.TxnOutcome{Path: appendPath(nil, v, t)}}
	var err *kv.Error
	steps(t, r.Txn.Path, func(o *kv.Op) bool {
		err = v.checkRange(o.Range.Revision)
		return err == nil
	})
	if err != nil {
		return kv.Result{Revision: v.revision, Err: err}, err
	}
	return r, nil
}

// AnswerReader reads the answer to a write that has been made, in steps of bounded length: previous values, and the
// ranges of a transaction, each as it was at its place among the transaction's changes. It reads one View, the first that
// was published with the write: that one holds all of it, whatever was compacted by then. It is for one goroutine.
type AnswerReader struct {
	revision int64
	changed  bool   // the revision is the write's own
	sub      uint32 // changes of the write before the operation that is next
	bytes    int64  // that the answer may still take

	ops     []step
	deleted []int64
	next    int
	ranging *WholeReader // the range of ops[next], begun
	result  kv.TxnResult
}

// step is an operation, and the answer that it fills.
type step struct {
	op *kv.Op
	to *kv.Answer
}

// NewAnswerReader returns a reader of a transaction's answer, whose result it was. Keys and values of it may have bytes
// bytes together.
func NewAnswerReader(t *kv.Txn, result *kv.Result, bytes int64) *AnswerReader {
	a := &AnswerReader{revision: result.Revision, bytes: bytes, deleted: result.Txn.Deleted}
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

// NewPutReader and NewDeleteReader return readers of the answers to a single write.
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
		a.ops = append(a.ops, step{op: &ops[i], to: &to.Answers[i]})
	}
	return rest
}

// place is the position before the operation that is next.
func (a *AnswerReader) place() position {
	if !a.changed {
		return behind(a.revision)
	}
	return position{mod: a.revision, sub: a.sub}
}

// Step looks at about rows more keys. Once it is done the answer is complete; its slices are parts of the View. An answer
// over its bound is a *kv.Error: the write was made all the same.
func (a *AnswerReader) Step(v *View, rows int) (result *kv.TxnResult, done bool, err error) {
	defer runtime.KeepAlive(v)
	for a.next < len(a.ops) {
		if rows <= 0 {
			return nil, false, nil
		}
		used, ended, err := a.step(v, rows)
		if err != nil {
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
			if r, at := v.find(s.op.Put.Key, a.place()); at != nil {
				pair := at.keyValue(r.key())
				s.to.Put.Prev = &pair
				err = a.take(&pair)
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

// read goes on with the range of the operation that is next.
func (a *AnswerReader) read(v *View, q kv.Range, rows int) (all kv.RangeResult, ended bool, err error) {
	if a.ranging == nil {
		at := a.place()
		if q.Revision > 0 {
			at = behind(q.Revision)
		}
		a.ranging = newWholeReader(q, a.bytes)
		a.ranging.pin(at)
	}
	if all, ended, err = a.ranging.Step(v, rows); err != nil || !ended {
		return all, false, err
	}
	a.bytes, a.ranging = a.ranging.bytes, nil
	return all, true, nil
}

// take counts what the answer has.
func (a *AnswerReader) take(pair *kv.KeyValue) error {
	if a.bytes -= pairBytes(pair); a.bytes < 0 {
		return errAnswerTooLarge
	}
	return nil
}
