package index

import (
	"testing"

	"qkv/index/kv"
)

// While NOSPACE is raised, what may make the state larger is refused before it is in the log. A write with a name is not: it may have been
// applied before, and only the state knows its outcome.
func TestRefusesBeforeTheLog(t *testing.T) {
	s := founded()
	batch(t, s, 5e9, AppendAnnounce(nil, testMember()).Bytes)
	plain := new(Head)
	named := &Head{Once: kv.WriteName{Session: 9, Sequence: 1, Window: 1, Opened: 1}}
	one := &kv.Put{Key: []byte("a"), Value: []byte("1")}
	gets, puts := []kv.Op{{Range: &kv.Range{Key: []byte("a")}}}, []kv.Op{{Txn: &kv.Txn{Failure: []kv.Op{{Put: one}}}}}
	commands := map[string]struct {
		command kv.Command
		refused bool
	}{
		"a put":                          {plain.AppendPut(nil, one), true},
		"a put with a name":              {named.AppendPut(nil, one), false},
		"a transaction with a name":      {named.AppendTxn(nil, &kv.Txn{Success: puts}), false},
		"a transaction that puts deeper": {plain.AppendTxn(nil, &kv.Txn{Success: gets, Failure: puts}), true},
		"a transaction that reads":       {plain.AppendTxn(nil, &kv.Txn{Success: gets, Failure: gets}), false},
		"a grant":                        {plain.AppendGrant(nil, kv.Lease{ID: 7, TTL: 60}), true},
		"a delete":                       {plain.AppendDelete(nil, &kv.Delete{Key: []byte("a")}), false},
		"a compaction":                   {plain.AppendCompact(nil, 1), false},
		"an alarm's end":                 {plain.AppendAlarm(nil, kv.AlarmChange{Name: kv.NoSpaceAlarm}), false},
	}
	for _, full := range []bool{false, true} {
		for what, c := range commands {
			if err := s.View().Refuses(&c.command); (err != nil) != (full && c.refused) || err != nil && err.Code != kv.NoSpace {
				t.Errorf("NOSPACE %v, %s: %v", full, what, err)
			}
		}
		batch(t, s, 6e9, plain.AppendAlarm(nil, kv.AlarmChange{Raise: true, Member: testMember().ID, Name: kv.NoSpaceAlarm}).Bytes)
	}
}
