package wire

import (
	"reflect"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A request for a verification, and its answer, are read as they were written. Rates outside of the limits are refused.
func TestVerifyMessages(t *testing.T) {
	for rate, refused := range map[int64]bool{0: true, -1: true, limits.VerifyRateLeast - 1: true, limits.VerifyRateLeast: false, limits.VerifyRateMost: false, limits.VerifyRateMost + 1: true} {
		var q Request
		err := ReadRequest(frameOf(t, askFrame(4, OpVerify, Ask{Run: 1 << 63, Rate: rate})), &q)
		if err != nil || q.Ask.Run != 1<<63 || q.Ask.Rate != rate || (q.Check(kv.Bounds{}) != nil) != refused {
			t.Errorf("%d: %v %+v, %v", rate, err, q.Ask, q.Check(kv.Bounds{}))
		}
	}
	long := kv.DamagedFile{Name: "wal/0000000000000001.wal", Reason: strings.Repeat("r", 70_000), Help: "h"}
	for _, want := range []kv.Verified{{Run: 1 << 63, Bytes: 1 << 62}, {Run: 1, Done: true, Files: 1 << 40, Bytes: 1 << 50, Damaged: []kv.DamagedFile{{}, long, {Name: "snap/1"}}}} {
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
