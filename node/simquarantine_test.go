package node

import (
	"math"
	"time"

	"github.com/cockroachdb/datadriven"

	"qkv/log/disk"
)

func init() {
	commands["anew"], commands["twin"] = (*story).doAnew, (*story).doTwin
}

// doTwin runs a copy of a member's folder beside the member, when all know of a later start of it.
func (s *story) doTwin(d *datadriven.TestData) string {
	h, twin := s.named(d)[0], (&administrator{w: s.w}).free()
	twin.copyOf(h)
	h.kill()
	h.start()
	if !s.w.until(20*time.Second, func() bool { return s.w.known(h) }) {
		return h.name() + " is not known"
	}
	twin.startAs(h)
	return ""
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
