package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/checks"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// age returns a member's qkv_backup_age_seconds; false: the member does not report it.
func (m *memberProcess) age() (float64, bool) {
	m.t.Helper()
	answer, err := http.Get("http://" + m.listen + "/metrics")
	if err != nil {
		return 0, false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(m.t, err)
	if !strings.Contains(string(text), "qkv_backup_configured 1\n") {
		m.t.Errorf("%s does not report that it is configured to make a backup", m.name)
	}
	found := regexp.MustCompile(`(?m)^qkv_backup_age_seconds (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0, false
	}
	seconds, err := strconv.ParseFloat(string(found[1]), 64)
	must(m.t, err)
	return seconds, true
}

// TestProcessBackupOfMembers: the leader makes the backup in a shared folder, and after its death the next one goes on with it, without a gap. The folder's disk fills up and
// vanishes, which is an alarm, and stops no write. Each moment that is restored is what was acknowledged until then.
func TestProcessBackupOfMembers(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	small := smallDisk(t, "64m")
	dir := filepath.Join(small, "backups")
	must(t, os.Mkdir(dir, 0o700))
	c := startProcesses(t, 3, "--backup", dir, "--backup-every", "2s", "--backup-keep", "1d")
	m := &backupModel{}
	ctx, stop := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	s := c.open(0, processWait)
	writing.Go(func() { m.write(ctx, s) })
	defer writing.Wait()
	defer stop()
	begun := time.Now()
	restores, refused := 0, 0
	c.caughtUp(s, dir) // the backup may begin behind this put
	first := c.caughtUp(s, dir)
	check := func() {
		n, no := checkMoments(t, m, begun, func(at backup.At) (*backup.Restored, error) { return restored(dir, at) })
		restores, refused = restores+n, refused+no
	}
	for range 3 { // each leader in turn
		c.caughtUp(s, dir)
		leader := c.leader()
		leader.kill()
		c.caughtUp(s, dir)
		for _, other := range c.others(leader) {
			if _, reports := other.age(); reports != (other == c.leader()) {
				t.Errorf("%s reports an age of the backup: %v", other.name, reports)
			}
		}
		leader.start()
		c.level()
		check()
	}

	gone := dir + ".away"
	for _, incident := range []struct {
		what              string // in the alarm
		begin, clearFault func()
	}{
		{"is gone: mount its disk", func() { must(t, os.Rename(dir, gone)) }, func() { must(t, os.Rename(gone, dir)) }},
		{"no space left", func() { fillDisk(t, small) }, func() { must(t, os.Remove(filepath.Join(small, "filler"))) }},
	} {
		what := incident.what
		incident.begin()
		began, writes := time.Now(), len(m.acknowledged())
		text := ""
		c.await("the alarm BACKUP: "+what, func(members []cluster.MemberStatus) bool {
			for _, a := range checks.RaisedBy(cluster.FactsOf(members)) {
				if a.Name == "BACKUP" {
					text = a.Text
				}
			}
			return strings.Contains(text, what)
		})
		age, _ := c.leader().age()
		if d := c.diagnose(); age < limits.BackupFailing.Seconds() || !has(d, "alarms", checks.Failure, "BACKUP of ") {
			t.Errorf("%s: the age is %v s, and doctor says %+v", what, age, d.Checks)
		}
		c.qkv("status", "--check").exits(t, form.ExitFailed, "BACKUP of ")
		if n := len(m.acknowledged()) - writes; n < 100 {
			t.Errorf("%s: %d writes in %v", what, n, time.Since(began))
		}
		incident.clearFault()
		c.await("the end of the alarm BACKUP", func(members []cluster.MemberStatus) bool { return !strings.Contains(alarmNames(members), "BACKUP") })
		c.caughtUp(s, dir)
		if age, reports := c.leader().age(); !reports || age > 10 {
			t.Errorf("the age of a backup that has everything is %v s", age)
		}
	}
	if got := c.qkv("status").exits(t, form.ExitOK); !strings.Contains(strings.Join(strings.Fields(got.stdout), " "), "backup by "+c.leader().name+" in "+dir+": complete") {
		t.Errorf("the status of a backup that has everything: %s", got.stdout)
	}
	if d := c.diagnose(); !has(d, "backup", checks.OK, c.leader().name+" makes it in "+dir+": complete ") {
		t.Errorf("doctor of a backup that has everything: %+v", d.Checks)
	}
	check()
	stop()
	writing.Wait()
	m.noneIsMissing(t, first, dir)
	if refused > restores/2 {
		t.Errorf("%d of %d moments were refused", refused, restores)
	}
	t.Logf("figures: %d puts, %d moments restored, %d refused before the backup began", len(m.acknowledged()), restores, refused)
	c.restoresAll(m, s, dir)
}

// restoresAll restores the newest moment by the command, and compares it with the model.
func (c *clusterProcess) restoresAll(m *backupModel, s *client.Client, dir string) {
	t := c.t.(*testing.T)
	c.caughtUp(s, dir)
	got, err := restored(dir, backup.At{})
	must(t, err)
	m.compare(t, got)
	for _, line := range [][]string{{"backup", "list", dir}, {"inspect", dir}, {"backup", "verify", dir}} {
		if got := runQkv(t, c.environment(), line...).exits(t, 0); got.stdout == "" || strings.Contains(got.stdout, "! ") {
			t.Errorf("%v: %s", line, got.stdout)
		}
	}
	runQkv(t, c.environment(), "restore", dir, "--data-dir", filepath.Join(t.TempDir(), "restored"), "--name", "r").exits(t, 0)
}

// noneIsMissing restores acknowledged revisions from the first one that was in the backup to the last one: leaders came and went between
// them, and no moment is lost.
func (m *backupModel) noneIsMissing(t *testing.T, first int64, dir string) {
	t.Helper()
	r, err := backup.Open(t.Context(), store.OpenFolder(disk.OS(), dir))
	must(t, err)
	must(t, r.Verify(limits.Defaults().Index, nil, func(v *backup.Verified) {
		if v.Gap != nil {
			t.Errorf("behind the base of entry %d: %v", v.Base.Index, v.Gap)
		}
	}))
	puts := slices.DeleteFunc(slices.Clone(m.acknowledged()), func(p backedUp) bool { return p.revision < first })
	for i := 0; i < len(puts); i += max(1, len(puts)/100) {
		if got, err := restored(dir, backup.At{Revision: puts[i].revision}); err != nil || got.Revision != puts[i].revision {
			t.Errorf("revision %d: %+v, %v", puts[i].revision, got, err)
		}
	}
}

// caughtUp puts a key, waits until that is in the backup, and returns its revision.
func (c *clusterProcess) caughtUp(s *client.Client, dir string) int64 {
	c.t.Helper()
	p, err := s.Put(context.Background(), []byte("caught up"), nil)
	must(c.t, err)
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got, err := restored(dir, backup.At{})
		if err == nil && got.Revision >= p.Revision {
			return p.Revision
		}
		if time.Since(begun) > processWait {
			c.t.Fatalf("revision %d is not in the backup: %v", p.Revision, err)
		}
	}
}

// fillDisk fills a disk.
func fillDisk(t *testing.T, disk string) {
	t.Helper()
	filler, err := os.Create(filepath.Join(disk, "filler"))
	must(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, filler.Close())
}

func alarmNames(members []cluster.MemberStatus) (names string) {
	for _, a := range checks.RaisedBy(cluster.FactsOf(members)) {
		names += string(a.Name) + " "
	}
	return names
}
