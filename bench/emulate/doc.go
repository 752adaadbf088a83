// Package emulate is a disk that is not there: a file system whose syncs take as long as those of another disk did, for
// those who ask what that disk would be worth and do not have it.
//
// A [Profile] is what somebody has published of a disk: how long its syncs took, and how many bytes a second it takes. [On]
// puts it in the place of the real syncs: what is synced waits for a time that is drawn from the profile, and nothing is made
// durable. So a member on it has lost its data when the machine has lost its power, and whatever is measured of it is marked
// EMULATED wherever it is shown. The one way to such a member is node.StartEmulated, which keeps real data folders and
// emulated ones apart; the one caller is the hidden command by which `qkv bench run --profile` starts its members.
//
// # What is emulated, and what is not
//
//	each sync               takes the longer of a drawn time, and of what the bytes since the file's last sync need at the
//	                        profile's rate
//	writes                  go to the page cache and cost what they cost there; writes past it do so, too
//	several members         have a disk each, as on machines of their own
//	reads, free space       are the real disk's
//	what one file's syncs do to another's, caches that fill up and limits on bursts: not at all. A draw knows nothing of the
//	                        one before, where a real disk's stalls come together
//
// A wait sleeps as long as sleeping is exact, and spins for the rest: at most spinMost of processor time each. A profile of
// some ten microseconds is all spinning, which on a busy machine costs more than the disk would have.
package emulate
