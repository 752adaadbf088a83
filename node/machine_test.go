package node

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/snapshot/backup/store"
)

// The log's files are as large as was asked for, or fit the disk.
func TestSegmentsFitTheDisk(t *testing.T) {
	fs := simdisk.New(1)
	if err := fs.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ disk, asked, request, want int64 }{
		{1 << 40, 0, limits.RequestBytesWritten, limits.SegmentBytes},
		{4 << 30, 0, limits.RequestBytesWritten, limits.SegmentBytes},
		{4<<30 - 1, 0, limits.RequestBytesWritten, 32 << 20},
		{512 << 20, 0, limits.RequestBytesWritten, 8 << 20},
		{512 << 20, 0, limits.RequestBytes, 17 << 20},
		{4 << 30, 0, limits.RequestBytes, limits.SegmentBytes},
		{1 << 20, 0, limits.RequestBytesWritten, 2 << 20},
		{1 << 20, 0, limits.RequestBytesLeast, segmentBytesSmall},
		{0, 0, limits.RequestBytes, limits.SegmentBytes},
		{512 << 20, 64 << 20, limits.RequestBytes, 64 << 20},
	} {
		fs.SetCapacity(c.disk)
		if got := segmentBytes(c.asked, c.request, fs, "data"); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if got := segmentBytes(0, 0, fs, "none"); got != limits.SegmentBytes {
		t.Errorf("of a disk that says nothing: %d", got)
	}
}

// A group has the least that it and those around it are given.
func TestMemoryOfGroups(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "slice", "unit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		outer, inner string
		want         int64
	}{
		{"max\n", "max\n", math.MaxInt64}, {"1000\n", "max\n", 1000}, {"1000\n", "900\n", 900}, {"800\n", "900\n", 800}, {"", "-5", math.MaxInt64},
	} {
		for at, text := range map[string]string{filepath.Dir(dir): c.outer, dir: c.inner} {
			if err := os.WriteFile(filepath.Join(at, "memory.max"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := groupLimit(root, "/slice/unit", "memory.max"); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if got := machineMemory(); got < 1<<20 {
		t.Errorf("this machine has %d bytes of memory", got)
	}
}

// A state may weigh half of the memory and an eighth of that half. Live data and history count alike.
func TestMemoryText(t *testing.T) {
	view := viewOf(t, quotaPut("a", 5000), quotaPut("a", 5000), quotaPut("b", 3000))
	used := view.UsedBytes()
	enough := (used*8/9 + 2) * limits.StateOfMemory
	for memory, want := range map[int64]bool{0: false, enough: false, enough - 8*limits.StateOfMemory: true, 1: true, view.LiveUsedBytes() * 2: true, math.MaxInt64: false} {
		if text := memoryText(view, memory); (text != "") != want {
			t.Errorf("%d bytes weigh on a memory of %d: %q", used, memory, text)
		}
	}
	exact := viewOf(t, quotaPut("a", 9*1000-int(viewOf(t, quotaPut("a", 0)).UsedBytes())))
	if text := memoryText(exact, 16000); text != "" || exact.UsedBytes() != 9000 {
		t.Errorf("%d bytes weigh on a memory of 16000: %q", exact.UsedBytes(), text)
	}
	if text := memoryText(exact, 15998); text == "" {
		t.Error("a byte less says nothing")
	}
}

// What keys and values may take is as asked for, or five eighths of what the process may use. Without a backup, a cluster of one keeps live
// values.
func TestSetMemory(t *testing.T) {
	for _, c := range []struct {
		asked, memory int64
		backup        bool
		want          int64
		alone         bool
	}{{0, 8000, false, 0, false}, {77, 8000, false, 77, false}, {MemoryAuto, 8000, false, 5000, true}, {MemoryAuto, 8000, true, 5000, false}, {MemoryAuto, 0, false, 0, true}} {
		m := member{config: Config{MemoryBytes: c.asked}, env: environment{Memory: c.memory}}
		if c.backup {
			m.config.Backup.Store = struct{ store.Store }{}
		}
		m.setMemory()
		if got := m.env.Limits.Index; got.MemoryBytes != c.want || got.AloneInMemory != c.alone {
			t.Errorf("%+v: %d bytes, alone in memory %v", c, got.MemoryBytes, got.AloneInMemory)
		}
	}
}

// With a budget, values leave memory and only keys count.
func TestMemoryTextOfABudget(t *testing.T) {
	l := limits.Defaults().Index
	l.MemoryBytes = 3000
	state := index.NewState(l)
	if _, err := state.Apply(1, 1, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Wall: 1}, [][]byte{quotaPut("a", 5000)}), nil); err != nil {
		t.Fatal(err)
	}
	if text := memoryText(state.View(), 1); text != "" {
		t.Errorf("one key weighs on a budget of 3000 bytes: %q", text)
	}
	puts := [][]byte(nil)
	for i := range 40 {
		puts = append(puts, quotaPut(fmt.Sprintf("%032d", i), 0))
	}
	if _, err := state.Apply(2, 1, index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 1, Wall: 2}, puts), nil); err != nil {
		t.Fatal(err)
	}
	if text := memoryText(state.View(), math.MaxInt64); !strings.Contains(text, "--memory-bytes") {
		t.Errorf("41 keys of 32 bytes in a budget of 3000 bytes: %q", text)
	}
}

// Connections get the files that the log and the sockets leave them.
func TestConnectionsFor(t *testing.T) {
	const least = filesKept + etcdConnectionsLeast
	for files, want := range map[uint64]int{
		least: etcdConnectionsLeast, 464: 80, 1024: 640, 1 << 20: limits.EtcdConnections, math.MaxUint64: limits.EtcdConnections,
	} {
		if got, err := connectionsFor(files, limits.EtcdConnections); got != want || err != nil {
			t.Errorf("with %d files: %d connections, not %d: %v", files, got, want, err)
		}
	}
	for _, files := range []uint64{0, 16, least - 1} {
		if got, err := connectionsFor(files, limits.EtcdConnections); err == nil {
			t.Errorf("with %d files: %d connections", files, got)
		}
	}
	if n := openFiles(); n < 256 {
		t.Errorf("this process may open %d files", n)
	}
}

// TestMachineOfTheStatus: two members on one kernel report one number, members of another cluster another one, and the kernel's own id
// is in neither.
func TestMachineOfTheStatus(t *testing.T) {
	here := thisMachine(filepath.Join(t.TempDir(), "not", "yet"))
	if here.Files != openFiles() || here.Boot == "" || here.Device == 0 {
		t.Errorf("the host of this test is %+v", here)
	}
	if again := thisMachine(t.TempDir()); again.hostOf(7) != here.hostOf(7) || again.Device != here.Device {
		t.Errorf("the folders of two members on this host: %+v and %+v", here, again)
	}
	if here.hostOf(7) == here.hostOf(8) || here.hostOf(7) == 0 {
		t.Errorf("hosts of two clusters: %x and %x", here.hostOf(7), here.hostOf(8))
	}
	if other := (machine{Boot: "another boot"}); other.hostOf(7) == here.hostOf(7) || (machine{}).hostOf(7) != 0 {
		t.Errorf("another host: %x, an unknown one: %x", other.hostOf(7), (machine{}).hostOf(7))
	}
}
