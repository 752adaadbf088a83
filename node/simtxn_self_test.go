package node

import (
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// twoTxns is a history of a put, a transaction that happened, and one whose comparison did not hold.
func twoTxns() *recorded {
	first := pairSeen{key: "a", value: "1", create: 2, mod: 2, version: 1}
	over := pairSeen{key: "a", value: "2", create: 2, mod: 3, version: 2}
	beside := pairSeen{key: "b", value: "3", create: 3, mod: 3, version: 1}
	return &recorded{
		revision: 3, visible: []int64{0, 0, 10, 20},
		events: []event{
			{revision: 2, key: "a", value: "1", create: 2, version: 1},
			{revision: 3, key: "a", value: "2", create: 2, version: 2},
			{revision: 3, sub: 1, key: "b", value: "3", create: 3, version: 1},
		},
		operations: []*operation{
			{kind: opPut, key: "a", value: "1", revision: 2, outcome: outcomeDone, invoked: 1, returned: 11},
			{
				kind: opTxn, key: "a", end: "z", value: "2", revision: 3, outcome: outcomeDone, invoked: 12, returned: 21, pairs: []pairSeen{first},
				txn: &txnOperation{
					guard: "a", expected: 2, succeeded: true, after: []pairSeen{over, beside},
					puts: []txnPart{{key: "a", value: "2", previous: first}, {key: "b", value: "3"}},
				},
			},
			{
				kind: opTxn, key: "b", value: "4", revision: 3, outcome: outcomeDone, invoked: 22, returned: 30, pairs: []pairSeen{beside},
				txn: &txnOperation{guard: "a", expected: 2, puts: []txnPart{{key: "a", value: "4"}}},
			},
		},
	}
}

// The judge knows what a transaction must be.
func TestJudgesOfTransactions(t *testing.T) {
	h := twoTxns()
	if err := h.check(); err != nil {
		t.Fatal(err)
	}
	if v := h.byPorcupine(t); v.result != porcupine.Ok || v.checked != 4 {
		t.Errorf("porcupine: %+v", v)
	}
	for name, wrong := range map[string]struct {
		corrupt func(h *recorded, happened, refused *operation)
		want    string
	}{
		"half of it": {func(h *recorded, _, _ *operation) { h.events = h.events[:2] }, "is not what revision 3 has"},
		"more than it": {func(h *recorded, _, _ *operation) {
			h.events = append(h.events, event{revision: 3, sub: 2, key: "c", value: "5", create: 3, version: 1})
		}, "is not what revision 3 has"},
		"lost":            {func(h *recorded, _, _ *operation) { h.events, h.revision = h.events[:1], 2 }, "is lost"},
		"against its if":  {func(_ *recorded, o, _ *operation) { o.txn.expected = 7 }, "its comparison did not hold"},
		"unknown, too":    {func(_ *recorded, o, _ *operation) { o.outcome, o.txn.expected = outcomeUnknown, 7 }, "its comparison did not hold"},
		"refused, and is": {func(_ *recorded, o, _ *operation) { o.outcome = outcomeFailed }, "certainly did not happen"},
		"elsewhere":       {func(_ *recorded, o, _ *operation) { o.revision = 2 }, "is revision 3"},
		"no reason":       {func(_ *recorded, _, o *operation) { o.txn.expected = 3 }, "did not happen, and its comparison holds"},
		"reads itself":    {func(_ *recorded, o, _ *operation) { o.pairs = o.txn.after }, "shows other things"},
		"not itself":      {func(_ *recorded, o, _ *operation) { o.txn.after = o.pairs }, "shows other things"},
		"other reads":     {func(_ *recorded, _, o *operation) { o.pairs = nil }, "shows other things"},
		"over another":    {func(_ *recorded, o, _ *operation) { o.txn.puts[1].previous = o.txn.puts[0].previous }, "was over"},
		"stale":           {func(_ *recorded, _, o *operation) { o.revision, o.txn.expected, o.pairs = 2, 7, nil }, "began after another one had ended"},
	} {
		h := twoTxns()
		wrong.corrupt(h, h.operations[1], h.operations[2])
		if err := h.check(); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
