package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestDevices runs testdata/devices: `tree` lays out a machine's files (a line a file with its first line, or a link
// with ->), `device` describes a path with a device number.
func TestDevices(t *testing.T) {
	root := ""
	datadriven.RunTest(t, "testdata/devices", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "tree":
			root = t.TempDir()
			for _, line := range strings.Split(d.Input, "\n") {
				layOut(t, root, line)
			}
			return ""
		case "device":
			var path, number string
			d.ScanArgs(t, "path", &path)
			d.ScanArgs(t, "number", &number)
			device := Device{numberOfDir: number}
			Host{Root: root}.describe(&device, path)
			s := device.String() + "\noptions " + device.Options + "\n"
			for _, disk := range device.Disks {
				s += fmt.Sprintf("%s: %s\n", disk.Name, disk.Kind)
			}
			for _, w := range device.Warnings {
				s += "warning: " + w + "\n"
			}
			return s
		default:
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		}
	})
}

func layOut(t *testing.T, root, line string) {
	t.Helper()
	if from, to, link := strings.Cut(line, " -> "); link {
		name := filepath.Join(root, from)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, to), name); err != nil {
			t.Fatal(err)
		}
		return
	}
	name, text, _ := strings.Cut(line, ": ")
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestThisMachine: what every Linux tells is there, and a folder that does not exist is an error that names it.
func TestThisMachine(t *testing.T) {
	d, err := Host{}.Device(t.TempDir())
	if err != nil || d.FileSystem == "" || d.TotalBytes <= 0 || d.FreeBytes > d.TotalBytes {
		t.Errorf("%v: %+v", err, d)
	}
	if _, err := (Host{}).Device("/does/not/exist"); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("a folder that does not exist: %v", err)
	}
	e := Host{}.Environment("qkv")
	if e.Kernel == "" || e.Processors < 1 || e.MemoryBytes < 1<<20 || e.Pressure == nil || e.Pressure.At.IsZero() {
		t.Errorf("%+v", e)
	}
	if free := (Host{}).FreeBytes(); free < 1<<20 || free > e.MemoryBytes {
		t.Errorf("%d of %d bytes of memory are free", free, e.MemoryBytes)
	}
	other := d
	if !SameDevice(d, other) {
		t.Error("a folder is not on its own device")
	}
}

// TestFreeBytes: a cgroup's limit counts where it leaves less than the machine has.
func TestFreeBytes(t *testing.T) {
	root := t.TempDir()
	layOut(t, root, "proc/meminfo: MemTotal: 4000 kB")
	layOut(t, root, "proc/meminfo: MemAvailable: 3000 kB")
	free := func(want int64) {
		t.Helper()
		if got := (Host{Root: root}).FreeBytes(); got != want {
			t.Errorf("%d bytes, not %d", got, want)
		}
	}
	free(3000 << 10)
	layOut(t, root, "sys/fs/cgroup/memory.max: 2000000")
	layOut(t, root, "sys/fs/cgroup/memory.current: 1500000")
	free(500_000)
}

func TestClassOf(t *testing.T) {
	for median, want := range map[time.Duration]string{
		20 * time.Microsecond: "plp", 130 * time.Microsecond: "fast", time.Millisecond: "consumer", 4 * time.Millisecond: "slow", 20 * time.Millisecond: "disk-like",
	} {
		if got := ClassOf(Device{}, median).Name; got != want {
			t.Errorf("%v: %s, not %s", median, got, want)
		}
	}
	if got := ClassOf(Device{FileSystem: "tmpfs"}, time.Microsecond).Name; got != "memory" {
		t.Errorf("memory is %s", got)
	}
}
