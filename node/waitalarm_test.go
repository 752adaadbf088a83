package node

import (
	"slices"
	"testing"
	"time"

	"qkv/actor/space"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A log that waits for room takes no write, however much is free beside what it wants: its member says NOSPACE. Here it wants a file
// for a value that is larger than its files are, by --segment-bytes.
func TestLogThatWaitsIsAnAlarm(t *testing.T) {
	w, _ := quietCluster(t, shape{segmentBytes: segmentBytesLeast}, func(*limits.Tunable) {})
	for _, h := range w.hosts {
		h.disk.SetCapacity(h.disk.Used() + 1600<<10)
	}
	w.run(2 * limits.SpaceCheck)
	f := newFlood(w, 900_000)
	f.follow()
	f.fill(1)
	w.run(5 * time.Second)
	waited := 0
	for _, h := range w.hosts {
		if h.member.status.Disk().Accepts() != space.None {
			continue
		}
		waited++
		if alarms := h.member.alarms(); !slices.ContainsFunc(alarms, func(a kv.Alarm) bool { return a.Name == "NOSPACE" }) {
			t.Errorf("%s takes no write, and has the alarms %+v", h.name(), alarms)
		}
	}
	if waited == 0 {
		t.Errorf("no log waits: %v", w.places())
	}
}
