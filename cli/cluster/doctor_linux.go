package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"qkv/bench"
	"qkv/bench/machine"
	"qkv/cli/form"
	"qkv/internal/checks"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

// folderFacts examines a member's data folder and this host.
func folderFacts(ctx context.Context, dir string) *checks.Folder {
	d := &checks.Folder{Dir: dir, User: uint32(os.Geteuid())}
	hostFacts(d)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		d.Error = err.Error()
	case !info.IsDir():
		d.Error = dir + " is not a folder"
	}
	if d.Error != "" {
		return d
	}
	d.Mode = info.Mode().Perm()
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		d.Owner = owner.Uid
	}
	storage, err := machine.Host{}.Device(dir)
	if err == nil {
		d.FreeBytes, d.SizeBytes = storage.FreeBytes, storage.TotalBytes
	}
	d.Sync = measureSync(ctx, dir, storage)
	readFiles(dir, d)
	return d
}

// doctorSyncTime bounds the measurement of a disk: long enough for a p99 of several hundred syncs on a good disk.
const doctorSyncTime = time.Second

// measureSync measures syncs like the log's.
func measureSync(ctx context.Context, dir string, storage machine.Device) checks.Sync {
	probe := bench.LogSyncs(dir)
	probe.Rest, probe.Longest = 0, doctorSyncTime
	l, err := bench.ProbeDisk(ctx, probe)
	if err != nil {
		return checks.Sync{Skip: "the disk was not measured: " + form.OneLine(err.Error())}
	}
	class := machine.ClassOf(storage, l.P50)
	return checks.Sync{P50: l.P50, P99: l.P99, Class: class.Name, Meaning: class.Meaning}
}

// unused returns why the files of a folder cannot be judged; nil if no member uses the folder.
func unused(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "identity")); errors.Is(err, fs.ErrNotExist) {
		return errors.New("no member has data in the folder")
	}
	lock, err := disk.OS().Lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return fmt.Errorf("a member runs on the folder, and its files change: stop it for this check (%w)", err)
	}
	return lock.Close()
}

// readFiles reads the log, all snapshots and their parts, unless a member runs on the folder. It holds no lock meanwhile: a member may start at any
// time, and then the result does not count.
func readFiles(dir string, d *checks.Folder) {
	if err := unused(dir); err != nil {
		d.FilesSkip = form.OneLine(err.Error())
		return
	}
	wal := filepath.Join(dir, "wal")
	segments, _ := filepath.Glob(filepath.Join(wal, "*"))
	d.Read = len(segments)
	if err := log.Dump(disk.OS(), wal, io.Discard, log.DumpOptions{}); err != nil {
		d.Damaged = append(d.Damaged, "the log: "+form.OneLine(err.Error()))
	}
	snapshots, _ := filepath.Glob(filepath.Join(dir, "snap", "*.snap"))
	parts, _ := filepath.Glob(filepath.Join(dir, "snap", "*.part"))
	for _, file := range append(snapshots, parts...) {
		d.Read++
		if err := snapshot.Dump(disk.OS(), file, io.Discard, false); err != nil {
			d.Damaged = append(d.Damaged, form.OneLine(err.Error()))
		}
	}
	if err := unused(dir); err != nil {
		d.Damaged, d.FilesSkip = nil, form.OneLine(err.Error())
	}
}

// hostFacts examines this host's limits, clock and network settings.
func hostFacts(d *checks.Folder) {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		d.Files = files.Cur
	}
	if d.TimerSlack = time.Duration(form.TimerSlack()); d.TimerSlack == 0 {
		d.TimerSlackSkip = "the kernel does not report it"
	}
	var clock syscall.Timex
	const unsynchronized = 5 // TIME_ERROR of adjtimex(2)
	state, err := syscall.Adjtimex(&clock)
	if err != nil {
		d.ClockSkip = "ask the kernel for the state of its clock: " + err.Error()
	}
	d.ClockSynced = state != unsynchronized
	receive, err := kernelNumber("net/core/rmem_max")
	send, err2 := kernelNumber("net/core/wmem_max")
	if err := errors.Join(err, err2); err != nil {
		d.UDPSkip = form.OneLine(err.Error())
	}
	d.UDPReceive, d.UDPSend = receive, send
}

// kernelNumber reads a setting in /proc/sys.
func kernelNumber(name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
