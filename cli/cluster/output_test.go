package cluster

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/cli/form/formtest"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/node/roster"
)

func TestMemberListOutput(t *testing.T) {
	announcement := func(id uint64, name string) kv.Member {
		return kv.Member{
			ID: id, Name: name, Peers: []string{fmt.Sprintf("10.0.0.%d:2380", id)}, Clients: []string{fmt.Sprintf("10.0.0.%d:2379", id)},
			Version: "0.1.0", Level: 1, Folder: [16]byte{byte(id)}, Boot: 1, Process: [16]byte{byte(id)},
		}
	}
	learner := announcement(0x8e9e05c52164694d, "a member with a long name, 鍵")
	learner.Since, learner.Boot, learner.Manual = 1_790_000_000_000_000_000, 0, true
	learner.Peers, learner.Clients, learner.Version, learner.Level = []string{"10.0.0.4:2380", "[2001:db8::4]:2380"}, nil, "", 0
	founder, next, unnamed := announcement(1, "n1"), announcement(4, "n1-2"), announcement(5, "")
	founder.Role = kv.Voter
	next.Replaces, next.Since, unnamed.Replaces, unnamed.Since, unnamed.Boot = founder.ID, learner.Since, founder.ID, learner.Since, 0
	members := []kv.Member{learner, founder, next, unnamed}
	formtest.Golden(t, "members", formtest.InFormats(func(out *bytes.Buffer, format string) error { return writeMembers(out, format, members) }))
	var out bytes.Buffer
	formtest.Must(t, writeMembers(&out, form.Table, members))
	for line := range strings.Lines(out.String()) {
		if n := form.ColumnsOf(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("a line of %d columns:\n%s", n, line)
		}
	}
}

func TestStatusOutput(t *testing.T) {
	members := []MemberStatus{
		{Member: checks.Member{
			Answers: true, Name: "n1", ID: "8e9e05c52164694d", Cluster: "0000000000c0ffee", Version: "0.1.0", State: "leader", Leader: "n1", Digest: "5f0c3a9be1d20c44",
			Values: figures.Values{
				int64(figures.Term), 2, int64(figures.Commit), 9, int64(figures.Applied), 9, int64(figures.Revision), 4, int64(figures.Keys), 3, int64(figures.Leases), 2,
				int64(figures.Oldest), 2, int64(figures.HistoryBytes), 4096, int64(figures.HistoryAge), int64(75 * time.Second), int64(figures.Used), 5 << 20, int64(figures.Quota), 2 << 30,
				int64(figures.Log), 64 << 20, int64(figures.Snapshot), 1234, int64(figures.SyncP99), int64(1250 * time.Microsecond), int64(figures.Watches), 12,
				int64(figures.BaseRevision), 900, int64(figures.BaseFiles), 3, int64(figures.BaseBytes), 180 << 20, int64(figures.Extents), 12, int64(figures.ExtentBytes), 170 << 20,
				int64(figures.Cold), 1234, int64(figures.ColdBytes), 96 << 20, int64(figures.Reads), 77, int64(figures.ReadsFailed), 1,
			},
			Alarms: []checks.Raised{{Name: "CORRUPT", Member: "n2", Text: "its state at index 9 is not this one's"}},
			Links:  []checks.Link{{Member: "n2", Error: "cannot connect to a peer: timeout"}, {Member: "n3", Connected: true, RTT: figures.RTT(250 * time.Microsecond)}},
		}},
		{Member: checks.Member{Name: "n2", ID: "0000000000000002", State: checks.StateUnknown, Error: "no answer from 127.0.0.1:2381: timeout"}},
	}
	large := MemberStatus{Member: checks.Member{
		Answers: true, Name: "a member with a long name, 鍵", ID: "8e9e05c52164694d", State: "follower", Leader: "n1", Digest: "5f0c3a9be1d20c44",
		Values: figures.Values{
			int64(figures.Term), math.MaxUint32, int64(figures.Applied), 1e12, int64(figures.Revision), 1e12, int64(figures.Keys), 1e9,
			int64(figures.Used), 3 << 30, int64(figures.Quota), 2 << 30, int64(figures.Log), 1 << 40, int64(figures.SyncP99), int64(12345600 * time.Microsecond),
		},
		Alarms: []checks.Raised{
			{Name: "CORRUPT", Member: "n2", Text: "its state at index 9 is not this one's"},
			{Name: "AMNESIA", Member: "n3", Text: strings.Repeat("it forgot what it promised; ", 20)},
		},
		Links: []checks.Link{{Member: "n1", Connected: true, RTT: figures.RTT(1500 * time.Microsecond)}, {Member: "n2"}},
	}}
	formtest.Golden(t, "status-large", formtest.InFormats(func(out *bytes.Buffer, format string) error { return writeStatus(out, format, append(members, large)) }))
	var out bytes.Buffer
	formtest.Must(t, writeStatus(&out, form.Table, append(members, large)))
	for line := range strings.Lines(out.String()) {
		if n := form.ColumnsOf(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("a line of %d columns:\n%s", n, line)
		}
	}
	formtest.Golden(t, "status", formtest.InFormats(func(out *bytes.Buffer, format string) error { return writeStatus(out, format, members) }))
}

// TestCheck: what --check ends with.
func TestStatusOfABackup(t *testing.T) {
	for age, want := range map[time.Duration]string{
		0: "by n1 in /b: it has just begun to lead, so whether its backup is complete is not known yet", time.Microsecond: "by n1 in /b: complete",
		9 * time.Second: "by n1 in /b: complete", 61400 * time.Millisecond: "by n1 in /b: not complete for 1m1s",
	} {
		m := MemberStatus{Member: checks.Member{Name: "n1", Backup: "/b", Values: figures.Values{int64(figures.BackupAge), int64(age)}}}
		if got := m.backup(); got != want {
			t.Errorf("%v: %s", age, got)
		}
	}
}

func TestCheck(t *testing.T) {
	as := func(name, state, leader string) MemberStatus {
		return MemberStatus{Member: checks.Member{Answers: state != checks.StateUnknown, Name: name, State: state, Leader: leader}}
	}
	leader, follower := as("n1", "leader", "n1"), as("n2", "follower", "n1")
	candidate, unknown := as("n2", "candidate", ""), as("n3", checks.StateUnknown, "")
	torn, full := follower, follower
	torn.Alarms = []checks.Raised{{Name: "TORN", Member: "n2", Text: "cut"}, {Name: "QUOTA", Member: "n1", Text: "nearly"}, {Name: "HISTORY", Member: "n1", Text: "short"}, {Name: "MEMORY", Member: "n3", Text: "small"}}
	full.Alarms = []checks.Raised{{Name: "NOSPACE", Member: "n2", Text: "10 MiB are left"}, {Name: "CERT", Member: "n1", Text: "ends"}}
	drops := leader
	drops.Alarms = []checks.Raised{{Name: "RETENTION", Member: "n1", Text: "history will be dropped"}}
	for _, tt := range []struct {
		members []MemberStatus
		code    int
		want    string
	}{
		{[]MemberStatus{leader, follower}, form.ExitOK, ""},
		{[]MemberStatus{leader, torn}, form.ExitOK, ""},
		{[]MemberStatus{leader, full}, form.ExitFailed, "not healthy: CERT of n1; NOSPACE of n2"},
		{[]MemberStatus{drops, follower}, form.ExitFailed, "not healthy: RETENTION of n1"},
		{[]MemberStatus{leader, follower, unknown}, form.ExitFailed, "not healthy: n3 does not answer: "},
		{[]MemberStatus{candidate, unknown}, form.ExitUnavailable, "no quorum: 1 of 2 voters answers; 2 are needed, and no write is accepted"},
	} {
		err := check(tt.members)
		if form.ExitCode(err) != tt.code || tt.code != form.ExitOK && err.Error() != tt.want {
			t.Errorf("%+v:\n%v (%d), want %q (%d)", tt.members, err, form.ExitCode(err), tt.want, tt.code)
		}
	}
}

// A full disk is told once, by the member that has it, and by others where that does not answer.
func TestFullDiskIsToldOnce(t *testing.T) {
	own, generic := checks.Raised{Name: "NOSPACE", Member: "n1", Text: "its disk is full"}, checks.Raised{Name: "NOSPACE", Member: "n1", Text: "there is no room"}
	n1, n2 := checks.Member{Name: "n1", Alarms: []checks.Raised{own}}, checks.Member{Name: "n2", Alarms: []checks.Raised{generic}}
	if got := checks.RaisedBy([]checks.Member{n2, n1}); len(got) != 1 || got[0] != own {
		t.Errorf("%v", got)
	}
	if got := checks.RaisedBy([]checks.Member{n2, {Name: "n1"}}); len(got) != 1 || got[0] != generic {
		t.Errorf("%v", got)
	}
}

// A member tells its links in no order; status shows them in that of the names, so that two looks can be compared.
func TestLinksAreInOrder(t *testing.T) {
	s := kv.Status{Links: []kv.Link{{Member: 3}, {Member: 1}, {Member: 2}}}
	if got := roster.MemberOf(&s, namesByID{1: "n1", 2: "n2", 3: "n3"}.of, time.Time{}, time.Time{}).Links; got[0].Member != "n1" || got[1].Member != "n2" || got[2].Member != "n3" {
		t.Errorf("links are %+v", got)
	}
}
