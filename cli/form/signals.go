package form

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Interruption is the cause of a command's early end: a signal.
type Interruption struct{ Signal os.Signal }

func (i *Interruption) Error() string {
	if i.Signal == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by a signal: " + i.Signal.String()
}

// Code returns the exit code that a shell gives for a signal: 130 after Ctrl-C.
func (i *Interruption) Code() int {
	s, _ := i.Signal.(syscall.Signal)
	return 128 + int(s)
}

// WithSignals returns a context that ends at the first signal that asks the program to end, with an *interruption as its cause. The
// next signal ends the process at once. After forget, the first one does. hangup says whether SIGHUP is such a signal; more are others.
func WithSignals(ctx context.Context, hangup bool, more ...os.Signal) (signals context.Context, forget func()) {
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
			cancel(&Interruption{s})
		case <-signals.Done():
			signal.Stop(came)
		}
	}()
	return signals, func() { cancel(nil) }
}

// Interruptible is the call of a command that needs a cleanup after a signal. All other commands end at once.
func Interruptible(f func(ctx context.Context, c *cli.Context) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		ctx, forget := WithSignals(c.Context, true, syscall.SIGQUIT)
		defer forget()
		err := f(ctx, c)
		// A function that ended with the context ended because of the signal: the message and the exit code come from the signal.
		if ended, ok := errors.AsType[*Interruption](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
			return ended
		}
		return err
	}
}
