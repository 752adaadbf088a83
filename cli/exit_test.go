package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"qkv/net/client"
	"qkv/net/wire"
)

// TestExitCodes: each kind of failure has its number, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	unavailable := func(errs ...error) error {
		u := &client.UnavailableError{Op: "put"}
		for _, err := range errs {
			u.Endpoints = append(u.Endpoints, client.EndpointError{Endpoint: "a:1", Err: err})
		}
		return u
	}
	distrust := &wire.TrustError{Reason: "another CA"}
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("any"), exitFailed},
		{usagef("a"), exitUsage},
		{exitf(exitNotFound, "b"), exitNotFound},
		{wire.Errorf(wire.ValueTooLarge, "c"), exitFailed},
		{wire.Errorf(wire.Compacted, "c"), exitFailed},
		{wire.Errorf(wire.Unavailable, "d"), exitUnavailable},
		{wire.Errorf(wire.Overloaded, "d"), exitUnavailable},
		{wire.Errorf(wire.NotAllowed, "e"), exitNotAllowed},
		{wire.Errorf(wire.Unknown, "f"), exitUnknown},
		{wire.Errorf(wire.Internal, "f"), exitFailed},
		{&client.OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: context.DeadlineExceeded}, exitUnknown},
		{unavailable(), exitUnavailable},
		{unavailable(errors.New("refused")), exitUnavailable},
		{unavailable(distrust), exitNotAllowed},
		{unavailable(distrust, distrust), exitNotAllowed},
		{unavailable(distrust, errors.New("refused")), exitUnavailable},
		{context.DeadlineExceeded, exitUnavailable},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.err, got, tt.want)
		}
		if got := exitCode(fmt.Errorf("wrapped: %w", tt.err)); tt.err != nil && got != tt.want {
			t.Errorf("wrapped %v: exit code %d, want %d", tt.err, got, tt.want)
		}
	}
}
