// Package index is the replicated state machine: revisioned keys, their history, the members. It is a pure function
// of the log: no goroutine, lock, clock, chance or setting of one member.
package index
