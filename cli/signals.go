package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// interruption is why a command ended early: somebody asked for it.
type interruption struct{ signal os.Signal }

func (i *interruption) Error() string {
	if i.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by a signal: " + i.signal.String()
}

// code is what shells make of a process that a signal ended: 130 after Ctrl-C.
func (i *interruption) code() int {
	s, _ := i.signal.(syscall.Signal)
	return 128 + int(s)
}

// withSignals returns a context that ends at the first signal that asks the program to end, with an *interruption as its
// cause. The next one ends the process at once. After forget so does the first.
func withSignals(ctx context.Context) (signals context.Context, forget func()) {
	signals, cancel := context.WithCancelCause(ctx)
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) { // nohup means that the terminal's end is none of the program
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

// interruptible runs what has something to put in order when a signal ends it. All other commands just end.
func interruptible(c *cli.Context, f func(ctx context.Context) error) error {
	ctx, forget := withSignals(c.Context)
	defer forget()
	err := f(ctx)
	// What ended with the context did so because of the signal: that is what is said, and what the exit code is of.
	if ended, ok := errors.AsType[*interruption](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
		return ended
	}
	return err
}
