package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// TestRevisionsThatAreNotThere: a request for a revision above the newest is refused at once.
func TestRevisionsThatAreNotThere(t *testing.T) {
	s, apply := stateToFill(t)
	apply(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes)
	for name, begin := range map[string]func(url.Values) (ask, error){"changes": newChanges, "history": newHistory, "tree": newTree, "search": newSearch} {
		for _, q := range []string{"key=k&text=k&revision=4611686018427387904", "key=k&text=k&revision=9223372036854775807"} {
			values, _ := url.ParseQuery(q)
			a, err := begin(values)
			if err == nil {
				var done bool
				for range 3 {
					if done, err = a.step(s.View()); done || err != nil {
						break
					}
				}
			}
			if refusal, ok := errors.AsType[*kv.Error](err); !ok || refusal.Code != kv.FutureRevision {
				t.Errorf("%s with %s: %v", name, q, err)
			}
		}
	}
	for _, q := range []string{"since=9223372036854775807", "since=4611686018427387904"} {
		values, _ := url.ParseQuery(q)
		a, err := newChanges(values)
		if err == nil {
			_, err = a.step(s.View())
		}
		if refusal, ok := errors.AsType[*kv.Error](err); !ok || refusal.Code != kv.BadRequest {
			t.Errorf("changes with %s: %v", q, err)
		}
	}
}

// TestTimesOfTheFarFuture: a moment in the future is the newest revision, up to the largest number.
func TestTimesOfTheFarFuture(t *testing.T) {
	s, apply := stateToFill(t)
	apply(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes)
	for _, at := range []string{"4102444800000", "9223372036854", "9223372036855", "13835058055282", "9223372036854775807"} {
		a, err := newTimes(url.Values{"at": {at}})
		if err == nil {
			_, err = a.step(s.View())
		}
		if got := a.(*times).Revision; err != nil || got != s.View().Revision() {
			t.Errorf("at %s: revision %d, want %d (%v)", at, got, s.View().Revision(), err)
		}
	}
}

// TestRequestsKeepFewBytesOfKeys asks for the changes, the sizes and the leases of the longest keys: none of the requests keeps all of them.
func TestRequestsKeepFewBytesOfKeys(t *testing.T) {
	testlong.Skip(t)
	s, apply := stateToFill(t)
	long := bytes.Repeat([]byte("k"), limits.KeyBytes-20)
	const keys = 2 * dashboardKeyBytes / limits.KeyBytes
	for i := range int64(keys) {
		lease := 1 + i/4
		if i%4 == 0 {
			apply(new(index.Head).AppendGrant(nil, kv.Lease{ID: lease, TTL: 60}).Bytes)
		}
		apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "%06d%s/x", i, long), Value: []byte("v"), Lease: lease}).Bytes)
	}
	run := func(step func(*index.View) (bool, error)) error {
		for {
			if done, err := step(s.View()); done || err != nil {
				return err
			}
		}
	}
	c, err := newChanges(url.Values{"since": {"1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(c.step); err == nil || !strings.Contains(err.Error(), "choose a prefix") {
		t.Errorf("changes: %v", err)
	}
	u, err := newUsage(url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLeases("", func(*index.View, []byte) bool { return true })
	for _, step := range []func(*index.View) (bool, error){u.step, l.step} {
		if err := run(step); err != nil {
			t.Fatal(err)
		}
	}
	most := dashboardKeyBytes + limits.PageBytes + 4*limits.KeyBytes
	if !u.(*usage).more || !l.More {
		t.Errorf("the sizes and the leases are cut, and say so: %v, %v", u.(*usage).more, l.More)
	}
	if got := u.(*usage).sum.Rows; len(got) == 0 || len(got)*len(long) > most {
		t.Errorf("usage has %d groups", len(got))
	}
	if got := l.All; len(got) == 0 || 4*len(got)*len(long) > most {
		t.Errorf("%d leases with four keys each", len(got))
	}
}

// TestRevertOfLongKeys: a transaction has each key twice, and stays below the largest request all the same.
func TestRevertOfLongKeys(t *testing.T) {
	s, apply := stateToFill(t)
	b := batch{to: 1}
	for i := range limits.TxnOperations {
		key := fmt.Appendf(bytes.Repeat([]byte("k"), limits.KeyBytes-20), "%03d", i)
		apply(new(index.Head).AppendPut(nil, &kv.Put{Key: key, Value: []byte("v")}).Bytes)
		b.left = append(b.left, change{Key: key, After: side{Revision: s.View().Revision()}})
	}
	if _, err := b.step(s.View()); err != nil {
		t.Fatal(err)
	}
	var sent kv.Txn
	_ = b.apply(&reverted{}, func(t *kv.Txn) (kv.Result, error) { sent = *t; return kv.Result{}, nil })
	if size := len(new(index.Head).AppendTxn(nil, &sent).Bytes); size > dashboardRevert+dashboardRevert/10 || size < dashboardRevert/2 {
		t.Errorf("a transaction of %d keys has %d bytes, want about %d", len(sent.Success), size, dashboardRevert)
	}
}

// TestTreeOfThePastInTurns counts groups of the past, key by key: one turn visits the keys of about one group, and not of all of them.
func TestTreeOfThePastInTurns(t *testing.T) {
	testlong.Skip(t)
	s, apply := stateToFill(t)
	const groups, each = 6, dashboardCounted / 2
	for g := range groups {
		var all kv.Txn
		for i := range each {
			all.Success = append(all.Success, kv.Op{Put: &kv.Put{Key: fmt.Appendf(nil, "%d/%04d", g, i), Value: []byte("v")}})
		}
		for len(all.Success) > 0 {
			some := kv.Txn{Success: all.Success[:min(100, len(all.Success))]}
			all.Success = all.Success[len(some.Success):]
			apply(new(index.Head).AppendTxn(nil, &some).Bytes)
		}
	}
	v := s.View()
	a, err := newTree(url.Values{"revision": {fmt.Sprint(v.Revision() - 1)}})
	if err != nil {
		t.Fatal(err)
	}
	turns := 1
	for ; ; turns++ {
		if done, err := a.step(v); err != nil {
			t.Fatal(err)
		} else if done {
			break
		}
	}
	if turns < groups {
		t.Errorf("%d groups of %d keys are counted in %d turns", groups, each, turns)
	}
	if rows := a.(*tree).Rows; len(rows) != groups || rows[0].Keys != each || rows[0].About || rows[groups-1].Keys != each-100 {
		t.Errorf("%+v", rows)
	}
}
