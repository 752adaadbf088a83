package peer

import (
	"bytes"
	"fmt"
	"testing"

	"qkv/net/wire/peerframe"
)

// TestGoldenStreams: a stream of a class, and a stream that carries one frame, begin as they always did.
func TestGoldenStreams(t *testing.T) {
	frame := peerframe.Encode(peerframe.Accused{By: 9})
	w := writer{buf: append(make([]byte, 0, peerWriteBytes), byte(peerframe.Urgent))}
	var stream bytes.Buffer
	w.to = &stream
	w.add(frame)
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	var one bytes.Buffer
	if err := writeFrame(&one, append(make([]byte, headerBytes), frame...)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x %x", stream.Bytes(), one.Bytes()); got != "0000000006920781a16209 00000006920781a16209" {
		t.Errorf("the streams begin with %s", got)
	}
	classes := []peerframe.Class{peerframe.Urgent, peerframe.Append, peerframe.Bulk}
	for i, class := range classes {
		if int(class) != i || int(peerframe.Classes) != len(classes) {
			t.Errorf("%v is class %d of %d", class, class, peerframe.Classes)
		}
	}
}
