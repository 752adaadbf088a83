package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"qkv/net/client"
	"qkv/net/wire"
)

// The exit codes of qkv. They are part of its interface: scripts branch on them, so that a number is never reused.
const (
	exitOK          = 0
	exitFailed      = 1 // it did not work: the message says why
	exitUsage       = 2 // the command line or the configuration is refused; nothing was done
	exitNotFound    = 3 // a single key that does not exist; an empty range is exitOK
	exitCondition   = 4 // a condition of a write did not hold
	exitUnavailable = 5 // no member, or no quorum, within the timeout; nothing was written
	exitNotAllowed  = 6 // the members refuse this certificate
	exitUnknown     = 7 // a write was sent and its outcome is not known: it may have happened
	exitDisk        = 8 // serve: the disk failed a sync
)

// exitError is an error that knows the exit code it ends the program with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef refuses a command line.
func usagef(format string, values ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, values...)}
}

// exitf is an error with the exit code that it stands for.
func exitf(code int, format string, values ...any) error {
	return &exitError{code, fmt.Errorf(format, values...)}
}

// exitCode is what the program ends with after err.
func exitCode(err error) int {
	var coded *exitError
	var unavailable *client.UnavailableError
	var answer *wire.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, client.ErrOutcomeUnknown):
		return exitUnknown
	case errors.As(err, &unavailable):
		return unavailableCode(unavailable)
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	case errors.As(err, &answer):
		return answerCode(answer.Code)
	default:
		return exitFailed
	}
}

// unavailableCode is exitNotAllowed when all that was found was distrust.
func unavailableCode(u *client.UnavailableError) int {
	for _, e := range u.Endpoints {
		var trust *wire.TrustError
		var answer *wire.Error
		if !errors.As(e.Err, &trust) && !(errors.As(e.Err, &answer) && answer.Code == wire.NotAllowed) {
			return exitUnavailable
		}
	}
	if len(u.Endpoints) == 0 {
		return exitUnavailable
	}
	return exitNotAllowed
}

// answerCode is the exit code for a member's answer that is an error.
func answerCode(c wire.Code) int {
	switch c {
	case wire.Unavailable, wire.Overloaded, wire.TooOld, wire.Amnesia:
		return exitUnavailable
	case wire.Unknown:
		return exitUnknown
	case wire.NotAllowed:
		return exitNotAllowed
	default:
		return exitFailed
	}
}

// writeFailed is the error of a write, which may have happened unless the member is certain that it did not.
func writeFailed(err error) error {
	var answer *wire.Error
	if errors.As(err, &answer) && !answer.Certain() && !errors.Is(err, client.ErrOutcomeUnknown) {
		if answer.Code == wire.Unknown { // it says so itself
			return exitf(exitUnknown, "the outcome is unknown: %w", err)
		}
		return exitf(exitUnknown, "the outcome is unknown, the write may have happened: %w", err)
	}
	return err
}

// orNothing adds to the error of a write that no member took that nothing was written, unless a member's answer says so.
func orNothing(err error) error {
	var unavailable *client.UnavailableError
	if !errors.As(err, &unavailable) || strings.Contains(err.Error(), "certainly did not happen") {
		return err
	}
	return fmt.Errorf("%w; nothing was written", err)
}

// tooLarge says that a member refuses a value for its size.
func tooLarge(err error) bool {
	var answer *wire.Error
	return errors.As(err, &answer) && answer.Code == wire.ValueTooLarge
}
