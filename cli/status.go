package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
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
	return within(c, func(ctx context.Context, s store) error {
		members, err := s.status(ctx)
		if err != nil {
			return err
		}
		if err := writeStatus(c.App.Writer, c.String("write-out"), members); err != nil {
			return err
		}
		for _, m := range members {
			if m.Role != roleUnknown {
				return nil
			}
		}
		return exitf(exitUnavailable, "no member answers; `qkv serve` starts one, --endpoints says where they are")
	})
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
		{"Name", m.Name}, {"ID", m.ID}, {"Version", m.Version}, {"Role", m.Role}, {"Term", m.Term},
		{"CommitIndex", m.CommitIndex}, {"AppliedIndex", m.AppliedIndex}, {"Revision", m.Revision}, {"Keys", m.Keys},
		{"LogBytes", m.LogBytes}, {"SnapshotBytes", m.SnapshotBytes}, {"Digest", m.Digest}, {"Error", m.Error},
	}
}

// row is the member's line of the table; of one that did not answer there is little to say.
func (m *memberStatus) row() []any {
	if m.Role == roleUnknown {
		return []any{m.Name, m.ID, "", m.Role, "", "", "", "", "", "", "", "", m.Error}
	}
	return []any{
		m.Name, m.ID, m.Version, m.Role, m.Term, m.CommitIndex, m.AppliedIndex, m.Revision, m.Keys,
		bytesText(m.LogBytes), bytesText(m.SnapshotBytes), m.Digest, m.Error,
	}
}
