package cluster

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"qkv/cli/form"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/internal/limits"
)

// MemberStatus is the status of one member, or the error of asking it.
type MemberStatus struct {
	checks.Member
	Vote string // learner, voter, incoming or leaving

	hint     string // advice for an endpoint without a known member
	endpoint string // where it has answered; empty: nowhere
}

// document returns the status for JSON.
func (m *MemberStatus) document() form.Document {
	d := form.Document{
		{"name", m.Name},
		{"id", m.ID},
		{"cluster", m.Cluster},
		{"version", m.Version},
		{"role", m.State},
		{"vote", m.Vote},
		{"replaces", m.Replaces},
		{"leader", m.Leader},
		{"stage", m.Stage},
		{"error", m.Error},
		{"digest", m.Digest},
		{"interface", m.Interface},
		{"backup", m.Backup},
	}
	for _, f := range figures.Table() {
		if f.Kind != figures.Internal {
			d = append(d, form.Field{f.Field(), f.Shown(m.Get(f.ID))})
		}
	}
	return append(d, form.Field{"alarms", append([]checks.Raised{}, m.Alarms...)}, form.Field{"links", append([]checks.Link{}, m.Links...)})
}

func documentsOfMembers(members []MemberStatus) []form.Document {
	all := make([]form.Document, len(members))
	for i := range members {
		all[i] = members[i].document()
	}
	return all
}

func writeStatus(w io.Writer, format string, members []MemberStatus) error {
	v, all := checks.Judge(FactsOf(members)), documentsOfMembers(members)
	return form.Answer{
		Document: form.Document{{"members", all}, {"verdict", v.Word}, {"why", v.Why}, {"next", v.Next}},
		Page: func(w form.Page) {
			writeVerdict(w, v)
			writeStatusTable(w, members)
		},
	}.Write(w, format)
}

// writeVerdict prints the verdict on a line of its own, and the next command.
func writeVerdict(w form.Page, v checks.Verdict) {
	w.Wrap(v.Word+":", "   ", form.OneLine(v.Why))
	if v.Next != "" {
		w.Wrap("next:", "   ", v.Next)
	}
}

// writeStatusTable prints one line for each member, and below it problems and connections.
func writeStatusTable(w form.Page, members []MemberStatus) {
	// If the line is too wide, the last columns are dropped first.
	t := form.Rows{Columns: []string{"MEMBER", "ROLE", "TERM", "APPLIED", "REVISION", "KEYS", "QUOTA", "SYNC", "DIGEST", "LOG"}}
	for _, m := range members {
		t.Add(m.row()...)
	}
	t.Fit(w.Width)
	t.Write(w)
	for _, m := range members {
		switch {
		case !m.Answers && m.hint != "":
			w.Wrap(m.Name+" does not answer:", "   ", m.Error+"; "+m.hint)
		case !m.Answers:
			w.Wrap(m.Name+" does not answer:", "   ", m.Error)
		case m.hint != "":
			w.Wrap(m.Name, "   ", m.hint)
		}
		if m.Replaces != "" {
			w.Wrap(m.Name, "   ", "replaces "+m.Replaces)
		}
	}
	for _, a := range checks.RaisedBy(FactsOf(members)) {
		w.Wrap(fmt.Sprintf("%s of %s:", a.Name, a.Member), "   ", a.Text)
	}
	if m := furthest(members); m != nil {
		w.Wrap("history", "       ", m.history())
		if m.Get(figures.BaseFiles) > 0 {
			w.Wrap("base", "    ", fmt.Sprintf("of %s, up to revision %d, and %s of %s behind it", form.BytesText(m.Get(figures.BaseBytes)), m.Get(figures.BaseRevision), checks.Plural(int(m.Get(figures.Extents)), "extent", "extents"), form.BytesText(m.Get(figures.ExtentBytes))))
		}
		if m.Get(figures.Cold) > 0 {
			w.Wrap("on disk only", "            ", fmt.Sprintf("the values of %s, %s", checks.Plural(int(m.Get(figures.Cold)), "version", "versions"), form.BytesText(m.Get(figures.ColdBytes))))
		}
	}
	if level := featureLevels(members); level != "" {
		w.Wrap("feature level", "             ", level)
	}
	if i := slices.IndexFunc(members, func(m MemberStatus) bool { return m.State == "leader" && m.Backup != "" }); i >= 0 {
		w.Wrap("backup", "      ", members[i].backup())
	}
	if links := linksBetween(members); links != "" {
		w.Wrap("links", "     ", links)
	}
}

// backup describes the backup of the leader.
func (m *MemberStatus) backup() string {
	text := fmt.Sprintf("by %s in %s", m.Name, m.Backup)
	switch age := m.Duration(figures.BackupAge); {
	case age == 0:
		return text + ": it has just begun to lead, so whether its backup is complete is not known yet"
	case age >= limits.BackupFailing:
		return text + fmt.Sprintf(": not complete for %v", age.Round(time.Second))
	}
	return text + ": complete"
}

// featureLevels describes the cluster's feature level, and programs that support another one; empty if no member reports it.
func featureLevels(members []MemberStatus) string {
	level := uint64(0)
	for i := range members {
		level = max(level, members[i].Count(figures.Level))
	}
	if level == 0 {
		return ""
	}
	text := strconv.FormatUint(level, 10)
	for i := range members {
		if m := &members[i]; m.Count(figures.LevelMost) != 0 && m.Count(figures.LevelMost) != level {
			text += fmt.Sprintf(", %s supports %d", m.Name, m.Count(figures.LevelMost))
		}
	}
	return text
}

// furthest returns the member with the highest applied index, which knows the history best; nil if none answered.
func furthest(members []MemberStatus) (most *MemberStatus) {
	for i := range members {
		if m := &members[i]; m.Answers && (most == nil || m.Count(figures.Applied) > most.Count(figures.Applied)) {
			most = m
		}
	}
	return most
}

// history describes how far the history reaches back, and the size of superseded versions.
func (m *MemberStatus) history() string {
	reach := "from the first revision on"
	if oldest := m.Get(figures.Oldest); oldest > 0 {
		reach = fmt.Sprintf("from revision %d on", oldest)
	}
	if m.Get(figures.Revision) > 1 {
		reach += fmt.Sprintf(", written %v ago", m.Duration(figures.HistoryAge).Round(time.Second))
	}
	return fmt.Sprintf("%s, %s of superseded versions", reach, form.BytesText(m.Get(figures.HistoryBytes)))
}

// linksBetween returns the connections between members, each once, with the round trip that one end measured.
func linksBetween(members []MemberStatus) string {
	var texts []string
	seen := map[[2]string]int{}
	for _, m := range members {
		for _, l := range m.Links {
			pair := [2]string{min(m.Name, l.Member), max(m.Name, l.Member)}
			text := "none"
			if l.Connected {
				text = fmt.Sprintf("%.2f%cms", figures.InMilliseconds(time.Duration(l.RTT)), form.NoBreakSpace)
			}
			text = pair[0] + "–" + pair[1] + string(form.NoBreakSpace) + text
			if i, known := seen[pair]; !known {
				seen[pair] = len(texts)
				texts = append(texts, text)
			} else if l.Connected {
				texts[i] = text
			}
		}
	}
	return strings.Join(texts, ", ")
}

// row is the member's line of the table; for a member that did not answer most columns are empty.
func (m *MemberStatus) row() []any {
	name := form.TableName(m.Name)
	if !m.Answers {
		return []any{name, m.State, "", "", "", "", "", "", "", ""}
	}
	sync := ""
	if p99 := m.Duration(figures.SyncP99); p99 > 0 {
		sync = fmt.Sprintf("%.1f ms", figures.InMilliseconds(p99))
	}
	quota := "none"
	if most := m.Get(figures.Quota); most > 0 {
		quota = fmt.Sprintf("%d %%", m.Get(figures.Used)*100/most)
	}
	role := m.State
	if m.Stage != "" {
		role += ", " + m.Stage
	}
	return []any{name, role, m.Count(figures.Term), m.Count(figures.Applied), m.Get(figures.Revision), m.Get(figures.Keys), quota, sync, m.Digest[:min(8, len(m.Digest))], form.BytesText(m.Get(figures.Log))}
}
