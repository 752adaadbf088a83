package client

import (
	"context"
	"strings"
	"testing"

	"qkv/index/kv"
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
