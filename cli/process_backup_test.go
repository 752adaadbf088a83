package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// backedUp is one acknowledged put of the model. A restored moment has exactly the newest put of each key up to it.
type backedUp struct {
	revision     int64
	key, value   string
	begun, ended time.Time
}

// backupModel is a single writer of few keys, and everything that was acknowledged to it.
type backupModel struct {
	mu     sync.Mutex
	puts   []backedUp
	doubts map[string]string // values that may have been written, and their keys
}

// write puts until the context ends.
func (m *backupModel) write(ctx context.Context, s *client.Client) {
	m.doubts = map[string]string{}
	for i := 0; ctx.Err() == nil; i++ {
		one := backedUp{key: fmt.Sprintf("key %d", i%17), value: fmt.Sprint("value ", i), begun: time.Now()}
		asked, cancel := context.WithTimeout(ctx, 10*time.Second)
		revision, err := s.Put(asked, []byte(one.key), []byte(one.value))
		cancel()
		one.revision, one.ended = revision.Revision, time.Now()
		m.mu.Lock()
		if err != nil {
			m.doubts[one.value] = one.key
		} else {
			m.puts = append(m.puts, one)
		}
		m.mu.Unlock()
		time.Sleep(2 * time.Millisecond)
	}
}

func (m *backupModel) acknowledged() []backedUp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.puts[:len(m.puts):len(m.puts)]
}

// compare holds a restored state against the acknowledged puts up to its revision.
func (m *backupModel) compare(t *testing.T, got *backup.Restored) {
	t.Helper()
	want := map[string]backedUp{}
	for _, p := range m.acknowledged() {
		if p.revision <= got.Revision {
			want[p.key] = p
		}
	}
	for i := range 17 {
		key := fmt.Sprintf("key %d", i)
		pair, _, err := got.State.View().Get([]byte(key), 0)
		must(t, err)
		m.mu.Lock()
		doubt := m.doubts[string(pair.Value)] == key
		m.mu.Unlock()
		if w := want[key]; !doubt && (string(pair.Value) != w.value || pair.ModRevision != w.revision) {
			t.Errorf("restored as of revision %d: %s is %q of revision %d, and %q of revision %d was acknowledged", got.Revision, key, pair.Value, pair.ModRevision, w.value, w.revision)
		}
	}
}

// restored restores a moment from a backup that another process may be writing.
func restored(dir string, at backup.At) (*backup.Restored, error) {
	r, err := backup.Open(context.Background(), store.OpenFolder(disk.OS(), dir))
	if err != nil {
		return nil, err
	}
	return r.Restore(at, limits.Defaults().Index, nil)
}

// reaches waits until the backup has a revision, and returns how long that took.
func reaches(t *testing.T, dir string, revision int64, most time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	var last error
	for time.Since(begun) < most {
		got, err := restored(dir, backup.At{})
		if err == nil && got.Revision >= revision {
			return time.Since(begun)
		}
		last = err
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("revision %d is not in the backup after %v: %v", revision, most, last)
	return 0
}

// backupFolder makes the folder of a backup.
func backupFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	must(t, os.Mkdir(dir, 0o700))
	return dir
}

// TestProcessBackupNow: the command asks the leader, whichever member it reaches, and what was acknowledged before is in the backup. A backup that
// fails is an error, and so is a cluster without one.
func TestProcessBackupNow(t *testing.T) {
	t.Parallel()
	dir := backupFolder(t)
	c := startProcesses(t, 3, "--backup", dir)
	for i := range 6 {
		if i == 3 {
			c.qkv("member", "lead").exits(t, form.ExitOK)
		}
		one := c.members[i%3]
		p, err := c.open(i, processWait).Put(t.Context(), []byte("key"), fmt.Append(nil, i))
		must(t, err)
		said := c.qkv("backup", "now", "--endpoints", one.listen, "--no-discovery").exits(t, form.ExitOK)
		got, err := restored(dir, backup.At{})
		if err != nil || got.Revision < p.Revision || !strings.HasPrefix(said.stdout, fmt.Sprintf("%s has everything up to revision %d, of ", dir, p.Revision)) {
			t.Errorf("revision %d was acknowledged, %+v is restored: %v; it says %s", p.Revision, got, err, said.stdout)
		}
	}
	if said := c.qkv("backup", "now", "-w", "json").exits(t, form.ExitOK).stdout; !strings.HasPrefix(said, `{"place":"`+dir+`","entry":`) || !strings.Contains(said, `"revision":`) {
		t.Errorf("as JSON: %s", said)
	}
	must(t, os.Rename(dir, dir+".away"))
	c.qkv("put", "key", "more").exits(t, form.ExitOK)
	c.qkv("backup", "now").exits(t, form.ExitFailed, "the backup in "+dir+" fails: ", "mount its disk")
	alone := startProcesses(t, 1)
	alone.qkv("backup", "now").exits(t, form.ExitFailed, "this member has no backup: give --backup to all members")
}

// TestProcessEtcdBackup: a member with etcd's command line makes the backup that qkv's variables name, and it is restored.
func TestProcessEtcdBackup(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	dir, work := backupFolder(t), t.TempDir()
	must(t, os.WriteFile(filepath.Join(work, "key"), []byte(key.String()+"\n"), 0o600))
	at := freeAddresses(t, 2)
	client, peer := "http://"+at[0], "http://"+at[1]
	etcd := exec.Command("qkv", "etcd", "--name", "e1", "--data-dir", filepath.Join(work, "data"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "e1="+peer)
	environment := []string{"QKV_HOME=" + filepath.Join(work, "home"), "QKV_BACKUP=" + dir, "QKV_BACKUP_KEEP=2d", "QKV_BACKUP_RECIPIENT=" + key.Recipient().String()}
	etcd.Env = append(run.WithoutSettings(os.Environ()), environment...)
	must(t, spawn(etcd))
	t.Cleanup(func() { _ = etcd.Process.Kill(); _ = etcd.Wait() })
	qkv := func(line ...string) answered { return runQkv(t, environment[:1], line...) }
	for begun := time.Now(); qkv("put", "--endpoints", at[0], "key", "value").code != form.ExitOK; time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > processWait {
			t.Fatal("it takes no writes")
		}
	}
	for _, one := range []struct {
		want string
		line []string
	}{
		{dir + " has everything up to revision 2, of ", []string{"backup", "now", "--endpoints", at[0]}},
		{"undamaged: every moment from ", []string{"backup", "verify", dir, "--identity", filepath.Join(work, "key")}},
		{"1 key, 0 leases", []string{"restore", dir, "--identity", filepath.Join(work, "key"), "--data-dir", filepath.Join(work, "restored"), "--name", "r"}},
	} {
		if said := qkv(one.line...).exits(t, form.ExitOK).stdout; !strings.Contains(said, one.want) {
			t.Errorf("%s: %s", one.line, said)
		}
	}
	qkv("restore", dir, "--data-dir", filepath.Join(work, "none")).exits(t, form.ExitUsage, "give the file with its age identity")
}

// checkMoments restores random revisions and seconds.
func checkMoments(t *testing.T, m *backupModel, begun time.Time, restored func(backup.At) (*backup.Restored, error)) (checks, refused int) {
	t.Helper()
	puts := m.acknowledged()
	for range 3 {
		p := puts[rand.IntN(len(puts))]
		at := backup.At{Revision: p.revision}
		if rand.IntN(2) == 0 {
			at = backup.At{Wall: begun.Add(time.Duration(rand.Int64N(int64(time.Since(begun))))).UnixNano()}
		}
		checks++
		got, err := restored(at)
		switch {
		case errors.Is(err, backup.ErrGap) || errors.Is(err, backup.ErrRange): // the backup did not run then, or lags
			refused++
			continue
		case err != nil:
			t.Errorf("restore %+v: %v", at, err)
			continue
		case at.Revision > 0 && got.Revision != at.Revision:
			t.Errorf("revision %d was asked for, and %d is restored", at.Revision, got.Revision)
		}
		m.compare(t, got)
		for _, p := range puts {
			if at.Wall > 0 && !got.Ends && (p.ended.UnixNano() <= at.Wall) && p.revision > got.Revision || at.Wall > 0 && p.begun.UnixNano() > at.Wall && p.revision <= got.Revision {
				t.Errorf("restored as of %v: revision %d, and revision %d was put from %v to %v", time.Unix(0, at.Wall), got.Revision, p.revision, p.begun, p.ended)
				break
			}
		}
	}
	return checks, refused
}
