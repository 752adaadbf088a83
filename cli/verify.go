package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Category: "cluster", Usage: "print which files the members have found damaged",
		Description: "Each member reads its snapshots and its log from the disk once a week, at 4 MiB/s at most, past the page cache, and " +
			"compares all checksums, while it serves. The first time is an hour after its first start. This prints what each member found last; --now has them read " +
			"all files at once, at 32 MiB/s at most, and waits for that. Asks the members at --endpoints, and all members that these know. If authentication " +
			"is enabled, it needs the role root.\n\n" +
			"A member moves a damaged snapshot to damaged/ in its data folder, and saves another one. If a segment of the log is damaged, " +
			"the member saves two snapshots, and removes the segment once they cover it; the output says what to do. After Ctrl-C the " +
			"member goes on.\n\n" +
			"The exit code is 0 if all files are sound, 1 if a file is damaged, and 5 if a member did not answer, or has not read its files yet.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "now", Usage: "have each member read all of its files now, and wait for the result"},
			plainOrJSONFlag("result"),
		),
		Action: verify,
	}
}

// verifiedMember is the result of one member. Names and order are a promise.
type verifiedMember struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	Sound bool   `json:"sound"`
	kv.Verified
	Time  string `json:"time"`  // when it had read them, or empty
	Error string `json:"error"` // why it was not verified; empty: it was

	err error
}

func verify(c *cli.Context) error {
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
		asking.Go(func() { all[i] = t.verify(c.Context, &members[i], c.Bool("now")) })
	}
	asking.Wait()
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	err = writeAnswer(c, form.Answer{Document: form.Document{{"members", all}}, Page: func(p form.Page) { writeMembersVerified(p, all) }})
	return errors.Join(err, verdictOf(all))
}

// leavesOut reports whether --no-discovery leaves out a member that others know.
func (t target) leavesOut(m *memberStatus) bool {
	return t.given && !m.Unknown && !slices.ContainsFunc(m.Clients, func(address string) bool { return slices.Contains(t.endpoints, address) })
}

// verify asks one member for its result.
func (t target) verify(ctx context.Context, m *memberStatus, now bool) verifiedMember {
	v, err := kv.Verified{}, error(nil)
	if m.endpoint == "" {
		err = exitf(exitUnavailable, "it does not answer: %s", m.Error)
	} else {
		t.endpoints, t.given, t.failFast = []string{m.endpoint}, true, true // each member has files of its own
		var s *client.Client
		if s, err = t.open(ctx); err == nil {
			defer func() { _ = s.Close() }()
			v, err = verifiedBy(ctx, s, now)
		}
	}
	v.Damaged = append([]kv.DamagedFile{}, v.Damaged...) // [] in JSON
	found := verifiedMember{Name: m.Name, ID: m.ID, Verified: v, Sound: err == nil && len(v.Damaged) == 0, err: err}
	if v.Wall > 0 {
		found.Time = inUTC(v.Wall)
	}
	if err != nil {
		found.Error = oneLine(err.Error())
	}
	return found
}

// inUTC formats a time of a state for programs.
func inUTC(wall int64) string { return time.Unix(0, wall).UTC().Format(time.RFC3339Nano) }

// verifyPoll is how often a client asks whether all files are read.
const verifyPoll = 500 * time.Millisecond

// verifiedBy returns the last result of the client's member. If now is true, it waits for a new one.
func verifiedBy(ctx context.Context, s *client.Client, now bool) (v kv.Verified, err error) {
	last, err := s.Admin().Verify(ctx, client.VerifyOptions{Now: now})
	for v = last; err == nil && now && v.Asked; v, err = s.Admin().Verify(ctx, client.VerifyOptions{}) {
		time.Sleep(verifyPoll)
	}
	switch {
	case err != nil:
		return v, err
	case now && v.Reads <= last.Reads:
		return v, errors.New("it was restarted before it had read all files: try again")
	case v.Wall == 0:
		return v, errors.New("it has not read all of its files yet: pass --now")
	case v.Failed != "":
		return v, fmt.Errorf("the files cannot be read: %s", v.Failed)
	}
	return v, nil
}

func writeMembersVerified(w form.Page, all []verifiedMember) {
	t := form.Rows{Columns: []string{"MEMBER", "TIME", "FILES", "BYTES", "DAMAGED", "RESULT"}}
	for _, m := range all {
		result := "sound"
		switch {
		case m.err != nil:
			result = "not verified: " + m.Error
		case !m.Sound:
			result = "damaged"
		}
		t.Add(m.Name, cmp.Or(m.Time, "-"), m.Files, number(bytesText(m.Bytes)), len(m.Damaged), result)
	}
	t.Write(w)
	for _, m := range all {
		for _, f := range m.Damaged {
			fmt.Fprintf(w, "\n%s: %s is damaged: %s\n  %s\n", m.Name, f.Name, oneLine(f.Reason), f.Help)
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
