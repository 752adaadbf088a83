package node

import (
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is what porcupine knows of one key: the value it holds, "" when it is not there. A put whose output is a value
// says what it was over.
type register struct {
	kind  operationKind
	value string
}

// presence is what a delete says of a key: whether it was there. One of a range says how many were there in all, which
// tells something of each of them only when it was none or every one.
type presence uint8

const (
	unspecified presence = iota
	absent
	present
)

var registers = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in := input.(register)
		switch in.kind {
		case opPut:
			before, known := output.(string)
			return !known || before == state.(string), in.value
		case opDelete:
			was := output.(presence)
			return was == unspecified || (was == present) == (state.(string) != ""), ""
		default:
			return output.(string) == state.(string), state
		}
	},
	Equal: func(a, b any) bool { return a == b },
}

// verdict is what porcupine finds.
type verdict struct {
	result    porcupine.CheckResult // the worst of all keys
	checked   int                   // operations on keys for which it came to a decision
	undecided int                   // on those for which it did not
}

// porcupineTime bounds the search for the order of one key's operations in a campaign.
const porcupineTime = 2 * time.Second

// byPorcupine decides by search whether each key alone is a linearizable register: a judge that knows nothing of
// revisions, against which the other one is held. An operation on a range is one on each of its keys: that forgets
// that they happen at once, and nothing else. Operations of the past and of members' own states do not come before it.
//
// Of a write whose outcome nobody knows it is told whether it is in the history in the end, and that it happened before
// a member showed it: otherwise the search has no end.
func byPorcupine(t *truth, operations []*operation, most time.Duration) verdict {
	keys := map[string][]porcupine.Operation{}
	for i, o := range operations {
		if o.at != 0 || o.kind == opSerializable || o.kind == opCompact || o.outcome == outcomeFailed || (!o.write() && o.outcome != outcomeDone) {
			continue
		}
		end := o.returned
		if o.outcome == outcomeUnknown {
			var happened bool
			if end, happened = t.latest(o); !happened {
				continue
			}
		}
		add := func(key string, in register, output any) {
			keys[key] = append(keys[key], porcupine.Operation{ClientId: i, Input: in, Call: o.invoked, Return: end, Output: output})
		}
		if o.kind == opTxn {
			o.alone(t, add)
			continue
		}
		covered := t.covered(o)
		for _, key := range covered {
			one := porcupine.Operation{ClientId: i, Input: register{o.kind, o.value}, Call: o.invoked, Return: end, Output: unspecified}
			switch {
			case o.kind == opRead:
				one.Output = o.seen(key)
			case o.kind == opDelete && o.outcome == outcomeDone && o.deleted == 0:
				one.Output = absent
			case o.kind == opDelete && o.outcome == outcomeDone && o.deleted == int64(len(covered)):
				one.Output = present
			}
			keys[key] = append(keys[key], one)
		}
	}
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	sort.Strings(names)
	v := verdict{result: porcupine.Ok}
	for _, k := range names {
		switch porcupine.CheckOperationsTimeout(registers, keys[k], most) {
		case porcupine.Illegal:
			v.result = porcupine.Illegal
			v.checked += len(keys[k])
			return v
		case porcupine.Unknown:
			v.result = porcupine.Unknown
			v.undecided += len(keys[k])
		default:
			v.checked += len(keys[k])
		}
	}
	return v
}

// alone adds what a transaction is for each of its keys alone: a put that says what it was over, or a read.
func (o *operation) alone(t *truth, add func(key string, in register, output any)) {
	switch {
	case o.outcome == outcomeUnknown:
		for _, p := range o.txn.puts {
			add(p.key, register{opPut, p.value}, unspecified)
		}
	case o.txn.succeeded:
		for _, p := range o.txn.puts {
			add(p.key, register{opPut, p.value}, p.previous.value)
		}
	default:
		for _, key := range t.covered(o) {
			add(key, register{opRead, ""}, o.seen(key))
		}
	}
}

// latest is the moment before which a write of unknown outcome happened. A put that is not in the history may come after
// everything; whether a delete is, nobody can tell.
func (t *truth) latest(o *operation) (moment int64, happened bool) {
	const never = 1 << 62
	if o.kind == opDelete {
		return never, true
	}
	at, found := t.byValue[o.value]
	if !found {
		return 0, false
	}
	if revision := t.events[at].revision; revision < int64(len(t.visible)) {
		return max(t.visible[revision], o.invoked), true
	}
	return never, true
}

// covered lists the keys of an operation: its own, and of a range all that were ever written.
func (t *truth) covered(o *operation) []string {
	if o.end == "" {
		return []string{o.key}
	}
	return slices.DeleteFunc(slices.Clone(t.keys), func(key string) bool { return !o.covers(key) })
}

// seen is the value that a read showed of a key, "" when it showed none.
func (o *operation) seen(key string) string {
	for _, p := range o.pairs {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

// crossCheck holds the two judges against each other.
func (w *world) crossCheck(t *truth, linearizable bool) {
	v := byPorcupine(t, w.history.operations, porcupineTime)
	w.totals.CrossChecked += v.checked
	w.totals.CrossUndecided += v.undecided
	switch {
	case v.result == porcupine.Illegal && linearizable:
		w.failf("porcupine finds no order for what the other judge accepts")
	case v.checked+v.undecided == 0:
		w.failf("nothing came before porcupine")
	}
}
