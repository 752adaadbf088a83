package result

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"qkv/bench/machine"
)

// measured are a disk's runs of a load, of which each write takes a little more than the base.
func measured(side, load string, runs, writes int, base time.Duration) Row {
	r := Row{Side: side, Name: load, Mode: Probe}
	for i := range runs {
		h := hdrhistogram.New(1000, int64(2*time.Minute), 3)
		for n := range writes {
			_ = h.RecordValue(int64(base) * int64(1000+i+n%50) / 1000)
		}
		r.Runs = append(r.Runs, Run{Count: int64(writes), Histogram: &Latency{h}})
	}
	return r
}

// disksOf is a file of disks whose log writes take these times.
func disksOf(runs, writes int, times map[string]time.Duration, names ...string) *File {
	f := &File{Version: Version, Kind: KindDisk}
	for _, name := range names {
		system := "ext4"
		if name == "memory" {
			system = "tmpfs"
		}
		f.Sides = append(f.Sides, Side{Name: name, Device: &machine.Device{FileSystem: system}})
		for _, load := range []string{ProbeLog, ProbeRested, ProbeBatch, ProbeEtcd, ProbeDirect, ProbeDeep} {
			f.Rows = append(f.Rows, measured(name, load, runs, writes, times[name]))
		}
	}
	return f
}

// row is a disk's row of the first screen, by the columns' names.
func firstRow(t *testing.T, f *File, disk string) map[string]string {
	t.Helper()
	table := f.first()[0]
	for _, line := range table.Lines {
		if line[0] == disk {
			row := map[string]string{}
			for i, name := range table.Head {
				row[name] = line[i]
			}
			return row
		}
	}
	t.Fatalf("no row of %s: %v", disk, table)
	return nil
}

// TestFirstScreen: each disk has a row of figures that follow from its writes.
func TestFirstScreen(t *testing.T) {
	f := disksOf(5, 1000, map[string]time.Duration{"nvme": 200 * time.Microsecond, "ssd": 2 * time.Millisecond, "usb": 20 * time.Millisecond}, "ssd", "nvme", "usb")
	for disk, want := range map[string]map[string]string{
		"nvme": {"class": "fast", "log write p50": "205µs", "to the best": "best", "puts of 1 caller, at most": "4871/s", "of 1000 callers": "4870660/s", "etcd's 10 ms": "yes", "IOPS at queue depth 1": "4871", "at 16": "77934"},
		"ssd":  {"class": "consumer", "to the best": "10.00 x (p=0.008)", "etcd's 10 ms": "yes", "after steady writes": "-"},
		"usb":  {"class": "disk-like", "to the best": "99.99 x (p=0.008)", "etcd's 10 ms": "no"},
	} {
		row := firstRow(t, f, disk)
		for column, text := range want {
			if row[column] != text {
				t.Errorf("%s: %s is %q, not %q", disk, column, row[column], text)
			}
		}
	}
	if other := sample(5, 2); len(other.first()) != 0 {
		t.Error("a file about members has a first screen of disks")
	}
}

// TestWhichDisk: the title names the disk to buy only if a test tells it from the next one. Memory is none to buy.
func TestWhichDisk(t *testing.T) {
	const fast, same, slow = 200 * time.Microsecond, 200 * time.Microsecond, 12 * time.Millisecond
	for _, c := range []struct {
		runs, writes int
		times        map[string]time.Duration
		names        []string
		want         string
	}{
		{5, 1000, map[string]time.Duration{"a": slow, "b": fast}, []string{"a", "b"}, "Buy b: a log write takes 205µs there, and 59."},
		{5, 1000, map[string]time.Duration{"a": fast, "b": same}, []string{"a", "b"}, "Buy the cheaper one of a and b: no test tells their log writes apart."},
		{3, 1000, map[string]time.Duration{"a": slow, "b": fast}, []string{"a", "b"}, "b and a cannot be told apart by so few runs: 4 of each are needed, with 20 writes."},
		{5, 1000, map[string]time.Duration{"a": slow, "memory": 2 * time.Microsecond, "b": fast}, []string{"a", "memory", "b"}, "Buy b: "},
		{5, 1000, map[string]time.Duration{"a": slow, "b": 2 * slow}, []string{"a", "b"}, "on b. None of the disks is fast enough for etcd"},
		{5, 1000, map[string]time.Duration{"a": fast}, []string{"a"}, "Disks as a member's log uses them:"},
	} {
		if title := disksOf(c.runs, c.writes, c.times, c.names...).first()[0].Title; !strings.Contains(title, c.want) {
			t.Errorf("%s, not %s", title, c.want)
		}
	}
}

// TestEtcdTakes: a disk is called fast enough with enough writes alone, and too slow already with those of a median.
func TestEtcdTakes(t *testing.T) {
	for _, c := range []struct {
		writes int
		takes  time.Duration
		want   string
	}{{1000, time.Millisecond, "yes"}, {1000, 11 * time.Millisecond, "no"}, {20, 11 * time.Millisecond, "no"}, {20, time.Millisecond, tooFew}, {19, 11 * time.Millisecond, tooFew}} {
		if got := etcdTakes(measured("a", ProbeEtcd, 1, c.writes, c.takes)); got != c.want {
			t.Errorf("%d writes of %v: %s, not %s", c.writes, c.takes, got, c.want)
		}
	}
	mostly := measured("a", ProbeEtcd, 1, 1960, time.Millisecond)
	mostly.Runs = append(mostly.Runs, measured("a", ProbeEtcd, 1, 40, 30*time.Millisecond).Runs...)
	if got := etcdTakes(mostly); got != "no" {
		t.Errorf("a disk of which 2 %% of the writes take 30 ms: %s", got)
	}
}

// TestSteady: the rate at the end is the last tenth's, beside the first tenth's.
func TestSteady(t *testing.T) {
	row := Row{Mode: Closed, Name: LoadSteady, Runs: []Run{{}}}
	if got := steady(row); got != "-" {
		t.Error(got)
	}
	for i := range 60 {
		count := int64(500)
		if i >= 30 {
			count = 100
		}
		row.Runs[0].Windows = append(row.Runs[0].Windows, Window{Seconds: 1, Count: count})
	}
	if got := steady(row); got != "100000/s, 20 % of the first" {
		t.Error(got)
	}
	row.Runs[0].Windows[0].Count, row.Runs[0].Windows[59].Count = 0, 0 // one stall of a second
	if got := steady(row); got != "100000/s, 20 % of the first" {
		t.Error(got)
	}
}

// TestDiskPage: the page begins with a row for each disk, and its charts and tables are folded below.
func TestDiskPage(t *testing.T) {
	f := disksOf(5, 1000, map[string]time.Duration{"a": time.Millisecond, "b": 2 * time.Millisecond}, "a", "b")
	var b bytes.Buffer
	if err := Page(&b, []*File{f}); err != nil {
		t.Fatal(err)
	}
	last, page := 0, b.String()
	for _, part := range []string{"Buy a: ", "<td>consumer</td>", "<details><summary>Charts", "<svg", "</svg>", "</details>", "<details><summary>Tables"} {
		at := strings.Index(page[last:], part)
		if at < 0 {
			t.Fatalf("%q is not where it should be", part)
		}
		last += at
	}
	if strings.Contains(page, "time of a write with its sync") {
		t.Error("a chart for each probe says what the first screen says")
	}
	b.Reset()
	if err := f.Report(&b); err != nil || strings.Index(b.String(), "Buy a: ") > strings.Index(b.String(), modeTitles[Probe]) {
		t.Errorf("%v: the text does not begin with the disks: %s", err, &b)
	}
}
