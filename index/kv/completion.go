package kv

import "time"

// CompletionKind says what is complete.
type CompletionKind uint8

const (
	// CommandDone: a command was applied, or will not be; the Result says which.
	CommandDone CompletionKind = iota + 1
	// ReadReady: a linearizable read may now be answered from the member's View, unless the Result has an Err.
	ReadReady
	// LeaseTold: the leader's clock has answered for a lease, unless the Result has an Err. What the answer says of the keys is in
	// the member's View.
	LeaseTold
)

// Completion is the end of one request inside a member.
type Completion struct {
	Request uint64 // the number that came with it
	Kind    CompletionKind
	Result  Result
	Lease   *LeaseTime // of LeaseTold
}

// ReplyTo is where completions go: one for each stream of a client. Complete must not block, nor keep the slice. Several
// actors call it, each from its own goroutine.
type ReplyTo interface{ Complete([]Completion) }

// WriteWatcher is a ReplyTo that can say when it has written what it is told next.
type WriteWatcher interface{ WhenWritten(Written) }

// Written is told so, by any goroutine. It never waits.
type Written interface{ Written() }

// Proposal is what a client's connection wants to be put into the log: commands, and the numbers of the requests
// that they answer, one each. The bytes of the commands belong to the one that gets the proposal.
type Proposal struct {
	ReplyTo  ReplyTo
	Requests []uint64
	Commands [][]byte
	Timeout  time.Duration // for how long the client waits; 0 is the longest that there is
	// Release, where it is not nil, takes Requests, Commands and their bytes back when all commands are in batches: who made
	// the proposal may use them for another one. A proposal that ends in another way is left to the garbage collector.
	Release Release
}

// Release takes back what a proposal was made of.
type Release interface{ Release() }

// Refuse completes requests with one and the same error.
func Refuse(to ReplyTo, requests []uint64, kind CompletionKind, err *Error) {
	all := make([]Completion, len(requests))
	for i, request := range requests {
		all[i] = Completion{Request: request, Kind: kind, Result: Result{Err: err}}
	}
	to.Complete(all)
}
