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

	"qkv/cli/data"
	"qkv/cli/form"
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
		{nil, form.ExitOK},
		{errors.New("any"), form.ExitFailed},
		{form.Usagef("a"), form.ExitUsage},
		{form.Exitf(form.ExitNotFound, "b"), form.ExitNotFound},
		{kv.Errorf(kv.ValueTooLarge, "c"), form.ExitFailed},
		{kv.Errorf(kv.Compacted, "c"), form.ExitFailed},
		{kv.Errorf(kv.Unavailable, "d"), form.ExitUnavailable},
		{kv.Errorf(kv.Overloaded, "d"), form.ExitUnavailable},
		{kv.Errorf(kv.Removed, "d"), form.ExitUnavailable},
		{kv.Errorf(kv.Amnesia, "d"), form.ExitUnavailable},
		{kv.Errorf(kv.Corrupt, "d"), form.ExitUnavailable},
		{kv.Errorf(kv.LeaseNotFound, "d"), form.ExitNotFound},
		{kv.Errorf(kv.AddressExists, "d"), form.ExitCondition},
		{kv.Errorf(kv.NotLearner, "d"), form.ExitCondition},
		{kv.Errorf(kv.TooManyMembers, "d"), form.ExitCondition},
		{kv.Errorf(kv.MemberNotFound, "d"), form.ExitNotFound},
		{kv.Errorf(kv.MemberExists, "d"), form.ExitCondition},
		{kv.Errorf(kv.LearnerBehind, "d"), form.ExitCondition},
		{kv.Errorf(kv.QuorumAtRisk, "d"), form.ExitCondition},
		{kv.Errorf(kv.NotAllowed, "e"), form.ExitNotAllowed},
		{data.ServeError(node.ErrRemoved), form.ExitNotAllowed},
		{kv.Errorf(kv.Unknown, "f"), form.ExitUnknown},
		{kv.Errorf(kv.Internal, "f"), form.ExitFailed},
		{&client.OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: context.DeadlineExceeded}, form.ExitUnknown},
		{unavailable(), form.ExitUnavailable},
		{unavailable(errors.New("refused")), form.ExitUnavailable},
		{unavailable(distrust), form.ExitNotAllowed},
		{unavailable(distrust, distrust), form.ExitNotAllowed},
		{unavailable(distrust, errors.New("refused")), form.ExitUnavailable},
		{context.DeadlineExceeded, form.ExitUnavailable},
		{unavailable(&client.ClusterError{}), form.ExitUsage},
		{unavailable(&client.ClusterError{Since: time.Now()}), form.ExitUnavailable},
		{&client.ClusterError{Since: time.Now()}, form.ExitUnavailable},
		{&form.Interruption{Signal: syscall.SIGINT}, 130},
		{&form.Interruption{Signal: syscall.SIGTERM}, 143},
		{&client.OutcomeUnknownError{Op: "put", Endpoint: "a:1", Cause: &form.Interruption{Signal: syscall.SIGINT}}, 130},
	} {
		if got := form.ExitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.err, got, tt.want)
		}
		if got := form.ExitCode(fmt.Errorf("wrapped: %w", tt.err)); tt.err != nil && got != tt.want {
			t.Errorf("wrapped %v: exit code %d, want %d", tt.err, got, tt.want)
		}
	}
}

// TestExitCodeOfAWrite: a write that certainly happened, or certainly did not, never ends with 7, with every code that a member answers.
// Only an outcome that is not known does.
func TestExitCodeOfAWrite(t *testing.T) {
	unknown := []kv.Code{kv.Unknown, kv.Internal, 200}
	for code := range kv.Code(201) {
		err := form.WriteFailed(fmt.Errorf("put: %w", kv.Errorf(code, "the member's words")))
		got := form.ExitCode(err)
		if want := slices.Contains(unknown, code) || code > kv.MemberRuns; want != (got == form.ExitUnknown) {
			t.Errorf("a write answered with %v ends with exit code %d", code, got)
		}
		if says := strings.Contains(err.Error(), "the outcome is unknown"); says != (got == form.ExitUnknown) {
			t.Errorf("a write answered with %v ends with exit code %d, and says %q", code, got, err)
		}
	}
	for _, code := range []kv.Code{kv.AnswerTooLarge, kv.AnswerGone} { // it happened, and its answer is missing
		if err := form.OrNothing(form.WriteFailed(kv.Errorf(code, "the write was made"))); form.ExitCode(err) != form.ExitFailed || err.Error() != "the write was made" {
			t.Errorf("a write answered with %v ends with exit code %d: %v", code, form.ExitCode(err), err)
		}
	}
}

// TestExitCodesAreListed: whoever reads the help, or this package's promises, finds each code of a command.
func TestExitCodesAreListed(t *testing.T) {
	var help strings.Builder
	form.WriteAppHelp(&help, newApp())
	promises := string(readFile(t, "doc.go"))
	codes := []int{(&form.Interruption{Signal: syscall.SIGINT}).Code(), (&form.Interruption{Signal: syscall.SIGTERM}).Code()}
	for code := range form.ExitDisk + 1 {
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
		{data.ServeError(&node.UsageError{Err: denied("open")}), fmt.Sprintf("start: open /var/lib/qkv: permission denied: qkv runs as user %d: run it as the owner of that path, or give the path to user %d with `chown`; if it is the owner, allow it with `chmod u+rwX`", uid, uid)},
		{os.NewSyscallError("bind", syscall.EACCES), "bind: permission denied"},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.ENOENT}, "open a: no such file or directory"},
	} {
		if got := form.NotPermitted(tt.err); got.Error() != tt.want || form.ExitCode(got) != form.ExitCode(tt.err) {
			t.Errorf("%v, exit code %d; want %s, %d", got, form.ExitCode(got), tt.want, form.ExitCode(tt.err))
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
		code := execute(t.Context(), []string{"qkv", "version", "-w", format}, strings.NewReader(""), full, &stderr)
		if want := "qkv: the command succeeded, but its answer could not be printed: write /dev/full: no space left on device\n"; code != form.ExitFailed || stderr.String() != want {
			t.Errorf("-w %s: exit code %d, %swant %d, %s", format, code, &stderr, form.ExitFailed, want)
		}
	}
}

// TestRevisionsThatAreNotThereYet: all commands end with one code where they name a revision above the newest one.
func TestRevisionsThatAreNotThereYet(t *testing.T) {
	t.Parallel()
	b := newRig(t, nil)
	b.expect(t, form.ExitOK, "OK\n", "", "put", "a", "1")
	for _, line := range []string{
		"get a --rev 99", "get a --prefix --rev 99", "get a --count-only --rev 99", "get a --rev 99 --serializable",
		"compact 99", "diff a --from 99", "diff a --from 1 --to 99", "revert a --to 99",
	} {
		if code, _, stderr := b.qkv(t, "", strings.Fields(line)...); code != form.ExitFailed || !strings.Contains(stderr, "the newest is 2") {
			t.Errorf("%s: %d %s", line, code, stderr)
		}
	}
}
