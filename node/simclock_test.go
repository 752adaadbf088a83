package node

import (
	"fmt"

	"github.com/cockroachdb/datadriven"
)

func init() {
	commands["clock"], commands["ago"] = (*story).doClock, (*story).doAgo
}

// doClock moves members' clocks by=DURATION.
func (s *story) doClock(d *datadriven.TestData) string {
	by := s.duration(d, "by", "0s")
	for _, h := range s.named(d) {
		h.wall += by
		h.life.JumpWall(by)
	}
	return ""
}

// doAgo asks at=NAME for the revision of a time=DURATION ago.
func (s *story) doAgo(d *datadriven.TestData) string {
	h := s.member(d, "at")
	now := h.life.Time().Wall
	revision, err := h.member.status.View().RevisionAt(now-int64(s.duration(d, "time", "0s")), now)
	if err != nil {
		return fmt.Sprintf("%v: %.60s", err.Code, err.Message)
	}
	return fmt.Sprintf("revision %d", revision)
}
