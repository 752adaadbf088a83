// Package emulate emulates a disk's sync latency: its file system delays each sync as long as another disk took. It estimates the benefit
// of a disk that is not at hand.
//
// A [Profile] is a published measurement of a disk: the distribution of its sync times, and its throughput. [On] replaces real syncs: each
// sync waits for a time drawn from the profile, and data is not durable. A member on an emulated disk loses its data in a power cut.
// Results are marked EMULATED everywhere. Such a member starts only through node.StartEmulated, which keeps real data folders and emulated
// ones apart. Its one caller is the hidden command by which `qkv bench run --profile` starts its members.
//
// # Scope of the emulation
//
//	each sync               takes the longer of a drawn time, and of the time for the bytes since the file's last sync at
//	                        the profile's rate
//	writes                  go to the page cache at its cost, direct writes included
//	several members         have a disk each, as on separate machines
//	reads, free space       are the real disk's
//	not emulated            interference between files, full caches, burst limits. Draws are independent, whereas a real
//	                        disk's stalls come together
//
// A wait sleeps while sleeping is exact, and spins for the rest: at most spinMost of processor time each. A profile of some ten
// microseconds only spins, which on a busy machine costs more than the real disk would.
package emulate
