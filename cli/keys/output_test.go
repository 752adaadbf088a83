package keys

import (
	"bytes"
	"strings"
	"testing"

	"qkv/cli/form/formtest"
	"qkv/index/kv"
	"qkv/net/client"
)

// TestOutput: the formats are a promise; a change shows as a diff of these files.
func TestOutput(t *testing.T) {
	two := []kv.KeyValue{
		{Key: []byte("greeting"), Value: []byte("hello"), CreateRevision: 2, ModRevision: 9, Version: 3},
		{Key: []byte("<html> & \"quotes\""), Value: []byte("two\nlines"), CreateRevision: 4, ModRevision: 4, Version: 1, Lease: 7},
	}
	odd := []kv.KeyValue{
		{Key: []byte("not\xffutf8"), Value: []byte{0, 0xff}, CreateRevision: 2, ModRevision: 2, Version: 1},
		{Key: []byte("größe"), Value: nil, CreateRevision: 3, ModRevision: 3, Version: 1},
		{Key: []byte("long"), Value: []byte(strings.Repeat("0123456789", 10)), CreateRevision: 3, ModRevision: 3, Version: 1},
	}
	for _, tt := range []struct {
		name   string
		answer Pairs
	}{
		{"single", Pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 1, KVs: two[:1]}, single: true}},
		{"single-keys-only", Pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 1, KVs: two[:1]}, single: true, KeysOnly: true}},
		{"missing", Pairs{RangeResult: kv.RangeResult{Revision: 9}, single: true}},
		{"range", Pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 5, More: true, KVs: two}}},
		{"range-keys-only", Pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 2, KVs: two}, KeysOnly: true}},
		{"range-odd", Pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 3, KVs: odd}}},
		{"range-empty", Pairs{RangeResult: kv.RangeResult{Revision: 9}}},
		{"count", Pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 1234567}, countOnly: true}},
	} {
		formtest.Golden(t, tt.name, formtest.InFormats(func(out *bytes.Buffer, format string) error { return tt.answer.Write(out, format) }))
	}
	previous := client.Written{Revision: 13, Deleted: 2, Previous: two}
	formtest.Golden(t, "put-prev", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return putAnswer(client.Written{Revision: 12, Previous: two[:1]}, client.Lease{}).Write(out, format)
	}))
	formtest.Golden(t, "del-prev", formtest.InFormats(func(out *bytes.Buffer, format string) error { return delAnswer(previous).Write(out, format) }))
	transaction := &kv.Txn{Success: []kv.Op{
		{Put: &kv.Put{}},
		{Delete: &kv.Delete{}},
		{Range: &kv.Range{}},
		{Range: &kv.Range{CountOnly: true}},
	}}
	happened := &kv.TxnResult{Revision: 13, Succeeded: true, Answers: []kv.Answer{
		{Put: &kv.PutResult{Revision: 13, Prev: &two[0]}},
		{Delete: &kv.DeleteResult{Revision: 13, Deleted: 2, Prev: two}},
		{Range: &kv.RangeResult{Revision: 13, Count: 5, More: true, KVs: two}},
		{Range: &kv.RangeResult{Revision: 13, Count: 5}},
	}}
	formtest.Golden(t, "txn", formtest.InFormats(func(out *bytes.Buffer, format string) error { return writeTxn(out, format, transaction, happened) }))
	formtest.Golden(t, "txn-failure", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return writeTxn(out, format, transaction, &kv.TxnResult{Revision: 13})
	}))
	formtest.Golden(t, "put", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return putAnswer(client.Written{Revision: 12}, client.Lease{}).Write(out, format)
	}))
	formtest.Golden(t, "del", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return delAnswer(client.Written{Revision: 13, Deleted: 3}).Write(out, format)
	}))
}
