package node

import (
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is what porcupine knows of one key: the value it holds, "" when it is not there.
type register struct {
	kind  operationKind
	value string
}

var registers = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in := input.(register)
		switch in.kind {
		case opPut:
			return true, in.value
		case opDelete:
			return output == nil || output.(string) == "" == (state.(string) == ""), ""
		default:
			return output.(string) == state.(string), state
		}
	},
	Equal: func(a, b any) bool { return a == b },
}

// byPorcupine decides by search whether each key alone is a linearizable register: a judge that knows nothing of
// revisions, against which the other one is held. Operations on ranges, of the past and of members' own states do not
// come before it.
func byPorcupine(operations []*operation) porcupine.CheckResult {
	keys := map[string][]porcupine.Operation{}
	for i, o := range operations {
		if o.end != "" || o.at != 0 || o.kind == opSerializable || o.outcome == outcomeFailed || (!o.write() && o.outcome != outcomeDone) {
			continue
		}
		one := porcupine.Operation{ClientId: i, Input: register{o.kind, o.value}, Call: o.invoked, Return: o.returned}
		switch {
		case o.outcome == outcomeUnknown:
			one.Return = 1 << 62
		case o.kind == opDelete:
			one.Output = ""
			if o.deleted > 0 {
				one.Output = "it was there"
			}
		case o.kind == opRead && len(o.pairs) > 0:
			one.Output = o.pairs[0].value
		case o.kind == opRead:
			one.Output = ""
		}
		keys[o.key] = append(keys[o.key], one)
	}
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	sort.Strings(names)
	worst := porcupine.Ok
	for _, k := range names {
		switch porcupine.CheckOperationsTimeout(registers, keys[k], 10*time.Second) {
		case porcupine.Illegal:
			return porcupine.Illegal
		case porcupine.Unknown:
			worst = porcupine.Unknown
		}
	}
	return worst
}

// crossCheck holds the two judges against each other. Deletes of ranges are told only to one of them, so the keys
// that they cover are left out.
func (w *world) crossCheck(linearizable bool) {
	var operations []*operation
	var ranges []*operation
	for _, o := range w.history.operations {
		if o.kind == opDelete && o.end != "" && o.outcome != outcomeFailed {
			ranges = append(ranges, o)
		}
	}
	for _, o := range w.history.operations {
		covered := false
		for _, r := range ranges {
			covered = covered || r.covers(o.key)
		}
		if !covered {
			operations = append(operations, o)
		}
	}
	w.totals.Porcupines++
	if found := byPorcupine(operations); found == porcupine.Illegal && linearizable {
		w.failf("porcupine finds no order for what the other judge accepts")
	}
}
