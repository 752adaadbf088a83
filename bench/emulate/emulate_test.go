package emulate

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"qkv/log/disk"
)

// within tells whether a time differs from what it should be by at most a tenth.
func within(got, want time.Duration) bool { return math.Abs(float64(got-want)) <= 0.1*float64(want) }

// TestDraws: what is drawn from a profile has the percentiles that its source gives, and the mean where it gives one.
func TestDraws(t *testing.T) {
	means := map[string]time.Duration{"nvme-consumer": 1493540 * time.Nanosecond, "sata-ssd": 1273080 * time.Nanosecond, "cloud-gp3": 700240 * time.Nanosecond}
	for _, p := range Profiles {
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
	for _, p := range Profiles {
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
		if got := slower.Percentile(50) - p.Percentile(50); got < 990*time.Microsecond || got > 1010*time.Microsecond {
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
	f, err := (&fs{disk.NewMem(1), d}).Create("file")
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

// TestEmulated: what a log feels of an emulated disk is what the profile's source has measured, within a tenth. No wait ends
// early, and on a machine that has other things to do some end late: so each percentile is the best of a few rounds.
func TestEmulated(t *testing.T) {
	const rounds = 20
	percents := []float64{10, 40, 80}
	for _, p := range Profiles {
		t.Run(p.Name, func(t *testing.T) {
			best := make([]time.Duration, len(percents))
			good := 0
			for round := 0; round < rounds && good < len(percents); round++ {
				got := syncTimes(t, p, 300)
				good = 0
				for i, percent := range percents {
					if took := got[int(percent)*len(got)/100]; round == 0 || took < best[i] {
						best[i] = took
					}
					if within(best[i], p.Percentile(percent)) {
						good++
					}
				}
			}
			for i, percent := range percents {
				if want := p.Percentile(percent); !within(best[i], want) {
					t.Errorf("p%v is %v, and was %v", percent, best[i], want)
				}
			}
			t.Logf("p10, p40 and p80 are %v", best)
		})
	}
}

// syncTimes are how long syncs take, sorted.
func syncTimes(t testing.TB, p Profile, count int) (all []time.Duration) {
	f, err := On(disk.OS(), p, uint64(time.Now().UnixNano())).Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	for i := range count {
		if _, err := f.WriteAt(page, int64(i)*4096); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := f.Datasync(); err != nil {
			t.Fatal(err)
		}
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	return all
}
