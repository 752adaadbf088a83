package cli

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"qkv/cli/form/formtest"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/net/client"
	"qkv/node/roster"
)

// TestOutput: the formats are a promise; a change shows as a diff of these files.
func TestOutput(t *testing.T) {
	two := []kv.KeyValue{
		{Key: []byte("greeting"), Value: []byte("hello"), CreateRevision: 2, ModRevision: 9, Version: 3},
		{Key: []byte("<html> & \"quotes\""), Value: []byte("two\nlines"), CreateRevision: 4, ModRevision: 4, Version: 1, Lease: 7},
	}
	odd := []kv.KeyValue{
		{Key: []byte("not\xffutf8"), Value: []byte{0, 0xff}, CreateRevision: 2, ModRevision: 2, Version: 1},
		{Key: []byte("größe"), Value: nil, CreateRevision: 3, ModRevision: 3, Version: 1},
		{Key: []byte("long"), Value: []byte(strings.Repeat("0123456789", 10)), CreateRevision: 3, ModRevision: 3, Version: 1},
	}
	for _, tt := range []struct {
		name   string
		answer pairs
	}{
		{"single", pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 1, KVs: two[:1]}, single: true}},
		{"single-keys-only", pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 1, KVs: two[:1]}, single: true, keysOnly: true}},
		{"missing", pairs{RangeResult: kv.RangeResult{Revision: 9}, single: true}},
		{"range", pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 5, More: true, KVs: two}}},
		{"range-keys-only", pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 2, KVs: two}, keysOnly: true}},
		{"range-odd", pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 3, KVs: odd}}},
		{"range-empty", pairs{RangeResult: kv.RangeResult{Revision: 9}}},
		{"count", pairs{RangeResult: kv.RangeResult{Revision: 9, Count: 1234567}, countOnly: true}},
	} {
		formtest.Golden(t, tt.name, formtest.InFormats(func(out *bytes.Buffer, format string) error { return tt.answer.write(out, format) }))
	}
	previous := client.Written{Revision: 13, Deleted: 2, Previous: two}
	formtest.Golden(t, "put-prev", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return putAnswer(client.Written{Revision: 12, Previous: two[:1]}, client.Lease{}).Write(out, format)
	}))
	formtest.Golden(t, "del-prev", formtest.InFormats(func(out *bytes.Buffer, format string) error { return delAnswer(previous).Write(out, format) }))
	transaction := &kv.Txn{Success: []kv.Op{
		{Put: &kv.Put{}},
		{Delete: &kv.Delete{}},
		{Range: &kv.Range{}},
		{Range: &kv.Range{CountOnly: true}},
	}}
	happened := &kv.TxnResult{Revision: 13, Succeeded: true, Answers: []kv.Answer{
		{Put: &kv.PutResult{Revision: 13, Prev: &two[0]}},
		{Delete: &kv.DeleteResult{Revision: 13, Deleted: 2, Prev: two}},
		{Range: &kv.RangeResult{Revision: 13, Count: 5, More: true, KVs: two}},
		{Range: &kv.RangeResult{Revision: 13, Count: 5}},
	}}
	formtest.Golden(t, "txn", formtest.InFormats(func(out *bytes.Buffer, format string) error { return writeTxn(out, format, transaction, happened) }))
	formtest.Golden(t, "txn-failure", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return writeTxn(out, format, transaction, &kv.TxnResult{Revision: 13})
	}))
	formtest.Golden(t, "put", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return putAnswer(client.Written{Revision: 12}, client.Lease{}).Write(out, format)
	}))
	formtest.Golden(t, "del", formtest.InFormats(func(out *bytes.Buffer, format string) error {
		return delAnswer(client.Written{Revision: 13, Deleted: 3}).Write(out, format)
	}))
}

// What another host has said does not command the terminal.
func TestShown(t *testing.T) {
	for message, want := range map[string]string{
		"no member can be reached":      "no member can be reached",
		"two\n\tlines, ünd 日本":          "two\n\tlines, ünd 日本",
		"go \x1b[31maway\r\x07\u009b2J": `go \x1b[31maway\r\a\u009b2J`,
	} {
		if got := shown(message); got != want {
			t.Errorf("%q is shown as %q", message, got)
		}
	}
}

func TestStatusOutput(t *testing.T) {
	members := []memberStatus{
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
	large := memberStatus{Member: checks.Member{
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
		m := memberStatus{Member: checks.Member{Name: "n1", Backup: "/b", Values: figures.Values{int64(figures.BackupAge), int64(age)}}}
		if got := m.backup(); got != want {
			t.Errorf("%v: %s", age, got)
		}
	}
}

func TestCheck(t *testing.T) {
	as := func(name, state, leader string) memberStatus {
		return memberStatus{Member: checks.Member{Answers: state != checks.StateUnknown, Name: name, State: state, Leader: leader}}
	}
	leader, follower := as("n1", "leader", "n1"), as("n2", "follower", "n1")
	candidate, unknown := as("n2", "candidate", ""), as("n3", checks.StateUnknown, "")
	torn, full := follower, follower
	torn.Alarms = []checks.Raised{{Name: "TORN", Member: "n2", Text: "cut"}, {Name: "QUOTA", Member: "n1", Text: "nearly"}, {Name: "HISTORY", Member: "n1", Text: "short"}, {Name: "MEMORY", Member: "n3", Text: "small"}}
	full.Alarms = []checks.Raised{{Name: "NOSPACE", Member: "n2", Text: "10 MiB are left"}, {Name: "CERT", Member: "n1", Text: "ends"}}
	drops := leader
	drops.Alarms = []checks.Raised{{Name: "RETENTION", Member: "n1", Text: "history will be dropped"}}
	for _, tt := range []struct {
		members []memberStatus
		code    int
		want    string
	}{
		{[]memberStatus{leader, follower}, exitOK, ""},
		{[]memberStatus{leader, torn}, exitOK, ""},
		{[]memberStatus{leader, full}, exitFailed, "not healthy: CERT of n1; NOSPACE of n2"},
		{[]memberStatus{drops, follower}, exitFailed, "not healthy: RETENTION of n1"},
		{[]memberStatus{leader, follower, unknown}, exitFailed, "not healthy: n3 does not answer: "},
		{[]memberStatus{candidate, unknown}, exitUnavailable, "no quorum: 1 of 2 voters answers; 2 are needed, and no write is accepted"},
	} {
		err := check(tt.members)
		if exitCode(err) != tt.code || tt.code != exitOK && err.Error() != tt.want {
			t.Errorf("%+v:\n%v (%d), want %q (%d)", tt.members, err, exitCode(err), tt.want, tt.code)
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

func TestParseEndpoints(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a:1", "a:1"},
		{"a:1,b:2", "a:1 b:2"},
		{"# comment\na:1\n\n[::1]:2 # two\n", "a:1 [::1]:2"},
		{"", "!"},
		{"# none", "!"},
		{"a", "!"},
		{":1", "!"},
		{"a:", "!"},
		{"http://a:1", "!"},
	} {
		got, err := parseEndpoints(tt.text)
		text := strings.Join(got, " ")
		if err != nil {
			text = "!"
		}
		if text != tt.want {
			t.Errorf("%q: %q %v, want %q", tt.text, text, err, tt.want)
		}
	}
}

// A member tells its links in no order; status shows them in that of the names, so that two looks can be compared.
func TestLinksAreInOrder(t *testing.T) {
	s := kv.Status{Links: []kv.Link{{Member: 3}, {Member: 1}, {Member: 2}}}
	if got := roster.MemberOf(&s, namesByID{1: "n1", 2: "n2", 3: "n3"}.of, time.Time{}, time.Time{}).Links; got[0].Member != "n1" || got[1].Member != "n2" || got[2].Member != "n3" {
		t.Errorf("links are %+v", got)
	}
}

// Members whose long names differ at the end alone are told apart.
func TestTableNames(t *testing.T) {
	for name, want := range map[string]string{
		"n1":                    "n1",
		"twenty-characters-20":  "twenty-characters-20",
		"member-of-frankfurt-1": "member-of-…ankfurt-1",
		"member-of-frankfurt-2": "member-of-…ankfurt-2",
	} {
		if got := tableName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
