package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"qkv/index/kv"
	"qkv/net/client"
	"qkv/net/wire"
	"qkv/node"
)

// TestExitCodes: each kind of failure has its number, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	unavailable := func(errs ...error) error {
		u := &client.UnavailableError{Op: "put"}
		for _, err := range errs {
			u.Endpoints = append(u.Endpoints, client.EndpointError{Endpoint: "a:1", Err: err})
		}
		return u
	}
	distrust := &wire.TrustError{Reason: "another CA"}
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("any"), exitFailed},
		{usagef("a"), exitUsage},
		{exitf(exitNotFound, "b"), exitNotFound},
		{kv.Errorf(kv.ValueTooLarge, "c"), exitFailed},
		{kv.Errorf(kv.Compacted, "c"), exitFailed},
		{kv.Errorf(kv.Unavailable, "d"), exitUnavailable},
		{kv.Errorf(kv.Overloaded, "d"), exitUnavailable},
		{kv.Errorf(kv.Removed, "d"), exitUnavailable},
		{kv.Errorf(kv.Amnesia, "d"), exitUnavailable},
		{kv.Errorf(kv.Corrupt, "d"), exitUnavailable},
		{kv.Errorf(kv.LeaseNotFound, "d"), exitNotFound},
		{kv.Errorf(kv.AddressExists, "d"), exitCondition},
		{kv.Errorf(kv.NotLearner, "d"), exitCondition},
		{kv.Errorf(kv.TooManyMembers, "d"), exitCondition},
		{kv.Errorf(kv.MemberNotFound, "d"), exitNotFound},
		{kv.Errorf(kv.MemberExists, "d"), exitCondition},
		{kv.Errorf(kv.LearnerBehind, "d"), exitCondition},
		{kv.Errorf(kv.QuorumAtRisk, "d"), exitCondition},
		{kv.Errorf(kv.NotAllowed, "e"), exitNotAllowed},
		{serveError(node.ErrRemoved), exitNotAllowed},
		{kv.Errorf(kv.Unknown, "f"), exitUnknown},
		{kv.Errorf(kv.Internal, "f"), exitFailed},
		{&client.OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: context.DeadlineExceeded}, exitUnknown},
		{unavailable(), exitUnavailable},
		{unavailable(errors.New("refused")), exitUnavailable},
		{unavailable(distrust), exitNotAllowed},
		{unavailable(distrust, distrust), exitNotAllowed},
		{unavailable(distrust, errors.New("refused")), exitUnavailable},
		{context.DeadlineExceeded, exitUnavailable},
		{unavailable(&client.ClusterError{}), exitUsage},
		{unavailable(&client.ClusterError{Since: time.Now()}), exitUnavailable},
		{&client.ClusterError{Since: time.Now()}, exitUnavailable},
		{&interruption{syscall.SIGINT}, 130},
		{&interruption{syscall.SIGTERM}, 143},
		{&client.OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: &interruption{syscall.SIGINT}}, 130},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.err, got, tt.want)
		}
		if got := exitCode(fmt.Errorf("wrapped: %w", tt.err)); tt.err != nil && got != tt.want {
			t.Errorf("wrapped %v: exit code %d, want %d", tt.err, got, tt.want)
		}
	}
}

// TestExitCodeOfAWrite: a write that certainly happened, or certainly did not, never ends with 7, with every code that a member answers.
// Only an outcome that is not known does.
func TestExitCodeOfAWrite(t *testing.T) {
	unknown := []kv.Code{kv.Unknown, kv.Internal, 200}
	for code := range kv.Code(201) {
		err := writeFailed(fmt.Errorf("put: %w", kv.Errorf(code, "the member's words")))
		got := exitCode(err)
		if want := slices.Contains(unknown, code) || code > kv.MemberRuns; want != (got == exitUnknown) {
			t.Errorf("a write answered with %v ends with exit code %d", code, got)
		}
		if says := strings.Contains(err.Error(), "the outcome is unknown"); says != (got == exitUnknown) {
			t.Errorf("a write answered with %v ends with exit code %d, and says %q", code, got, err)
		}
	}
	for _, code := range []kv.Code{kv.AnswerTooLarge, kv.AnswerGone} { // it happened, and its answer is missing
		if err := orNothing(writeFailed(kv.Errorf(code, "the write was made"))); exitCode(err) != exitFailed || err.Error() != "the write was made" {
			t.Errorf("a write answered with %v ends with exit code %d: %v", code, exitCode(err), err)
		}
	}
}

// TestExitCodesAreListed: whoever reads the help, or this package's promises, finds each code of a command.
func TestExitCodesAreListed(t *testing.T) {
	var help strings.Builder
	writeAppHelp(&help, newApp())
	promises := string(readFile(t, "doc.go"))
	codes := []int{(&interruption{syscall.SIGINT}).code(), (&interruption{syscall.SIGTERM}).code()}
	for code := range exitDisk + 1 {
		codes = append(codes, code)
	}
	for where, text := range map[string]string{"the help": help.String(), "doc.go": promises} {
		_, list, found := strings.Cut(text, "Exit codes: ")
		list, _, _ = strings.Cut(list, "\n//   - ") // what is promised of other things
		for _, code := range codes {
			if !found || !slices.Contains(strings.FieldsFunc(list, func(r rune) bool { return !unicode.IsDigit(r) }), strconv.Itoa(code)) {
				t.Errorf("%s does not list the exit code %d: %q", where, code, list)
			}
		}
	}
}

// Who may not use a file is told as whom the program runs, and what makes a folder that it may use.
func TestNotPermitted(t *testing.T) {
	denied := func(op string) error {
		return fmt.Errorf("start: %w", &fs.PathError{Op: op, Path: "/var/lib/qkv", Err: syscall.EACCES})
	}
	uid := os.Geteuid()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{denied("mkdir"), fmt.Sprintf("start: mkdir /var/lib/qkv: permission denied: qkv runs as user %d: as root, make the folder with `install -d -m 0700 -o %d /var/lib/qkv`", uid, uid)},
		{serveError(&node.UsageError{Err: denied("open")}), fmt.Sprintf("start: open /var/lib/qkv: permission denied: qkv runs as user %d: run it as the owner of that path, or give the path to user %d with `chown`; if it is the owner, allow it with `chmod u+rwX`", uid, uid)},
		{os.NewSyscallError("bind", syscall.EACCES), "bind: permission denied"},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.ENOENT}, "open a: no such file or directory"},
	} {
		if got := notPermitted(tt.err); got.Error() != tt.want || exitCode(got) != exitCode(tt.err) {
			t.Errorf("%v, exit code %d; want %s, %d", got, exitCode(got), tt.want, exitCode(tt.err))
		}
	}
}

// An answer that could not be printed is no success, and what was asked for is done all the same.
func TestAnswerNotPrinted(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	defer full.Close()
	for _, format := range []string{"plain", "json", "table"} {
		var stderr strings.Builder
		code := run(t.Context(), []string{"qkv", "version", "-w", format}, strings.NewReader(""), full, &stderr)
		if want := "qkv: the command succeeded, but its answer could not be printed: write /dev/full: no space left on device\n"; code != exitFailed || stderr.String() != want {
			t.Errorf("-w %s: exit code %d, %swant %d, %s", format, code, &stderr, exitFailed, want)
		}
	}
}

// TestRevisionsThatAreNotThereYet: all commands end with one code where they name a revision above the newest one.
func TestRevisionsThatAreNotThereYet(t *testing.T) {
	t.Parallel()
	b := newRig(t, nil)
	b.expect(t, exitOK, "OK\n", "", "put", "a", "1")
	for _, line := range []string{
		"get a --rev 99", "get a --prefix --rev 99", "get a --count-only --rev 99", "get a --rev 99 --serializable",
		"compact 99", "diff a --from 99", "diff a --from 1 --to 99", "revert a --to 99",
	} {
		if code, _, stderr := b.qkv(t, "", strings.Fields(line)...); code != exitFailed || !strings.Contains(stderr, "the newest is 2") {
			t.Errorf("%s: %d %s", line, code, stderr)
		}
	}
}
