package client

import (
	"context"
	"strings"
	"testing"

	"qkv/net/wire"
)

// An outcome that is not known is told once, whoever tells it.
func TestUnknownOutcomeIsToldOnce(t *testing.T) {
	for _, cause := range []error{
		context.DeadlineExceeded,
		&wire.Error{Code: wire.Internal, Message: "an accident"},
		&wire.Error{Code: wire.Unknown, Message: "no quorum answered in time; the write may have happened: read the key to find out"},
	} {
		text := (&OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: cause}).Error()
		if n := strings.Count(text, "may have happened"); n != 1 {
			t.Errorf("it says %d times that the write may have happened: %s", n, text)
		}
	}
}
