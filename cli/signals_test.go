package cli

import (
	"context"
	"errors"
	"os/signal"
	"syscall"
	"testing"
)

// What nohup starts outlives its terminal; SIGTERM still ends it.
func TestIgnoredHangup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	ctx, forget := withSignals(t.Context())
	defer forget()
	must(t, syscall.Kill(syscall.Getpid(), syscall.SIGHUP))
	must(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	<-ctx.Done()
	var ended *interruption
	if !errors.As(context.Cause(ctx), &ended) || ended.signal != syscall.SIGTERM {
		t.Errorf("ended by %v, want SIGTERM", context.Cause(ctx))
	}
}
