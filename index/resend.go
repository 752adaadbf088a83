package index

import (
	"cmp"
	"runtime"

	"qkv/index/kv"
)

// viewAt is a View at a position: the data that the comparisons of a transaction see, or saw.
type viewAt struct {
	v   *View
	at  position
	err error // a value could not be read
}

func (p *viewAt) value(at *version) []byte {
	value, err := p.v.value(keyOf(refOf(at)), at)
	p.err = cmp.Or(p.err, err)
	return value
}

func (p *viewAt) current(key []byte) *version {
	_, at := p.v.find(key, p.at)
	return at
}

func (p *viewAt) eachCurrent(key, end []byte, f func(*version) bool) {
	var from probe
	p.v.tree.Ascend(from.set(key), func(r ref) bool {
		if beyond(r.record().key(), end) {
			return false
		}
		at := r.record().newest().at(p.at)
		return at == nil || f(at)
	})
	runtime.KeepAlive(from.words)
}

// RecoverAnswer turns the result of a write that was applied before into one from which its answer can be read. It reconstructs
// the transaction's outcome from the history. It returns an error if that history, or the previous values, are compacted;
// the write still happened.
func (v *View) RecoverAnswer(t *kv.Txn, r *kv.Result) error {
	defer runtime.KeepAlive(v)
	if !r.Resent || r.Err != nil {
		return nil
	}
	if r.Revision < v.compacted {
		return answerGone(t, r)
	}
	if t == nil {
		return nil
	}
	p := &viewAt{v: v, at: endOf(r.Revision)}
	if r.Changed {
		p.at = position{mod: r.Revision}
	}
	outcome := &kv.TxnOutcome{Path: appendPath(nil, p, t)}
	readable := true
	eachOp(t, outcome.Path, func(o *kv.Op) bool {
		switch {
		case o.Put != nil:
			p.at.sub++
		case o.Delete != nil:
			deleted := p.count(o.Delete.Key, o.Delete.End)
			outcome.Deleted = append(outcome.Deleted, deleted)
			p.at.sub += uint32(deleted)
		case o.Range != nil:
			readable = o.Range.Revision == 0 || o.Range.Revision >= v.compacted
		}
		return readable
	})
	if p.err != nil {
		return asHappened(p.err)
	}
	if !readable {
		return answerGone(t, r)
	}
	r.Txn = outcome
	return nil
}

// count returns the number of keys that a delete finds.
func (p *viewAt) count(key, end []byte) (n int64) {
	if len(end) == 0 {
		if p.current(key) != nil {
			n++
		}
		return n
	}
	p.eachCurrent(key, end, func(*version) bool {
		n++
		return true
	})
	return n
}

func answerGone(t *kv.Txn, r *kv.Result) *kv.Error {
	switch {
	case t == nil:
		return kv.Errorf(kv.AnswerGone, "the write was applied at revision %d when it was sent first; the previous versions of its keys are compacted", r.Revision)
	case r.Txn.Path[0]:
		return kv.Errorf(kv.AnswerGone, "the transaction was applied at revision %d when it was sent first, and its comparisons held; the data that it read are compacted", r.Revision)
	}
	return kv.Errorf(kv.AnswerGone, "the transaction was applied at revision %d when it was sent first, and its comparisons did not hold; the data that it read are compacted", r.Revision)
}
