package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"

	"qkv/internal/limits"
	"qkv/net/client"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Category: "cluster", Usage: "have each member read its files from the disk, and name damaged ones",
		Description: "Each member reads its snapshots and its log from the disk, past the page cache, and compares all checksums, while it " +
			"serves. Otherwise a damaged old file is noticed only when a restart or another member needs it. Asks the members at " +
			"--endpoints, and all members that these know. If authentication is enabled, it needs the role root.\n\n" +
			"A member moves a damaged snapshot to quarantine/ in its data folder, and saves another one. If a segment of the log is damaged, " +
			"the member saves two snapshots, and removes the segment once they cover it; the output says what to do. A second `qkv verify` " +
			"joins one that is under way, at the rate of the first. Ctrl-C ends the reading within a few seconds.\n\n" +
			"The exit code is 0 if all files are sound, 1 if a file is damaged, and 5 if a member did not answer.",
		Flags: clientFlags(
			sizeFlag("rate-bytes", "QKV_VERIFY_RATE_BYTES", limits.VerifyRate, "32MiB", "largest `SIZE` that each member reads in a second: 64KiB to 4GiB"),
			plainOrJSONFlag("result", "QKV_VERIFY_WRITE_OUT"),
		),
		Action: verify,
	}
}

// verifiedMember is the result of one member. Names and order are a promise.
type verifiedMember struct {
	Name    string        `json:"name"`
	ID      string        `json:"id"`
	Sound   bool          `json:"sound"`
	Files   int64         `json:"files"`
	Bytes   int64         `json:"bytes"`
	Damaged []damagedFile `json:"damaged"`
	Error   string        `json:"error"` // why it was not verified; empty: it was

	err error
}

type damagedFile struct {
	Name   string `json:"file"`
	Reason string `json:"reason"`
	Help   string `json:"help"`
}

func verify(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	rate := sizeOf(c, "rate-bytes")
	if rate < limits.VerifyRateLeast || rate > limits.VerifyRateMost {
		return usagef("--rate-bytes %d is not between 64KiB and 4GiB", rate)
	}
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(c.Context, t.timeout, noAnswer(t.timeout))
	members, err := t.status(ctx)
	cancel()
	if err != nil {
		return err
	}
	members = slices.DeleteFunc(members, func(m memberStatus) bool { return m.endpoint == "" && t.leavesOut(&m) })
	all := make([]verifiedMember, len(members))
	var asking sync.WaitGroup
	for i := range members {
		asking.Go(func() { all[i] = t.verify(c.Context, &members[i], rate) })
	}
	asking.Wait()
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	if c.String("write-out") == formatJSON {
		err = writeJSON(c.App.Writer, struct {
			Members []verifiedMember `json:"members"`
		}{all})
	} else {
		writeMembersVerified(c.App.Writer, all)
	}
	return errors.Join(err, verdictOf(all))
}

// leavesOut reports whether --no-discovery leaves out a member that others know.
func (t target) leavesOut(m *memberStatus) bool {
	return t.given && !m.Unknown && !slices.ContainsFunc(m.Clients, func(address string) bool { return slices.Contains(t.endpoints, address) })
}

// verify has one member read its files, and waits for the end.
func (t target) verify(ctx context.Context, m *memberStatus, rate int64) verifiedMember {
	v, err := client.Verified{}, error(nil)
	if m.endpoint == "" {
		err = exitf(exitUnavailable, "it does not answer: %s", m.Error)
	} else {
		t.endpoints, t.given, t.failFast = []string{m.endpoint}, true, true // each member has files of its own
		var s *client.Client
		if s, err = t.open(ctx); err == nil {
			defer func() { _ = s.Close() }()
		}
		for err == nil && !v.Done {
			v, err = s.Verify(ctx, v.Run, rate)
		}
	}
	found := verifiedMember{Name: m.Name, ID: m.ID, Files: v.Files, Bytes: v.Bytes, Damaged: []damagedFile{}, err: err}
	for _, f := range v.Damaged {
		found.Damaged = append(found.Damaged, damagedFile(f))
	}
	if err != nil {
		found.Error = oneLine(err.Error())
	}
	found.Sound = err == nil && len(found.Damaged) == 0
	return found
}

func writeMembersVerified(w io.Writer, all []verifiedMember) {
	t := table{head: []string{"MEMBER", "FILES", "BYTES", "DAMAGED", "RESULT"}}
	for _, m := range all {
		result := "sound"
		switch {
		case m.err != nil:
			result = "not verified: " + m.Error
		case !m.Sound:
			result = "damaged"
		}
		t.add(m.Name, m.Files, number(bytesText(m.Bytes)), len(m.Damaged), result)
	}
	t.write(w)
	for _, m := range all {
		for _, f := range m.Damaged {
			fmt.Fprintf(w, "\n%s: %s is damaged %s\n  %s\n", m.Name, f.Name, oneLine(f.Reason), f.Help)
		}
	}
}

// verdictOf is the error of a cluster with damage, or with a member that was not verified.
func verdictOf(all []verifiedMember) (err error) {
	damaged := 0
	for _, m := range all {
		damaged += len(m.Damaged)
		if m.err != nil && exitCode(m.err) == exitNotAllowed {
			err = fmt.Errorf("%s was not verified: %w", m.Name, m.err)
		} else if m.err != nil && err == nil {
			err = exitf(exitUnavailable, "%s was not verified: %w", m.Name, m.err)
		}
	}
	if damaged > 0 {
		return exitf(exitFailed, "damaged files: %d", damaged)
	}
	return err
}
