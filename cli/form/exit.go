package form

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

// The exit codes of qkv are part of its interface: scripts branch on them, and a number is never reused.
const (
	ExitOK          = 0
	ExitFailed      = 1 // it failed: the message says why
	ExitUsage       = 2 // the command line or the configuration is refused; nothing was done
	ExitNotFound    = 3 // a single key, a lease or a member that does not exist; an empty range is exitOK
	ExitCondition   = 4 // a condition of a write did not hold, or the members refuse a change of members or users
	ExitUnavailable = 5 // no member, or no quorum, within the timeout; nothing was written
	// the members refuse this certificate, password or request; serve: the member was removed from its cluster
	ExitNotAllowed = 6
	ExitUnknown    = 7 // a write was sent and its outcome is unknown: it may have happened
	ExitDisk       = 8 // serve: a write or sync of the disk failed, or the disk does not answer
	// Codes above 128: ended by a signal, 128 plus its number, as in 130 for Ctrl-C and 143 for SIGTERM. A member stopped by SIGTERM
	// has exitOK.
)

// ExitError is an error with its own exit code.
type ExitError struct {
	Code int
	err  error
}

func (e *ExitError) Error() string { return e.err.Error() }
func (e *ExitError) Unwrap() error { return e.err }

// NotPermitted adds the process's user to a permission error: units and containers set the user elsewhere.
func NotPermitted(err error) error {
	var file *fs.PathError
	if !errors.As(err, &file) || !errors.Is(file, fs.ErrPermission) {
		return err
	}
	uid := os.Geteuid()
	if file.Op == "mkdir" {
		return fmt.Errorf("%w: qkv runs as user %d: as root, make the folder with `install -d -m 0700 -o %d %s`", err, uid, uid, file.Path)
	}
	return fmt.Errorf("%w: qkv runs as user %d: run it as the owner of that path, or give the path to user %d with `chown`; if it is the owner, allow it with `chmod u+rwX`", err, uid, uid)
}

// NotThere explains which path is needed, if a file or folder does not exist or is of the other kind.
func NotThere(err error, format string, values ...any) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, disk.ErrNotRegular) {
		return fmt.Errorf("%w: "+format, append([]any{err}, values...)...)
	}
	return err
}

// Usagef returns an error about the command line.
func Usagef(format string, values ...any) error {
	return &ExitError{ExitUsage, fmt.Errorf(format, values...)}
}

// Exitf returns an error with its exit code.
func Exitf(code int, format string, values ...any) error {
	return &ExitError{code, fmt.Errorf(format, values...)}
}

// ExitCode returns the exit code of the program after err.
func ExitCode(err error) int {
	var ended *Interruption
	var coded *ExitError
	var unavailable *client.UnavailableError
	var answer *kv.Error
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &ended):
		return ended.Code()
	case errors.As(err, &coded):
		return coded.Code
	case errors.Is(err, client.ErrOutcomeUnknown):
		return ExitUnknown
	case errors.Is(err, client.ErrSeveralClusters):
		return ExitUsage
	case errors.As(err, &unavailable):
		return unavailableCode(unavailable)
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, client.ErrClusterReplaced):
		return ExitUnavailable
	case errors.As(err, &answer):
		return answerCode(answer.Code)
	default:
		return ExitFailed
	}
}

// unavailableCode is exitNotAllowed if all endpoints failed by refused certificates or passwords.
func unavailableCode(u *client.UnavailableError) int {
	for _, e := range u.Endpoints {
		var trust *wire.TrustError
		var answer *kv.Error
		if errors.Is(e.Err, wire.OtherPort) || !errors.As(e.Err, &trust) && !(errors.As(e.Err, &answer) && answerCode(answer.Code) == ExitNotAllowed) {
			return ExitUnavailable
		}
	}
	if len(u.Endpoints) == 0 {
		return ExitUnavailable
	}
	return ExitNotAllowed
}

// answerCode is the exit code of a member's error answer.
func answerCode(c kv.Code) int {
	switch c {
	case kv.Unavailable, kv.Overloaded, kv.Amnesia, kv.Corrupt, kv.Removed:
		return ExitUnavailable
	case kv.MemberNotFound, kv.LeaseNotFound, kv.UserNotFound, kv.RoleNotFound:
		return ExitNotFound
	case kv.MemberExists, kv.AddressExists, kv.NotLearner, kv.LearnerBehind, kv.TooManyMembers, kv.QuorumAtRisk, kv.MemberRuns,
		kv.UserExists, kv.RoleExists, kv.RoleNotGranted, kv.PermissionNotGranted, kv.AuthManagement, kv.RootUserMissing, kv.RootRoleMissing:
		return ExitCondition
	case kv.Unknown:
		return ExitUnknown
	case kv.NotAllowed, kv.UserEmpty, kv.AuthFailed, kv.BadToken:
		return ExitNotAllowed
	default:
		return ExitFailed
	}
}

// WriteFailed is the error of a write. The write may have happened, unless the member is certain that it did not.
func WriteFailed(err error) error {
	var answer *kv.Error
	if errors.As(err, &answer) && answer.Happened() {
		return err // its text says so already
	}
	if errors.As(err, &answer) && !answer.Certain() && !errors.Is(err, client.ErrOutcomeUnknown) {
		if answer.Code == kv.Unknown { // its text says so already
			return Exitf(ExitUnknown, "the outcome is unknown: %w", err)
		}
		return Exitf(ExitUnknown, "the outcome is unknown, the write may have happened: %w", err)
	}
	return err
}

// OrNothing adds to the error of a write that was refused, or that no member accepted, that nothing was changed. It adds nothing if
// the error says so already.
func OrNothing(err error) error {
	var unavailable *client.UnavailableError
	var answer *kv.Error
	switch {
	case errors.Is(err, client.ErrOutcomeUnknown):
	case errors.As(err, &unavailable):
		if !strings.Contains(err.Error(), "certainly did not happen") {
			err = fmt.Errorf("%w; nothing was written", err)
		}
	case errors.As(err, &answer) && answer.Certain() && answer.Code != kv.NameEnded && ExitCode(err) != ExitUnknown && !saysNothing(err.Error()):
		err = fmt.Errorf("%w; nothing was changed", err)
	}
	return err
}

// orRunbook adds the next step to the error of a command that failed only because there is no leader: --serializable, if the command has
// that flag, or the page.
func orRunbook(c *cli.Context, err error) error {
	var answer *kv.Error
	if !errors.As(err, &answer) || answer.Code != kv.Unavailable || ExitCode(err) != ExitUnavailable {
		return err
	}
	if slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == "serializable" }) && !c.Bool("serializable") {
		return fmt.Errorf("%w; --serializable reads from one member, also without a leader", err)
	}
	return fmt.Errorf("%w; if the quorum is lost: docs/emergencies.md, A lost quorum", err)
}

// saysNothing reports whether a text says that nothing was changed.
func saysNothing(text string) bool {
	for _, words := range []string{"nothing was", "did not happen", "did not change"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// CodeOf returns the code of a member's answer; kv.OK if the error is none.
func CodeOf(err error) kv.Code {
	if answer, ok := errors.AsType[*kv.Error](err); ok {
		return answer.Code
	}
	return kv.OK
}
