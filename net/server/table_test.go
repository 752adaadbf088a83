package server

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// What an op needs stands in its rows of the two tables: no other file of the package names one.
func TestOpsAreNamedInTheTable(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := regexp.MustCompile(`wire\.Op[A-Z]\w*`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := names.FindAllString(string(text), -1)
		switch {
		case file == "table.go":
			if len(found) < 25 {
				t.Errorf("%s names %d ops: is it the table?", file, len(found))
			}
		case len(found) > 0 && !strings.HasSuffix(file, "_test.go"):
			t.Errorf("%s names %v: its rule belongs into the table", file, found)
		}
	}
}

// A write that a member may log has a rule that encodes its command, unless it is answered at once.
func TestEveryWriteHasACommand(t *testing.T) {
	writes := 0
	for op := range wire.Op(wire.Ops) {
		if !op.Write() || rules[op].now != nil {
			continue
		}
		if writes++; rules[op].command == nil && rules[op].handle == nil {
			t.Errorf("%v is a write without a command", op)
		}
	}
	if writes < 8 {
		t.Errorf("%d writes", writes)
	}
}

// A body shares no memory with the frame of its request, which the reader's next frames overwrite.
func TestBodyOutlivesItsFrame(t *testing.T) {
	key, end := []byte("key"), []byte("last")
	of := func(op wire.Op, body []byte) {
		t.Helper()
		all := wire.AppendRequest(nil, 1, op, time.Minute, body)
		frame, _, ok, err := wire.SplitFrame(all, limits.RequestBytes)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		var q wire.Request
		if err := wire.ReadRequest(frame, &q); err != nil {
			t.Fatal(err)
		}
		x := new(conn).newBody(&q)
		clear(frame)
		var touched []kv.Touch
		x.body.request.Touches(func(one kv.Touch) bool {
			touched = append(touched, one)
			return true
		})
		if len(touched) == 0 {
			t.Fatalf("%v touches nothing", op)
		}
		for _, one := range touched {
			if !bytes.Equal(one.Key, key) || len(one.End) > 0 && !bytes.Equal(one.End, end) {
				t.Errorf("%v touches %q to %q after its frame was overwritten", op, one.Key, one.End)
			}
		}
	}
	of(wire.OpPut, kv.AppendPut(nil, &kv.Put{Key: key, PrevKV: true}))
	of(wire.OpDelete, kv.AppendDelete(nil, &kv.Delete{Key: key, End: end, PrevKV: true}))
	of(wire.OpRange, kv.AppendRange(nil, &kv.Range{Key: key, End: end, Order: kv.SortDescend}))
	of(wire.OpTxn, kv.AppendTxn(nil, &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: key, Value: []byte("value")}}}}))
}
