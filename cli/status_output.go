package cli

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/limits"
	"qkv/net/client"
	"qkv/node"
)

// memberStatus is the status of one member, or the error of asking it. Names and order are a promise.
type memberStatus struct {
	Name         string `json:"name"`
	ID           string `json:"id"`
	Cluster      string `json:"cluster"`
	Version      string `json:"version"`
	Role         string `json:"role"`
	Leader       string `json:"leader"` // as this member sees it; empty: none
	Term         uint64 `json:"term"`
	CommitIndex  uint64 `json:"commit_index"`
	AppliedIndex uint64 `json:"applied_index"`
	Revision     int64  `json:"revision"`
	Keys         int64  `json:"keys"`
	Leases       int64  `json:"leases"`
	Sessions     int64  `json:"sessions"`

	OldestRevision int64   `json:"oldest_revision"` // oldest readable revision; 0: all are readable
	HistoryBytes   int64   `json:"history_bytes"`   // size of superseded versions
	HistoryAge     float64 `json:"history_age_s"`   // since the oldest revision was written
	UsedBytes      int64   `json:"used_bytes"`      // counted by the quota
	QuotaBytes     int64   `json:"quota_bytes"`     // of this member while it leads; 0: none
	LogBytes       int64   `json:"log_bytes"`
	SnapshotBytes  int64   `json:"snapshot_bytes"` // with its parts
	SyncP99        float64 `json:"sync_p99_ms"`    // of the last minute
	Watches        int64   `json:"watches"`        // of this member's clients
	Digest         string  `json:"digest"`
	Error          string  `json:"error"` // why asking it failed
	Alarms         []alarm `json:"alarms"`
	Links          []link  `json:"links"`

	// The fields below describe the program and the host. They are 0 or empty if they are not known.
	Vote             string     `json:"vote"`               // learner, voter, incoming or leaving
	FeatureLevel     uint64     `json:"feature_level"`      // of the cluster
	FeatureLevelMost uint64     `json:"feature_level_most"` // of the member's program
	ElectionTimeout  float64    `json:"election_timeout_ms"`
	DiskFreeBytes    int64      `json:"disk_free_bytes"`
	DiskBytes        int64      `json:"disk_bytes"`
	OpenFiles        uint64     `json:"open_files_limit"`
	Interface        string     `json:"interface"`    // towards the other members
	MTU              int        `json:"mtu"`          // of the interface, in bytes
	Backup           string     `json:"backup"`       // the folder of the backup that the member makes while it leads
	BackupAge        float64    `json:"backup_age_s"` // of the leader's backup: since it was complete; 0: a new leader does not know yet
	MemoryBytes      int64      `json:"memory_bytes"`
	Puts             clientLoad `json:"puts"`
	Gets             clientLoad `json:"gets"`
	Events           clientLoad `json:"watch_events"`
	BaseRevision     int64      `json:"base_revision"` // of the base that the next snapshot lists; 0: none
	BaseFiles        uint64     `json:"base_files"`
	BaseBytes        int64      `json:"base_bytes"`
	Extents          uint64     `json:"extents"`
	ExtentBytes      int64      `json:"extent_bytes"`
	ColdVersions     int64      `json:"cold_versions"` // superseded versions whose value is in these files, and not in memory
	ColdBytes        int64      `json:"cold_bytes"`
	ValueReads       uint64     `json:"value_reads"` // values that were read from these files since the start
	ValueReadsFailed uint64     `json:"value_reads_failed"`
	Stage            string     `json:"stage"` // starting, or stale with --serve-stale; empty once the member has started

	hint         string // advice for an endpoint without a known member
	stranger     bool   // none of the members that the others know
	foreign      bool   // a stranger that belongs to another cluster
	why          checks.Why
	runs, ready  bool // as in checks.Member
	role         kv.Role
	clients      []string // its addresses for clients
	endpoint     string   // where it has answered; empty: nowhere
	host, device uint64
	clock        clockOffset
}

// clientLoad is the load of one kind of operations of a member's clients, in the last seconds.
type clientLoad struct {
	Rate uint64  `json:"per_s"`
	P99  float64 `json:"p99_ms"`
}

func loadOf(l client.Load) clientLoad { return clientLoad{l.Rate, milliseconds(l.P99)} }

// link is a member's connection to another one.
type link struct {
	Member    string  `json:"member"`
	Connected bool    `json:"connected"`
	RTT       float64 `json:"rtt_ms"`
	Error     string  `json:"error"`

	untrusted bool
}

func (l link) String() string {
	if l.Connected {
		return fmt.Sprintf("%s, round trip %.2f ms", l.Member, l.RTT)
	}
	return l.Member + ": " + oneLine(l.Error)
}

// alarm is a problem that a member reports, with the affected member.
type alarm struct {
	Name   string `json:"name"`
	Member string `json:"member"`
	Text   string `json:"text"`
}

func (a alarm) String() string { return fmt.Sprintf("%s of %s: %s", a.Name, a.Member, oneLine(a.Text)) }

func said(s *client.Status, named namesByID) memberStatus {
	return memberStatus{
		Name: s.Name, ID: hex(s.ID), Cluster: hex(s.Cluster), Version: s.Version, Role: s.Role, Leader: leaderIn(s, named), Term: s.Term, CommitIndex: s.Commit,
		AppliedIndex: s.Applied, Revision: s.Revision, Keys: s.Keys, LogBytes: s.LogBytes,
		SnapshotBytes: s.SnapshotBytes, SyncP99: milliseconds(s.SyncP99), Leases: s.Leases, Sessions: s.Sessions, Watches: s.Watches,
		OldestRevision: s.Compacted, HistoryBytes: s.HistoryBytes, HistoryAge: math.Round(s.HistoryAge.Seconds()), UsedBytes: s.UsedBytes, QuotaBytes: s.QuotaBytes, Digest: hex(s.Digest), Alarms: alarmsOf(s, named), Links: linksOf(s, named),
		FeatureLevel: s.Level, FeatureLevelMost: s.LevelMost, ElectionTimeout: milliseconds(s.ElectionTimeout),
		DiskFreeBytes: s.DiskFree, DiskBytes: s.DiskBytes, OpenFiles: s.Files, MemoryBytes: s.Memory, Puts: loadOf(s.Puts), Gets: loadOf(s.Gets), Events: loadOf(s.Events), Backup: s.Backup, BackupAge: math.Ceil(s.BackupAge.Seconds()*1000) / 1000, BaseRevision: s.Parts.Base, BaseFiles: s.Parts.BaseFiles, BaseBytes: s.Parts.BaseBytes, Extents: s.Parts.Extents, ExtentBytes: s.Parts.ExtentBytes, ColdVersions: s.Parts.Cold, ColdBytes: s.Parts.ColdBytes, ValueReads: s.Parts.Reads, ValueReadsFailed: s.Parts.ReadsFailed, Interface: s.Interface, MTU: s.MTU, Stage: s.Stage, host: s.Host, device: s.Device,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// leaderIn returns the leader's name as a member sees it; empty if the member knows none.
func leaderIn(s *client.Status, named namesByID) string {
	if s.Leader == 0 {
		return ""
	}
	return named.of(s.Leader)
}

// alarmsOf returns a member's alarms, with names instead of ids.
func alarmsOf(s *client.Status, named namesByID) []alarm {
	alarms := make([]alarm, 0, len(s.Alarms))
	for _, a := range s.Alarms {
		alarms = append(alarms, alarm{a.Name, named.of(a.Member), strings.TrimPrefix(a.Text, a.Name+": ")})
	}
	return alarms
}

// linksOf returns a member's connections, with names instead of ids, sorted: a member reports them unordered.
func linksOf(s *client.Status, named namesByID) []link {
	links := make([]link, 0, len(s.Links))
	for _, l := range s.Links {
		links = append(links, link{named.of(l.Member), l.Connected, milliseconds(l.RTT), l.Error, l.Untrusted})
	}
	slices.SortFunc(links, func(a, b link) int { return strings.Compare(a.Member, b.Member) })
	return links
}

func unreachable(name string, id uint64, err error) memberStatus {
	m := memberStatus{Name: name, Role: roleUnknown, Error: err.Error(), why: node.WhyOf(err), Alarms: []alarm{}, Links: []link{}}
	if id != 0 {
		m.ID = hex(id)
	}
	return m
}

func writeStatus(w io.Writer, format string, members []memberStatus) error {
	v := checks.Judge(factsOf(members))
	if format == formatJSON {
		return writeJSON(w, struct {
			Members []memberStatus `json:"members"`
			Verdict string         `json:"verdict"`
			Why     string         `json:"why"`
			Next    string         `json:"next"`
		}{members, v.Word, v.Why, v.Next})
	}
	if format == formatFields {
		writeFields(w, []field{{"Verdict", v.Word}, {"Why", v.Why}, {"Next", v.Next}})
		fmt.Fprintln(w)
	}
	return writeEach(w, format, members, (*memberStatus).fields, func(w helpWriter, members []memberStatus) {
		writeVerdict(w, v)
		writeStatusTable(w, members)
	})
}

// writeVerdict prints the verdict on a line of its own, and the next command.
func writeVerdict(w helpWriter, v checks.Verdict) {
	w.wrap(v.Word+":", "   ", oneLine(v.Why))
	if v.Next != "" {
		w.wrap("next:", "   ", v.Next)
	}
}

// writeEach prints members in a format.
func writeEach[M any](w io.Writer, format string, members []M, fields func(*M) []field, writeTable func(helpWriter, []M)) error {
	switch format {
	case formatJSON:
		return writeJSON(w, struct {
			Members []M `json:"members"`
		}{members})
	case formatFields:
		for i := range members {
			writeFields(w, fields(&members[i]))
			fmt.Fprintln(w)
		}
	default:
		writeTable(helpWriter{w, widthOf(w)}, members)
	}
	return nil
}

// writeStatusTable prints one line for each member, and below it problems and connections.
func writeStatusTable(w helpWriter, members []memberStatus) {
	// If the line is too wide, the last columns are dropped first.
	t := table{head: []string{"MEMBER", "ROLE", "TERM", "APPLIED", "REVISION", "KEYS", "QUOTA", "SYNC", "DIGEST", "LOG"}}
	for _, m := range members {
		t.add(m.row()...)
	}
	t.fit(w.width)
	t.write(w)
	for _, m := range members {
		switch {
		case m.Role == roleUnknown && m.hint != "":
			w.wrap(m.Name+" does not answer:", "   ", oneLine(m.Error)+"; "+m.hint)
		case m.Role == roleUnknown:
			w.wrap(m.Name+" does not answer:", "   ", oneLine(m.Error))
		case m.hint != "":
			w.wrap(m.Name, "   ", m.hint)
		}
	}
	for _, a := range checks.Raised(factsOf(members)) {
		w.wrap(a.Name+" of "+a.Member+":", "   ", a.Text)
	}
	if m := furthest(members); m != nil {
		w.wrap("history", "       ", m.history())
		if m.BaseFiles > 0 {
			w.wrap("base", "    ", fmt.Sprintf("of %s, up to revision %d, and %s of %s behind it", bytesText(m.BaseBytes), m.BaseRevision, checks.Plural(int(m.Extents), "extent", "extents"), bytesText(m.ExtentBytes)))
		}
		if m.ColdVersions > 0 {
			w.wrap("on disk only", "            ", fmt.Sprintf("the values of %s, %s", checks.Plural(int(m.ColdVersions), "superseded version", "superseded versions"), bytesText(m.ColdBytes)))
		}
	}
	if level := featureLevels(members); level != "" {
		w.wrap("feature level", "             ", level)
	}
	if i := slices.IndexFunc(members, func(m memberStatus) bool { return m.Role == "leader" && m.Backup != "" }); i >= 0 {
		w.wrap("backup", "      ", members[i].backup())
	}
	if links := linksBetween(members); links != "" {
		w.wrap("links", "     ", links)
	}
}

// backup describes the backup of the leader.
func (m *memberStatus) backup() string {
	text := fmt.Sprintf("by %s in %s", m.Name, m.Backup)
	switch age := fromSeconds(m.BackupAge); {
	case age == 0:
		return text + ": it has just begun to lead, so whether its backup is complete is not known yet"
	case age >= limits.BackupFailing:
		return text + fmt.Sprintf(": not complete for %v", age.Round(time.Second))
	}
	return text + ": complete"
}

// featureLevels describes the cluster's feature level, and programs that support another one; empty if no member reports it.
func featureLevels(members []memberStatus) string {
	level := uint64(0)
	for i := range members {
		level = max(level, members[i].FeatureLevel)
	}
	if level == 0 {
		return ""
	}
	text := strconv.FormatUint(level, 10)
	for i := range members {
		if m := &members[i]; m.FeatureLevelMost != 0 && m.FeatureLevelMost != level {
			text += fmt.Sprintf(", %s supports %d", m.Name, m.FeatureLevelMost)
		}
	}
	return text
}

// furthest returns the member with the highest applied index, which knows the history best; nil if none answered.
func furthest(members []memberStatus) (most *memberStatus) {
	for i := range members {
		if m := &members[i]; m.Role != roleUnknown && (most == nil || m.AppliedIndex > most.AppliedIndex) {
			most = m
		}
	}
	return most
}

// history describes how far the history reaches back, and the size of superseded versions.
func (m *memberStatus) history() string {
	reach := "from the first revision on"
	if m.OldestRevision > 0 {
		reach = fmt.Sprintf("from revision %d on", m.OldestRevision)
	}
	if m.Revision > 1 {
		reach += fmt.Sprintf(", written %v ago", time.Duration(m.HistoryAge)*time.Second)
	}
	return fmt.Sprintf("%s, %s of superseded versions", reach, bytesText(m.HistoryBytes))
}

// linksBetween returns the connections between members, each once, with the round trip that one end measured.
func linksBetween(members []memberStatus) string {
	var texts []string
	seen := map[[2]string]int{}
	for _, m := range members {
		for _, l := range m.Links {
			pair := [2]string{min(m.Name, l.Member), max(m.Name, l.Member)}
			text := "none"
			if l.Connected {
				text = fmt.Sprintf("%.2f%cms", l.RTT, noBreakSpace)
			}
			text = pair[0] + "–" + pair[1] + string(noBreakSpace) + text
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

func (m *memberStatus) fields() []field {
	fields := []field{
		{"Name", m.Name},
		{"ID", m.ID},
		{"Cluster", m.Cluster},
		{"Version", m.Version},
		{"Role", m.Role},
		{"Leader", m.Leader},
		{"Term", m.Term},
		{"CommitIndex", m.CommitIndex},
		{"AppliedIndex", m.AppliedIndex},
		{"Revision", m.Revision},
		{"Keys", m.Keys},
		{"Leases", m.Leases},
		{"Sessions", m.Sessions},
		{"OldestRevision", m.OldestRevision},
		{"HistoryBytes", m.HistoryBytes},
		{"HistoryAgeS", m.HistoryAge},
		{"UsedBytes", m.UsedBytes},
		{"QuotaBytes", m.QuotaBytes},
		{"LogBytes", m.LogBytes},
		{"SnapshotBytes", m.SnapshotBytes},
		{"SyncP99Ms", m.SyncP99},
		{"Watches", m.Watches},
		{"Digest", m.Digest},
		{"Error", m.Error},
		{"Vote", m.Vote},
		{"FeatureLevel", m.FeatureLevel},
		{"FeatureLevelMost", m.FeatureLevelMost},
		{"ElectionTimeoutMs", m.ElectionTimeout},
		{"DiskFreeBytes", m.DiskFreeBytes},
		{"DiskBytes", m.DiskBytes},
		{"OpenFilesLimit", m.OpenFiles},
		{"Interface", m.Interface},
		{"MTU", m.MTU},
		{"Backup", m.Backup},
		{"BackupAgeS", m.BackupAge},
		{"BaseRevision", m.BaseRevision},
		{"BaseFiles", m.BaseFiles},
		{"BaseBytes", m.BaseBytes},
		{"Extents", m.Extents},
		{"ExtentBytes", m.ExtentBytes},
		{"ColdVersions", m.ColdVersions},
		{"ColdBytes", m.ColdBytes},
		{"ValueReads", m.ValueReads},
		{"ValueReadsFailed", m.ValueReadsFailed},
		{"Stage", m.Stage},
	}
	for _, a := range m.Alarms {
		fields = append(fields, field{"Alarm", a.String()})
	}
	for _, l := range m.Links {
		fields = append(fields, field{"Link", l.String()})
	}
	return fields
}

// row is the member's line of the table; for a member that did not answer most columns are empty.
func (m *memberStatus) row() []any {
	name := tableName(m.Name)
	if m.Role == roleUnknown {
		return []any{name, m.Role, "", "", "", "", "", "", "", ""}
	}
	sync := ""
	if m.SyncP99 > 0 {
		sync = fmt.Sprintf("%.1f ms", m.SyncP99)
	}
	quota := "none"
	if m.QuotaBytes > 0 {
		quota = fmt.Sprintf("%d %%", m.UsedBytes*100/m.QuotaBytes)
	}
	role := m.Role
	if m.Stage != "" {
		role += ", " + m.Stage
	}
	return []any{name, role, m.Term, m.AppliedIndex, m.Revision, m.Keys, quota, sync, m.Digest[:min(8, len(m.Digest))], bytesText(m.LogBytes)}
}

// tableNameMost limits the characters of a member's name in a table.
const tableNameMost = 20

// oneLine puts a message into one line for a table.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// tableName shortens a member's name for a table. It cuts in the middle: names of one cluster differ at their ends.
func tableName(name string) string {
	if r := []rune(name); len(r) > tableNameMost && printable([]byte(name), len(name)) == name {
		return string(r[:tableNameMost/2]) + "…" + string(r[len(r)-tableNameMost/2+1:])
	}
	return printable([]byte(name), tableNameMost)
}

func hex(n uint64) string { return fmt.Sprintf("%016x", n) }
