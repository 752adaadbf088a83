package machine

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Environment is the environment of a benchmark.
type Environment struct {
	Program     string    `json:"program"` // version and revision of the build
	Go          string    `json:"go"`
	Kernel      string    `json:"kernel"`
	CPU         string    `json:"cpu"`
	Processors  int       `json:"processors"` // available to this process
	MemoryBytes int64     `json:"memory_bytes"`
	Governor    string    `json:"governor,omitempty"`
	CgroupCPU   string    `json:"cgroup_cpu,omitempty"`    // cpu.max
	CgroupBytes string    `json:"cgroup_memory,omitempty"` // memory.max
	Pressure    *Pressure `json:"before,omitempty"`
	After       *Pressure `json:"after,omitempty"`
	Warnings    []string  `json:"warnings,omitempty"`
}

// Pressure is the other work of a machine.
type Pressure struct {
	At   time.Time `json:"at"`
	Load float64   `json:"load"` // average of the last minute
	// CPU and IO are the shares of the last 10 s, in percent, in which a process waited for them (PSI); -1 if the kernel does not report
	// them.
	CPU float64 `json:"cpu_some"`
	IO  float64 `json:"io_some"`
}

// Environment describes the current state of the machine.
func (h Host) Environment(program string) Environment {
	e := Environment{
		Program: program, Go: runtime.Version(), Processors: runtime.NumCPU(),
		Governor:  h.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		CgroupCPU: h.text("sys/fs/cgroup/cpu.max"), CgroupBytes: h.text("sys/fs/cgroup/memory.max"),
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			switch {
			case s.Key == "vcs.revision":
				e.Program += " " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				e.Program += " modified"
			}
		}
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Machine[:])
	}
	e.CPU = h.field("proc/cpuinfo", "model name")
	e.MemoryBytes = kibibytes(h.field("proc/meminfo", "MemTotal")) << 10
	e.Pressure = new(h.Pressure())
	e.Warnings = e.warnings()
	return e
}

// busyShare is the load, per processor, above which other processes delay a member and its clients.
const busyShare = 0.5

func (e Environment) warnings() (all []string) {
	if e.Governor == "powersave" {
		all = append(all, "the processors' governor is powersave: `cpupower frequency-set -g performance`")
	}
	if e.Pressure != nil && e.Pressure.Load > busyShare*float64(e.Processors) {
		all = append(all, "the host is busy: load "+strconv.FormatFloat(e.Pressure.Load, 'f', 1, 64)+" on "+strconv.Itoa(e.Processors)+" processors before anything began")
	}
	return all
}

// Pressure returns the machine's current work.
func (h Host) Pressure() Pressure {
	p := Pressure{At: time.Now().UTC().Truncate(time.Second), CPU: h.some("cpu"), IO: h.some("io")}
	if load := strings.Fields(h.text("proc/loadavg")); len(load) > 0 {
		p.Load, _ = strconv.ParseFloat(load[0], 64)
	}
	return p
}

// FreeBytes returns how much memory a new process could use: the kernel's MemAvailable, or the rest of the cgroup's limit if that is less.
func (h Host) FreeBytes() int64 {
	free := kibibytes(h.field("proc/meminfo", "MemAvailable")) << 10
	if most := h.number("sys/fs/cgroup/memory.max"); most > 0 {
		free = min(free, most-h.number("sys/fs/cgroup/memory.current"))
	}
	return max(free, 0)
}

// some returns avg10 of "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func (h Host) some(what string) float64 {
	for _, f := range strings.Fields(h.text("proc/pressure", what)) {
		if value, found := strings.CutPrefix(f, "avg10="); found {
			share, err := strconv.ParseFloat(value, 64)
			if err == nil {
				return share
			}
		}
	}
	return -1
}

// field returns the first value of "name : value" in a file of such lines.
func (h Host) field(file, name string) string {
	f, err := os.Open(h.file(file))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kibibytes parses "123 kB".
func kibibytes(s string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, 64)
	return n
}
