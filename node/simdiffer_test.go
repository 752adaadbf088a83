package node

import (
	"reflect"
	"unsafe"

	"github.com/cockroachdb/datadriven"
)

func init() {
	commands["flip"] = (*story).doFlip
	commands["readmit"] = (*story).doReadmit
}

// doFlip turns a bit in the state of members, another one in each: the sum of the keys' versions is not what the log says, or,
// with a key, its value is not what was put. From then on nobody judges what members do but the story itself.
func (s *story) doFlip(d *datadriven.TestData) string {
	s.w.watch.blind = true
	for i, h := range s.named(d) {
		if d.HasArg("key") {
			var key string
			d.ScanArgs(s.t, "key", &key)
			pair, _, err := h.member.status.View().Get([]byte(key), 0)
			if err != nil {
				s.t.Fatal(err)
			}
			pair.Value[0] ^= 1 << i // it is the state's own memory
			continue
		}
		sum := reflect.ValueOf(h.member.state()).Elem().FieldByName("totals").FieldByName("sum")
		*(*uint64)(unsafe.Pointer(sum.UnsafeAddr())) ^= 1 << i
	}
	return ""
}

// doReadmit lifts the suspensions of members, as an operator does.
func (s *story) doReadmit(d *datadriven.TestData) string {
	for _, h := range s.named(d) {
		if err := (endpoint{h.member}).Readmit(h.member.folder.Member); err != nil {
			return err.Message + "\n"
		}
	}
	return ""
}
