package node

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// segmentBytes is the size of the log's files: what was asked for, or by the size of the disk that a folder is on, but so large that
// each write that is let in fits one of the spares: what does not needs a file of its own, for which a full disk has no reserve.
func segmentBytes(asked, request int64, fs disk.FS, dir string) int64 {
	if asked != 0 {
		return asked
	}
	size, err := fs.Size(dir)
	if err != nil || size <= 0 {
		return limits.SegmentBytes
	}
	whole := int64(1) << (bits.Len64(uint64(max(size/limits.SegmentsOfDisk, 1))) - 1)
	entry := (request + limits.BatchBytes + limits.SegmentOver + limits.SegmentBytesSmall - 1) / limits.SegmentBytesSmall * limits.SegmentBytesSmall
	return min(max(whole, entry), limits.SegmentBytes)
}

// filesKept is how many of the files that a process may have open no connection of etcd's clients gets.
const filesKept = limits.FilesKept + limits.EtcdMetricsConnections + limits.ClientConnectionsOver

// connectionsFor is how many connections to TCP ports there may be, where a process may have so many files open: most, if it can.
// Where that is too few for any, whoever connects could take those of the log, and a log that can open no file ends its member.
func connectionsFor(files uint64, most int) (int, error) {
	if least := uint64(filesKept + limits.EtcdConnectionsLeast); files < least {
		return 0, usagef("this process may have %d files open, and needs %d, so that connections leave the log its own: raise that limit (ulimit -n, LimitNOFILE=)", files, least)
	}
	return int(min(files-filesKept, uint64(most))), nil
}

// openFiles is how many files this process may have open.
func openFiles() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxUint64
	}
	return l.Cur
}

// machineMemory is how much memory this process may use: that of the machine, less where its groups or GOMEMLIMIT say so. 0 is
// not known.
func machineMemory() int64 {
	least := memTotal()
	if os.Getenv("GOMEMLIMIT") != "" { // else it is this package's own: Node.bound
		least = min(least, debug.SetMemoryLimit(-1))
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		groups = nil
	}
	for line := range strings.Lines(string(groups)) { // 0::/system.slice/qkv.service, or 4:memory:/docker/..
		_, of, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(of, ":")
		switch controllers {
		case "":
			least = min(least, groupLimit("/sys/fs/cgroup", group, "memory.max"))
		case "memory":
			least = min(least, groupLimit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// groupLimit is the least limit of a group and those around it; a container sees its own group as the outermost.
func groupLimit(root, group, file string) int64 {
	least := int64(math.MaxInt64)
	for {
		if b, err := os.ReadFile(path.Join(root, group, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 { // else it is "max"
				least = min(least, n)
			}
		}
		if group == "" || group == "/" || group == "." {
			return least
		}
		group = path.Dir(group)
	}
}

func memTotal() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	var kib int64
	if n, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); n != 1 || err != nil {
		return math.MaxInt64
	}
	return kib << 10
}
