package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"qkv/index/kv"
	"qkv/net/wire"
)

// An outcome that is not known is told once, whoever tells it.
func TestUnknownOutcomeIsToldOnce(t *testing.T) {
	for _, cause := range []error{
		context.DeadlineExceeded,
		&kv.Error{Code: kv.Internal, Message: "an accident"},
		&kv.Error{Code: kv.Unknown, Message: "no quorum answered in time; the write may have happened: read the key to find out"},
	} {
		text := (&OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: cause}).Error()
		if n := strings.Count(text, "may have happened"); n != 1 {
			t.Errorf("it says %d times that the write may have happened: %s", n, text)
		}
	}
}

// What is certain of the last attempt is not said of the write: another attempt may have happened.
func TestUnknownOutcomeOfAnEarlierAttempt(t *testing.T) {
	refused := kv.Errorf(kv.Unavailable, "there is no leader; the write was not proposed and certainly did not happen")
	for _, cause := range []error{refused, &UnavailableError{Op: "put", Endpoints: []EndpointError{{Endpoint: "a:1", Err: refused}}}} {
		text := (&OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: cause}).Error()
		if !strings.Contains(text, "an earlier attempt may have happened") || strings.Contains(text, "; it may have happened") {
			t.Errorf("it speaks of one write as if it both certainly did not happen and may have: %s", text)
		}
	}
}

// A context ends while a write waits for its next attempt. If an earlier attempt may have happened, its outcome is
// unknown.
func TestContextEndsBetweenAttempts(t *testing.T) {
	for _, doubt := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := &link{dialing: true}
			x := &call{op: wire.OpPut, write: true, doubt: doubt, link: l, ready: make(chan struct{}, 1)}
			x.state.Store(x.between())
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- l.do(ctx, x) }()
			synctest.Wait()
			cancel()
			if err := <-ended; errors.Is(err, ErrOutcomeUnknown) != doubt || !errors.Is(err, context.Canceled) {
				t.Errorf("an attempt may have happened: %v; the error: %v", doubt, err)
			}
		})
	}
}

// An unknown outcome names the question that finds it: a key, or what the write changes.
func TestUnknownOutcomeSaysHowToFindOut(t *testing.T) {
	for op, ask := range map[wire.Op]string{
		wire.OpPut: "read the key", wire.OpTxn: "read the key", wire.OpAuthChange: "list the users",
		wire.OpChangeMember: "list the members", wire.OpCompact: "at the revision before", wire.OpRevoke: "list the leases",
	} {
		if text := unknown(op, nil, context.DeadlineExceeded).Error(); !strings.Contains(text, ask) || !strings.HasSuffix(text, " to find out") {
			t.Errorf("%v: %s", op, text)
		}
	}
}

// An unknown outcome is never ErrUnavailable, which says that a write certainly did not happen. The reasons remain: the deadline, and the
// answers of members.
func TestUnknownOutcomeIsNotUnavailable(t *testing.T) {
	answer := kv.Errorf(kv.Unavailable, "there is no leader")
	last := &UnavailableError{Op: "put", Endpoints: []EndpointError{{Endpoint: "a:1", Err: answer}}, Cause: context.DeadlineExceeded}
	err := error(unknown(wire.OpPut, nil, last))
	if !errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrUnavailable) {
		t.Errorf("unknown %v, unavailable %v: %v", errors.Is(err, ErrOutcomeUnknown), errors.Is(err, ErrUnavailable), err)
	}
	if got, is := errors.AsType[*kv.Error](err); !is || got != answer || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the reasons are gone: %v", err)
	}
}
