// Package machine describes the environment of a benchmark: the device below a folder and the machine.
//
// A folder's device is found through /sys and /proc/self/mountinfo: the mount that holds the folder, its block device, from a partition to
// its disk, and through dm and md to the disks below. Names say little: "NVMe" or "SSD" names a disk's bus. A log depends on whether the
// write cache survives a power cut, which only fdatasync shows. [Device] therefore states facts, and [Class] follows from a measured
// fdatasync.
//
// A virtual disk's description of itself is unreliable (rotational is a constant there): it is reported as virtual and unknown.
//
// All data is read from files below a root, which lets tests use their own trees. An unreadable fact is left empty: a missing description
// must not fail a measurement.
package machine
