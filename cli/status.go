package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
	"qkv/net/wire"
)

// roleUnknown is the role of a member that did not answer.
const roleUnknown = "unknown"

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Category: "cluster", Usage: "show what each member says of itself",
		Description: "Asks the members behind --endpoints, and all others that these know of. The role of one that does not answer is " +
			"unknown, that of one that the others do not let vote is refused. The exit code is 0 as long as one answers; with " +
			"--check it is 5 when no leader is known, 1 when a member does not answer or raises an alarm, and 0 when all is well. " +
			"SYNC is the time that 99 of 100 syncs of the last minute did not exceed. Equal digests at an equal applied index " +
			"mean equal states; `-w json` and `-w fields` have all of a digest, and more.\n" +
			"\nQUOTA is how much of the quota is used.\n" +
			"\nAlarms: NOSPACE the quota is reached or the disk is full, CORRUPT damage, AMNESIA a member forgot what it promised, SLOWDISK slow syncs, CERT a " +
			"certificate ends, SNAPSHOT none can be saved or moved, REFUSED members refuse each other, FAILED a member ends. Notices, " +
			"with which all is well: TORN the end of a log was cut off at the start, QUOTA four fifths of the quota are used, HISTORY it " +
			"reaches back for less than five minutes, CLOCK a member's clock is a minute or more off the others', JOIN somebody asks to " +
			"join that was not added or has to wait, FOLLOWS it follows an etcd and takes no writes.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "check", EnvVars: []string{"QKV_STATUS_CHECK"}, Usage: "exit with 5 without a leader, with 1 when anything is wrong"},
			writeOutFlag(),
		),
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
	if err == nil && c.Bool("check") {
		return check(members)
	}
	return err
}

// check is an error when the cluster cannot serve, or when somebody should look at it.
func check(members []memberStatus) error {
	var wrong []string
	leader := false
	for _, m := range members {
		leader = leader || m.Leader != ""
		switch {
		case m.Role == roleUnknown && m.hint != "":
			wrong = append(wrong, fmt.Sprintf("%s does not answer (%s)", m.Name, m.hint))
		case m.Role == roleUnknown:
			wrong = append(wrong, m.Name+" does not answer")
		}
	}
	for _, a := range alarmsIn(members) {
		if !notices[a.Name] {
			wrong = append(wrong, a.Name+" of "+a.Member)
		}
	}
	for _, m := range members {
		if len(wrong) > 0 && m.Role != roleUnknown && m.hint != "" {
			wrong = append(wrong, m.Name+" "+m.hint)
		}
	}
	switch {
	case !leader:
		return exitf(exitUnavailable, "no leader: %s", strings.Join(append([]string{"no member that answers knows one"}, wrong...), ", "))
	case len(wrong) > 0:
		return fmt.Errorf("not well: %s", strings.Join(slices.Compact(wrong), ", "))
	}
	return nil
}

// notices are the names that are no alarms.
var notices = map[string]bool{"TORN": true, "QUOTA": true, "HISTORY": true, "CLOCK": true, "JOIN": true, "FOLLOWS": true}

// alarmsIn are the alarms of all members, each once, whoever raises it. What fills a member's disk it knows itself: where it says so,
// what others know of that says less.
func alarmsIn(members []memberStatus) (all []alarm) {
	full := map[string]bool{}
	for _, m := range members {
		full[m.Name] = slices.ContainsFunc(m.Alarms, func(a alarm) bool { return a.Name == alarmNoSpace && a.Member == m.Name })
	}
	for _, m := range members {
		for _, a := range m.Alarms {
			said := a.Name == alarmNoSpace && a.Member != m.Name && full[a.Member]
			if !said && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b alarm) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Member, b.Member))
	})
	return all
}

// status asks all members. When none answers that is an error, beside the reasons of each.
func (t target) status(ctx context.Context) ([]memberStatus, error) {
	t.failFast, t.mixed = true, true
	s, err := t.open(ctx)
	if err == nil {
		defer func() { _ = s.Close() }()
		members, err := askAll(ctx, s, t)
		if err == nil {
			err = oneCluster(members)
		}
		return members, err
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

// oneCluster is an error when members that answered belong to different clusters.
func oneCluster(members []memberStatus) error {
	var clusters []string
	names := map[string][]string{}
	for _, m := range members {
		if m.Role == roleUnknown {
			continue
		}
		if names[m.Cluster] == nil {
			clusters = append(clusters, m.Cluster)
		}
		names[m.Cluster] = append(names[m.Cluster], m.Name)
	}
	if len(clusters) < 2 {
		return nil
	}
	var all []string
	for _, c := range clusters {
		all = append(all, fmt.Sprintf("%s has %s", c, strings.Join(names[c], " and ")))
	}
	return exitf(exitUsage, "%w: %s; was a member started without its --initial-cluster, or an old one left in the list?", client.ErrSeveralClusters, strings.Join(all, ", "))
}

// memberTimeout is how long one member may take to answer, so that a dead one does not take the time of all.
const memberTimeout = 2 * time.Second

// askAll asks the members that the furthest of them knows, each at its own addresses and at the endpoints that were given.
func askAll(ctx context.Context, s *client.Client, t target) ([]memberStatus, error) {
	known, addresses, err := t.discover(ctx, s)
	if err != nil {
		return nil, err
	}
	answers := ask(ctx, s, addresses)
	// The one that was asked first may be behind, or have forgotten everything since the cluster was founded: its list then
	// has members that are gone, and none that came since.
	if newer := answers.furthest(known); newer != nil {
		known = newer
		if more := t.addressesOf(known, addresses); len(more) > 0 {
			maps.Copy(answers, ask(ctx, s, more))
		}
	}
	var members []memberStatus
	named := answers.names(known)
	for _, m := range known {
		members = append(members, answers.member(m, named))
	}
	members = append(members, answers.others(known, t, named)...)
	slices.SortStableFunc(members, func(a, b memberStatus) int { return strings.Compare(a.Name, b.Name) })
	return members, nil
}

// discover asks for the members, and returns them with the addresses at which any may be: where these are to be used
// too, beside the endpoints given.
func (t target) discover(ctx context.Context, s *client.Client) (known []wire.Member, addresses []string, err error) {
	status, err := s.Status(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	addresses = append(slices.Clone(t.endpoints), t.addressesOf(status.Members, t.endpoints)...)
	slices.Sort(addresses)
	return status.Members, slices.Compact(addresses), nil
}

// addressesOf are where the members serve clients, but for those that are known; none when the endpoints given are kept to.
func (t target) addressesOf(members []wire.Member, but []string) (more []string) {
	if t.given {
		return nil
	}
	for _, m := range members {
		for _, address := range m.Clients {
			if !slices.Contains(but, address) {
				more = append(more, address)
			}
		}
	}
	return more
}

// answers is what came from each address.
type answers map[string]answer

type answer struct {
	status client.Status
	err    error
}

func ask(ctx context.Context, s *client.Client, addresses []string) answers {
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout, noAnswer(memberTimeout))
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

// furthest is the list of the member that has applied most, of those that are in the list known; nil when none of them answers.
func (a answers) furthest(known []wire.Member) (newer []wire.Member) {
	applied := uint64(0)
	for _, one := range a {
		isKnown := slices.ContainsFunc(known, func(m wire.Member) bool { return m.ID == one.status.ID })
		if one.err == nil && isKnown && one.status.Applied >= applied && len(one.status.Members) > 0 {
			applied, newer = one.status.Applied, one.status.Members
		}
	}
	return newer
}

// connected tells whether any member has a connection to this one.
func (a answers) connected(id uint64) bool {
	for _, one := range a {
		if one.err == nil && slices.ContainsFunc(one.status.Links, func(l wire.Link) bool { return l.Member == id && l.Connected }) {
			return true
		}
	}
	return false
}

// namesByID are the names of members.
type namesByID map[uint64]string

// of is a member's name, or its id where nobody knows its name.
func (n namesByID) of(id uint64) string { return cmp.Or(n[id], hex(id)) }

// names are those that any member knows: one that has only just joined knows the others by their ids, and so does one that was away
// those that came meanwhile.
func (a answers) names(known []wire.Member) namesByID {
	n := namesByID{}
	add := func(id uint64, name string) {
		if n[id] == "" {
			n[id] = name
		}
	}
	for _, m := range known {
		add(m.ID, m.Name)
	}
	for _, one := range a {
		if one.err != nil {
			continue
		}
		add(one.status.ID, one.status.Name)
		for _, m := range one.status.Members {
			add(m.ID, m.Name)
		}
	}
	return n
}

// member is what a member said at any address, or why it did not at its own.
func (a answers) member(m wire.Member, named namesByID) memberStatus {
	for _, one := range a {
		if one.err == nil && one.status.ID == m.ID {
			return said(&one.status, named)
		}
	}
	err := errors.New("it has not told the others where it serves clients: it has never started, or no UDP packets get through between its peer port and theirs")
	if len(m.Clients) == 0 && a.connected(m.ID) {
		err = errors.New("it runs and gets the data, and then says where it serves clients; where that takes long, its disk or its network is slower than what is written: its log says more")
	}
	for _, address := range m.Clients {
		if one, asked := a[address]; !asked {
			err = errors.New("its address is none of the endpoints given, and --no-discovery keeps to these")
		} else if one.err != nil {
			err = one.err
		} else {
			err = fmt.Errorf("at %s there is another member, %s", address, one.status.Name)
		}
	}
	return unreachable(named.of(m.ID), m.ID, err)
}

// others are the endpoints given at which none of the known members is: a member that was removed may have been there.
func (a answers) others(known []wire.Member, t target, named namesByID) (members []memberStatus) {
	isMember := func(one answer) bool {
		return one.err == nil && slices.ContainsFunc(known, func(m wire.Member) bool { return m.ID == one.status.ID })
	}
	advice := "if that was removed, take it out of " + t.source
	for _, address := range t.endpoints {
		one := a[address]
		switch {
		case isMember(one), slices.ContainsFunc(known, func(m wire.Member) bool { return slices.Contains(m.Clients, address) }):
		case one.err != nil:
			m := unreachable(address, 0, one.err)
			m.hint = "no member says that it serves clients there: " + advice
			members = append(members, m)
		default:
			m := said(&one.status, named)
			for _, other := range a {
				if isMember(other) && other.status.Cluster == one.status.Cluster {
					m.hint = fmt.Sprintf("is none of the members that the others know, at %s: %s", address, advice)
				}
			}
			members = append(members, m)
		}
	}
	return members
}

func said(s *client.Status, named namesByID) memberStatus {
	return memberStatus{
		Name: s.Name, ID: hex(s.ID), Cluster: hex(s.Cluster), Version: s.Version, Role: s.Role, Leader: leaderIn(s, named), Term: s.Term, CommitIndex: s.Commit,
		AppliedIndex: s.Applied, Revision: s.Revision, Keys: s.Keys, LogBytes: s.LogBytes,
		SnapshotBytes: s.SnapshotBytes, SyncP99: milliseconds(s.SyncP99), Leases: s.Leases, Sessions: s.Sessions, Watches: s.Watches,
		OldestRevision: s.Compacted, HistoryBytes: s.HistoryBytes, HistoryAge: math.Round(s.HistoryAge.Seconds()), UsedBytes: s.UsedBytes, QuotaBytes: s.QuotaBytes, Digest: hex(s.Digest), Alarms: alarmsOf(s, named), Links: linksOf(s, named),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// leaderIn is the leader's name, as a member sees it; empty when it knows none.
func leaderIn(s *client.Status, named namesByID) string {
	if s.Leader == 0 {
		return ""
	}
	return named.of(s.Leader)
}

// alarmsOf are a member's alarms, with names in place of ids.
func alarmsOf(s *client.Status, named namesByID) []alarm {
	alarms := make([]alarm, 0, len(s.Alarms))
	for _, a := range s.Alarms {
		alarms = append(alarms, alarm{a.Name, named.of(a.Member), strings.TrimPrefix(a.Text, a.Name+": ")})
	}
	return alarms
}

// linksOf are a member's connections to the others, with names in place of ids, and in their order: a member tells them in none.
func linksOf(s *client.Status, named namesByID) []link {
	links := make([]link, 0, len(s.Links))
	for _, l := range s.Links {
		links = append(links, link{named.of(l.Member), l.Connected, milliseconds(l.RTT), l.Error})
	}
	slices.SortFunc(links, func(a, b link) int { return strings.Compare(a.Member, b.Member) })
	return links
}

func unreachable(name string, id uint64, err error) memberStatus {
	m := memberStatus{Name: name, Role: roleUnknown, Error: err.Error(), Alarms: []alarm{}, Links: []link{}}
	if id != 0 {
		m.ID = hex(id)
	}
	return m
}

func hex(n uint64) string { return fmt.Sprintf("%016x", n) }

// memberStatus is what one member says of itself, or why it could not be asked. The names and their order are a
// promise.
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

	OldestRevision int64   `json:"oldest_revision"` // that can be read; 0: all
	HistoryBytes   int64   `json:"history_bytes"`   // that superseded versions weigh
	HistoryAge     float64 `json:"history_age_s"`   // since the oldest revision was written
	UsedBytes      int64   `json:"used_bytes"`      // that the quota counts
	QuotaBytes     int64   `json:"quota_bytes"`     // of this member, for the time in which it leads; 0: none
	LogBytes       int64   `json:"log_bytes"`
	SnapshotBytes  int64   `json:"snapshot_bytes"`
	SyncP99        float64 `json:"sync_p99_ms"` // of the last minute
	Watches        int64   `json:"watches"`     // of this member's clients
	Digest         string  `json:"digest"`
	Error          string  `json:"error"` // why it could not be asked
	Alarms         []alarm `json:"alarms"`
	Links          []link  `json:"links"`

	hint string // what to do about an endpoint at which no member is that the others know
}

// link is a member's connection to another one.
type link struct {
	Member    string  `json:"member"`
	Connected bool    `json:"connected"`
	RTT       float64 `json:"rtt_ms"`
	Error     string  `json:"error"`
}

func (l link) String() string {
	if l.Connected {
		return fmt.Sprintf("%s, round trip %.2f ms", l.Member, l.RTT)
	}
	return l.Member + ": " + oneLine(l.Error)
}

// alarm is what a member says is wrong with one of them: with which, and what.
type alarm struct {
	Name   string `json:"name"`
	Member string `json:"member"`
	Text   string `json:"text"`
}

func (a alarm) String() string { return fmt.Sprintf("%s of %s: %s", a.Name, a.Member, oneLine(a.Text)) }

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
		writeStatusTable(helpWriter{w, widthOf(w)}, members)
	}
	return nil
}

// writeStatusTable prints what fits into a line of each member, and below it what is wrong, and the connections.
func writeStatusTable(w helpWriter, members []memberStatus) {
	// What goes first where a line is too short comes last here.
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
	for _, a := range alarmsIn(members) {
		w.wrap(a.Name+" of "+a.Member+":", "   ", oneLine(a.Text))
	}
	if links := linksBetween(members); links != "" {
		w.wrap("links", "     ", links)
	}
}

// linksBetween are the connections between members, each once, with the round trip that one of its ends measured.
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
	}
	for _, a := range m.Alarms {
		fields = append(fields, field{"Alarm", a.String()})
	}
	for _, l := range m.Links {
		fields = append(fields, field{"Link", l.String()})
	}
	return fields
}

// row is the member's line of the table; of one that did not answer there is little to say.
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
	return []any{name, m.Role, m.Term, m.AppliedIndex, m.Revision, m.Keys, quota, sync, m.Digest[:min(8, len(m.Digest))], bytesText(m.LogBytes)}
}

// tableNameMost is how many characters of a member's name a table shows.
const tableNameMost = 20

// oneLine is a message as a table can hold it.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// tableName is a member's name as a table shows it. A long one is cut in its middle: names of one cluster differ at their ends.
func tableName(name string) string {
	if r := []rune(name); len(r) > tableNameMost && printable([]byte(name), len(name)) == name {
		return string(r[:tableNameMost/2]) + "…" + string(r[len(r)-tableNameMost/2+1:])
	}
	return printable([]byte(name), tableNameMost)
}
