package node

import (
	"reflect"
	"unsafe"

	"github.com/cockroachdb/datadriven"
)

func init() {
	commands["flip"] = (*story).doFlip
}

// doFlip turns a bit in the state of members, another one in each: the sum of the keys' versions is not what the log says.
// From then on nobody judges what members do but the story itself.
func (s *story) doFlip(d *datadriven.TestData) string {
	s.w.watch.blind = true
	for i, h := range s.named(d) {
		sum := reflect.ValueOf(h.member.state()).Elem().FieldByName("sum")
		*(*uint64)(unsafe.Pointer(sum.UnsafeAddr())) ^= 1 << i
	}
	return ""
}
