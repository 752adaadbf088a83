package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
)

// roleUnknown is the role of a member that did not answer.
const roleUnknown = "unknown"

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Category: "cluster", Usage: "show what each member says of itself",
		Description: "Asks the members behind --endpoints, and all others that these know of. A member that does not answer has\n" +
			"the role unknown and its error; the exit code is 0 as long as one answers. Equal digests at an equal applied\n" +
			"index mean equal states.",
		Flags:  clientFlags(writeOutFlag()),
		Action: status,
	}
}

func status(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	timeout := c.Duration("timeout")
	ctx, cancel := context.WithTimeoutCause(c.Context, timeout, noAnswer(timeout))
	defer cancel()
	members, err := t.status(ctx)
	if len(members) > 0 {
		if err := writeStatus(c.App.Writer, c.String("write-out"), members); err != nil {
			return err
		}
	}
	return err
}

// status asks all members. When none answers that is an error, beside the reasons of each.
func (t target) status(ctx context.Context) ([]memberStatus, error) {
	t.failFast = true
	s, err := t.open(ctx)
	if err == nil {
		defer func() { _ = s.Close() }()
		return askAll(ctx, s, t.endpoints)
	}
	var unavailable *client.UnavailableError
	if !errors.As(err, &unavailable) {
		return nil, err
	}
	var members []memberStatus
	for _, e := range unavailable.Endpoints {
		members = append(members, unreachable(e.Endpoint, 0, e.Err))
	}
	return members, err
}

// patience is how long one member may take to answer, so that a dead one does not take the time of all.
const patience = 2 * time.Second

// askAll asks the members that one of them knows, each at its own addresses and at the endpoints that were given.
func askAll(ctx context.Context, s *client.Client, given []string) ([]memberStatus, error) {
	known, err := s.Members(ctx)
	if err != nil {
		return nil, err
	}
	addresses := slices.Clone(given)
	for _, m := range known {
		addresses = append(addresses, m.Clients...)
	}
	slices.Sort(addresses)
	answers := ask(ctx, s, slices.Compact(addresses))
	var members []memberStatus
	for _, m := range known {
		members = append(members, answers.member(m))
	}
	members = append(members, answers.others(known, given)...)
	slices.SortStableFunc(members, func(a, b memberStatus) int { return strings.Compare(a.Name, b.Name) })
	return members, nil
}

// answers is what came from each address.
type answers map[string]answer

type answer struct {
	status client.Status
	err    error
}

func ask(ctx context.Context, s *client.Client, addresses []string) answers {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, noAnswer(patience))
	defer cancel()
	all := make([]answer, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { all[i].status, all[i].err = s.Status(ctx, address) })
	}
	asking.Wait()
	found := answers{}
	for i, address := range addresses {
		found[address] = all[i]
	}
	return found
}

// member is what a member said at any address, or why it did not at its own.
func (a answers) member(m client.Member) memberStatus {
	for _, one := range a {
		if one.err == nil && one.status.ID == m.ID {
			return said(&one.status)
		}
	}
	err := errors.New("it has not told the others where it serves clients: did it ever start?")
	for _, address := range m.Clients {
		if one := a[address]; one.err != nil {
			err = one.err
		} else {
			err = fmt.Errorf("at %s there is another member, %s", address, one.status.Name)
		}
	}
	return unreachable(m.Name, m.ID, err)
}

// others are the endpoints given at which none of the known members is.
func (a answers) others(known []client.Member, given []string) (members []memberStatus) {
	for _, address := range given {
		one := a[address]
		isKnown := slices.ContainsFunc(known, func(m client.Member) bool {
			return one.err == nil && m.ID == one.status.ID || slices.Contains(m.Clients, address)
		})
		switch {
		case isKnown:
		case one.err != nil:
			members = append(members, unreachable(address, 0, one.err))
		default:
			members = append(members, said(&one.status))
		}
	}
	return members
}

func said(s *client.Status) memberStatus {
	return memberStatus{
		Name: s.Name, ID: hex(s.ID), Version: s.Version, Role: s.Role, Term: s.Term, CommitIndex: s.Commit,
		AppliedIndex: s.Applied, Revision: s.Revision, Keys: s.Keys, LogBytes: s.LogBytes,
		SnapshotBytes: s.SnapshotBytes, Digest: hex(s.Digest), Error: s.Error,
	}
}

func unreachable(name string, id uint64, err error) memberStatus {
	m := memberStatus{Name: name, Role: roleUnknown, Error: err.Error()}
	if id != 0 {
		m.ID = hex(id)
	}
	return m
}

func hex(n uint64) string { return fmt.Sprintf("%016x", n) }

// memberStatus is what one member says of itself, or why it could not be asked. The names and their order are a
// promise.
type memberStatus struct {
	Name          string `json:"name"`
	ID            string `json:"id"`
	Version       string `json:"version"`
	Role          string `json:"role"`
	Term          uint64 `json:"term"`
	CommitIndex   uint64 `json:"commit_index"`
	AppliedIndex  uint64 `json:"applied_index"`
	Revision      int64  `json:"revision"`
	Keys          int64  `json:"keys"`
	LogBytes      int64  `json:"log_bytes"`
	SnapshotBytes int64  `json:"snapshot_bytes"`
	Digest        string `json:"digest"`
	Error         string `json:"error"`
}

func writeStatus(w io.Writer, format string, members []memberStatus) error {
	switch format {
	case formatJSON:
		return writeJSON(w, struct {
			Members []memberStatus `json:"members"`
		}{members})
	case formatFields:
		for _, m := range members {
			writeFields(w, m.fields())
			fmt.Fprintln(w)
		}
	default:
		t := table{head: []string{
			"MEMBER", "ID", "VERSION", "ROLE", "TERM", "COMMIT", "APPLIED", "REVISION", "KEYS", "LOG", "SNAPSHOT", "DIGEST", "ERROR",
		}}
		for _, m := range members {
			t.add(m.row()...)
		}
		t.write(w)
	}
	return nil
}

func (m *memberStatus) fields() []field {
	return []field{
		{"Name", m.Name},
		{"ID", m.ID},
		{"Version", m.Version},
		{"Role", m.Role},
		{"Term", m.Term},
		{"CommitIndex", m.CommitIndex},
		{"AppliedIndex", m.AppliedIndex},
		{"Revision", m.Revision},
		{"Keys", m.Keys},
		{"LogBytes", m.LogBytes},
		{"SnapshotBytes", m.SnapshotBytes},
		{"Digest", m.Digest},
		{"Error", m.Error},
	}
}

// row is the member's line of the table; of one that did not answer there is little to say.
func (m *memberStatus) row() []any {
	if m.Role == roleUnknown {
		return []any{m.Name, m.ID, "", m.Role, "", "", "", "", "", "", "", "", oneLine(m.Error)}
	}
	return []any{
		m.Name, m.ID, m.Version, m.Role, m.Term, m.CommitIndex, m.AppliedIndex, m.Revision, m.Keys,
		bytesText(m.LogBytes), bytesText(m.SnapshotBytes), m.Digest, oneLine(m.Error),
	}
}

// oneLine is a message as a table can hold it.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
