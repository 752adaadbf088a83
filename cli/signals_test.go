package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/form/formtest"
)

// What nohup starts outlives its terminal; SIGTERM still ends it.
func TestIgnoredHangup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer hearHangups()
	defer signal.Reset(syscall.SIGHUP)
	ctx, forget := form.WithSignals(t.Context(), true)
	defer forget()
	formtest.Must(t, syscall.Kill(syscall.Getpid(), syscall.SIGHUP))
	formtest.Must(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	<-ctx.Done()
	var ended *form.Interruption
	if !errors.As(context.Cause(ctx), &ended) || ended.Signal != syscall.SIGTERM {
		t.Errorf("ended by %v, want SIGTERM", context.Cause(ctx))
	}
}

// TestInterruptedSays: what ends because of a signal says so, and not that a context was canceled; what fails for a reason of its
// own while one comes keeps that.
func TestInterruptedSays(t *testing.T) {
	own := errors.New("the disk is full")
	for _, failed := range []error{nil, own} {
		c := cli.NewContext(cli.NewApp(), nil, nil)
		c.Context = t.Context()
		err := form.Interruptible(func(ctx context.Context, _ *cli.Context) error {
			formtest.Must(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
			<-ctx.Done()
			return cmp.Or(failed, fmt.Errorf("following: %w", ctx.Err()))
		})(c)
		if failed == nil && form.ExitCode(err) != 143 || failed != nil && !errors.Is(err, own) {
			t.Errorf("after %v: %v", failed, err)
		}
	}
}
