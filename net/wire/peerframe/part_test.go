package peerframe

import (
	"math"
	"strings"
	"testing"

	"qkv/internal/limits"
)

var parts = []struct {
	request     PartRequest
	answer      PartAnswer
	asked, told array
}{
	{
		PartRequest{Cluster: 0xc0ffee, From: 1 << 63, Name: "n2", Part: "00000000000000000007-" + strings.Repeat("c4", 32) + ".part", Offset: 1 << 20},
		PartAnswer{16 << 20},
		array{1, 0xc0ffee, uint64(1 << 63), "n2", "00000000000000000007-" + strings.Repeat("c4", 32) + ".part", 1 << 20},
		array{1, 16 << 20},
	},
	{PartRequest{Cluster: 1, From: 2, Name: strings.Repeat("n", limits.NameBytes)}, PartAnswer{}, array{1, 1, 2, strings.Repeat("n", limits.NameBytes), "", 0}, array{1, 0}},
	{
		PartRequest{math.MaxUint64, math.MaxUint64, strings.Repeat("n", limits.NameBytes), strings.Repeat("p", 90), math.MaxInt64},
		PartAnswer{math.MaxInt64},
		array{1, uint64(math.MaxUint64), uint64(math.MaxUint64), strings.Repeat("n", limits.NameBytes), strings.Repeat("p", 90), int64(math.MaxInt64)},
		array{1, int64(math.MaxInt64)},
	},
}

func TestPartFramesReadBack(t *testing.T) {
	for _, x := range parts {
		request, answer := x.request.Append(nil), x.answer.Append(nil)
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
		request[1], answer[1] = 2, 2
		_, err := ReadPartRequest(request)
		_, other := ReadPartAnswer(answer)
		for _, err := range []error{err, other} {
			if err == nil || !strings.Contains(err.Error(), "update the older") {
				t.Errorf("version 2: %v", err)
			}
		}
	}
	for _, p := range []PartRequest{{Name: "n1", Offset: -1}, {Name: strings.Repeat("n", limits.NameBytes+1)}} {
		if back, err := ReadPartRequest(p.Append(nil)); err == nil {
			t.Errorf("%+v was read as %+v", p, back)
		}
	}
}
