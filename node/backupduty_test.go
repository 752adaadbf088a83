package node_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/log/disk"
	"qkv/node"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

func TestBackupOfTheLeader(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	testretry.Longer(t, 500*time.Millisecond, func(t testing.TB, election time.Duration) { backupOfTheLeader(t, planCluster(t, 3, election)) })
}

// backupOfTheLeader: the leader alone makes the backup, and the next one goes on with it, without a gap. It makes no folder on a disk that is
// not mounted, and writes into no folder with other files. Its failure is an alarm of the leader, and a leader that was followed by another one
// ends its run.
func backupOfTheLeader(t testing.TB, c *cluster) {
	dir := filepath.Join(t.TempDir(), "mounted")
	for i := range c.configs {
		c.configs[i].Backup = node.BackupTarget{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour, Keep: time.Hour}
		c.start(i)
	}
	cl := c.client(0, 1, 2)
	var revisions []int64
	put := func(key string) int64 {
		p, err := cl.Put(context.Background(), []byte(key), nil)
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, p.Revision)
		return p.Revision
	}
	put("a")
	alarm := func(i int) string {
		if c.nodes[i] == nil {
			return ""
		}
		alarms := c.nodes[i].Status().Alarms
		if at := slices.IndexFunc(alarms, func(a kv.Alarm) bool { return a.Name == kv.BackupAlarm }); at >= 0 {
			return alarms[at].Text
		}
		return ""
	}
	awaitAlarm := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
			leader := c.leader()
			if got := alarm(leader); text == "" && got == "" || text != "" && strings.Contains(got, text) {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("the leader's alarm is %q, not %q", got, text)
			}
		}
		for i := range c.nodes {
			if got := alarm(i); got != "" && i != c.leader() {
				t.Errorf("%s does not lead and raises BACKUP: %s", c.configs[i].Name, got)
			}
		}
	}
	awaitAlarm("the folder " + dir + " does not exist: mount its disk")
	if age := c.nodes[c.leader()].Status().Duration(figures.BackupAge); age < limits.BackupFailing {
		t.Errorf("the age of the backup is %v", age)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s was made", dir)
	}
	other := filepath.Join(dir, "others")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	awaitAlarm("holds others/: give an empty place, or one of an earlier backup")
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	awaitAlarm("")

	first := c.leader()
	awaitBackup(t, dir, put("b"))
	c.stop(first)
	second := c.leader()
	awaitBackup(t, dir, put("c"))
	c.start(first)
	awaitBackup(t, dir, put("d"))
	lead := func(i int) {
		t.Helper()
		if err := cl.Admin().MoveLeader(context.Background(), c.nodes[i].Status().ID); err != nil {
			t.Fatal(err)
		}
	}
	lead(first)
	awaitBackup(t, dir, put("e"))
	lead(second)
	awaitBackup(t, dir, put("f"))
	for deadline := time.Now().Add(wait); c.nodes[first].Status().Duration(figures.BackupAge) != 0; time.Sleep(10 * time.Millisecond) { // its run goes on until its next look
		if time.Now().After(deadline) {
			t.Fatalf("%s makes the backup, and does not lead", c.configs[first].Name)
		}
	}

	// The disk is unmounted, and the mount point is an empty folder. A member that has made the backup before begins no other one there.
	if err := errors.Join(os.Rename(dir, dir+".away"), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	lead(first)
	awaitAlarm("mount its disk again")
	if leader := c.leader(); leader != first {
		t.Fatalf("%s leads, and not %s", c.configs[leader].Name, c.configs[first].Name)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("the mount point holds %v, %v", names, err)
	}
	if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
	awaitAlarm("")
	awaitBackup(t, dir, put("g"))
	restoresEach(t, dir, revisions)
	for i, n := range c.nodes {
		s := n.Status()
		if s.Backup != dir || i != c.leader() && s.Duration(figures.BackupAge) != 0 || s.Duration(figures.BackupAge) > limits.BackupFailing {
			t.Errorf("%s, %s, reports the backup %q of age %v", s.Name, s.Role, s.Backup, s.Duration(figures.BackupAge))
		}
	}
}

// A place that is refused is a line of the log at once, and once. The alarm comes later.
func TestRefusedPlaceIsLogged(t *testing.T) {
	testlong.Skip(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "others"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := planCluster(t, 1, 500*time.Millisecond)
	var said lockedText
	c.configs[0].Logger = slog.New(slog.NewTextHandler(&said, nil))
	c.configs[0].Backup = node.BackupTarget{Store: store.OpenFolder(disk.OS(), dir), Every: time.Hour, Keep: time.Hour}
	c.start(0)
	refused := func() int { return strings.Count(said.String(), "backup failed") }
	until(t, "the refusal is not logged", func() bool { return refused() > 0 })
	if alarms := c.nodes[0].Status().Alarms; len(alarms) > 0 || !strings.Contains(said.String(), "holds others/: give an empty place") {
		t.Errorf("the alarms %v, the log:\n%s", alarms, said.String())
	}
	until(t, "no alarm", func() bool { return len(c.nodes[0].Status().Alarms) > 0 })
	if n := refused(); n != 1 {
		t.Errorf("the refusal is logged %d times", n)
	}
}

// lockedText is a text that goroutines write.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// awaitBackup waits until the backup in a folder has a revision.
func awaitBackup(t testing.TB, dir string, revision int64) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var got *backup.Restored
		if got, err = restoreFrom(dir, backup.At{}); err == nil && got.Revision >= revision {
			return
		}
	}
	t.Fatalf("revision %d is not in the backup: %v", revision, err)
}

func restoreFrom(dir string, at backup.At) (*backup.Restored, error) {
	r, err := backup.Open(context.Background(), store.OpenFolder(disk.OS(), dir))
	if err != nil {
		return nil, err
	}
	return r.Restore(at, limits.Defaults().Index, nil)
}

// restoresEach restores each revision from the first base on: one leader has gone on where the other one ended.
func restoresEach(t testing.TB, dir string, revisions []int64) {
	t.Helper()
	r, err := backup.Open(context.Background(), store.OpenFolder(disk.OS(), dir))
	if err != nil || len(r.Bases) == 0 {
		t.Fatalf("the backup has %+v, %v", r, err)
	}
	for _, revision := range revisions {
		if revision < r.Bases[0].Revision {
			continue
		}
		if got, err := restoreFrom(dir, backup.At{Revision: revision}); err != nil || got.Revision != revision || got.Base.Index != r.Bases[0].Index {
			t.Errorf("revision %d, from the first of %d bases: %+v, %v", revision, len(r.Bases), got, err)
		}
	}
}
