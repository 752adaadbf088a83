package machine

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host reads descriptions from the files of a machine.
type Host struct {
	// Root is prepended to /proc and /sys; empty for this machine.
	Root string
}

// Device is the storage below a folder.
type Device struct {
	FileSystem  string   `json:"file_system"`
	Options     string   `json:"options"` // of the mount and of the file system
	Source      string   `json:"source"`  // the mounted source, such as /dev/nvme0n1p2
	Number      string   `json:"number"`  // major:minor; empty without a block device
	Disks       []Disk   `json:"disks"`   // physical disks; several below dm, md and file systems of several devices
	FreeBytes   int64    `json:"free_bytes"`
	TotalBytes  int64    `json:"total_bytes"`
	Warnings    []string `json:"warnings,omitempty"`
	numberOfDir string
}

// Disk is one disk, as described by /sys/block.
type Disk struct {
	Name  string `json:"name"` // such as nvme0n1
	Kind  string `json:"kind"` // nvme, sata or scsi, virtual, mmc, or "unknown"
	Model string `json:"model,omitempty"`
	// "write back": a flush has work to do; "write through": a flush does nothing
	WriteCache string `json:"write_cache,omitempty"`
}

// mount is a line of /proc/self/mountinfo (proc(5)).
type mount struct{ number, point, options, fileSystem, source, superOptions string }

// Device describes the storage below a folder, which must exist.
func (h Host) Device(dir string) (Device, error) {
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Device{}, fmt.Errorf("find the device of %s: %w", dir, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return Device{}, fmt.Errorf("find the device of %s: %w", dir, err)
	}
	var d Device
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return Device{}, fmt.Errorf("find the device of %s: %w", dir, err)
	}
	d.numberOfDir = fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	var space unix.Statfs_t
	if err := unix.Statfs(path, &space); err == nil {
		d.FreeBytes, d.TotalBytes = int64(space.Bavail)*space.Bsize, int64(space.Blocks)*space.Bsize
	}
	h.describe(&d, path)
	return d, nil
}

// describe fills in the details of a path on the device numberOfDir, from mounts and /sys.
func (h Host) describe(d *Device, path string) {
	m, found := holding(h.mounts(), path, d.numberOfDir)
	if !found {
		d.Warnings = append(d.Warnings, "no mount is known that holds it")
		return
	}
	d.FileSystem, d.Source = m.fileSystem, m.source
	d.Options = merged(m.options, m.superOptions)
	d.Number = h.blockNumber(d.numberOfDir, m)
	if d.Number != "" {
		for _, name := range h.disksOf(d.Number) {
			d.Disks = append(d.Disks, h.disk(name))
		}
	}
	d.Warnings = append(d.Warnings, warnings(d)...)
}

func (h Host) file(elements ...string) string {
	return filepath.Join(append([]string{h.Root, "/"}, elements...)...)
}

// text returns a file's first line, or empty.
func (h Host) text(elements ...string) string {
	b, err := os.ReadFile(h.file(elements...))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

func (h Host) number(elements ...string) int64 {
	n, _ := strconv.ParseInt(h.text(elements...), 10, 64)
	return n
}

func (h Host) mounts() (all []mount) {
	f, err := os.Open(h.file("proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
		before, after, found := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !found || len(left) < 6 || len(right) < 3 {
			continue
		}
		all = append(all, mount{
			number: left[2], point: unescape(left[4]), options: left[5],
			fileSystem: right[0], source: unescape(right[1]), superOptions: right[2],
		})
	}
	return all
}

// unescape undoes mountinfo's octal escapes of blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// holding returns the mount that holds a path: the deepest above it, and of several at one point the last, which covers the others. At
// equal depth, the mount with the folder's own device number is preferred.
func holding(mounts []mount, path, number string) (best mount, found bool) {
	better := func(m mount) bool {
		if !found || len(m.point) != len(best.point) {
			return !found || len(m.point) > len(best.point)
		}
		return m.number == number || best.number != number
	}
	for _, m := range mounts {
		if (path == m.point || m.point == "/" || strings.HasPrefix(path, m.point+"/")) && better(m) {
			best, found = m, true
		}
	}
	return best, found
}

// merged returns both lists of options without duplicates.
func merged(a, b string) string {
	options := strings.Split(a+","+b, ",")
	var all []string
	for _, o := range options {
		if o != "" && !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return strings.Join(all, ",")
}

// blockNumber returns the number of the block device below a mount. File systems of several devices (btrfs, zfs) and overlays have a
// number without a block device; their mount source may name one.
func (h Host) blockNumber(number string, m mount) string {
	for _, n := range []string{number, m.number} {
		if _, err := os.Stat(h.file("sys/dev/block", n)); err == nil {
			return n
		}
	}
	if strings.HasPrefix(m.source, "/dev/") {
		name := filepath.Base(m.source)
		if real, err := filepath.EvalSymlinks(h.file(m.source)); err == nil {
			name = filepath.Base(real)
		}
		return h.text("sys/class/block", name, "dev")
	}
	return ""
}

// disksOf returns the names of the physical disks below a block device.
func (h Host) disksOf(number string) []string {
	path, err := filepath.EvalSymlinks(h.file("sys/dev/block", number))
	if err != nil {
		return nil
	}
	return h.below(path, 0)
}

// below resolves a partition to its disk, and dm, md and bcache to their components.
func (h Host) below(path string, depth int) (names []string) {
	const deepest = 16 // a deeper stack of mappings is a loop
	if depth > deepest {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, "partition")); err == nil {
		path = filepath.Dir(path)
	}
	slaves, _ := os.ReadDir(filepath.Join(path, "slaves"))
	for _, s := range slaves {
		to, err := filepath.EvalSymlinks(filepath.Join(path, "slaves", s.Name()))
		if err != nil {
			continue
		}
		for _, name := range h.below(to, depth+1) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(slaves) == 0 {
		names = append(names, filepath.Base(path))
	}
	return names
}

func (h Host) disk(name string) Disk {
	const block = "sys/class/block"
	d := Disk{Name: name, Model: h.text(block, name, "device/model"), WriteCache: h.text(block, name, "queue/write_cache")}
	d.Kind = kind(d)
	return d
}

// virtualModels are prefixes of the models of virtual disks.
var virtualModels = []string{"QEMU", "VBOX", "VMware", "Virtual", "Msft", "Google", "PersistentDisk", "Amazon Elastic Block Store", "nvme_card"}

// kind classifies a disk by its name and model.
func kind(d Disk) string {
	for _, m := range virtualModels {
		if strings.HasPrefix(strings.ToLower(d.Model), strings.ToLower(m)) {
			return "virtual"
		}
	}
	for _, k := range []struct{ prefix, kind string }{
		{"nvme", "nvme"}, {"vd", "virtual"}, {"xvd", "virtual"}, {"mmcblk", "mmc"}, {"sd", "sata or scsi"}, {"loop", "loop"}, {"ram", "memory"}, {"zram", "memory"}, {"pmem", "persistent memory"},
	} {
		if strings.HasPrefix(d.Name, k.prefix) {
			return k.kind
		}
	}
	return "unknown"
}

// warnings lists the reasons why figures of this device mean less than they seem to.
func warnings(d *Device) (all []string) {
	switch d.FileSystem {
	case "tmpfs", "ramfs":
		all = append(all, d.FileSystem+" is memory: a sync does nothing, and nothing survives a restart")
	case "overlay", "overlayfs", "aufs":
		all = append(all, d.FileSystem+" is a container's layer: give it a volume, as a member has")
	case "nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph":
		all = append(all, d.FileSystem+" is another host's disk: a sync is as good and as fast as that host")
	}
	for _, o := range strings.Split(d.Options, ",") {
		if o == "nobarrier" || o == "barrier=0" {
			all = append(all, "mounted with "+o+": a sync does not reach the medium, and a power cut loses what was acknowledged")
		}
	}
	for _, disk := range d.Disks {
		switch disk.Kind {
		case "virtual":
			all = append(all, disk.Name+" is a virtual disk: what is below it is not known, nor that its syncs reach a medium")
		case "loop":
			all = append(all, disk.Name+" is a file on another file system: a sync there is two")
		case "memory":
			all = append(all, disk.Name+" is memory: nothing survives a restart")
		}
	}
	const roomShare = 10 // in the last tenth file systems search for free space, and flash collects garbage
	if d.TotalBytes > 0 && d.FreeBytes < d.TotalBytes/roomShare {
		all = append(all, fmt.Sprintf("only %d of %d MiB are free: a nearly full disk is slower than itself", d.FreeBytes>>20, d.TotalBytes>>20))
	}
	return all
}

// String returns one line for people.
func (d Device) String() string {
	s := fmt.Sprintf("%s on %s", d.FileSystem, d.Source)
	for _, disk := range d.Disks {
		s += fmt.Sprintf(", %s (%s", disk.Name, disk.Kind)
		if disk.Model != "" {
			s += ", " + disk.Model
		}
		if disk.WriteCache != "" {
			s += ", " + disk.WriteCache
		}
		s += ")"
	}
	return s
}

// SameDevice tells whether two folders share a disk: a comparison of them is then meaningless.
func SameDevice(a, b Device) bool {
	if a.numberOfDir != "" && a.numberOfDir == b.numberOfDir {
		return true
	}
	for _, x := range a.Disks {
		for _, y := range b.Disks {
			if x.Name == y.Name {
				return true
			}
		}
	}
	return false
}

// Class classifies a disk by its median fdatasync of 4 KiB on a file that was written before.
type Class struct{ Name, Meaning string }

// ClassMemory names the class of folders without a disk.
const ClassMemory = "memory"

// classes are ordered by their longest median. The bounds are from published measurements of drives with and without power-loss
// protection.
var classes = []struct {
	most  time.Duration
	class Class
}{
	{100 * time.Microsecond, Class{"plp", "as fast as drives whose cache survives a power cut, or one that lies"}},
	{500 * time.Microsecond, Class{"fast", "a good drive or a good virtual disk"}},
	{3 * time.Millisecond, Class{"consumer", "as consumer NVMe and SATA drives without protection against power loss"}},
	{15 * time.Millisecond, Class{"slow", "below what etcd asks for (10 ms in 99 of 100); use it for nothing that matters"}},
}

// ClassOf returns the class of a folder's device with a median.
func ClassOf(d Device, median time.Duration) Class {
	if d.FileSystem == "tmpfs" || d.FileSystem == "ramfs" {
		return Class{ClassMemory, "no disk at all"}
	}
	for _, c := range classes {
		if median < c.most {
			return c.class
		}
	}
	return Class{"disk-like", "as slow as a turning disk"}
}
