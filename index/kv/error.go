package kv

import "fmt"

// Code is the outcome of a request as a number. A number never changes its meaning because clients receive it.
type Code uint8

// The codes. A write that is answered with one of them certainly did not happen, except with OK, Unknown, Internal,
// AnswerTooLarge and AnswerGone.
const (
	OK             Code = 0
	EmptyKey       Code = 1  // a key has at least one byte
	KeyTooLarge    Code = 2  // the message names the limit
	ValueTooLarge  Code = 3  // the message names the limit
	Compacted      Code = 4  // the requested revision was compacted
	FutureRevision Code = 5  // the requested revision does not exist yet
	Unavailable    Code = 6  // no leader, or no quorum; it certainly did not happen; retry
	Unknown        Code = 7  // it may have happened, or may still happen
	NotAllowed     Code = 8  // this identity lacks the permission
	Overloaded     Code = 9  // a limit on requests under way is reached; it certainly did not happen; retry
	BadRequest     Code = 10 // malformed, or against a rule that the message names
	NoSpace        Code = 11 // the cluster accepts no writes until there is space
	Internal       Code = 12 // a fault in the member
	FeatureLevel   Code = 13 // the cluster's feature level is too low
	Amnesia        Code = 14 // the member lost state that it had acknowledged, and is suspended
	Corrupt        Code = 15 // the member's state differs from the majority's, and the member is suspended
	MemberNotFound Code = 16 // no member has this id or name
	MemberExists   Code = 17 // the id or the name was used before
	AddressExists  Code = 18 // another member has this peer address
	NotLearner     Code = 19 // the member is a voter already
	LearnerBehind  Code = 20 // a learner that lags is not promoted
	TooManyMembers Code = 21 // the message names the limit
	QuorumAtRisk   Code = 22 // the change would leave too few healthy voters for a quorum
	Removed        Code = 23 // the asked member was removed from its cluster
	KeyNotFound    Code = 24 // a put that keeps the value or lease needs an existing key
	DuplicateKey   Code = 25 // a transaction changes a key twice
	ValueProvided  Code = 26 // a put with IgnoreValue has a value
	LeaseProvided  Code = 27 // a put with IgnoreLease has a lease
	LeaseNotFound  Code = 28 // no lease has this id
	LeaseExists    Code = 29 // the lease's id is in use
	LeaseTooLong   Code = 30 // the message names the limit
	InvalidSort    Code = 31 // unknown sort order or sort target
	// TooManyOperations: a transaction has too many comparisons or operations, or its ranges contain too many keys. The
	// message names the limit.
	TooManyOperations Code = 32
	AnswerTooLarge    Code = 33 // the message names the limit; a write did happen
	// NameEnded: the members no longer know the name of a write, or the write is below the window that its client declared. This
	// copy certainly did nothing; whether an earlier copy was applied is no longer known.
	NameEnded Code = 34
	// AnswerGone: an earlier copy of the write was applied, and the history that its full answer needs is compacted.
	AnswerGone Code = 35

	// Users and roles.
	AuthOld              Code = 36 // users or roles have changed since the request was authenticated; retry
	UserEmpty            Code = 37 // authentication is enabled, and the request has no user; or a user's name is empty
	BadToken             Code = 38 // the token is void, expired or forged: authenticate again
	AuthNotEnabled       Code = 39 // there is nothing to authenticate for
	AuthFailed           Code = 40 // unknown user, or wrong password
	RootUserMissing      Code = 41 // authentication needs a user root
	RootRoleMissing      Code = 42 // authentication needs a user root with the role root
	UserExists           Code = 43
	UserNotFound         Code = 44
	RoleExists           Code = 45
	RoleNotFound         Code = 46
	RoleNotGranted       Code = 47 // the user does not have the role
	PermissionNotGranted Code = 48 // the role does not have a permission of exactly this range
	AuthManagement       Code = 49 // the change would make the users or roles unusable; the message says why
	RoleEmpty            Code = 50 // a role's name is empty
	PermissionMissing    Code = 51 // a grant without a permission

	MemberRuns Code = 52 // a member that answers the leader is not replaced under its own name or address

	codes = 53
)

var codeNames = [codes]string{
	"ok", "empty key", "key too large", "value too large", "compacted", "future revision", "unavailable",
	"outcome unknown", "not allowed", "overloaded", "bad request", "no space", "internal error",
	"feature level", "amnesia", "corrupt", "no such member", "member exists", "address exists", "not a learner",
	"learner behind", "too many members", "quorum at risk", "removed",
	"key not found", "duplicate key", "value provided", "lease provided", "no such lease", "lease exists", "lease too long",
	"invalid sort", "too many operations", "answer too large", "name ended", "answer gone",
	"auth revision is old", "no user", "invalid token", "authentication is not enabled", "authentication failed",
	"no user root", "root has no role root", "user exists", "no such user", "role exists", "no such role", "role not granted",
	"permission not granted", "invalid auth management", "no role", "no permission",
	"member runs",
}

// String returns the code's name.
func (c Code) String() string {
	if c < codes {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Error is a refusal: a code and a message.
type Error struct {
	Code    Code
	Message string
}

// Errorf returns an error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error returns the message, or the code's name if there is no message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Message
}

// Certain says that a write answered with this error certainly did not happen and will not happen. It is false for a code
// that this version does not know.
func (e *Error) Certain() bool {
	return e.Code != Unknown && e.Code != Internal && !e.Happened() && e.Code < codes
}

// Happened says that a write answered with this error did happen; only its answer is missing.
func (e *Error) Happened() bool { return e.Code == AnswerTooLarge || e.Code == AnswerGone }

// Retryable says that a retry of the request, to this member or another one, may succeed. A write may be retried safely
// only if the error is also certain.
func (e *Error) Retryable() bool {
	switch e.Code {
	case Unavailable, Overloaded, Unknown, Amnesia, Corrupt, Removed, AuthOld:
		return true
	default:
		return false
	}
}
