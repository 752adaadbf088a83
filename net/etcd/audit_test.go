package etcd_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/etcd"
)

// openAudit opens an audit log in a temporary folder. lines flushes it and returns its lines as "USER OPERATION RESULT: MESSAGE".
func openAudit(t *testing.T) (l *audit.Log, lines func() []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	l, err := audit.Open(audit.Config{
		FS: disk.OS(), File: file, FileBytes: limits.AuditFileBytes, Files: limits.AuditFiles, Member: "n1", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, func() (all []string) {
		l.Flush()
		r := audit.NewReader(disk.OS(), file)
		defer r.Close()
		for {
			raw, err := r.Next()
			if err == io.EOF {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			one, _ := audit.ParseLine(raw)
			all = append(all, one.User+" "+one.Operation+" "+one.Result+": "+one.Message)
		}
	}
}

// TestChangeOfAClientThatIsGoneIsAudited: a client that leaves before the answer cannot make a change that is not recorded.
func TestChangeOfAClientThatIsGoneIsAudited(t *testing.T) {
	record, lines := openAudit(t)
	u := newUsers(t, func(c *etcd.Config) { c.Audit = record })
	ctx, cancel := context.WithCancel(u.as("root"))
	u.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			cancel()
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	})
	call(ctx, t, u.conn, "Auth", "UserGrantRole", `user: "bob" role: "root"`)
	eventually(t, func() bool { return u.View().Auth().IsRoot("bob") })
	eventually(t, func() bool {
		return slices.ContainsFunc(lines(), func(line string) bool {
			return line == "root UserGrantRole ok: bob root"
		})
	})
}
