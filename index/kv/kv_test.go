package kv

import (
	"bytes"
	"strings"
	"testing"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

func TestCodes(t *testing.T) {
	for c := OK; c < codes+2; c++ {
		e := &Error{Code: c}
		if e.Error() == "" || e.Error() != c.String() {
			t.Errorf("code %d has no name", c)
		}
		if certain := c != Unknown && c != Internal && c != AnswerTooLarge && c != AnswerGone && c < codes; e.Certain() != certain {
			t.Errorf("%v: certain %v", c, e.Certain())
		}
		if e.Retryable() && e.Code != Unknown && !e.Certain() {
			t.Errorf("%v: a write would be sent again that may have happened", c)
		}
	}
}

func TestCheck(t *testing.T) {
	bounds := Bounds{Key: 4096, Value: 10}
	k, long := []byte("k"), bytes.Repeat([]byte("k"), 4097)
	for name, c := range map[string]struct {
		err  *Error
		code Code
		want string
	}{
		"empty key":              {Put{}.Check(bounds), EmptyKey, "the key is empty"},
		"empty key of a delete":  {Delete{End: k}.Check(bounds), EmptyKey, "the key is empty"},
		"empty key of a range":   {(&Range{}).Check(bounds), EmptyKey, "the key is empty"},
		"long key":               {Put{Key: long}.Check(bounds), KeyTooLarge, "the key has 4097 bytes, over the limit of 4096"},
		"long key of a delete":   {Delete{Key: long}.Check(bounds), KeyTooLarge, "the key has 4097 bytes, over the limit of 4096"},
		"longest key":            {Put{Key: long[1:]}.Check(bounds), OK, ""},
		"end behind the longest": {Delete{Key: k, End: long}.Check(bounds), OK, ""},
		"long end": {
			(&Range{Key: k, End: append(long, 0)}).Check(bounds), KeyTooLarge,
			"the end of the range has 4098 bytes, over the limit of 4097",
		},
		"large value":       {Put{Key: k, Value: make([]byte, 11)}.Check(bounds), ValueTooLarge, "the value has 11 bytes, over the limit of 10"},
		"largest value":     {Put{Key: k, Value: make([]byte, 10)}.Check(bounds), OK, ""},
		"negative revision": {(&Range{Key: k, Revision: -1}).Check(bounds), BadRequest, "revision -1 is negative"},
		"negative limit":    {(&Range{Key: k, Limit: -1}).Check(bounds), BadRequest, "limit -1 is negative"},
		"value and none":    {Put{Key: k, Value: k, IgnoreValue: true}.Check(bounds), ValueProvided, "a put that keeps the key's value must not have a value"},
		"lease and none":    {Put{Key: k, Lease: 1, IgnoreLease: true}.Check(bounds), LeaseProvided, "a put that keeps the key's lease must not have a lease"},
		"no lease":          {Lease{TTL: 1}.Check(), BadRequest, "a lease has no id"},
		"no time":           {Lease{ID: -1}.Check(), BadRequest, "a lease of 0 seconds"},
		"too much time":     {Lease{ID: -1, TTL: 9_000_000_001}.Check(), LeaseTooLong, "a lease of 9000000001 seconds, over the limit of 9000000000"},
		"all keys":          {(&Range{Key: []byte{0}, End: []byte{0}}).Check(bounds), OK, ""},
	} {
		switch {
		case c.code == OK && c.err != nil:
			t.Errorf("%s: %v", name, c.err)
		case c.code != OK && (c.err == nil || c.err.Code != c.code || !strings.Contains(c.err.Message, c.want) || !c.err.Certain()):
			t.Errorf("%s: %v, wanted %v %q", name, c.err, c.code, c.want)
		}
	}
}

// A transaction that is nested too deep, or has too many parts, is malformed, whatever it holds.
func TestTxnIsBounded(t *testing.T) {
	nest := func(depth int) *Txn {
		txn := &Txn{}
		for range depth - 1 {
			txn = &Txn{Success: []Op{{Txn: txn}}}
		}
		return txn
	}
	for name, c := range map[string]struct {
		txn *Txn
		ok  bool
	}{
		"deepest":    {nest(limits.TxnDepth), true},
		"too deep":   {nest(limits.TxnDepth + 1), false},
		"very deep":  {nest(10_000), false},
		"most":       {&Txn{Compares: make([]Compare, limits.TxnParts)}, true},
		"too many":   {&Txn{Compares: make([]Compare, limits.TxnParts+1)}, false},
		"one nested": {&Txn{Failure: []Op{{Txn: &Txn{Compares: make([]Compare, limits.TxnParts)}}}}, false},
	} {
		r := pack.NewReader(AppendTxn(nil, c.txn))
		ReadTxn(&r)
		if err := r.Done(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := nest(10_000).Check(Bounds{}, limits.TxnOperations); err == nil || err.Code != TooManyOperations {
		t.Errorf("nested 10,000 deep: %v", err)
	}
}

func FuzzTxn(f *testing.F) {
	f.Add(AppendTxn(nil, &Txn{
		Compares: []Compare{{Key: []byte("k"), Target: CompareValue, Value: []byte("v")}},
		Success:  []Op{{Put: &Put{Key: []byte("k"), PrevKV: true}}, {Txn: &Txn{Failure: []Op{{Range: &Range{Key: []byte("k"), Limit: 3}}}}}},
		Failure:  []Op{{Delete: &Delete{Key: []byte("k"), End: []byte{0}}}},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := pack.NewReader(b)
		txn := ReadTxn(&r)
		if r.Done() != nil {
			return
		}
		again := AppendTxn(nil, txn)
		r = pack.NewReader(again)
		if twice := AppendTxn(nil, ReadTxn(&r)); r.Done() != nil || !bytes.Equal(again, twice) {
			t.Errorf("% x is read as % x", again, twice)
		}
		_ = txn.Check(Bounds{Key: 4096, Value: 4096}, limits.TxnOperations)
	})
}

// TestCheckName: every name that etcd's users give is accepted; refused is only what cannot be stored or printed.
func TestCheckName(t *testing.T) {
	for _, good := range []string{"n", strings.Repeat("n", 253), strings.Repeat("n", limits.NameBytes), "ip-10-0-0-1.eu-central-1.compute.internal", "-a-", "..", "a/b", "a b", "a:b", "münchen", "a%00b", "~"} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, why := range map[string]string{
		"": "is empty", strings.Repeat("n", limits.NameBytes+1): "has 513 bytes, at most 512", "a\xff": "not valid UTF-8",
		"a\nb": "control character at byte 1", "\x1b[2J": "control character at byte 0", "a\x00": "control character at byte 1",
		"a\u202eb": "control character at byte 1", "\u2066b": "control character at byte 0", // they turn the text behind them around
	} {
		if err := CheckName(bad); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
