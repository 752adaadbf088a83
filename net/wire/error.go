package wire

import "fmt"

// Code is the outcome of a request, as a number that never changes its meaning.
type Code uint8

// The codes. A write that is answered with one of them certainly did not happen, except with Unknown and Internal.
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
	BadRequest     Code = 10 // not understood: another version's, or damaged
	NoSpace        Code = 11 // the cluster takes no writes until there is space
	Internal       Code = 12 // a fault in the member
	FeatureLevel   Code = 13 // the cluster's feature level does not have this yet
	TooOld         Code = 14 // it waited too long to be put into the log; it certainly did not happen
	Amnesia        Code = 15 // the member forgot what it had acknowledged and is refused
	codes               = 16
)

var codeNames = [codes]string{
	"ok", "empty key", "key too large", "value too large", "compacted", "future revision", "unavailable",
	"outcome unknown", "not allowed", "overloaded", "bad request", "no space", "internal error",
	"feature level", "too old", "amnesia",
}

// String returns the code's name.
func (c Code) String() string {
	if c < codes {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Error is an answer that is an error.
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
func (e *Error) Certain() bool { return e.Code != Unknown && e.Code != Internal && e.Code < codes }

// Retryable says that the same request may succeed when it is sent again, to this member or another one. For a
// write that is safe only when the error is certain as well.
func (e *Error) Retryable() bool {
	switch e.Code {
	case Unavailable, Overloaded, TooOld, Unknown, Amnesia:
		return true
	default:
		return false
	}
}

// CloseCode is the application error code with which a side closes a connection. The reason comes in words too.
type CloseCode uint64

const (
	// CloseDone: the side that closes has no more use for the connection.
	CloseDone CloseCode = 0
	// CloseShutdown: the member stops. Another one may serve.
	CloseShutdown CloseCode = 1
	// CloseProtocol: what arrived is no frame, or not an answer to anything.
	CloseProtocol CloseCode = 2
	// CloseLimit: a limit that the reason names is reached.
	CloseLimit CloseCode = 3
	// CloseSlow: nothing of what was sent was taken for too long.
	CloseSlow CloseCode = 4
)
