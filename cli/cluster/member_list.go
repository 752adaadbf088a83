package cluster

// This file is `qkv member list`: list the members.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
)

func memberList(ctx context.Context, c *cli.Context, s *client.Client) error {
	members, err := s.Members(ctx, client.ReadOptions{Serializable: c.Bool("serializable")})
	if err != nil {
		return err
	}
	slices.SortFunc(members, func(a, b kv.Member) int { return strings.Compare(a.Name, b.Name) })
	return writeMembers(c.App.Writer, c.String("write-out"), members)
}

func writeMembers(w io.Writer, format string, members []kv.Member) error {
	all := make([]form.Document, 0, len(members))
	for i := range members {
		all = append(all, memberDocument(&members[i], replacedBy(members, &members[i])))
	}
	return form.Answer{Document: form.Document{{"members", all}}, Page: func(p form.Page) { writeMemberTable(p, members) }}.Write(w, format)
}

// replacedBy returns the name of the member that m replaces; empty: none.
func replacedBy(members []kv.Member, m *kv.Member) string {
	if i := slices.IndexFunc(members, func(other kv.Member) bool { return other.ID == m.Replaces }); i >= 0 {
		return members[i].Name
	}
	return ""
}

func memberDocument(m *kv.Member, replaces string) form.Document {
	return form.Document{
		{"name", m.Name},
		{"id", form.Hex(m.ID)},
		{"status", startedText(m)},
		{"role", m.Role.String()},
		{"learner", m.Role == kv.Learner},
		{"manual", m.Manual}, // a learner until `member promote`
		{"peers", append([]string{}, m.Peers...)},
		{"clients", append([]string{}, m.Clients...)},
		{"web", append([]string{}, m.Web...)},
		{"version", m.Version},
		{"feature_level", m.Level},
		{"since", sinceText(m)},
		{"replaces", replaces},
	}
}

func startedText(m *kv.Member) string {
	if m.Started() {
		return "started"
	}
	return "unstarted"
}

// sinceText returns when a member was added; empty: it is a founder.
func sinceText(m *kv.Member) string {
	if m.Since == 0 {
		return ""
	}
	return time.Unix(0, m.Since).UTC().Format(time.RFC3339)
}

// writeMemberTable prints one line for each member, and the necessary actions below.
func writeMemberTable(w form.Page, members []kv.Member) {
	t := form.Rows{Columns: []string{"NAME", "ID", "STATUS", "ROLE", "PEERS", "CLIENTS", "VERSION", "SINCE"}}
	for i := range members {
		m := &members[i]
		name := "-" // the member reports its name when it starts
		if m.Name != "" {
			name = form.TableName(m.Name)
		}
		t.Add(name, form.Hex(m.ID), startedText(m), m.Role.String(), strings.Join(m.Peers, ","), strings.Join(m.Clients, ","), m.Version, cmp.Or(sinceText(m), "founder"))
	}
	t.Fit(w.Width)
	t.Write(w)
	for i := range members {
		m := &members[i]
		switch replaces := replacedBy(members, m); {
		case replaces != "":
			w.Wrap(cmp.Or(m.Name, form.Hex(m.ID)), "", fmt.Sprintf("replaces %s as soon as it has caught up", replaces))
		case m.Manual:
			w.Wrap(m.Name, "", fmt.Sprintf("becomes a voter only by `qkv member promote %s`", m.Name))
		}
	}
}
