// Package admit is the admission control of both endpoints: it shares memory, concurrency and processor time among many clients.
//
//	Budget     a memory budget for messages held as a whole; while requests wait for it, slow clients are evicted
//	FairQueue  a fair queue of short turns of processor time, for reads of many keys
//	Slots      a semaphore
//	FairSlots  a semaphore in which a client holds at most as many slots as remain free
//	Evict      the choice of the connection that a full port closes for a new one
//
// The package depends on no protocol and not on the state, and starts no goroutine.
package admit
