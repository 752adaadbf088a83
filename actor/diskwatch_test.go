package actor

import (
	"testing"
	"time"
)

// Disks that are equally slow are done with a group at about the same time: one that was first by a little is not faster.
func TestOvertakenByHalf(t *testing.T) {
	d := diskWatch{groupBytes: 4 << 20}
	d.ordered(4<<20, 9, 0)
	if d.overtake(20 * time.Second) {
		t.Error("another disk was done a moment ago, and counts as faster")
	}
	if d.overtake(29 * time.Second) {
		t.Error("29 s against 20 s count as slower by half")
	}
	if !d.overtake(30 * time.Second) {
		t.Error("30 s against 20 s do not count as slower by half")
	}
	d.ordered(1<<20, 10, 21*time.Second)
	d.reported(1, 31*time.Second)
	if d.overtake(32*time.Second) || !d.overtake(33*time.Second) {
		t.Error("what was known of the last group has part in this one")
	}
}
