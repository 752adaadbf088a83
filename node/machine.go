package node

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
)

const (
	// A segment shrinks until segmentsOfDisk segments fit the disk: there are up to limits.SparesMost spares, and space for five is kept
	// free. The largest entry must fit one segment, with segmentOver for its headers and the reserve, in multiples of segmentBytesSmall.
	segmentsOfDisk    = 64
	segmentBytesSmall = 1 << 20
	segmentOver       = 64 << 10
	// etcdConnectionsLeast is the minimum of file descriptors left for TCP connections: with fewer, a member does not start.
	etcdConnectionsLeast = 16
)

// segmentBytes is the size of the log's files: the configured one, or one by the size of the folder's disk. It is large enough for each
// accepted write to fit into a spare: a larger write needs a file of its own, for which a full disk has no reserve.
func segmentBytes(asked, request int64, fs disk.FS, dir string) int64 {
	if asked != 0 {
		return asked
	}
	size, err := fs.Size(dir)
	if err != nil || size <= 0 {
		return limits.SegmentBytes
	}
	whole := int64(1) << (bits.Len64(uint64(max(size/segmentsOfDisk, 1))) - 1)
	entry := (request + limits.BatchBytes + segmentOver + segmentBytesSmall - 1) / segmentBytesSmall * segmentBytesSmall
	return min(max(whole, entry), limits.SegmentBytes)
}

// filesKept is the number of a process's open files that connections of etcd's clients never get. Both TCP ports, for clients and for
// metrics, accept limits.ClientConnectionsOver more than they serve.
const filesKept = limits.FilesKept + limits.EtcdMetricsConnections + 2*limits.ClientConnectionsOver

// connectionsFor returns the number of connections to TCP ports for a process with that limit of open files: at most most. If the limit
// leaves none, connections could take the log's files, and a log that cannot open a file ends its member.
func connectionsFor(files uint64, most int) (int, error) {
	if least := uint64(filesKept + etcdConnectionsLeast); files < least {
		return 0, usagef("the limit of open files is %d, and this process needs %d: raise it (ulimit -n, LimitNOFILE=)", files, least)
	}
	return int(min(files-filesKept, uint64(most))), nil
}

// openFiles returns this process's limit of open files.
func openFiles() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxUint64
	}
	return l.Cur
}

// machine describes a member's host in its status. A field is 0 if it is not known.
type machine struct {
	Boot   string // the id of the kernel's boot; empty: not known
	Device uint64 // of the data folder's file system
	Files  uint64 // the limit of open files
}

// thisMachine describes the host of a data folder, which need not exist yet.
func thisMachine(dir string) machine {
	h := machine{Files: openFiles()}
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		h.Boot = strings.TrimSpace(string(b))
	}
	for ; ; dir = path.Dir(dir) {
		var at syscall.Stat_t
		if err := syscall.Stat(dir, &at); err == nil {
			h.Device = at.Dev
			return h
		}
		if dir == path.Dir(dir) {
			return h
		}
	}
}

// hostOf returns a number that is equal for two members of a cluster on one running kernel, in containers, too. It is a digest: the
// status shows it to clients, and the id of a boot is the host's own.
func (h machine) hostOf(cluster uint64) uint64 {
	if h.Boot == "" {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%016x %s", cluster, h.Boot))
	return binary.BigEndian.Uint64(sum[:])
}

// MemoryAuto, as Config.MemoryBytes, means five eighths of the memory that the process may use. The values of a cluster of one member without
// a backup stay in memory: nobody has a copy of a damaged file.
const MemoryAuto = -1

// setMemory sets what keys and values may take of the process's memory.
func (m *member) setMemory() {
	to := &m.env.Limits.Index
	if to.MemoryBytes = m.config.MemoryBytes; to.MemoryBytes == MemoryAuto {
		to.MemoryBytes, to.AloneInMemory = m.env.Memory/8*5, m.config.Backup.Store == nil
	}
}

// StateMemory returns the size of the live keys for which this process has enough memory; 0: it is not known.
func StateMemory() int64 { return stateMemory(machineMemory()) }

// stateMemory is that of a process with so much memory: keys of 256 bytes take a quarter more memory than in the figures.
func stateMemory(memory int64) int64 { return memory / 4 * 3 }

// machineMemory returns the memory that this process may use: the machine's, or less by its groups or GOMEMLIMIT. 0 is not known.
func machineMemory() int64 {
	least := memTotal()
	if os.Getenv("GOMEMLIMIT") != "" { // otherwise it is this package's own: Node.bound
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

// groupLimit returns the smallest limit of a group and its parents; a container sees its own group as the outermost.
func groupLimit(root, group, file string) int64 {
	least := int64(math.MaxInt64)
	for {
		if b, err := os.ReadFile(path.Join(root, group, file)); err == nil {
			// otherwise it is "max"
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
		if group == "" || group == "/" || group == "." {
			return least
		}
		group = path.Dir(group)
	}
}

// noticeMemory raises, ends and logs the notice MEMORY. Every member does so for itself: a quorum may keep more history than this
// member's memory holds.
func (m *member) noticeMemory() {
	text := memoryText(m.status.View(), m.env.Memory)
	m.status.Alarm(kv.Alarm{Name: kv.MemoryNotice, Text: text})
	if text != "" && m.duty.smallMemory.due(m.env.Driver.Time().Now) {
		m.logger.Warn(text)
	}
}

// memoryText returns the notice of a state that is larger than a machine with that memory holds with ease, or an empty text; 0 bytes are
// not known. History slightly exceeds its bound before it is compacted: an eighth more raises no notice.
func memoryText(view *index.View, memory int64) string {
	if m := view.Memory(); m.Budget > 0 {
		if m.Keys <= m.Budget {
			return ""
		}
		return fmt.Sprintf("the keys, without their values, take %.1f MiB of memory, more than the %.1f MiB of --memory-bytes: out of memory, the system may kill this member; "+
			"give it more memory, delete keys, or set a lower --history-bytes on all members", mib(m.Keys), mib(m.Budget))
	}
	holds := memory / limits.StateOfMemory
	if memory == 0 || view.UsedBytes() <= holds+holds/8 {
		return ""
	}
	return fmt.Sprintf("keys, history and leases take %.1f MiB; with its memory limit of %.1f MiB this member holds %.1f MiB safely: out of memory, the system may kill it; "+
		"give it more memory, delete keys, or set a lower --history-bytes on all members", mib(view.UsedBytes()), mib(memory), mib(holds))
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
