package wire

import (
	"reflect"
	"strings"
	"testing"

	"qkv/index/kv"
)

// A request for a verification, and its answer, are read as they were written.
func TestVerifyMessages(t *testing.T) {
	for _, now := range []bool{true, false} {
		var q Request
		if err := ReadRequest(frameOf(t, askFrame(4, OpVerify, Ask{Now: now})), &q); err != nil || q.Ask.Now != now {
			t.Errorf("%v: %v %+v", now, err, q.Ask)
		}
	}
	long := kv.DamagedFile{Name: "wal/0000000000000001.wal", Reason: strings.Repeat("r", 70_000), Help: "h"}
	for _, want := range []kv.Verified{{Wall: 1 << 62, Bytes: 1 << 62}, {Asked: true, Wall: 3, Failed: "f", Files: 1 << 40, Bytes: 1 << 50, Damaged: []kv.DamagedFile{{}, long, {Name: "snap/1"}}}} {
		frame := AppendAnswer(nil, 4, &want)
		p, err := ReadResponse(frameOf(t, frame))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadAnswer[kv.Verified](&p); err != nil || !reflect.DeepEqual(got, want) && len(got.Damaged)+len(want.Damaged) > 0 {
			t.Errorf("%v %+v", err, got)
		}
	}
}
