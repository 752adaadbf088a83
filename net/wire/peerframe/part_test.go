package peerframe

import (
	"math"
	"strings"
	"testing"

	"qkv/internal/limits"
)

var parts = []struct {
	request PartRequest
	answer  PartAnswer
}{
	{
		PartRequest{Cluster: 0xc0ffee, From: 1 << 63, Name: "n2", Part: "00000000000000000007-" + strings.Repeat("c4", 32) + ".part", Offset: 1 << 20},
		PartAnswer{16 << 20},
	},
	{PartRequest{Cluster: 1, From: 2, Name: strings.Repeat("n", limits.NameBytes)}, PartAnswer{}},
	{
		PartRequest{math.MaxUint64, math.MaxUint64, strings.Repeat("n", limits.NameBytes), strings.Repeat("p", 90), math.MaxInt64},
		PartAnswer{math.MaxInt64},
	},
}

func TestPartFramesReadBack(t *testing.T) {
	for _, x := range parts {
		request, answer := AppendFirst(nil, &x.request), AppendFirst(nil, &x.answer)
		if back, err := ReadPartRequest(request); err != nil || back != x.request || len(request) > limits.PartRequestBytes {
			t.Errorf("%+v came back as %+v of %d bytes, %v", x.request, back, len(request), err)
		}
		if back, err := ReadPartAnswer(answer); err != nil || back != x.answer || len(answer) > limits.PartAnswerBytes {
			t.Errorf("%+v came back as %+v of %d bytes, %v", x.answer, back, len(answer), err)
		}
		for n := range request {
			if back, err := ReadPartRequest(request[:n]); err == nil {
				t.Errorf("%d of %d bytes were read as %+v", n, len(request), back)
			}
		}
		for n := range answer {
			if back, err := ReadPartAnswer(answer[:n]); err == nil {
				t.Errorf("%d of %d bytes were read as %+v", n, len(answer), back)
			}
		}
	}
	for _, p := range []PartRequest{{Name: "n1", Offset: -1}, {Name: strings.Repeat("n", limits.NameBytes+1)}} {
		if back, err := ReadPartRequest(AppendFirst(nil, &p)); err == nil {
			t.Errorf("%+v was read as %+v", p, back)
		}
	}
}
