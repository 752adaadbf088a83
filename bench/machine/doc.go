// Package machine describes what a benchmark ran on: the device below a folder and the machine around it.
//
// A folder's device is found as the kernel knows it, through /sys and /proc/self/mountinfo: the mount that holds the
// folder, its block device, from a partition to its disk, and through dm and md to the disks below. Names say little:
// "NVMe" or "SSD" says what bus a disk is on, and what a log feels is whether its write cache survives a power cut, which
// only fdatasync tells. So [Device] states facts, and [Class] is given by a measured fdatasync.
//
// A virtual disk says nothing true of itself (rotational is a constant there): it is named as virtual and unknown.
//
// Everything is read from files below a root, so that tests read trees of their own. What cannot be read is left empty:
// a description is no reason to fail a measurement.
package machine
