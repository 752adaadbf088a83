package kv

import "fmt"

// Code is the outcome of a request, as a number that never changes its meaning: it travels to clients.
type Code uint8

// The codes. A write that is answered with one of them certainly did not happen, except with OK, Unknown, Internal,
// AnswerTooLarge and AnswerGone.
const (
	OK             Code = 0
	EmptyKey       Code = 1  // a key has at least one byte
	KeyTooLarge    Code = 2  // the message names the limit
	ValueTooLarge  Code = 3  // the message names the limit
	Compacted      Code = 4  // the revision asked for is gone
	FutureRevision Code = 5  // the revision asked for is not there yet
	Unavailable    Code = 6  // no leader, or no quorum; it certainly did not happen; try again
	Unknown        Code = 7  // it may have happened, or may still happen
	NotAllowed     Code = 8  // this identity may not do that
	Overloaded     Code = 9  // a limit on what may be under way is reached; it certainly did not happen; try again
	BadRequest     Code = 10 // not understood, or against a rule that the message names
	NoSpace        Code = 11 // the cluster takes no writes until there is space
	Internal       Code = 12 // a fault in the member
	FeatureLevel   Code = 13 // the cluster's feature level does not have this yet
	Amnesia        Code = 14 // the member forgot what it had acknowledged and is refused
	Corrupt        Code = 15 // the member's state is not what the others have, and it is refused
	MemberNotFound Code = 16 // there is no member with this id or name
	MemberExists   Code = 17 // the id or the name was used before
	AddressExists  Code = 18 // another member has this peer address
	NotLearner     Code = 19 // it has a vote already
	LearnerBehind  Code = 20 // a learner that is not level is not promoted
	TooManyMembers Code = 21 // the message names the limit
	QuorumAtRisk   Code = 22 // the change would leave fewer voters that answer than agree on anything
	Removed        Code = 23 // the member that was asked has been removed from its cluster
	KeyNotFound    Code = 24 // a put that leaves value or lease as it is needs the key
	DuplicateKey   Code = 25 // a transaction changes a key twice
	ValueProvided  Code = 26 // a value beside "the value stays"
	LeaseProvided  Code = 27 // a lease beside "the lease stays"
	LeaseNotFound  Code = 28 // there is no lease with this id
	LeaseExists    Code = 29 // the lease's id is in use
	LeaseTooLong   Code = 30 // the message names the limit
	InvalidSort    Code = 31 // an order or target of a sort that is not known
	// TooManyOperations: a transaction has more comparisons or operations, or names more keys by ranges, than the limit that the
	// message names.
	TooManyOperations Code = 32
	AnswerTooLarge    Code = 33 // the message names the limit; a write was made all the same
	// SessionEnded: the session of a write has ended, or the write is one of those that its client has said do not come again. This
	// copy of it certainly did nothing; whether one that was sent before did is not known any more.
	SessionEnded Code = 34
	// AnswerGone: the write was made by a copy of it that came before, and what its answer has beside that is compacted since.
	AnswerGone Code = 35
	// Following: the cluster follows another one, and takes no writes until that ends; or it is being loaded, and answers no reads.
	Following Code = 36

	codes = 37
)

var codeNames = [codes]string{
	"ok", "empty key", "key too large", "value too large", "compacted", "future revision", "unavailable",
	"outcome unknown", "not allowed", "overloaded", "bad request", "no space", "internal error",
	"feature level", "amnesia", "corrupt", "no such member", "member exists", "address exists", "not a learner",
	"learner behind", "too many members", "quorum at risk", "removed",
	"key not found", "duplicate key", "value provided", "lease provided", "no such lease", "lease exists", "lease too long",
	"invalid sort", "too many operations", "answer too large", "session ended", "answer gone", "following",
}

// String returns the code's name.
func (c Code) String() string {
	if c < codes {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Error is a refusal in words, with its code.
type Error struct {
	Code    Code
	Message string
}

// Errorf returns an error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error returns the message, or the code's name where there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Message
}

// Certain says that a write answered with this error certainly did not happen and will not. Of a code that this
// version does not know nothing is certain.
func (e *Error) Certain() bool {
	return e.Code != Unknown && e.Code != Internal && !e.Happened() && e.Code < codes
}

// Happened says that a write answered with this error was made: only its answer is missing.
func (e *Error) Happened() bool { return e.Code == AnswerTooLarge || e.Code == AnswerGone }

// Retryable says that the same request may succeed when it is sent again, to this member or another one. For a
// write that is safe only when the error is certain as well.
func (e *Error) Retryable() bool {
	switch e.Code {
	case Unavailable, Overloaded, Unknown, Amnesia, Corrupt, Removed:
		return true
	default:
		return false
	}
}
