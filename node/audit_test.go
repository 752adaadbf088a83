package node

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// breakable is a file system that fails on demand.
type breakable struct {
	disk.FS
	broken atomic.Bool
}

func (b *breakable) OpenWritable(name string) (disk.File, error) {
	if b.broken.Load() {
		return nil, syscall.ENOSPC
	}
	return b.FS.OpenWritable(name)
}

// auditedAlone starts a lone member with an audit log on that file system.
func auditedAlone(t *testing.T, dir, file string, on disk.FS, strict bool) *alone {
	t.Helper()
	c := Config{Name: "n1", Audit: Audit{File: file, Bytes: limits.AuditFileBytes, Files: limits.AuditFiles, Strict: strict}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	a, err := startAloneWith(t, dir, 64<<10, limits.Defaults(), func(env *environment) {
		env.Audit = func() (*audit.Log, error) { return openAudit(&c, on) }
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// auditLines returns the lines of an audit log as "operation: message".
func auditLines(t *testing.T, file string) (all []string) {
	t.Helper()
	r := audit.NewReader(file)
	defer r.Close()
	for {
		raw, err := r.Next()
		if err == io.EOF || errors.Is(err, fs.ErrNotExist) { // the first line is under way
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		one := audit.ParseLine(raw)
		if one == nil || one.Member != "n1" {
			t.Fatalf("%q", raw)
		}
		all = append(all, one.Operation+": "+one.Message)
	}
}

// await waits until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wait); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

func (a *alone) raises(name kv.AlarmName) bool {
	return slices.ContainsFunc(a.m.alarms(), func(one kv.Alarm) bool { return one.Name == name })
}

// A disk that is full stops the audit: the member raises AUDIT, with --audit-strict it refuses writes, and both end by themselves. The
// audit log tells it afterwards, and has the start and the end of the process.
func TestAuditOnAFullDisk(t *testing.T) {
	for _, strict := range []bool{true, false} {
		dir := t.TempDir()
		file := filepath.Join(dir, "audit", "audit.jsonl")
		on := &breakable{FS: disk.OS()}
		a := auditedAlone(t, filepath.Join(dir, "data"), file, on, strict)
		if d := a.put(t, "a", "b"); d.Result.Err != nil {
			t.Fatal(d.Result.Err)
		}
		on.broken.Store(true)
		a.m.audit.Record(audit.Event{User: "root", Proof: audit.Certificate, API: audit.Native, Operation: "user add"})
		await(t, "the alarm AUDIT", func() bool { return a.raises(kv.AuditAlarm) })
		switch err := a.put(t, "a", "c").Result.Err; {
		case strict && (err == nil || err.Code != kv.Unaudited || !strings.Contains(err.Message, "--audit-strict is set and the audit log "+file+" cannot be written: no space left on device")):
			t.Errorf("a put with --audit-strict: %v", err)
		case !strict && err != nil:
			t.Errorf("a put without --audit-strict: %v", err)
		}
		on.broken.Store(false)
		await(t, "the end of AUDIT", func() bool { return !a.raises(kv.AuditAlarm) })
		if err := a.put(t, "a", "d").Result.Err; err != nil {
			t.Errorf("a put after the alarm: %v", err)
		}
		await(t, "the line about the end", func() bool { return strings.Contains(strings.Join(auditLines(t, file), "\n"), "alarm ended: ") })
		a.stop(t)
		all := auditLines(t, file)
		want := []string{"start: qkv t, cluster ", "user add: ", "alarm raised: AUDIT of n1: the audit log ", "alarm ended: AUDIT of n1: the audit log ", "stop: "}
		for i, line := range all {
			if len(all) != len(want) || !strings.HasPrefix(line, want[i]) {
				t.Fatalf("%q, want the beginnings %q", all, want)
			}
		}
	}
}

// A member does not start with an audit log that another one has open, and leaves nothing locked.
func TestAuditLogOfAnother(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "audit", "audit.jsonl")
	a := auditedAlone(t, filepath.Join(dir, "n1"), file, disk.OS(), false)
	c := Config{Audit: Audit{File: file}, Logger: slog.New(slog.DiscardHandler)}
	var refused *UsageError
	_, err := startAloneWith(t, filepath.Join(dir, "n2"), 64<<10, limits.Defaults(), func(env *environment) {
		env.Audit = func() (*audit.Log, error) { return openAudit(&c, disk.OS()) }
	})
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "which no other member may use: ") {
		t.Errorf("%v", err)
	}
	b, err := startAlone(t, filepath.Join(dir, "n2"))
	if err != nil {
		t.Fatal(err)
	}
	b.stop(t)
	a.stop(t)
	a = auditedAlone(t, filepath.Join(dir, "n1"), file, disk.OS(), false)
	a.stop(t)
}

// The settings of the audit log that are refused.
func TestAuditSettings(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o750, "closed": 0o700} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o700), os.Chmod(filepath.Join(dir, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fine := Audit{File: filepath.Join(dir, "closed", "a.jsonl"), Bytes: limits.AuditFileBytesLeast, Files: 1}
	with := func(change func(a *Audit)) Audit {
		a := fine
		change(&a)
		return a
	}
	for _, one := range []struct {
		a    Audit
		want string
	}{
		{fine, ""},
		{Audit{}, ""},
		{with(func(a *Audit) { a.File = filepath.Join(dir, "none", "a.jsonl") }), ""},
		{with(func(a *Audit) { a.File = filepath.Join(dir, "open", "a.jsonl") }), "its folder has mode 0750, so other users could read or replace the file: it must be 0700 (chmod 700 "},
		{with(func(a *Audit) { a.File = filepath.Join(dir, "file", "a.jsonl") }), "is not a folder"},
		{with(func(a *Audit) { a.File = filepath.Join(dir, "data", "a.jsonl") }), "is in the data folder itself: give it a folder of its own, such as " + filepath.Join(dir, "data", "audit", "a.jsonl")},
		{with(func(a *Audit) { a.Bytes-- }), "must be 2097152 to 1073741824 bytes"},
		{with(func(a *Audit) { a.Bytes = 1<<30 + 1 }), "must be 2097152 to 1073741824 bytes"},
		{with(func(a *Audit) { a.Files = 0 }), "--audit-log-files 0: must be 1 to 1024"},
		{with(func(a *Audit) { a.Files = 1025 }), "must be 1 to 1024"},
		{Audit{Strict: true}, "--audit-strict needs --audit-log FILE"},
	} {
		c := Config{DataDir: filepath.Join(dir, "data"), Audit: one.a}
		err := c.validateAudit()
		if err == nil {
			err = checkAuditFolder(&c.Audit)
		}
		var refused *UsageError
		if one.want == "" && err != nil || one.want != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), one.want)) {
			t.Errorf("%+v: %v, want %q", one.a, err, one.want)
		}
	}
}

// Changes of the membership are recorded by each member, whatever way they came.
func TestAuditOfMembers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "audit", "audit.jsonl")
	a := auditedAlone(t, filepath.Join(dir, "data"), file, disk.OS(), false)
	defer a.stop(t)
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
	var got []string
	await(t, "the lines", func() bool {
		got = slices.DeleteFunc(auditLines(t, file), func(line string) bool { return !strings.HasPrefix(line, "member ") })
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
