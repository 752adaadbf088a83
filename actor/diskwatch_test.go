package actor

import (
	"testing"
	"time"
)

// Disks that are equally slow take about as long for a group: one that was first by a little is not faster, and neither is one that is
// a group ahead because this one had more turns of other actors.
func TestOvertakenByHalf(t *testing.T) {
	d := diskWatch{groupBytes: 4 << 20}
	at := func(seconds int) time.Duration { return time.Duration(seconds) * time.Second }
	want := func(what string, goal uint64, seconds int, clearly bool) {
		t.Helper()
		if got := d.overtaken(2, goal, at(seconds)); got != clearly {
			t.Errorf("%s: overtaken %v", what, got)
		}
	}
	d.ordered(4<<20, 9, 0)
	want("the other one is not done", 9, 100, false)
	d.progressed(2, 5, at(19)) // it did that in two groups
	d.progressed(2, 9, at(20))
	want("another disk was done a moment ago", 9, 20, false)
	want("29 s against 20 s", 9, 29, false)
	want("30 s against 20 s", 9, 30, true)
	d.ordered(1<<20, 10, at(21))
	d.progressed(2, 10, at(41)) // another 20 s, before this one begins
	d.reported(1, at(45))
	want("it is a group behind, at the same rate", 10, 74, false)
	want("it is slower by half", 10, 75, true)
	d.reported(1, at(80))
	d.ordered(1, 11, at(200)) // after a pause
	d.progressed(2, 11, at(201))
	want("the pause counts for nobody", 11, 202, true)
	d.progressed(2, 3, at(203)) // another life of it
	want("what is known of its last life counts", 11, 300, false)
	for i := range uint64(1000) {
		d.progressed(3, i, at(int(i)))
	}
	if n := len(d.others[3]); n != diskProgresses {
		t.Errorf("%d are kept", n)
	}
}

// A disk has the time for a group that one of 64 KB a second takes. What is given while the log writer has not had its turn yet is in the same group, and has its time.
func TestOrdersAMomentLaterAreInTheGroup(t *testing.T) {
	d := diskWatch{groupBytes: 4 << 20}
	d.ordered(1000, 1, 0)
	for i := range uint64(100) {
		d.ordered(1<<20, 2+i, time.Millisecond)
	}
	most := time.Duration(d.groupBytes) * time.Second / diskBytesLeast
	if got := d.silent(most, 0); got != 0 {
		t.Errorf("silent for %v after the time of a group", got)
	}
	if got := d.silent(most+time.Second, 0); got != time.Second {
		t.Errorf("silent for %v a second after the time of a group", got)
	}
}
