package space

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"qkv/internal/limits"
)

const (
	kb = 1000
	mb = 1000 * kb
	gb = 1000 * mb

	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// withNewer returns the space while a newer base is written.
func (n Needs) withNewer() int64 { return n.AtRest() + n.Waiting + n.Newer }

// What the files of a member take at rest, while a newer base is written, and at most with the space that stays free, rounded up.
func TestNeeds(t *testing.T) {
	l := limits.Defaults()
	for _, c := range []struct {
		what                  string
		live, history         int64
		rest, withNewer, most int64
		unit                  int64
	}{
		{"nothing", 0, 0, 432, 624, 1456, mib},
		{"10 keys", 10 * kb, 0, 433, 625, 1457, mib},
		{"50 MB live", 50 * mb, 0, 480, 720, 1552, mib},
		{"50 MB live, 1 GiB of history", 50 * mb, gib, 1504, 1744, 3536, mib},
		{"1 GB live, 1 GB of history", gb, gb, 2340, 4137, 6510, mib}, // 2.5 GB at rest, and 4.3 GB
		{"4 GiB live, 4 GiB of history", 4 * gib, 4 * gib, 9, 16, 24, gib},
		{"100 GiB live, 100 GiB of history", 100 * gib, 100 * gib, 201, 376, 552, gib},
	} {
		n := Disk{SegmentBytes: limits.SegmentBytes, Capacity: tib}.Needs(&l, c.live, c.history)
		up := func(bytes int64) int64 { return (bytes + c.unit - 1) / c.unit }
		if rest, withNewer, most := up(n.AtRest()), up(n.withNewer()), up(n.most()); rest != c.rest || withNewer != c.withNewer || most != c.most {
			t.Errorf("%s: %d at rest, %d while a newer base is written, %d at most; want %d, %d and %d", c.what, rest, withNewer, most, c.rest, c.withNewer, c.most)
		}
	}
}

// docs/sizing.md has the formula's figures.
func TestSizingPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/sizing.md")
	if err != nil {
		t.Fatal(err)
	}
	up := func(bytes, unit int64) int64 { return (bytes + unit - 1) / unit }
	size := func(bytes int64) string {
		switch {
		case bytes < gib:
			return fmt.Sprintf("%d MiB", up(bytes, mib))
		case bytes < 10*gib:
			return fmt.Sprintf("%.1f GiB", float64(up(10*bytes, gib))/10)
		}
		return fmt.Sprintf("%d GiB", up(bytes, gib))
	}
	l := limits.Defaults()
	disk := Disk{SegmentBytes: limits.SegmentBytes, Capacity: tib}
	for _, c := range []struct {
		text          string
		live, history int64
	}{
		{"a few keys | none", 0, 0},
		{"100 MiB | 100 MiB", 100 * mib, 100 * mib},
		{"100 MiB | 1 GiB (default)", 100 * mib, gib},
		{"1 GiB | 1 GiB", gib, gib},
		{"4 GiB | 4 GiB", 4 * gib, 4 * gib},
		{"150 GiB | 150 GiB", 150 * gib, 150 * gib},
	} {
		n := disk.Needs(&l, c.live, c.history)
		if row := fmt.Sprintf("| %s | %s | %s | %d GiB |", c.text, size(n.AtRest()), size(n.withNewer()), up(n.most(), gib)); !strings.Contains(string(page), row+"\n") {
			t.Errorf("docs/sizing.md lacks the row\n%s", row)
		}
	}
}

// How much history a disk holds beside live keys: with space for a whole state from another member, and the most.
func TestHolds(t *testing.T) {
	l := limits.Defaults()
	for _, c := range []struct {
		disk, segment, live int64
		ease, most          int64 // at least, and at most a hundredth of the disk more
	}{
		{500 * gib, 64 * mib, 150 * gib, 58 * gib, 158 * gib},
		{500 * gib, 64 * mib, 0, 247 * gib, 494 * gib},
		{100 * gib, 64 * mib, 10 * gib, 36 * gib, 75 * gib},
		{10 * gib, 64 * mib, gib, 3300 * mib, 6950 * mib},
		{5 * gib, 64 * mib, gib, 790 * mib, 1870 * mib},
		{512 * mib, 8 * mib, 0, 105 * mib, 212 * mib},
		{512 * mib, 8 * mib, 50 * mib, 43 * mib, 98 * mib},
		{128 * mib, 2 * mib, 0, 8 * mib, 17 * mib},
	} {
		d := Disk{SegmentBytes: c.segment, Live: c.live, Size: c.disk, Capacity: c.disk}
		ease, most := d.Holds(&l, 0)
		for what, got := range map[int64]int64{c.ease: ease - c.live, c.most: most - c.live} {
			if got < what || got > what+c.disk/100 {
				t.Errorf("a disk of %d MiB with %d MiB live keys holds %d MiB of history, want about %d", c.disk>>20, c.live>>20, got>>20, what>>20)
			}
		}
		n, waiting := d.Needs(&l, c.live, most-c.live), BaseAfter(&l, c.live, 0)
		if need := n.AtRest() + waiting + n.Newer + n.Free; need > c.disk {
			t.Errorf("%d MiB live keys and what a disk of %d MiB holds beside them need %d MiB", c.live>>20, c.disk>>20, need>>20)
		}
		n = d.Needs(&l, c.live, ease-c.live)
		if need := 2*(n.Base+n.History+waiting) + n.Own + n.Log + n.Free; need > c.disk {
			t.Errorf("%d MiB live keys and what a disk of %d MiB holds beside them, twice, need %d MiB", c.live>>20, c.disk>>20, need>>20)
		}
	}
	for _, c := range []struct{ memory, holds int64 }{{0, 99 * gib}, {512 * mib, 512 * mib}, {1, 1}, {1000, 1}} {
		d := Disk{SegmentBytes: 64 * mib, Size: tib, Capacity: 100 * gib}
		if _, got := d.Holds(&l, c.memory); got < c.holds-c.holds/64 || got > c.holds {
			t.Errorf("with %d bytes of memory it holds %d", c.memory, got)
		}
	}
	for _, c := range []struct{ disk, ease, most int64 }{{10 * gib, 3700 * mib, 4 * gib}, {16 * mib, 1, 1}, {0, 0, 0}} {
		d := Disk{SegmentBytes: mib, Live: tib, Size: c.disk, Capacity: c.disk}
		if ease, most := d.Holds(&l, 0); ease < c.ease || ease > c.ease+c.ease/8 || most < c.most || most > c.most+c.most/8 {
			t.Errorf("live keys that are too large for a disk of %d MiB: it holds %d MiB with ease, at most %d", c.disk>>20, ease>>20, most>>20)
		}
	}
}

// A newer base is due from three quarters of the live keys on, or 64 MiB; on a small disk from what it has to spare on.
func TestBaseAfter(t *testing.T) {
	l := limits.Defaults()
	for _, c := range []struct{ live, spare, want int64 }{
		{0, tib, 64 * mib},
		{10 * mib, tib, 64 * mib},
		{gib, tib, 768 * mib},
		{gib, 100 * mib, 356 * mib},
		{gib, -gib, 256 * mib},
		{100 * mib, 5 * mib, 30 * mib},
		{0, 0, 0},
	} {
		if got := BaseAfter(&l, c.live, c.spare); got != c.want {
			t.Errorf("%d MiB live, %d MiB to spare: %d MiB, want %d", c.live>>20, c.spare>>20, got>>20, c.want>>20)
		}
	}
}

// The marks of free space follow from what the next snapshot still has to write, not from the size of the state.
func TestMarks(t *testing.T) {
	for _, c := range []struct {
		what         string
		disk         Disk
		reserve, low int64 // in MiB
	}{
		{"an empty state", Disk{SegmentBytes: 64 * mib, Capacity: tib}, 192, 256},
		{"100 GiB in parts", Disk{SegmentBytes: 64 * mib, Capacity: tib, Live: 100 * gib, Next: 16 * mib}, 208, 272},
		{"an extent is not written yet", Disk{SegmentBytes: 64 * mib, Capacity: tib, Live: 100 * gib, Next: 32 * mib, Unapplied: mib}, 225, 289},
		{"half of it is written", Disk{SegmentBytes: 64 * mib, Capacity: tib, Next: 32 * mib, NextHas: 16 * mib}, 208, 272},
		{"the older snapshot can go first", Disk{SegmentBytes: 64 * mib, Capacity: tib, Next: 32 * mib, NextHas: gib}, 192, 256},
		{"a disk of 512 MiB", Disk{SegmentBytes: 4 * mib, Capacity: 512 * mib}, 12, 44},
		{"a disk of 32 MiB", Disk{SegmentBytes: 4 * mib, Capacity: 32 * mib}, 12, 16},
		{"a disk that was not measured", Disk{SegmentBytes: 4 * mib}, 12, 16},
	} {
		low, high := c.disk.Marks()
		if reserve := c.disk.LogReserve(); reserve != c.reserve*mib || low != c.low*mib || high != low+c.disk.SegmentBytes || c.disk.Wants() != high+c.disk.Live {
			t.Errorf("%s: the log leaves %d MiB, the marks are %d and %d, it wants %d", c.what, reserve>>20, low>>20, high>>20, c.disk.Wants()>>20)
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

// The log's budget is a plain figure. It grows while the log is kept for a follower or this member catches up, the disk bounds it, and it
// is never negative.
func TestLogBudget(t *testing.T) {
	l := limits.Defaults()
	for _, c := range []struct {
		what                    string
		disk                    Disk
		budget, follower, saved int64 // in MiB
	}{
		{"a disk that was not measured", Disk{SegmentBytes: 64 * mib}, 512, 512, 64},
		{"a large state", Disk{SegmentBytes: 64 * mib, Capacity: tib, Snapshots: 100 * gib, Newest: 50 * mib}, 512, 512, 64},
		{"kept for a follower", Disk{SegmentBytes: 64 * mib, Capacity: tib, LogKept: true}, 1024, 512, 64},
		{"of a state of a GiB", Disk{SegmentBytes: 64 * mib, Capacity: tib, Newest: gib, LogKept: true}, 3584, 3072, 64},
		{"this member lags", Disk{SegmentBytes: 64 * mib, Capacity: tib, Lags: true}, 1024, 512, 512},
		{"it receives a snapshot", Disk{SegmentBytes: 64 * mib, Capacity: tib, Receives: true}, 1024, 512, 512},
		{"a disk of 512 MiB", Disk{SegmentBytes: 4 * mib, Capacity: 512 * mib}, 256, 448, 32},
		{"with snapshots of 440 MiB", Disk{SegmentBytes: 4 * mib, Capacity: 512 * mib, Snapshots: 440 * mib}, 8, 8, 32},
		{"with snapshots that fill it", Disk{SegmentBytes: 4 * mib, Capacity: 512 * mib, Snapshots: 500 * mib, Lags: true}, 0, 0, 32},
		{"a disk of 64 MiB", Disk{SegmentBytes: 4 * mib, Capacity: 64 * mib}, 28, 28, 4},
	} {
		if got, follower, saved := c.disk.LogBudget(&l), c.disk.FollowerLogBudget(&l), c.disk.saveAfter(&l); got != c.budget*mib || follower != c.follower*mib || saved != c.saved*mib {
			t.Errorf("%s: %d MiB, for a follower %d, saved after %d; want %d, %d and %d", c.what, got>>20, follower>>20, saved>>20, c.budget, c.follower, c.saved)
		}
	}
}

// A snapshot is due by the records behind the last one. It is due by fewer if the log's files are large, but not if they are kept for a follower.
func TestSaveDue(t *testing.T) {
	l := limits.Defaults()
	for _, c := range []struct {
		disk           Disk
		records, files int64 // in MiB
		want           bool
	}{
		{Disk{}, 64, 256, false},
		{Disk{}, 65, 65, true},
		{Disk{}, 9, 256, false},
		{Disk{}, 8, 257, false},
		{Disk{}, 9, 257, true},
		{Disk{LogKept: true}, 9, 257, false},
		{Disk{LogKept: true}, 65, 257, true},
		{Disk{Full: true}, 1, 1, false},
		{Disk{Full: true}, 2, 2, true},
	} {
		if got := c.disk.SaveDue(&l, c.records*mib, c.files*mib); got != c.want {
			t.Errorf("%+v, %d MiB of records in files of %d MiB: %v", c.disk, c.records, c.files, got)
		}
	}
}

// A fast log has more released segments wait for reuse: what it fills in ten seconds, within what its files leave of its budget and
// an eighth of the space beyond the needs. On a full disk they are no more than those of a slow log.
func TestRecycles(t *testing.T) {
	l := limits.Defaults()
	budget := Disk{SegmentBytes: 64 * mib, Capacity: tib}.LogBudget(&l)
	needs := func(live int64) int64 {
		return Disk{SegmentBytes: 64 * mib, Capacity: tib}.Needs(&l, live, live).most()
	}
	for _, c := range []struct {
		what        string
		disk        Disk
		files, rate int64
		want        int
	}{
		{"an idle log", Disk{Capacity: tib}, 64 * mib, 0, 2},
		{"a slow one", Disk{Capacity: tib}, 64 * mib, 10 * mib, 2},
		{"a faster one", Disk{Capacity: tib}, 64 * mib, 26 * mib, 4},
		{"a fast one", Disk{Capacity: tib}, 192 * mib, 200 * mib, int(budget/mib-192) / 64},
		{"a fast one without space", Disk{Capacity: gib / 2}, 64 * mib, 200 * mib, 2},
		{"a fast one that takes its budget", Disk{Capacity: tib}, budget, 200 * mib, 2},
		{"one whose files are larger", Disk{Capacity: tib}, 2 * budget, 200 * mib, 2},
		{"a full disk", Disk{Capacity: tib, Full: true}, 64 * mib, 200 * mib, 2},
		{"a disk where a snapshot found no space", Disk{Capacity: tib, Lacks: true}, 64 * mib, 200 * mib, 2},
		{"a disk that was not measured", Disk{}, 64 * mib, 200 * mib, 2},
		{"a disk as large as the needs", Disk{Capacity: needs(0)}, 64 * mib, 200 * mib, 2},
		{"a larger disk", Disk{Capacity: needs(0) + 8*320*mib}, 64 * mib, 200 * mib, 5},
		{"a larger disk with a state", Disk{Capacity: needs(0) + 8*320*mib, Live: gib, Snapshots: 2 * gib}, 64 * mib, 200 * mib, 2},
		{"a larger disk for that state", Disk{Capacity: needs(gib) + 8*320*mib, Live: gib, Snapshots: 2 * gib}, 64 * mib, 200 * mib, 5},
	} {
		c.disk.SegmentBytes = 64 * mib
		if got := c.disk.Recycles(&l, c.files, c.rate); got != c.want {
			t.Errorf("%s: %d released segments wait, want %d", c.what, got, c.want)
		}
	}
}
