// Package admit gives out what many clients share: memory, concurrency and processor time.
//
//	Budget     bytes for messages that are in memory as a whole; a slow client that others wait for is evicted
//	FairQueue  processor time for reads of many keys, in short turns
//	Slots      a semaphore
//	FairSlots  a semaphore that keeps half of its slots free for other clients
//
// The package knows neither a protocol nor the state, and starts no goroutine.
package admit
