package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"qkv/index/kv"
	"qkv/net/wire"
)

// The kinds of failure that a caller can distinguish with errors.Is. The errors of members are [kv.Error], with a code.
var (
	// ErrOutcomeUnknown: the write was sent and no answer came. It may have happened, or may happen yet. The error is an
	// OutcomeUnknownError.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrUnavailable: no member could serve the call in time. A write certainly did not happen, and may be repeated. The error is an
	// UnavailableError.
	ErrUnavailable = errors.New("unavailable")
	// ErrClosed: the client was closed. A write certainly did not happen, unless the error is also ErrOutcomeUnknown.
	ErrClosed = errors.New("the client is closed")
	// ErrConnectionRefused: the host of an endpoint answered that the port is closed. It is a reason inside an UnavailableError.
	ErrConnectionRefused = errors.New("connection refused: no process listens there")
	// ErrOverloaded: too many calls wait for a connection, and an asynchronous call is refused. It certainly did not happen.
	ErrOverloaded = errors.New("too many calls are waiting")
)

// OutcomeUnknownError is the error of a write whose outcome is unknown, with the reason. The write may also happen later. Its text says
// which question finds the outcome. A repeated write is another write: make it a transaction that does no harm if the first one has
// happened.
type OutcomeUnknownError struct {
	Op       string // the kind of the write, for people: put, delete, transaction
	Endpoint string // where it was sent last
	Cause    error  // why there is no answer: the context's cause, ErrClosed, a lost connection, or a member's kv.Error
}

func (e *OutcomeUnknownError) Error() string {
	s := fmt.Sprintf("the outcome of the %s is unknown: it was sent to %s, but %v", e.Op, e.Endpoint, e.Cause)
	subject := "it"
	switch answer, ok := errors.AsType[*kv.Error](e.Cause); {
	case !ok:
	case answer.Code == kv.Unknown:
		return s // the member says what may have happened
	case answer.Certain(): // true of the last attempt only
		s = fmt.Sprintf("the outcome of the %s is unknown: it was sent more than once, and the last answer, from %s, is: %v", e.Op, e.Endpoint, e.Cause)
		subject = "an earlier attempt"
	}
	return s + "; " + subject + " may have happened, or may happen yet: " + cmp.Or(findOut[e.Op], "read the key") + " to find out"
}

// findOut says how the outcome of each write that changes no key can be found.
var findOut = map[string]string{
	wire.OpChangeMember.String(): "list the members",
	wire.OpGrant.String():        "list the leases",
	wire.OpRevoke.String():       "list the leases",
	wire.OpMoveLeader.String():   "check which member leads",
	wire.OpAuthChange.String():   "list the users and roles",
	wire.OpCompact.String():      "read a key at the revision before, which is then compacted,",
	wire.OpReadmit.String():      "check the member's role in its status",
}

// Is makes errors.Is(err, ErrOutcomeUnknown) true.
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// Unwrap returns the cause. If that is an UnavailableError, it returns the errors in it: ErrUnavailable says that a write certainly did not
// happen, and is no kind of this error.
func (e *OutcomeUnknownError) Unwrap() error {
	if last, is := e.Cause.(*UnavailableError); is {
		return errors.Join(last.Unwrap()...)
	}
	return e.Cause
}

// EndpointError is an endpoint that did not serve, with the reason.
type EndpointError struct {
	Endpoint string // host:port
	Err      error
}

// UnavailableError is the error of a call that no member served, with the reason of each endpoint. A write certainly did not happen.
type UnavailableError struct {
	Op        string // the kind of the call, for people: put, range; empty for Open
	Endpoints []EndpointError
	// Cause is why the call was given up at its deadline: context.DeadlineExceeded by errors.Is, or the context's own cause. It is nil if the
	// call was given up earlier, because no time was left for another attempt, or because of Config.FailFast.
	Cause error
}

func (e *UnavailableError) Error() string {
	var b strings.Builder
	if e.Op == "" {
		b.WriteString("no member can be reached")
	} else {
		fmt.Fprintf(&b, "the %s was not served", e.Op)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, " (%v)", e.Cause)
	}
	for i, endpoint := range e.Endpoints {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		fmt.Fprintf(&b, "%s: %v", endpoint.Endpoint, endpoint.Err)
	}
	return b.String()
}

// Is makes errors.Is(err, ErrUnavailable) true.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the cause and the endpoints' errors.
func (e *UnavailableError) Unwrap() []error {
	var all []error
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	for _, endpoint := range e.Endpoints {
		all = append(all, endpoint.Err)
	}
	return all
}

// timeoutError is the cause of calls whose context has no deadline of its own. It is a context.DeadlineExceeded too.
type timeoutError struct{ after string }

func (e *timeoutError) Error() string { return "no answer within " + e.after }

func (e *timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout makes it a timeout for callers that use net.Error.
func (e *timeoutError) Timeout() bool { return true }

// unknown returns the error of a write that was sent and not answered.
func unknown(op wire.Op, where *conn, cause error) *OutcomeUnknownError {
	e := &OutcomeUnknownError{Op: op.String(), Endpoint: "a member", Cause: cause}
	if where != nil {
		e.Endpoint = where.endpoint
	}
	return e
}
