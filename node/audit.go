package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// Audit holds the settings of the audit log (package audit).
type Audit struct {
	File   string // empty: there is no audit log
	Bytes  int64  // the size at which a file is rotated
	Files  int    // the number of rotated files that are kept
	Strict bool   // changes are refused while the log cannot be written
}

func (c *Config) validateAudit() error {
	a := &c.Audit
	switch {
	case a.File == "" && a.Strict:
		return usagef("--audit-strict needs --audit-log FILE: there is no audit log that could fail")
	case a.File == "":
		return nil
	case a.Bytes < limits.AuditFileBytesLeast || a.Bytes > limits.AuditFileBytesMost:
		return usagef("--audit-log-bytes %d: must be %d to %d bytes", a.Bytes, limits.AuditFileBytesLeast, limits.AuditFileBytesMost)
	case a.Files < 1 || a.Files > limits.AuditFilesMost:
		return usagef("--audit-log-files %d: must be 1 to %d", a.Files, limits.AuditFilesMost)
	case filepath.Dir(filepath.Clean(a.File)) == filepath.Clean(c.DataDir):
		return usagef("--audit-log %s is in the data folder itself: give it a folder of its own, such as %s", a.File, filepath.Join(c.DataDir, "audit", filepath.Base(a.File)))
	}
	return nil
}

// checkAuditFolder refuses a folder of the audit log that other users can open. A missing folder is made later, for the owner only.
func checkAuditFolder(a *Audit) error {
	if a.File == "" {
		return nil
	}
	dir := filepath.Dir(a.File)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usagef("--audit-log %s: look at its folder: %w", a.File, err)
	case !info.IsDir():
		return usagef("--audit-log %s: %s is not a folder", a.File, dir)
	case info.Mode().Perm()&0o077 != 0:
		return usagef("--audit-log %s: its folder has mode %04o, so other users could read or replace the file: it must be 0700 (chmod 700 %s)", a.File, info.Mode().Perm(), dir)
	}
	return nil
}

// openAudit opens the audit log; without one it returns nil.
func openAudit(c *Config, on disk.FS) (*audit.Log, error) {
	if c.Audit.File == "" {
		return nil, nil
	}
	l, err := audit.Open(audit.Config{
		FS: on, File: filepath.Clean(c.Audit.File), FileBytes: c.Audit.Bytes, Files: c.Audit.Files, Strict: c.Audit.Strict,
		Member: c.Name, Now: time.Now, Logger: c.Logger,
	})
	if err != nil {
		return nil, usagef("--audit-log %s: %w", c.Audit.File, err)
	}
	return l, nil
}

// startAudited opens the audit log, and starts the member.
func (m *member) startAudited() (err error) {
	if m.env.Audit != nil {
		if m.audit, err = m.env.Audit(); err != nil {
			return err
		}
	}
	m.audit.Record(audit.Event{Operation: "start", Message: fmt.Sprintf("qkv %s, cluster %016x, id %016x", m.config.Version, m.folder.Cluster, m.folder.Member)})
	if err := m.start(); err != nil {
		m.closeAudit()
		return err
	}
	return nil
}

// lookAtAudit raises the audit log's alarm, and records which alarms were raised or have ended since the last look.
func (m *member) lookAtAudit() {
	if m.audit == nil {
		return
	}
	m.status.Alarm(kv.Alarm{Name: kv.AuditAlarm, Text: m.audit.Problem()})
	before, now := m.duty.alarms, slices.DeleteFunc(m.alarms(), func(a kv.Alarm) bool { return a.Name.Severity() != "alarm" })
	m.recordAlarms("alarm raised", now, before)
	m.recordAlarms("alarm ended", before, now)
	m.duty.alarms = now
}

// recordAlarms records the alarms that are in one list and not in another. A new text is no change.
func (m *member) recordAlarms(operation string, in, notIn []kv.Alarm) {
	for i, a := range in {
		same := func(b kv.Alarm) bool { return a.Name == b.Name && a.Member == b.Member }
		if !slices.ContainsFunc(notIn, same) && !slices.ContainsFunc(in[:i], same) {
			m.audit.Record(audit.Event{Operation: operation, Message: fmt.Sprintf("%s of %s: %s", a.Name, m.status.NameOf(a.Member), a.Text)})
		}
	}
}

// recordMembers records how the membership has changed, whichever member was asked for the change.
func (m *member) recordMembers(before, after index.Members) {
	if m.audit == nil || len(before.All()) == 0 {
		return
	}
	if applied, _ := m.status.View().Applied(); applied < m.applyTo { // entries replayed at a start are not new
		return
	}
	record := func(operation string, one *kv.Member, detail string) {
		m.audit.Record(audit.Event{Operation: operation, Message: fmt.Sprintf("%s (%016x)%s", cmp.Or(one.Name, "-"), one.ID, detail)})
	}
	for _, one := range before.All() {
		if after.Get(one.ID) == nil {
			record("member removed", &one, "")
		}
	}
	for _, one := range after.All() {
		switch was := before.Get(one.ID); {
		case was == nil && one.Replaces != 0:
			record("member added", &one, fmt.Sprintf(" as a %s at %v, in the place of %s", one.Role, one.Peers, after.NameOf(one.Replaces)))
		case was == nil:
			record("member added", &one, fmt.Sprintf(" as a %s at %v", one.Role, one.Peers))
		case one.Role.Votes() != was.Role.Votes():
			record("member promoted", &one, "")
		case len(was.Peers) > 0 && !slices.Equal(one.Peers, was.Peers):
			record("member moved", &one, fmt.Sprintf(" from %v to %v", was.Peers, one.Peers))
		}
	}
}

// closeAudit writes the last events. A failed audit never fails the stop, and delays it by limits.AuditStall at most.
func (m *member) closeAudit() {
	if m.audit == nil {
		return
	}
	m.audit.Record(audit.Event{Operation: "stop"})
	closed := make(chan error, 1)
	go func() { closed <- m.audit.Close() }()
	var err error
	select {
	case err = <-closed:
	case <-time.After(limits.AuditStall):
		err = fmt.Errorf("a write has not returned for %v", limits.AuditStall)
	}
	if err != nil {
		m.logger.Warn("the last events of the audit log are lost", "error", err)
	}
}
