package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot/backup/store"
)

// A new leader reports no age of its backup before the backup is complete, or late enough for an alarm.
func TestBackupOfANewLeader(t *testing.T) {
	c := newBackupCluster(t, 3)
	h := c.follower(0)
	h.member.config.Backup = BackupTarget{Store: store.OpenFolder(disk.OS(), t.TempDir())}
	d := newBackupDuty(h.member)
	age := func() time.Duration {
		var s kv.Status
		d.report(&s)
		return s.Duration(figures.BackupAge)
	}
	d.turn(true)
	begun := d.now()
	if got := age(); got != 0 {
		t.Errorf("at its beginning: %v", got)
	}
	d.completed(0, 0, 0, time.Time{})
	if got := age(); got != time.Microsecond {
		t.Errorf("complete just now: %v", got)
	}
	d.turn(false)
	d.turn(true)
	d.note("the folder does not exist")
	c.w.run(limits.BackupFailing / 2)
	if got := age(); got != 0 {
		t.Errorf("after %v without a backup: %v", d.now()-begun, got)
	}
	c.w.run(limits.BackupFailing)
	if got := age(); got < limits.BackupFailing {
		t.Errorf("after %v without a backup: %v", d.now()-begun, got)
	}
	d.turn(false)
	if got := age(); got != 0 {
		t.Errorf("of a follower: %v", got)
	}
}

// A member that leads no more ends its backup. When it leads again, neither its age nor its failure is of the earlier time.
func TestBackupOfAFormerLeader(t *testing.T) {
	c := newBackupCluster(t, 3)
	h := c.follower(0)
	h.member.config.Backup = BackupTarget{Store: store.OpenFolder(disk.OS(), t.TempDir())}
	d := newBackupDuty(h.member)
	run, cancel := context.WithCancel(t.Context())
	defer cancel()
	d.turn(true)
	d.note("the disk is full")
	begun := d.now()
	c.w.run(10 * time.Second)
	if age, problem := d.age(); age < 9*time.Second || age != d.now()-begun || problem == "" {
		t.Errorf("after %v without a backup: %v, %q", d.now()-begun, age, problem)
	}
	d.completed(4*time.Second, 0, 0, time.Time{}) // the disk took that long for what the member had answered
	if age, problem := d.age(); age != 4*time.Second || problem != "" {
		t.Errorf("complete as of 4s ago: %v, %q", age, problem)
	}
	if d.completed(7*time.Second, 0, 0, time.Time{}); d.complete != d.now()-4*time.Second {
		t.Error("the backup became older")
	}
	if d.note("the disk is full"); d.complete != d.now()-4*time.Second {
		t.Error("a failure made the backup complete")
	}
	d.cancel = cancel
	d.look() // it follows
	if run.Err() == nil || d.cancel != nil {
		t.Error("a member that follows goes on with the backup")
	}
	if age, problem := d.age(); age != 0 || problem != "" {
		t.Errorf("a member that follows: %v, %q", age, problem)
	}
	c.w.run(10 * time.Second)
	d.turn(true)
	if age, problem := d.age(); age != 0 || problem != "" {
		t.Errorf("a member that leads again: %v, %q", age, problem)
	}
}

// Objects that no kept moment needs and that cannot be removed are an alarm after a minute, although the backup is complete, until one removal
// succeeds.
func TestAlarmOfABackupThatGrows(t *testing.T) {
	c := newBackupCluster(t, 3)
	h := c.follower(0)
	h.member.config.Backup = BackupTarget{Store: store.OpenFolder(disk.OS(), t.TempDir())}
	d := newBackupDuty(h.member)
	d.turn(true)
	says := func(what, words string) {
		t.Helper()
		d.completed(0, 0, 0, time.Time{})
		if text := d.text(); (text != "") != (words != "") || !strings.Contains(text, words) {
			t.Errorf("%s: %q", what, text)
		}
	}
	d.removed(nil)
	c.w.run(2 * limits.BackupStuck)
	says("what is removed", "")
	d.removed(errors.New("access denied"))
	c.w.run(limits.BackupStuck / 2)
	d.removed(errors.New("access denied, too"))
	says("half a minute", "")
	c.w.run(limits.BackupStuck)
	says("a minute", "it grows: access denied, too")
	d.removed(nil)
	says("removed again", "")
	d.removed(errors.New("access denied"))
	c.w.run(2 * limits.BackupStuck)
	d.turn(false)
	says("another leader", "")
	d.turn(true)
	says("the next time as leader", "")
}
