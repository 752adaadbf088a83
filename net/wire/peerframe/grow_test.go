package peerframe

import (
	"testing"

	"qkv/internal/pack/packtest"
)

// Every frame between members may be of a newer or older qkv. Least are the fields that each frame must have to be one at all.
func TestFramesGrow(t *testing.T) {
	least := map[int]int{kindRaft: 3}
	covered := map[int]bool{}
	read := func(b []byte) (Message, error) { return Read(b, 1, 2) }
	for _, x := range messages {
		frame := Encode(x.message)
		kind := int(frame[1])
		covered[kind] = true
		fields := max(least[kind], 1)
		if elements[kind] == 2 && kind != kindLeaseAsks {
			fields = 2
		}
		switch m := x.message.(type) {
		case Raft:
			if len(m.Entries) > 0 && m.Entries[0].Term == nil { // a read has its id in its entry
				fields = len(x.fields) - 1
			} else if len(m.Entries) > 0 {
				packtest.Grows(t, x.name, frame, read, false, 1, len(x.fields)-2, 0)
			}
			if len(m.Folders) > 0 {
				packtest.Grows(t, x.name, frame, read, false, 2, len(x.fields)-1, 0)
			}
		case LeaseAsks:
			packtest.Grows(t, x.name, frame, read, false, 0, 1, 1)
		case LeaseTimes:
			packtest.Grows(t, x.name, frame, read, false, 0, 2, 0)
		}
		packtest.Grows(t, x.name, frame, read, false, fields)
	}
	for kind := 1; kind < len(elements); kind++ {
		if !covered[kind] {
			t.Errorf("no frame of kind %d was looked at", kind)
		}
	}
}
