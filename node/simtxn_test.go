package node

import (
	"fmt"
	"slices"

	"qkv/index"
	"qkv/index/kv"
)

// A client's transaction puts one or two keys if a key is as it should be, and says what a range held before and after.
// When it is not, it says what the range holds.
//
//	if mod(guard) = expected, and its value is that   get range, put key value (previous), put other value (previous), get range
//	or else                    get range

// txnPart is a put of a transaction.
type txnPart struct {
	key, value string
	previous   pairSeen // that its answer shows; zero when it shows none
}

// txnOperation is what there is to a transaction beside the range that it reads.
type txnOperation struct {
	guard     string
	expected  int64  // the mod revision; 0: the key is not there
	holds     string // the value of that revision
	puts      []txnPart
	succeeded bool
	after     []pairSeen // the range behind the puts; the operation's pairs are those before them
}

// drawTxn makes a transaction of an operation.
func (c *client) drawTxn(o *operation) {
	w := c.w
	o.kind, o.txn = opTxn, &txnOperation{guard: o.key}
	for _, e := range slices.Backward(w.watch.changes) { // what the key was lately: often it still is
		if e.key == o.txn.guard {
			if !e.deleted {
				o.txn.expected, o.txn.holds = e.revision, e.value
			}
			break
		}
	}
	keys := []string{w.key()}
	if other := w.key(); other != keys[0] {
		keys = append(keys, other)
	}
	for _, key := range keys {
		c.values++
		o.txn.puts = append(o.txn.puts, txnPart{key: key, value: fmt.Sprintf("%d.%d.", c.number, c.values)})
	}
	o.value = o.txn.puts[0].value
	if o.key = keys[0]; w.probably(0.5) {
		o.key, o.end = "k", "l"
	}
}

// request is the transaction as a member is asked for it.
func (o *operation) request() *kv.Txn {
	reads := func() kv.Op {
		q := &kv.Range{Key: []byte(o.key)}
		if o.end != "" {
			q.End = []byte(o.end)
		}
		return kv.Op{Range: q}
	}
	t := &kv.Txn{
		Compares: []kv.Compare{{Key: []byte(o.txn.guard), Target: kv.CompareMod, Number: o.txn.expected}},
		Success:  []kv.Op{reads()}, Failure: []kv.Op{reads()},
	}
	if o.txn.expected > 0 { // it holds if the other one does, and its value may be in files
		t.Compares = append(t.Compares, kv.Compare{Key: []byte(o.txn.guard), Target: kv.CompareValue, Value: []byte(o.txn.holds)})
	}
	for _, p := range o.txn.puts {
		t.Success = append(t.Success, kv.Op{Put: &kv.Put{Key: []byte(p.key), Value: []byte(p.value), PrevKV: true}})
	}
	t.Success = append(t.Success, reads())
	return t
}

// readTxn reads the answer to a transaction from the first View that held it, as the endpoint does.
// The error is that of a value that cannot be read.
func (s *session) readTxn(o *operation, result *kv.Result, view *index.View) error {
	w := s.c.w
	reader := index.NewAnswerReader(o.request(), result, 1<<30)
	var answer *kv.TxnResult
	for done := false; !done; {
		var err error
		if answer, done, err = reader.Step(view, 1+w.random.IntN(20)); err != nil {
			// a transaction whose comparisons did not hold has changed nothing
			if code := errorCode(err); code != kv.AnswerGone && (code != kv.Unavailable || result.Txn.Path[0]) {
				w.failf("the answer to a transaction cannot be read: %v: %v", err, o)
			}
			w.totals.ValuesUnread++
			return err
		}
	}
	seen := func(found *kv.RangeResult) (pairs []pairSeen) {
		for i := range found.KVs {
			pairs = append(pairs, pairOf(&found.KVs[i]))
		}
		return pairs
	}
	o.txn.succeeded = answer.Succeeded
	o.pairs = seen(answer.Answers[0].Range)
	if !answer.Succeeded {
		w.totals.TxnsRefused++
		return nil
	}
	w.totals.Txns++
	for i := range o.txn.puts {
		if before := answer.Answers[1+i].Put.Prev; before != nil {
			o.txn.puts[i].previous = pairOf(before)
		}
	}
	o.txn.after = seen(answer.Answers[1+len(o.txn.puts)].Range)
	return nil
}

func pairOf(pair *kv.KeyValue) pairSeen {
	return pairSeen{key: string(pair.Key), value: string(pair.Value), create: pair.CreateRevision, mod: pair.ModRevision, version: pair.Version}
}

// holds tells whether a transaction's comparison holds at a revision.
func (t *truth) holds(o *operation, revision int64) bool {
	mod := int64(0)
	if e := t.key(o.txn.guard, revision); e != nil {
		mod = e.revision
	}
	return mod == o.txn.expected
}

// findTxn returns the revision that a transaction made.
func (t *truth) findTxn(o *operation) (revision int64, found bool, err error) {
	i, found := t.byValue[o.value]
	switch {
	case !found && o.outcome == outcomeDone && o.txn.succeeded:
		return 0, false, fmt.Errorf("an acknowledged transaction is lost:\n%v", o)
	case !found:
		return 0, false, nil
	}
	revision = t.events[i].revision
	switch {
	case o.outcome == outcomeFailed:
		return 0, false, fmt.Errorf("a transaction that certainly did not happen is revision %d:\n%v", revision, o)
	case o.outcome == outcomeDone && (!o.txn.succeeded || o.revision != revision):
		return 0, false, fmt.Errorf("a transaction is revision %d:\n%v", revision, o)
	case !t.holds(o, revision-1):
		return 0, false, fmt.Errorf("a transaction happened at revision %d, and its comparison did not hold:\n%v", revision, o)
	}
	made := t.at(revision)
	whole := slices.EqualFunc(made, o.txn.puts, func(e event, p txnPart) bool { return !e.deleted && e.key == p.key && e.value == p.value })
	if !whole {
		return 0, false, fmt.Errorf("a transaction is not what revision %d has, %+v:\n%v", revision, made, o)
	}
	o.txn.succeeded = true
	return revision, true, nil
}

// checkTxn checks that a transaction's answer is what was before and behind it.
func (t *truth) checkTxn(o *operation) error {
	if !o.txn.succeeded {
		if t.holds(o, o.revision) {
			return fmt.Errorf("a transaction did not happen, and its comparison holds at revision %d:\n%v", o.revision, o)
		}
		if want := t.in(o, o.revision); !slices.Equal(want, o.pairs) {
			return fmt.Errorf("a transaction shows other things than revision %d holds, %v:\n%v", o.revision, want, o)
		}
		return nil
	}
	before, after := t.in(o, o.revision-1), t.in(o, o.revision)
	if !slices.Equal(before, o.pairs) || !slices.Equal(after, o.txn.after) {
		return fmt.Errorf("a transaction shows other things than %v before, and %v behind it, which it has as %v:\n%v", before, after, o.txn.after, o)
	}
	for _, p := range o.txn.puts {
		want := pairSeen{}
		if e := t.key(p.key, o.revision-1); e != nil {
			want = pairSeen{key: e.key, value: e.value, create: e.create, mod: e.revision, version: e.version}
		}
		if p.previous != want {
			return fmt.Errorf("a put of a transaction was over %v, and says %v:\n%v", want, p.previous, o)
		}
	}
	return nil
}
