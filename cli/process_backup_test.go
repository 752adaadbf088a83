package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/internal/testlong"
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

// backupProcess is `qkv backup run` as a process.
type backupProcess struct {
	c     *clusterProcess
	dir   string
	extra []string
	out   *os.File
	cmd   *exec.Cmd
}

func (b *backupProcess) start() {
	b.c.t.Helper()
	b.cmd = exec.Command("qkv", append([]string{"backup", "run", "--to", b.dir}, b.extra...)...)
	b.cmd.Env = append(withoutSettings(os.Environ()), b.c.environment()...)
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	must(b.c.t, spawn(b.cmd))
}

// end ends the process by a signal, and returns its exit code.
func (b *backupProcess) end(s syscall.Signal) int {
	_ = b.cmd.Process.Signal(s)
	_ = b.cmd.Wait()
	return b.cmd.ProcessState.ExitCode()
}

func startBackup(c *clusterProcess, dir string, extra ...string) *backupProcess {
	c.t.Helper()
	out, err := os.Create(filepath.Join(c.t.TempDir(), "backup.log"))
	must(c.t, err)
	b := &backupProcess{c: c, dir: dir, extra: extra, out: out}
	b.start()
	c.t.Cleanup(func() {
		if b.cmd.ProcessState == nil {
			b.end(syscall.SIGKILL)
		}
		if c.t.Failed() {
			text, _ := os.ReadFile(out.Name())
			c.t.Logf("backup run:\n%s", text)
		}
	})
	return b
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

// TestProcessBackup: a backup runs all the time, while members and the backup itself are killed, and its disk is full or gone. Each moment
// that is restored is what was acknowledged until then, or is refused.
func TestProcessBackup(t *testing.T) {
	testlong.Skip(t)
	rounds := variant(20, 200)
	alongside(t)
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	small := smallDisk(t, "48m")
	dir := filepath.Join(small, "backup")
	c := startProcesses(t, 3)
	b := startBackup(c, dir, "--every", "2s", "--keep", "1h")
	m := &backupModel{}
	ctx, stop := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	s := c.open(0, processWait)
	writing.Go(func() { m.write(ctx, s) })
	defer writing.Wait()
	defer stop()
	begun := time.Now()
	for len(m.acknowledged()) < 20 {
		time.Sleep(10 * time.Millisecond)
	}
	reaches(t, dir, m.acknowledged()[10].revision, processWait)
	checks, refused := 0, 0
	for i := range rounds {
		disturb(t, c, b, m, small, i)
		n, no := checkMoments(t, m, begun, func(at backup.At) (*backup.Restored, error) { return restored(dir, at) })
		checks, refused = checks+n, refused+no
	}
	stop()
	writing.Wait()
	p, err := s.Put(context.Background(), []byte("key 0"), []byte("the last one"))
	must(t, err)
	took := reaches(t, dir, p.Revision, processWait)
	if refused > checks/2 {
		t.Errorf("%d of %d moments were refused", refused, checks)
	}
	if code := b.end(syscall.SIGTERM); code != 0 {
		t.Errorf("the backup exits with %d after SIGTERM", code)
	}
	runQkv(t, c.environment(), "inspect", dir).exits(t, 0)
	t.Logf("figures: %d rounds in %v, %d puts, %d moments restored, %d refused for a gap, the last change in the backup after %v",
		rounds, time.Since(begun).Round(time.Second), len(m.acknowledged()), checks, refused, took.Round(time.Millisecond))
}

// disturb makes one thing go wrong, and mends it.
func disturb(t *testing.T, c *clusterProcess, b *backupProcess, m *backupModel, small string, round int) {
	t.Helper()
	pause := time.Duration(100+rand.IntN(300)) * time.Millisecond
	switch round % 5 {
	case 0, 2:
		one := c.members[rand.IntN(len(c.members))]
		one.kill()
		time.Sleep(pause)
		one.start()
	case 1:
		b.end(syscall.SIGKILL)
		time.Sleep(pause)
		b.start()
	case 3: // a process that was started meanwhile knows of the backup once it has written to it
		puts := m.acknowledged()
		reaches(t, b.dir, puts[len(puts)-1].revision, processWait)
		must(t, os.Rename(b.dir, b.dir+".away"))
		time.Sleep(pause)
		if _, err := os.Stat(b.dir); err == nil {
			t.Error("the backup made a folder anew that was gone")
		}
		must(t, os.Rename(b.dir+".away", b.dir))
	case 4:
		fillDisk(t, small)
		time.Sleep(pause)
		must(t, os.Remove(filepath.Join(small, "filler")))
	}
	time.Sleep(pause)
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
