package space

import (
	"testing"

	"qkv/internal/limits"
)

// On a small disk the budget leaves space for the next snapshot, and a member refuses writes that enlarge the state while there is more
// free space than its log may take.
func TestSmallDisk(t *testing.T) {
	const segment = 4 << 20
	d := Disk{SegmentBytes: segment}
	for _, c := range []struct{ capacity, budget, low, worth, holds int64 }{
		{0, limits.DiskUseLeast, 4 * segment, limits.SnapshotBytes, 0},
		{32 << 20, 12 << 20, 16 << 20, 4 << 20, 1},
		{64 << 20, 44 << 20, 16 << 20, 8 << 20, 5 << 20},
		{512 << 20, (512 - 48) << 20, 44 << 20, 64 << 20, 89 << 20},
		{100 << 30, limits.DiskUseLeast, 44 << 20, limits.SnapshotBytes, 20467 << 20},
	} {
		d.Capacity = c.capacity
		low, high := d.Marks()
		if budget, worth, holds := d.Budget(limits.DiskUseLeast), d.WorthSaving(limits.SnapshotBytes), d.Holds(c.capacity, 0); budget != c.budget || low != c.low || high != low+segment || worth != c.worth || holds != c.holds {
			t.Errorf("%d MiB: the budget is %d, the marks are %d and %d, a snapshot is worth %d, and it holds %d", c.capacity>>20, budget, low, high, worth, holds)
		}
		if reserve := d.LogReserve(); reserve != 3*segment || c.low < reserve+segment {
			t.Errorf("%d MiB: the log leaves %d, the low mark is %d", c.capacity>>20, reserve, c.low)
		}
	}
	d.Unapplied, d.NextHas = 1000, 300
	if reserve := d.LogReserve(); reserve != 3*segment+700 {
		t.Errorf("the log leaves %d for the next snapshot", reserve-3*segment)
	}
	for _, c := range []struct{ memory, holds int64 }{{0, 20467 << 20}, {1 << 30, 512 << 20}, {1, 20467 << 20}, {1000, 1}} {
		d.Memory = c.memory
		if got := d.Holds(100<<30, 0); got != c.holds {
			t.Errorf("with %d bytes of memory it holds %d", c.memory, got)
		}
	}
}

// The level follows from three reports: the log waits, the disk is full, and the log has spares.
func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		disk Disk
		want Level
	}{
		{Disk{}, Left},
		{Disk{Spares: 1}, Left},
		{Disk{Full: true, Spares: 1}, Low},
		{Disk{Full: true}, None},
		{Disk{LogWaits: true, Spares: 1}, None},
		{Disk{LogWaits: true, Full: true, Spares: 1}, None},
	} {
		if got := c.disk.Accepts(); got != c.want {
			t.Errorf("%+v: level %d, want %d", c.disk, got, c.want)
		}
	}
}

// The log takes commands on a full disk only while enough of its segment is left, and never while it waits.
func TestLogTakes(t *testing.T) {
	for _, c := range []struct {
		disk Disk
		want bool
	}{
		{Disk{}, true},
		{Disk{Full: true, Quarters: limits.LogKept}, true},
		{Disk{Full: true, Quarters: limits.LogKept - 1}, false},
		{Disk{LogWaits: true, Quarters: 4}, false},
	} {
		if got := c.disk.LogTakes(limits.LogKept); got != c.want {
			t.Errorf("%+v: %v", c.disk, got)
		}
	}
}

// The log's budget is what snapshots and spares leave. It grows while the log is kept for a follower or this member catches up, and never
// becomes negative.
func TestLogBudget(t *testing.T) {
	l := limits.Defaults()
	l.DiskUseLeast = 1000
	for _, c := range []struct {
		what      string
		disk      Disk
		snapshots int64
		want      int64
	}{
		{"a small state", Disk{State: 10}, 100, 900},
		{"a large state", Disk{State: 1000}, 100, limits.DiskUse*1000 - 100},
		{"kept for a follower", Disk{State: 1000, LogKept: true}, 100, (limits.DiskUse+limits.DiskUseCatchUp)*1000 - 100},
		{"this member lags", Disk{State: 1000, Lags: true}, 100, (limits.DiskUse+limits.DiskUseCatchUp)*1000 - 100},
		{"it receives a snapshot", Disk{State: 1000, Receives: true}, 100, (limits.DiskUse+limits.DiskUseCatchUp)*1000 - 100},
		{"spares", Disk{State: 1000, SegmentBytes: 10}, 100, limits.DiskUse*1000 - 100 - limits.SparesMost*10},
		{"snapshots take everything", Disk{State: 1000}, 1 << 40, 0},
	} {
		if got := c.disk.LogBudget(&l, c.snapshots); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	l.CatchUpBytes = 500
	for _, c := range []struct {
		what string
		disk Disk
		want int64
	}{
		{"a small snapshot", Disk{State: 1000, Newest: 10}, 500},
		{"a large snapshot", Disk{State: 1000, Newest: 1000}, limits.CatchUpSnapshots * 1000},
		{"the disk's budget is less", Disk{State: 1000, Newest: 1000, Snapshots: (limits.DiskUse+limits.DiskUseCatchUp)*1000 - 7}, 7},
	} {
		if got := c.disk.FollowerLogBudget(&l); got != c.want {
			t.Errorf("for a follower, %s: %d, want %d", c.what, got, c.want)
		}
	}
}
