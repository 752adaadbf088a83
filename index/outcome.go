package index

import "time"

// Result is the outcome of one applied command. It is a function of log and state, equal on every member.
type Result struct {
	// Revision is that of the command's change, or the newest one when it changed nothing.
	Revision int64
	// Deleted counts the keys that a delete has removed.
	Deleted int64
	// Code says why the command was refused. Nothing was changed then, and Detail says it in words.
	Code   Code
	Detail string
}

// Err returns a refusal as an error, or nil.
func (r *Result) Err() *Error {
	if r.Code == CodeOK {
		return nil
	}
	return &Error{Code: r.Code, Message: r.Detail}
}

// DoneKind says what is done.
type DoneKind uint8

const (
	// Applied: a command was applied, or will not be; Result or Err says which.
	Applied DoneKind = iota + 1
	// Confirmed: a linearizable read may now be answered from the member's View, unless there is an Err.
	Confirmed
)

// Done is the end of one request.
type Done struct {
	Request uint64
	Kind    DoneKind
	Result  Result
	Err     *Error
}

// Asker is where outcomes go: one per stream of a client. Deposit must not block and keeps the slice. Several actors
// call it, each from its own goroutine.
type Asker interface{ Deposit([]Done) }

// Proposal is what a client's connection wants to be put into the log: commands, and the numbers of the requests
// that they answer, one each. The bytes of the commands belong to the one that gets the proposal.
type Proposal struct {
	From     Asker
	Requests []uint64
	Commands [][]byte
	Timeout  time.Duration // 0 is the longest that there is
}
