package emulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Profile is the measured behaviour of a disk.
type Profile struct {
	Name   string
	Source string  // who measured what, and when
	Syncs  []Point // sync times by ascending percentiles, from 0 to 100
	// BytesPerSecond is the disk's throughput.
	BytesPerSecond int64
}

// Point is a percentile: Percent of the syncs took at most Took.
type Point struct {
	Percent float64
	Took    time.Duration
}

// profiles lists all profiles. Percentiles of the source are the points; between points a percentile is interpolated on a logarithmic
// scale of time.
var profiles = []Profile{
	{
		// The article gives means of several devices and no percentiles: the spread is between devices.
		Name: "nvme-plp",
		Source: "fdatasync of 16 KiB on NVMe disks with power-loss protection: 12 to 58 us on average, by device. " +
			"M. Callaghan, \"SSDs, power loss protection and fsync latency\", 2026-01-08",
		Syncs:          []Point{{0, 12 * us}, {100, 58 * us}},
		BytesPerSecond: 2 << 30,
	},
	{
		// The percentiles above 95 were not available. The 99th is derived from the published mean of 1493.54 us.
		Name: "nvme-consumer",
		Source: "fio, fdatasync of 2300 bytes on a consumer's NVMe disk, RHEL 7.8. A. Sullivan, collection of fio results for etcd, " +
			"gist acsulli/2d500e2489babea83843e1edd27a118e, 2020-10-29",
		Syncs: []Point{
			{0, 449 * us},
			{1, 469 * us},
			{5, 537 * us},
			{10, 603 * us},
			{20, 701 * us},
			{30, 906 * us},
			{40, 1287 * us},
			{50, 1418 * us},
			{60, 1582 * us},
			{70, 1811 * us},
			{80, 2057 * us},
			{90, 2376 * us},
			{95, 2835 * us},
			{99, 3600 * us},
			{100, 11120 * us},
		},
		BytesPerSecond: 1 << 30,
	},
	{
		// The article does not name the disk. The two humps are typical of a disk without power-loss protection on which every other sync
		// also commits the file system's journal.
		Name: "sata-ssd",
		Source: "fio, fdatasync of 2300 bytes on an SSD. M. Olivi and M. Spreitzer, \"Using fio to tell whether your storage is fast " +
			"enough for etcd\", IBM Cloud blog, 2019-04-18",
		Syncs: []Point{
			{0, 534 * us},
			{1, 553 * us},
			{5, 578 * us},
			{10, 594 * us},
			{20, 627 * us},
			{30, 709 * us},
			{40, 750 * us},
			{50, 783 * us},
			{60, 1549 * us},
			{70, 1729 * us},
			{80, 1991 * us},
			{90, 2180 * us},
			{95, 2278 * us},
			{99, 2376 * us},
			{99.5, 9634 * us},
			{99.9, 15795 * us},
			{100, 15795 * us},
		},
		BytesPerSecond: 500 << 20,
	},
	{
		// The article gives min 327, max 5087, mean 700.24 and deviation 240.46 us. The points are of the log-normal distribution above
		// the minimum with that mean and deviation.
		Name: "cloud-gp3",
		Source: "fio, fdatasync of 2300 bytes on an AWS EBS gp3 volume of 3000 IOPS at an m6i.xlarge. MaGe Linux Operations, " +
			"\"Why upgrading EBS volumes boosted etcd write performance\", besthub.dev; 125 MiB/s is gp3's documented base",
		Syncs: []Point{
			{0, 327 * us},
			{1, 407 * us},
			{5, 446 * us},
			{10, 474 * us},
			{20, 518 * us},
			{30, 557 * us},
			{40, 597 * us},
			{50, 641 * us},
			{60, 691 * us},
			{70, 754 * us},
			{80, 842 * us},
			{90, 995 * us},
			{95, 1153 * us},
			{99, 1563 * us},
			{99.9, 2265 * us},
			{99.99, 3134 * us},
			{100, 5087 * us},
		},
		BytesPerSecond: 125 << 20,
	},
}

const us = time.Microsecond

// Find returns the profile with a name, or NAME+TIME: the profile with TIME added to each sync.
func Find(name string) (Profile, error) {
	first, more, slower := strings.Cut(name, "+")
	for _, p := range profiles {
		if p.Name != first {
			continue
		}
		if !slower {
			return p, nil
		}
		d, err := time.ParseDuration(more)
		if err != nil || d <= 0 || d > time.Minute {
			return Profile{}, fmt.Errorf("%q: a time is needed behind the profile's name, as in %s+1ms", name, first)
		}
		return p.plus(d), nil
	}
	return Profile{}, fmt.Errorf("there is no profile %q: %s", name, strings.Join(Names(), ", "))
}

// Names lists the names of all profiles.
func Names() (all []string) {
	for _, p := range profiles {
		all = append(all, p.Name)
	}
	return all
}

// plus returns the profile with d added to each sync.
func (p Profile) plus(d time.Duration) Profile {
	slower := p
	slower.Name = fmt.Sprintf("%s+%v", p.Name, d)
	slower.Source += fmt.Sprintf("; and %v more for each", d)
	slower.Syncs = nil
	for _, at := range p.Syncs {
		slower.Syncs = append(slower.Syncs, Point{at.Percent, at.Took + d})
	}
	return slower
}

// percentile returns the time that percent of the syncs do not exceed.
func (p Profile) percentile(percent float64) time.Duration {
	for i := 1; i < len(p.Syncs); i++ {
		from, to := p.Syncs[i-1], p.Syncs[i]
		if percent > to.Percent {
			continue
		}
		share := max(0, (percent-from.Percent)/(to.Percent-from.Percent))
		low, high := math.Log(float64(from.Took)), math.Log(float64(to.Took))
		return time.Duration(math.Exp(low + share*(high-low)))
	}
	return p.Syncs[len(p.Syncs)-1].Took
}

// draws is a sequence of sync times. Each hundred draws contain one from each percent, in random order: a run of a few hundred syncs has
// the profile's percentiles, and two runs do not differ by chance.
type draws struct {
	profile Profile
	random  *rand.Rand
	left    []int // percents left of this hundred
}

func (d *draws) next() time.Duration {
	if len(d.left) == 0 {
		d.left = d.random.Perm(100)
	}
	last := len(d.left) - 1
	percent := float64(d.left[last]) + d.random.Float64()
	d.left = d.left[:last]
	return d.profile.percentile(percent)
}

// moving is the transfer time of the given bytes.
func (p Profile) moving(bytes int64) time.Duration {
	return time.Duration(float64(bytes) / float64(p.BytesPerSecond) * float64(time.Second))
}
