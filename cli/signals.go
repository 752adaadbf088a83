package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// interruption is the cause of a command's early end: a signal.
type interruption struct{ signal os.Signal }

func (i *interruption) Error() string {
	if i.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by a signal: " + i.signal.String()
}

// code returns the exit code that a shell gives for a signal: 130 after Ctrl-C.
func (i *interruption) code() int {
	s, _ := i.signal.(syscall.Signal)
	return 128 + int(s)
}

// withSignals returns a context that ends at the first signal that asks the program to end, with an *interruption as its cause. The
// next signal ends the process at once. After forget, the first one does. hangup says whether SIGHUP is such a signal; more are others.
func withSignals(ctx context.Context, hangup bool, more ...os.Signal) (signals context.Context, forget func()) {
	signals, cancel := context.WithCancelCause(ctx)
	came := make(chan os.Signal, 1)
	signal.Notify(came, append(more, syscall.SIGTERM, syscall.SIGINT)...)
	if hangup && !signal.Ignored(syscall.SIGHUP) { // with nohup the program survives the end of the terminal
		signal.Notify(came, syscall.SIGHUP)
	}
	go func() {
		select {
		case s := <-came:
			signal.Stop(came)
			cancel(&interruption{s})
		case <-signals.Done():
			signal.Stop(came)
		}
	}()
	return signals, func() { cancel(nil) }
}

// interruptible runs a command that needs a cleanup after a signal. All other commands end at once.
func interruptible(c *cli.Context, f func(ctx context.Context) error) error {
	ctx, forget := withSignals(c.Context, true, syscall.SIGQUIT)
	defer forget()
	err := f(ctx)
	// A function that ended with the context ended because of the signal: the message and the exit code come from the signal.
	if ended, ok := errors.AsType[*interruption](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
		return ended
	}
	return err
}
