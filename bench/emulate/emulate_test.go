package emulate

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// within tells whether a time differs from what it should be by at most a tenth.
func within(got, want time.Duration) bool { return math.Abs(float64(got-want)) <= 0.1*float64(want) }

// TestDraws: what is drawn from a profile has the percentiles that its source gives, and the mean where it gives one.
func TestDraws(t *testing.T) {
	means := map[string]time.Duration{"nvme-consumer": 1493540 * time.Nanosecond, "sata-ssd": 1273080 * time.Nanosecond, "cloud-gp3": 700240 * time.Nanosecond}
	for _, p := range profiles {
		from := draws{profile: p, random: rand.New(rand.NewPCG(1, 2))}
		drawn := make([]time.Duration, 200_000)
		var sum time.Duration
		for i := range drawn {
			drawn[i] = from.next()
			sum += drawn[i]
		}
		slices.Sort(drawn)
		for _, at := range p.Syncs {
			got := drawn[min(int(at.Percent/100*float64(len(drawn))), len(drawn)-1)]
			if at.Percent > 0 && at.Percent < 100 && !within(got, at.Took) {
				t.Errorf("%s: p%v of what is drawn is %v, and was %v", p.Name, at.Percent, got, at.Took)
			}
		}
		if least, most := p.Syncs[0].Took, p.Syncs[len(p.Syncs)-1].Took; drawn[0] < least-1 || drawn[len(drawn)-1] > most {
			t.Errorf("%s: %v to %v are drawn, and there were %v to %v", p.Name, drawn[0], drawn[len(drawn)-1], least, most)
		}
		mean := sum / time.Duration(len(drawn))
		if want, given := means[p.Name]; given && !within(mean, want) {
			t.Errorf("%s: the mean is %v, and was %v", p.Name, mean, want)
		}
		t.Logf("%s: mean %v, p50 %v, p99 %v", p.Name, mean, drawn[len(drawn)/2], drawn[len(drawn)*99/100])
	}
}

func TestProfiles(t *testing.T) {
	for _, p := range profiles {
		if p.Source == "" || p.BytesPerSecond <= 0 || p.Syncs[0].Percent != 0 || p.Syncs[len(p.Syncs)-1].Percent != 100 {
			t.Errorf("%s: it has no source, no rate or no ends", p.Name)
		}
		if !slices.IsSortedFunc(p.Syncs, func(a, b Point) int { return int(a.Percent*100 - b.Percent*100) }) || !slices.IsSortedFunc(p.Syncs, func(a, b Point) int { return int(a.Took - b.Took) }) {
			t.Errorf("%s: its points do not rise", p.Name)
		}
		if found, err := Find(p.Name); err != nil || found.Name != p.Name {
			t.Errorf("%s is not found: %v", p.Name, err)
		}
		slower, err := Find(p.Name + "+1ms")
		if err != nil {
			t.Fatal(err)
		}
		if got := slower.percentile(50) - p.percentile(50); got < 990*time.Microsecond || got > 1010*time.Microsecond {
			t.Errorf("%s is %v slower", slower.Name, got)
		}
	}
	for _, bad := range []string{"sata-ssd+", "sata-ssd+much", "sata-ssd+-1ms"} {
		if _, err := Find(bad); err == nil {
			t.Errorf("%q is a profile", bad)
		}
	}
	if _, err := Find("floppy"); err == nil || err.Error() != `there is no profile "floppy": nvme-plp, nvme-consumer, sata-ssd, cloud-gp3` {
		t.Error(err)
	}
}

// TestWait: on a machine whose sleeps are late, no wait is too short, and once that is known none is too long.
func TestWait(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var now time.Duration
	w := &waiter{
		now:   func() time.Duration { now += 50 * time.Nanosecond; return now },
		sleep: func(d time.Duration) { now += d + 60*us + time.Duration(random.Int64N(int64(60*us))) },
	}
	w.spin.Store(int64(20 * us))
	late := 0
	for i := range 1000 {
		due := now + 300*us
		w.until(due)
		switch {
		case now < due:
			t.Fatalf("wait %d ended %v early", i, due-now)
		case now > due+us && i > 50:
			late++
		}
	}
	if late > 0 {
		t.Errorf("%d of 950 waits were late", late)
	}
	if spin := time.Duration(w.spin.Load()); spin > spinMost || spin < 60*us {
		t.Errorf("it spins for %v", spin)
	}
}

// TestBytes: what is much takes its time.
func TestBytes(t *testing.T) {
	p := Profile{Syncs: []Point{{0, us}, {100, us}}, BytesPerSecond: 1000}
	var now time.Duration
	d := newDevice(p, 1)
	d.waiter = &waiter{now: func() time.Duration { now++; return now }, sleep: func(d time.Duration) { now += d }}
	f, err := (&fs{simdisk.New(1), d}).Create("file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 500), 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []time.Duration{500 * time.Millisecond, us} { // the second one has nothing to do
		begun := now
		if err := f.Datasync(); err != nil || !within(now-begun, want) {
			t.Errorf("%v after %v, not %v", err, now-begun, want)
		}
	}
}

// TestEmulated: what a log feels of an emulated disk is what the profile's source has measured, within a tenth. The clock is one that
// only waits move: what else the machine does is not in it.
func TestEmulated(t *testing.T) {
	for _, p := range profiles {
		var now time.Duration
		d := newDevice(p, 1)
		d.waiter = &waiter{now: func() time.Duration { now += us / 10; return now }, sleep: func(d time.Duration) { now += d }}
		f := create(t, d)
		var took []time.Duration
		for i := range 20_000 {
			begun := now
			syncPage(t, f, i%64)
			took = append(took, now-begun)
		}
		slices.Sort(took)
		for _, percent := range []float64{10, 40, 80} {
			if got, want := took[int(percent)*len(took)/100], p.percentile(percent); !within(got, want) {
				t.Errorf("%s: p%v is %v, and was %v", p.Name, percent, got, want)
			}
		}
	}
}

// TestEmulatedByTheClock: no sync ends before the time that was drawn for it, and on a machine that has other things to do some end
// late, but not all.
func TestEmulatedByTheClock(t *testing.T) {
	const most = 20_000
	for _, p := range profiles {
		f := create(t, newDevice(p, 7))
		drawn := draws{profile: p, random: rand.New(rand.NewPCG(7, 1))} // the device's own
		exact, i := 0, 0
		for ; i < most && (i < 100 || exact == 0); i++ {
			begun := time.Now()
			syncPage(t, f, i%64)
			took, want := time.Since(begun), max(drawn.next(), p.moving(4096))
			if took < want {
				t.Fatalf("%s: sync %d took %v, and was to take %v", p.Name, i, took, want)
			}
			if within(took, want) {
				exact++
			}
		}
		if exact == 0 {
			t.Errorf("%s: each of %d syncs is late", p.Name, most)
		}
		t.Logf("%s: %d of %d syncs took what was drawn, within a tenth", p.Name, exact, i)
	}
}

func create(t *testing.T, d *device) disk.File {
	t.Helper()
	f, err := (&fs{disk.OS(), d}).Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// syncPage writes a page and syncs it.
func syncPage(t *testing.T, f disk.File, at int) {
	t.Helper()
	_, err := f.WriteAt(make([]byte, 4096), int64(at)*4096)
	if err == nil {
		err = f.Datasync()
	}
	if err != nil {
		t.Fatal(err)
	}
}
