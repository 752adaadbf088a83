package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// flipBit inverts one bit of a file.
func flipBit(t *testing.T, name string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, offset)
	must(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b, offset)
	must(t, err)
	must(t, f.Close())
}

// middleOf is an offset in a file.
func middleOf(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	must(t, err)
	return info.Size() / 2
}

func filesIn(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	must(t, err)
	slices.Sort(names)
	return names
}

// lastFrame returns where the last frame of a log begins and ends, and in which file.
func lastFrame(t *testing.T, dir string) (name string, begin, end int64) {
	t.Helper()
	said := runQkv(t, nil, "inspect", dir).exits(t, form.ExitOK).stdout
	for line := range strings.Lines(said) {
		file, _, isFile := strings.Cut(line, "  segment ")
		var at int64
		switch n, _ := fmt.Sscanf(strings.TrimSpace(line), "%d", &at); {
		case isFile:
			name = filepath.Join(dir, file)
		case n == 1 && strings.HasSuffix(strings.TrimSpace(line), " end"):
			return name, begin, at
		case n == 1:
			begin = at
		}
	}
	t.Fatalf("the log has no end:\n%s", said)
	return "", 0, 0
}

// TestProcessDamage: what rots on the disk is found and named, and nothing is answered from it.
func TestProcessDamage(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1)
	m := c.members[0]
	c.qkv("put", "first", "1").exits(t, form.ExitOK)
	c.qkv("put", "second", "2").exits(t, form.ExitOK)
	m.says("leader")
	m.stop() // the last that it writes is a fence, which says how far the log is synced
	wal, identity := filepath.Join(m.dataDir, "wal"), filepath.Join(m.dataDir, "identity")

	t.Run("identity", func(t *testing.T) {
		const slot = limits.FolderFileBytes // it is there twice
		flipBit(t, identity, 20)
		flipBit(t, identity, slot+20)
		m.refuses(form.ExitFailed, "corrupt", identity, "checksum")
		flipBit(t, identity, 20)
		flipBit(t, identity, slot+20)
		content := readFile(t, identity)
		must(t, os.Remove(identity))
		m.refuses(form.ExitFailed, "corrupt", identity, "is missing")
		must(t, os.WriteFile(identity, content, 0o600))
	})
	t.Run("no log", func(t *testing.T) {
		must(t, os.Rename(wal, wal+"-away"))
		m.refuses(form.ExitFailed, "corrupt: "+wal, "is missing", "mount the disk", "A lost member")
		must(t, os.Rename(wal+"-away", wal))
	})
	t.Run("log", func(t *testing.T) {
		name, begin, _ := lastFrame(t, wal)
		entry := begin - 4096 // the page before the fence
		before := treeOf(t, wal)
		for _, offset := range []int64{entry + 40, entry + 520} { // of the header, and of the record
			flipBit(t, name, offset)
			damaged := treeOf(t, wal)
			m.refuses(form.ExitFailed, "corrupt", filepath.Base(name), fmt.Sprint(entry))
			if after := treeOf(t, wal); after != damaged {
				t.Errorf("a damaged log was changed:\n%s\nbefore:\n%s", after, damaged)
			}
			flipBit(t, name, offset)
		}
		if after := treeOf(t, wal); after != before {
			t.Fatalf("the test itself has changed the log")
		}
	})
	t.Run("a torn end", func(t *testing.T) {
		name, begin, end := lastFrame(t, wal)
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		torn := make([]byte, 1500)
		_, err = f.ReadAt(torn, begin-4096)
		must(t, err)
		_, err = f.WriteAt(torn, end) // the beginning of a frame, as a crash leaves it
		must(t, err)
		must(t, f.Close())
		m.start()
		for key, value := range map[string]string{"first": "1\n", "second": "2\n"} {
			if got := c.qkv("get", key).exits(t, form.ExitOK); got.stdout != value {
				t.Errorf("%s is %q", key, got.stdout)
			}
		}
		status := c.qkv("status", "-w", "json").exits(t, form.ExitOK).stdout
		if !strings.Contains(status, "torn write") || !strings.Contains(status, filepath.Base(name)) || !strings.Contains(status, fmt.Sprint(end)) {
			t.Errorf("the status does not tell of the torn end of %s at %d: %s", name, end, status)
		}
		c.qkv("put", "third", "3").exits(t, form.ExitOK)
		m.stop()
		m.start()
		if status := c.level(); raises(status[0], "TORN") {
			t.Errorf("after another start it is reported again: %v", status[0].Alarms)
		}
		c.qkv("get", "third").exits(t, form.ExitOK)
	})
}

// TestProcessSnapshotDamage: a damaged snapshot is put aside, and the one before it with the log behind that one holds
// everything. When that one is damaged too, the member refuses to begin without it.
func TestProcessSnapshotDamage(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1, "--segment-bytes", "8388608")
	m := c.members[0]
	snaps := filepath.Join(m.dataDir, "snap", "*.snap")
	// While a third one is written, the second one is just checked, and the only one: then it goes on. A member whose log still holds its first
	// segment would need no snapshot.
	first := filepath.Join(m.dataDir, "wal", "0000000000000001.wal")
	before := ""
	for deadline := time.Now().Add(processWait); ; m.start() {
		for len(filesIn(t, snaps)) < 2 || len(filesIn(t, first)) > 0 {
			putMany(t, c, 16, 1<<20)
			if time.Now().After(deadline) {
				t.Fatalf("there are not two snapshots and a log behind the first one after %v: %s", processWait, filesIn(t, snaps))
			}
		}
		before = c.qkv("get", "many/", "--prefix", "-w", "json").exits(t, form.ExitOK).stdout
		c.qkv("put", "after", "the snapshots").exits(t, form.ExitOK)
		m.kill()
		if len(filesIn(t, snaps)) == 2 {
			break
		}
	}

	names := filesIn(t, snaps)
	newest := names[len(names)-1]
	flipBit(t, newest, middleOf(t, newest))
	m.start()
	m.says("damaged snapshot", "damaged", filepath.Base(newest))
	if got := c.qkv("get", "after").exits(t, form.ExitOK); got.stdout != "the snapshots\n" {
		t.Errorf("after the snapshots: %q", got.stdout)
	}
	after := c.qkv("get", "many/", "--prefix", "-w", "json").exits(t, form.ExitOK).stdout
	if _, kvs, _ := strings.Cut(after, "kvs"); !strings.HasSuffix(before, kvs) || kvs == "" {
		t.Error("the values are others than before")
	}
	status := c.qkv("status", "-w", "json").exits(t, form.ExitOK).stdout
	if !strings.Contains(status, "damaged snapshot") || !strings.Contains(status, "damaged") {
		t.Errorf("the status does not tell of the damaged snapshot: %s", status)
	}
	if len(filesIn(t, filepath.Join(m.dataDir, "damaged", "*"))) != 1 {
		t.Error("it is not in damaged")
	}
	m.kill()

	for _, name := range filesIn(t, snaps) {
		flipBit(t, name, middleOf(t, name))
	}
	m.refuses(form.ExitFailed, "corrupt", "no valid snapshot")
}

// putMany puts so many values, each of a few keys in turn.
func putMany(t *testing.T, c *clusterProcess, n, bytes int) {
	t.Helper()
	s := c.open(0, processWait)
	defer func() { _ = s.Close() }()
	value := []byte(strings.Repeat("x", bytes))
	var putting sync.WaitGroup
	for i := range n {
		putting.Go(func() {
			var err error
			for range 5 { // of unknown outcome when leadership moves on a busy host
				if _, err = s.Put(context.Background(), fmt.Appendf(nil, "many/%d", i%8), value); !errors.Is(err, client.ErrOutcomeUnknown) {
					break
				}
			}
			if err != nil {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	putting.Wait()
}

// copyFolderAs copies a folder with the modes of its files, as an operator does who restores one.
func copyFolderAs(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp -a: %v: %s", err, out)
	}
}

// TestProcessAmnesia: a member whose data folder was wiped, or restored from an old copy, must not vote any more. It and
// the others say so, and they go on without it.
func TestProcessAmnesia(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	for name, forget := range map[string]func(t *testing.T, m *memberProcess, copied string){
		"wiped": func(t *testing.T, m *memberProcess, _ string) { must(t, os.RemoveAll(m.dataDir)) },
		"restored": func(t *testing.T, m *memberProcess, copied string) {
			must(t, os.RemoveAll(m.dataDir))
			copyFolderAs(t, copied, m.dataDir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startProcesses(t, 3)
			c.qkv("put", "key", "before").exits(t, form.ExitOK)
			m := c.members[2]
			m.stop()
			copied := filepath.Join(t.TempDir(), "copy")
			copyFolderAs(t, m.dataDir, copied)
			m.start()
			c.level()
			putMany(t, c, 20, 100)
			c.level()
			m.kill()
			forget(t, m, copied)
			m.start()

			m.says("AMNESIA")
			if c.leader() == m {
				t.Fatal("a member that forgot leads")
			}
			for _, other := range c.others(m) {
				other.says("AMNESIA", m.name)
			}
			c.await("its status says AMNESIA", func(members []cluster.MemberStatus) bool {
				return slices.ContainsFunc(members, func(s cluster.MemberStatus) bool { return s.Name == m.name && raises(s, "AMNESIA") })
			})
			table := c.qkv("status").exits(t, form.ExitOK).stdout
			if lineWith(table, m.name, "AMNESIA") == "" {
				t.Errorf("the status does not say it:\n%s", table)
			}
			c.qkv("put", "key", "after").exits(t, form.ExitOK)
			for _, at := range c.members {
				timeout := processWait
				if at == m {
					timeout = 2 * time.Second
				}
				got := c.qkv("get", "key", "--endpoints", at.listen, "--timeout", timeout.String())
				if got.stdout != "after\n" && (at != m || got.code != form.ExitUnavailable) {
					t.Errorf("get from %s: %+v", at.name, got)
				}
			}
			// One of two that are left is a quorum no more: the one that forgot does not count.
			dead := c.others(m)[0]
			dead.kill()
			c.await("the other one gives up leading", func(members []cluster.MemberStatus) bool { return run.LeaderOf(members) == nil })
			for range 4 { // its word that nothing happened may come too late on a busy host
				put := c.qkv("put", "key", "by whose vote?", "--timeout", "2s")
				if put.code != form.ExitUnknown {
					put.exits(t, form.ExitUnavailable)
					break
				}
			}
			dead.start()
			got := c.qkv("get", "key", "--timeout", processWait.String()).exits(t, form.ExitOK)
			if got.stdout != "after\n" {
				t.Errorf("it is %q", got.stdout)
			}
		})
	}
}

// raises says whether the member has an alarm of a name.
func raises(m cluster.MemberStatus, name kv.AlarmName) bool {
	return slices.ContainsFunc(m.Alarms, func(a checks.Raised) bool { return a.Name == name })
}
