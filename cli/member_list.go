package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/net/client"
)

func memberListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the members",
		Description: "STATUS is unstarted until the member has reported to the others. ROLE is voter or learner (gets the data, has no " +
			"vote); during a replacement also incoming and leaving. Below, it says which member replaces which. `-w json` and `-w fields` " +
			"have more columns.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "serializable", EnvVars: []string{"QKV_MEMBER_LIST_SERIALIZABLE"}, Usage: "the members that one member knows, also without a quorum"},
			writeOutFlag(),
		),
		Action: memberList,
	}
}

func memberList(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	return within(c, func(ctx context.Context, s *client.Client) error {
		members, err := s.Members(ctx, c.Bool("serializable"))
		if err != nil {
			return err
		}
		slices.SortFunc(members, func(a, b client.Member) int { return strings.Compare(a.Name, b.Name) })
		return writeMembers(c.App.Writer, c.String("write-out"), members)
	})
}

// memberRecord is a member in the list. Names and order are a promise.
type memberRecord struct {
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	Status   string   `json:"status"`
	Role     string   `json:"role"`
	Learner  bool     `json:"learner"`
	Manual   bool     `json:"manual"` // a learner until `member promote`
	Peers    []string `json:"peers"`
	Clients  []string `json:"clients"`
	Web      []string `json:"web"`
	Version  string   `json:"version"`
	Level    uint64   `json:"feature_level"`
	Since    string   `json:"since"`    // empty: a founder
	Replaces string   `json:"replaces"` // the name of the member that it replaces; empty: none
}

func recordOf(m *client.Member) memberRecord {
	r := memberRecord{
		Name: m.Name, ID: hex(m.ID), Status: "started", Role: m.Role.String(), Learner: m.Role == kv.Learner, Manual: m.Manual,
		Peers: append([]string{}, m.Peers...), Clients: append([]string{}, m.Clients...), Web: append([]string{}, m.Web...),
		Version: m.Version, Level: m.Level,
	}
	if !m.Started() {
		r.Status = "unstarted"
	}
	if m.Since != 0 {
		r.Since = time.Unix(0, m.Since).UTC().Format(time.RFC3339)
	}
	return r
}

func writeMembers(w io.Writer, format string, members []client.Member) error {
	records := make([]memberRecord, 0, len(members))
	for i := range members {
		r := recordOf(&members[i])
		if j := slices.IndexFunc(members, func(m client.Member) bool { return m.ID == members[i].Replaces }); j >= 0 {
			r.Replaces = members[j].Name
		}
		records = append(records, r)
	}
	return writeEach(w, format, records, (*memberRecord).fields, writeMemberTable)
}

func (r *memberRecord) fields() []field {
	return []field{
		{"Name", r.Name},
		{"ID", r.ID},
		{"Status", r.Status},
		{"Role", r.Role},
		{"Learner", r.Learner},
		{"Manual", r.Manual},
		{"Peers", strings.Join(r.Peers, ",")},
		{"Clients", strings.Join(r.Clients, ",")},
		{"Web", strings.Join(r.Web, ",")},
		{"Version", r.Version},
		{"FeatureLevel", r.Level},
		{"Since", r.Since},
		{"Replaces", r.Replaces},
	}
}

// writeMemberTable prints one line for each member, and the necessary actions below.
func writeMemberTable(w helpWriter, records []memberRecord) {
	t := table{head: []string{"NAME", "ID", "STATUS", "ROLE", "PEERS", "CLIENTS", "VERSION", "SINCE"}}
	for i := range records {
		r := &records[i]
		since := "founder"
		if r.Since != "" {
			since = r.Since
		}
		name := "-" // the member reports its name when it starts
		if r.Name != "" {
			name = tableName(r.Name)
		}
		t.add(name, r.ID, r.Status, r.Role, strings.Join(r.Peers, ","), strings.Join(r.Clients, ","), r.Version, since)
	}
	t.fit(w.width)
	t.write(w)
	for _, r := range records {
		switch {
		case r.Replaces != "":
			w.wrap(cmp.Or(r.Name, r.ID), "", fmt.Sprintf("replaces %s as soon as it has caught up", r.Replaces))
		case r.Manual:
			w.wrap(r.Name, "", fmt.Sprintf("becomes a voter only by `qkv member promote %s`", r.Name))
		}
	}
}
