package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/net/wire"
)

// The exit codes of qkv. They are part of its interface: scripts branch on them, so that a number is never reused.
const (
	exitOK          = 0
	exitFailed      = 1 // it did not work: the message says why
	exitUsage       = 2 // the command line or the configuration is refused; nothing was done
	exitNotFound    = 3 // a single key, or a member, that does not exist; an empty range is exitOK
	exitCondition   = 4 // a condition of a write did not hold, or the members do not allow a change of them
	exitUnavailable = 5 // no member, or no quorum, within the timeout; nothing was written
	exitNotAllowed  = 6 // the members refuse this certificate; serve: the member was removed from its cluster
	exitUnknown     = 7 // a write was sent and its outcome is not known: it may have happened
	exitDisk        = 8 // serve: the disk failed a write or a sync, or does not answer
	// Above 128: ended by the signal of that number less 128, as Ctrl-C with 130 and SIGTERM with 143. A member that SIGTERM stops has exitOK.
)

// exitError is an error that knows the exit code it ends the program with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// notPermitted adds to the error of a file that this process may not use who it is: units and containers run as users
// that nobody sees.
func notPermitted(err error) error {
	var file *fs.PathError
	if !errors.As(err, &file) || !errors.Is(file, fs.ErrPermission) {
		return err
	}
	uid := os.Geteuid()
	if file.Op == "mkdir" {
		return fmt.Errorf("%w: qkv runs as user %d, whose folder `install -d -m 0700 -o %d %s` makes as root", err, uid, uid, file.Path)
	}
	return fmt.Errorf("%w: qkv runs as user %d, who may not: run it as the owner, or `chown` what is not its own", err, uid)
}

// notThere adds to the error of a file or folder that is not there, or is the other of the two, which one is meant.
func notThere(err error, format string, values ...any) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, disk.ErrNotRegular) {
		return fmt.Errorf("%w: "+format, append([]any{err}, values...)...)
	}
	return err
}

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
	var ended *interruption
	var coded *exitError
	var unavailable *client.UnavailableError
	var answer *kv.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ended):
		return ended.code()
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, client.ErrOutcomeUnknown):
		return exitUnknown
	case errors.Is(err, client.ErrSeveralClusters):
		return exitUsage
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
		var answer *kv.Error
		if !errors.As(e.Err, &trust) && !(errors.As(e.Err, &answer) && answer.Code == kv.NotAllowed) {
			return exitUnavailable
		}
	}
	if len(u.Endpoints) == 0 {
		return exitUnavailable
	}
	return exitNotAllowed
}

// answerCode is the exit code for a member's answer that is an error.
func answerCode(c kv.Code) int {
	switch c {
	case kv.Unavailable, kv.Overloaded, kv.Amnesia, kv.Corrupt, kv.Removed:
		return exitUnavailable
	case kv.MemberNotFound:
		return exitNotFound
	case kv.MemberExists, kv.AddressExists, kv.NotLearner, kv.LearnerBehind, kv.TooManyMembers, kv.QuorumAtRisk:
		return exitCondition
	case kv.Unknown:
		return exitUnknown
	case kv.NotAllowed:
		return exitNotAllowed
	default:
		return exitFailed
	}
}

// writeFailed is the error of a write, which may have happened unless the member is certain that it did not.
func writeFailed(err error) error {
	var answer *kv.Error
	if errors.As(err, &answer) && answer.Happened() {
		return err // it says so itself
	}
	if errors.As(err, &answer) && !answer.Certain() && !errors.Is(err, client.ErrOutcomeUnknown) {
		if answer.Code == kv.Unknown { // it says so itself
			return exitf(exitUnknown, "the outcome is unknown: %w", err)
		}
		return exitf(exitUnknown, "the outcome is unknown, the write may have happened: %w", err)
	}
	return err
}

// orNothing adds to the error of a write that no member took, or that was refused, that nothing was changed by it, unless the
// error says so.
func orNothing(err error) error {
	var unavailable *client.UnavailableError
	var answer *kv.Error
	switch {
	case errors.Is(err, client.ErrOutcomeUnknown):
	case errors.As(err, &unavailable):
		if !strings.Contains(err.Error(), "certainly did not happen") {
			err = fmt.Errorf("%w; nothing was written", err)
		}
	case errors.As(err, &answer) && answer.Certain() && answer.Code != kv.SessionEnded && exitCode(err) != exitUnknown && !saysNothing(err.Error()):
		err = fmt.Errorf("%w; nothing was changed", err)
	}
	return err
}

// orSerializable adds to the error of a read that a member would have answered, and only did not because nobody leads, that it can
// be asked without a leader, where the command can.
func orSerializable(c *cli.Context, err error) error {
	var answer *kv.Error
	can := slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == "serializable" })
	if !can || c.Bool("serializable") || !errors.As(err, &answer) || answer.Code != kv.Unavailable || exitCode(err) != exitUnavailable {
		return err
	}
	return fmt.Errorf("%w; --serializable asks one member for what it has, also without a leader", err)
}

// saysNothing tells whether a text says that nothing was changed.
func saysNothing(text string) bool {
	for _, words := range []string{"nothing was", "did not happen", "did not change"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// tooLarge says that a member refuses a value for its size.
func tooLarge(err error) bool {
	var answer *kv.Error
	return errors.As(err, &answer) && answer.Code == kv.ValueTooLarge
}
