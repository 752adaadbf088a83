package node

import (
	"slices"
	"testing"
	"time"

	"qkv/actor"
	"qkv/net/wire"
)

// A log that waits for room takes no write, however much is free beside what it wants: its member says NOSPACE.
func TestLogThatWaitsIsAnAlarm(t *testing.T) {
	w := diskWorld(t, 0)
	for _, h := range w.hosts {
		h.disk.SetCapacity(h.disk.Used() + 3*64<<10)
	}
	w.run(time.Minute)
	waited := 0
	for _, h := range w.hosts {
		if h.member.status.Space() != actor.SpaceNone {
			continue
		}
		waited++
		if alarms := h.member.alarms(); !slices.ContainsFunc(alarms, func(a wire.Alarm) bool { return a.Name == "NOSPACE" }) {
			t.Errorf("%s takes no write, and has the alarms %+v", h.name(), alarms)
		}
	}
	if waited == 0 {
		t.Skip("no log waits any more: another seed is needed")
	}
}
