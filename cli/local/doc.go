// Package local starts, watches and stops processes on this host that die with this one: the members of demo and of the benchmarks, and the
// command of lock, with its process group.
package local
