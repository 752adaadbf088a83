package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/internal/testlong"
)

// TestAdverseSlowDisk: three members on disks of 2 MB/s, with 8 MB of puts under way all the time. A disk that is slow
// and makes progress ends no member, moves leadership once at most, and most of what it can do is acknowledged.
func TestAdverseSlowDisk(t *testing.T) {
	testlong.Skip(t)
	const (
		disk     = 2 << 20  // bytes a second
		value    = 64 << 10 // of a put
		callers  = 128      // 8 MB under way
		partMost = 0.7
		gapMost  = 3 * time.Second
	)
	alongside(t)
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	took := variant(15*time.Second, time.Minute)
	disks := []*slowDisk{newSlowDisk(t, 2<<30), newSlowDisk(t, 2<<30), newSlowDisk(t, 2<<30)}
	c := newProcesses(t, 3, "--segment-bytes", variant("8388608", "67108864")) // after the disks, so that it ends before them
	for i, m := range c.members {
		m.before, m.dataDir = disks[i].before(), filepath.Join(disks[i].dir, "data")
		m.start()
	}
	c.level()
	l := startMeter(c, "slow", c.clients(6), callers, value, 0)
	// At full speed until files are used again, as in a member that has run for long.
	for warm := variant(80, 400) << 20 / value; len(l.acknowledged(0, l.now())) < warm; {
		l.acknowledges(processWait)
	}
	for _, d := range disks {
		must(t, d.limit(disk))
	}
	time.Sleep(variant(3*time.Second, 10*time.Second)) // what was queued at full speed is done
	leaders, from := c.leaders(), l.now()
	time.Sleep(took)
	to := l.now()
	moved := c.leaders() - leaders
	rate, gap := l.rate(from, to)*value, l.gap(from, to)
	t.Logf("figures: disks of %d MB/s by a control group on loop devices, %d MB under way for %v: %d changes of leader, %.2f MB/s acknowledged (%.0f %%), %d puts failed, longest gap %v",
		disk>>20, callers*value>>20, took, moved, rate/1e6, 100*rate/disk, l.failures(from, to), gap.Round(time.Millisecond))
	if fullVariant() && moved > 1 {
		t.Errorf("leadership changed %d times", moved)
	}
	c.allRun()
	if part := rate / disk; fullVariant() && part < partMost {
		t.Errorf("%.0f %% of the disks' speed was acknowledged, under %.0f", 100*part, 100*partMost)
	}
	if fullVariant() && gap > gapMost { // in seconds, what was begun at full speed is not over
		t.Errorf("for %v no put was acknowledged, over %v", gap, gapMost)
	}
	for _, d := range disks {
		must(t, d.limit(1<<40))
	}
	l.acknowledges(processWait)
	l.nothingLost()
	c.level()
}

// slowDisk is a file system on a loop device, whose speed a control group limits for the members in it.
type slowDisk struct {
	t      testing.TB
	dir    string
	device string // major:minor
	group  string // folder of the control group
	v2     bool
}

// newSlowDisk makes one, at full speed; the test must be apart. It says which way it took.
func newSlowDisk(t testing.TB, size int64) *slowDisk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("no slow disk: only root can mount a loop device and limit it")
	}
	d := &slowDisk{t: t, dir: filepath.Join(t.TempDir(), "disk")}
	must(t, os.Mkdir(d.dir, 0o700))
	image := d.dir + ".img"
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, size))
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image},
		{"mount", "-o", "loop", image, d.dir},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no slow disk: %s: %v: %s", strings.Join(command, " "), err, out)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, 0); err != nil {
			t.Errorf("unmount %s: %v", d.dir, err)
		}
	})
	var info unix.Stat_t
	must(t, unix.Stat(d.dir, &info))
	d.device = fmt.Sprintf("%d:%d", unix.Major(info.Dev), unix.Minor(info.Dev))
	d.makeGroup()
	return d
}

// makeGroup makes the control group, by version 1 or 2, whichever rules devices here.
func (d *slowDisk) makeGroup() {
	d.t.Helper()
	name := fmt.Sprintf("qkv-test-%d-%s", os.Getpid(), strings.ReplaceAll(d.device, ":", "-"))
	d.group = filepath.Join("/sys/fs/cgroup/blkio", name)
	if err := os.Mkdir(d.group, 0o755); err != nil {
		d.v2, d.group = true, filepath.Join("/sys/fs/cgroup", name)
		_ = os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+io"), 0)
		if err := os.Mkdir(d.group, 0o755); err != nil {
			d.t.Skipf("no slow disk: no control group limits devices here: %v", err)
		}
	}
	d.t.Cleanup(func() { _ = os.Remove(d.group) })
	if err := d.limit(1 << 40); err != nil {
		d.t.Skipf("no slow disk: its speed cannot be limited: %v", err)
	}
}

// limit limits writing to so many bytes a second.
func (d *slowDisk) limit(bytes int64) error {
	if d.v2 {
		return os.WriteFile(filepath.Join(d.group, "io.max"), fmt.Appendf(nil, "%s wbps=%d", d.device, bytes), 0)
	}
	return os.WriteFile(filepath.Join(d.group, "blkio.throttle.write_bps_device"), fmt.Appendf(nil, "%s %d", d.device, bytes), 0)
}

// before is what runs a member in the control group.
func (d *slowDisk) before() []string {
	return []string{"sh", "-c", "echo $$ >" + filepath.Join(d.group, "cgroup.procs") + ` && exec "$@"`, "sh"}
}
