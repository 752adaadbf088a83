package kv

import "time"

// CompletionKind is the kind of request that completed.
type CompletionKind uint8

const (
	// CommandDone: a command was applied, or will not be applied. The Result says which.
	CommandDone CompletionKind = iota + 1
	// ReadReady: the member's View can now answer a linearizable read, unless the Result has an Err.
	ReadReady
	// LeaseTold: the leader's clock has answered for a lease, unless the Result has an Err. The keys in the answer come
	// from the member's View.
	LeaseTold
)

// Completion is the end of one request inside a member.
type Completion struct {
	Request uint64 // the number that came with the request
	Kind    CompletionKind
	Result  Result
	Lease   *LeaseTime // for LeaseTold
}

// ReplyTo is the receiver of completions; each stream of a client has its own. Complete must not block and must not
// keep the slice. Several actors call it concurrently, each from its own goroutine.
type ReplyTo interface{ Complete([]Completion) }

// WriteWatcher is a ReplyTo that can report when it has written the completions that it gets next.
type WriteWatcher interface{ WhenWritten(Written) }

// Written is the receiver of a WriteWatcher's report. It is called on any goroutine, and must not block.
type Written interface{ Written() }

// Command is an encoded command for the log, with what its proposer must know of it. Only the state decodes the bytes.
type Command struct {
	Bytes  []byte
	Change *MemberChange // of a membership change, which is alone in its entry; otherwise nil
	Level  uint64        // the feature level that the command needs
	Kind   uint8         // as in the log
	// it may make the state larger, as in etcd: a put, a lease grant, or a transaction with a put in either branch
	Grows bool
	Named bool // the write has a name: it may have been applied before
}

// CommandBytes returns the size of commands.
func CommandBytes(commands []Command) (n int64) {
	for i := range commands {
		n += int64(len(commands[i].Bytes))
	}
	return n
}

// Proposal is a batch of commands that a client's connection proposes for the log. Each command has the number of the
// request that it answers. The receiver owns the bytes of the commands until it calls Release.
type Proposal struct {
	ReplyTo  ReplyTo
	Requests []uint64
	Commands []Command
	Timeout  time.Duration // how long the client waits; 0 means the longest timeout
	// Release, if not nil, takes back Requests, Commands and their bytes when all commands are in batches: the proposer
	// may then reuse them. A proposal that ends in another way is left to the garbage collector.
	Release Release
}

// Release is the owner of a proposal's memory, to which that memory is returned.
type Release interface{ Release() }

// Refuse completes all requests with the same error.
func Refuse(to ReplyTo, requests []uint64, kind CompletionKind, err *Error) {
	all := make([]Completion, len(requests))
	for i, request := range requests {
		all[i] = Completion{Request: request, Kind: kind, Result: Result{Err: err}}
	}
	to.Complete(all)
}
