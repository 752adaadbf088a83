package node

import (
	"slices"
	"strings"
	"time"

	"qkv/index/kv"
)

// simVerifyEvery is the time between two verifications of files in a cluster.
const simVerifyEvery = 700 * time.Millisecond

// verifyFiles has the members verify their files, in turn, as the scrub does. A sound file must never be called damaged, whatever the
// member and its disk do. Nothing is ordered for damaged files: the faults have plans with them.
func (w *world) verifyFiles(turn int) {
	w.sim.After(simVerifyEvery, func() {
		all := w.members()
		w.verifyFilesOf(all[turn%len(all)])
		w.verifyFiles(turn + 1)
	})
}

func (w *world) verifyFilesOf(h *host) {
	if !h.alive() || h.paused() {
		return
	}
	c := &fileCheck{member: h.member, rate: verifyRate, stopped: func() error { return nil }, sleep: func(time.Duration) {}}
	if err := c.read(); err != nil || !h.alive() { // an error is that of a disk that fails
		return
	}
	w.totals.FilesVerified += int(c.found.Files)
	for _, f := range c.found.Damaged {
		switch {
		case h.harmed != nil && strings.Contains(f.name+f.reason, ".part"):
			w.totals.FilesDamaged++
		case h.aside(f.reason): // its disk could not read the part
		case strings.Contains(f.reason, "file does not exist") && h.leftUnread(): // a start does not know the parts of that snapshot
		case h.rotted || h.rottedLog:
			w.totals.FilesDamaged++
		case strings.Contains(f.reason, "input/output error"):
		default:
			w.failf("%s calls %s damaged: %s", h.name(), f.name, f.reason)
		}
	}
}

// leftUnread reports whether the member's start could not read an older snapshot.
func (h *host) leftUnread() bool {
	return slices.ContainsFunc(h.member.alarms(), func(a kv.Alarm) bool { return strings.Contains(a.Text, "an older snapshot cannot be read") })
}
