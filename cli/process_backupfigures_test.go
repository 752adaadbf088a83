package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/client"
	"qkv/snapshot/backup"
)

// TestProcessBackupFigures measures what a backup costs others, and how old it is, with a state of 1 GB: puts before and while a base is
// saved, and the age of the backup under load, also while it makes new bases. Its limits hold on a host that does nothing else.
func TestProcessBackupFigures(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("figures of backups: QKV_FULL=1; TestProcessBackup holds what must be true of them")
	}
	c := startProcesses(t, 3, "--segment-bytes", "67108864")
	fillWith(t, c.clients(3), 1<<30)
	for _, m := range c.members { // each saves a snapshot of all of it
		s, err := c.target().openMember(t.Context(), m.listen)
		must(t, err)
		_, err = s.BackupBase(t.Context(), s.status.Applied)
		must(t, errors.Join(err, s.Close()))
	}
	l := startMeter(c, "others", c.clients(3), 12, 256, 50*time.Millisecond)
	var ratios []float64
	for i := range 5 {
		quiet := l.now()
		time.Sleep(10 * time.Second)
		begun, dir := l.now(), filepath.Join(t.TempDir(), "backup")
		saved := c.qkv("backup", "save", dir, "-w", "json")
		saved.exits(t, exitOK)
		ended := l.now()
		var base struct {
			Bytes int64 `json:"base_bytes"`
		}
		must(t, json.Unmarshal([]byte(saved.stdout), &base))
		before, during := l.quantile(0.99, quiet, begun), l.quantile(0.99, begun, ended)
		ratios = append(ratios, float64(during)/float64(before))
		t.Logf("figures: base %d of %d MB in %v: p99 of puts %v before, %v meanwhile", i, base.Bytes/1e6, (ended - begun).Round(time.Millisecond), before.Round(time.Microsecond), during.Round(time.Microsecond))
		if base.Bytes < 1<<30 {
			t.Errorf("the base has %d bytes", base.Bytes)
		}
		must(t, os.RemoveAll(dir))
	}
	slices.Sort(ratios)
	t.Logf("figures: puts beside a base: p99 is %.2f times that before at the median, of %.2f", ratios[len(ratios)/2], ratios)
	if ratios[len(ratios)/2] > 1.5 {
		t.Error("puts take over 1.5 times as long at the 99th percentile while a base is saved")
	}
	ageOfBackup(t, c)
	if n := l.failures(0, l.now()); n > 0 {
		t.Errorf("%d puts failed", n)
	}
	l.nothingLost()
}

// fillWith fills the state with a number of bytes, in values of 16 KiB.
func fillWith(t *testing.T, clients []*client.Client, size int64) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			for n := next.Add(1); n*16<<10 <= size; n = next.Add(1) {
				if _, err := clients[i%len(clients)].Put(t.Context(), fmt.Appendf(nil, "fill/%07d", n), bytes.Repeat([]byte{byte(n)}, 16<<10)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// ageOfBackup follows the cluster for some bases, and measures how far behind the newest put the backup is.
func ageOfBackup(t *testing.T, c *clusterProcess) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	b := startBackup(c, dir, "--every", "15s", "--keep", "20s")
	reach := func() (bases int, wall time.Time) {
		r, err := backup.Open(disk.OS(), dir)
		if err != nil {
			return 0, wall
		}
		defer r.Close()
		all, err := r.Reaches()
		if n := len(all); err == nil && n > 0 {
			wall = time.Unix(0, all[n-1].Wall)
			return int(r.Bases[n-1].Index), wall
		}
		return 0, wall
	}
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if _, wall := reach(); time.Since(wall) < time.Second {
			break
		}
		if time.Since(begun) > processWait {
			t.Fatal("the backup does not come to have everything")
		}
	}
	var ages []time.Duration
	bases := map[int]bool{}
	more := func(begun time.Time) bool { // a base of 1 GB takes over half a minute
		return time.Since(begun) < time.Minute || len(bases) < 2 && time.Since(begun) < 3*time.Minute
	}
	for begun := time.Now(); more(begun); time.Sleep(50 * time.Millisecond) {
		base, wall := reach()
		if base == 0 { // a base was removed while the backup was opened
			continue
		}
		bases[base] = true
		ages = append(ages, time.Since(wall))
	}
	if code := b.end(syscall.SIGTERM); code != 0 {
		t.Errorf("the backup exits with %d", code)
	}
	slices.Sort(ages)
	oldest := ages[len(ages)-1]
	t.Logf("figures: the age of the backup: %v at the median, %v at the 99th percentile, at most %v; %d bases meanwhile", ages[len(ages)/2].Round(time.Millisecond), ages[len(ages)*99/100].Round(time.Millisecond), oldest.Round(time.Millisecond), len(bases))
	if oldest > 2*time.Second || len(bases) < 2 {
		t.Errorf("the backup was %v behind, over 2 s, while %d bases were made", oldest, len(bases))
	}
}

// TestRestoreFigures restores 1,000,000 keys, half of them in the base and half in the log, with the command.
func TestRestoreFigures(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("1,000,000 keys are restored: QKV_FULL=1; TestRestoreLines holds what must be true of a restore")
	}
	const keys, batch = 1_000_000, 100
	dir := t.TempDir()
	s := index.NewState(limits.Defaults().Index)
	s.Found(index.Founders(map[string]uint64{"old": 7}))
	_, err := s.Apply(1, 1, nil, nil)
	must(t, err)
	w, err := backup.OpenFolder(disk.OS(), filepath.Join(dir, "b"), backup.Cluster{ID: 0xabc, Name: "old", Version: Version})
	must(t, err)
	var entries []backup.Entry
	for i := 0; i < keys; i += batch {
		var commands [][]byte
		for k := range batch {
			commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %07d", (i+k)*7919%keys), Value: make([]byte, 100)}))
		}
		e := backup.Entry{Index: uint64(i/batch) + 2, Term: 1, Envelope: index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 7, First: 1, Wall: int64(i + 1)}, commands)}
		_, err := s.Apply(e.Index, 1, e.Envelope, nil)
		must(t, err)
		if i >= keys/2 {
			if entries = append(entries, e); len(entries) == 500 {
				must(t, w.Append(entries))
				entries = entries[:0]
			}
		}
		if i == keys/2-batch {
			base, err := snapshotOf(dir, s)
			must(t, err)
			c, err := w.Base(base)
			for done := false; err == nil && !done; {
				done, err = c.Step(1 << 20)
			}
			must(t, err)
			must(t, base.Close())
		}
	}
	must(t, w.Close())
	begun := time.Now()
	var out, messages bytes.Buffer
	code := run(context.Background(), []string{"qkv", "restore", filepath.Join(dir, "b"), "--data-dir", filepath.Join(dir, "data")}, nil, &out, &messages)
	took := time.Since(begun)
	if code != exitOK || !bytes.Contains(out.Bytes(), []byte("\n1000000 keys")) {
		t.Fatalf("%d %s%s", code, &out, &messages)
	}
	t.Logf("figures: 1,000,000 keys of 100 bytes, half of them from the log, are restored in %v", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("%v is over 10 s", took)
	}
}
