package node

import (
	"math"
	"time"

	"github.com/cockroachdb/datadriven"

	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

func init() {
	commands["anew"], commands["twin"], commands["lose"] = (*story).doAnew, (*story).doTwin, (*story).doLose
}

// doLose loses what from=NAME sends to to=NAME of a type=TYPE from now on; without a type, nothing any more.
func (s *story) doLose(d *datadriven.TestData) string {
	kind := word(d, "type", "")
	if s.w.lose = nil; kind == "" {
		return ""
	}
	from, to := s.member(d, "from"), s.member(d, "to")
	s.w.lose = func(f, t *host, frame []byte) bool {
		m, err := peerframe.Read(frame, f.id(), t.id())
		raft, ok := m.(peerframe.Raft)
		return err == nil && ok && f == from && t == to && raft.GetType().String() == kind
	}
	return ""
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
		h.disk = simdisk.New(math.MaxUint64 - uint64(i))
		h.equip()
		h.start()
	}
	return ""
}
