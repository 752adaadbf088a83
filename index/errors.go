package index

import "fmt"

// Code is the outcome of a command or a read, as a number that never changes its meaning: it travels to clients.
type Code uint8

// The codes. A write that is answered with one of them certainly did not happen, except with CodeOK, CodeUnknown and
// CodeInternal.
const (
	CodeOK             Code = 0
	CodeEmptyKey       Code = 1  // a key has at least one byte
	CodeKeyTooLarge    Code = 2  // the message names the limit
	CodeValueTooLarge  Code = 3  // the message names the limit
	CodeCompacted      Code = 4  // the revision asked for is gone
	CodeFutureRevision Code = 5  // the revision asked for is not there yet
	CodeUnavailable    Code = 6  // no leader, or no quorum; it certainly did not happen; try again
	CodeUnknown        Code = 7  // it may have happened, or may still happen
	CodeNotAllowed     Code = 8  // this identity may not do that
	CodeOverloaded     Code = 9  // a limit on what may be under way is reached; it certainly did not happen; try again
	CodeBadRequest     Code = 10 // not understood, or against a rule that the message names
	CodeNoSpace        Code = 11 // the cluster takes no writes until there is space
	CodeInternal       Code = 12 // a fault in the member
	CodeFeatureLevel   Code = 13 // the cluster's feature level does not have this
	CodeTooOld         Code = 14 // it waited too long to be put into the log; it certainly did not happen
	CodeAmnesia        Code = 15 // a member forgot what it had acknowledged and is refused
	codes                   = 16
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

// Error is a refusal in words, with its code.
type Error struct {
	Code    Code
	Message string
}

func refuse(code Code, format string, args ...any) *Error {
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
	return e.Code != CodeUnknown && e.Code != CodeInternal && e.Code < codes
}
