package node

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
)

// A member does not start with a file for its audit lines that it may not write, and leaves nothing locked.
func TestAuditLogThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	data, c := filepath.Join(dir, "n1"), Config{AuditLog: dir, Logger: slog.New(slog.DiscardHandler)}
	var refused *UsageError
	_, err := startAloneWith(t, data, 64<<10, limits.Defaults(), func(env *environment) {
		env.Audit = func() (*audit.Log, error) { return openAudit(&c) }
	})
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "--audit-log "+dir+": ") {
		t.Errorf("%v", err)
	}
	a, err := startAlone(t, data)
	if err != nil {
		t.Fatal(err)
	}
	a.stop(t)
}

// Changes of the membership are recorded by each member, whatever way they came.
func TestAuditOfMembers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "audit", "audit.jsonl")
	c := Config{AuditLog: file, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	a, err := startAloneWith(t, filepath.Join(dir, "data"), 64<<10, limits.Defaults(), func(env *environment) {
		env.Audit = func() (*audit.Log, error) { return openAudit(&c) }
	})
	if err != nil {
		t.Fatal(err)
	}
	change := func(members index.Members, c kv.MemberChange) index.Members {
		t.Helper()
		next, refused := members.Change(&c, 1)
		if refused != nil {
			t.Fatal(refused)
		}
		return next
	}
	all := []index.Members{index.Founders(map[string]uint64{"n1": 1, "n2": 2})}
	for _, c := range []kv.MemberChange{
		{Kind: kv.AddLearner, ID: 3, Name: "n3", Peers: []string{"c:1"}},
		{Kind: kv.UpdateMember, ID: 3, Peers: []string{"c:2"}},
		{Kind: kv.PromoteMember, ID: 3},
		{Kind: kv.RemoveMember, ID: 2},
		{Kind: kv.AddLearner, ID: 4, Peers: []string{"d:1"}, Instead: 3},
	} {
		all = append(all, change(all[len(all)-1], c))
	}
	for i, members := range all[1:] {
		a.m.recordMembers(all[i], members)
	}
	a.m.recordMembers(all[4], all[4])
	want := []string{
		"member added: n3 (0000000000000003) as a learner at [c:1]",
		"member moved: n3 (0000000000000003) from [c:1] to [c:2]",
		"member promoted: n3 (0000000000000003)",
		"member removed: n2 (0000000000000002)",
		"member added: - (0000000000000004) as a learner at [d:1], in the place of n3",
	}
	a.stop(t) // and writes the lines
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(raw)) {
		var one struct {
			Audit                bool
			What, Result, Detail string
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil || !one.Audit || one.Result != "ok" {
			t.Fatalf("%v %s", err, line)
		}
		got = append(got, one.What+": "+one.Detail)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
