package node

import (
	"math"

	"github.com/cockroachdb/datadriven"

	"qkv/log/disk"
)

func init() {
	commands["anew"] = (*story).doAnew
}

// doAnew takes the folders of members away and lets them found a new cluster with the same ids. From then on there are
// two histories, and nobody judges what members do but the story itself.
func (s *story) doAnew(d *datadriven.TestData) string {
	s.w.watch.blind = true
	for i, h := range s.named(d) {
		h.down(func() {})
		h.disk = disk.NewMem(math.MaxUint64 - uint64(i))
		h.equip()
		h.start()
	}
	return ""
}
