package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// backupCluster is simulated members. Their backups wait by letting the simulation go on.
type backupCluster struct {
	t     *testing.T
	w     *world
	until time.Duration // when waiting ends
	puts  int
	done  int
}

// Complete implements kv.ReplyTo.
func (c *backupCluster) Complete(done []kv.Completion) { c.done += len(done) }

func newBackupCluster(t *testing.T, members int, change ...func(*limits.Tunable)) *backupCluster {
	t.Helper()
	t.Cleanup(seedGlobalRandom(1))
	s := shape{
		members: members, heartbeat: 100 * time.Millisecond, election: time.Second, segmentBytes: 64 << 10, ordered: true, calm: true,
		delay: time.Millisecond, sync: time.Millisecond, limits: limits.Defaults(),
	}
	s.limits.SnapshotBytes, s.limits.WindowBytes = 32<<10, 8<<10
	for _, f := range change {
		f(&s.limits)
	}
	c := &backupCluster{t: t, w: newWorld(1, s, nil)}
	for _, h := range c.w.hosts {
		h.start()
	}
	c.put(1)
	return c
}

// wait is what backupRun.wait is here.
func (c *backupCluster) wait(_ context.Context, told logTold, d time.Duration) (one logAnswer, ok bool) {
	for until := min(c.w.sim.Now()+d, c.until); c.w.sim.Now() < until; {
		c.w.run(min(backupPoll, until-c.w.sim.Now()))
		select {
		case one = <-told:
			return one, true
		default:
		}
	}
	return one, told == nil && c.w.sim.Now() < c.until
}

// run is the backup of a member, at a place of its own.
func (c *backupCluster) run(h *host) *backupRun {
	h.member.config.Backup = BackupTarget{Store: struct{ store.Store }{store.OpenFolder(simdisk.New(1), "b")}, Every: time.Hour, Keep: time.Hour}
	c.within(time.Minute)
	return newBackupDuty(h.member).newRun(c.wait)
}

// within sets when the next requests end.
func (c *backupCluster) within(d time.Duration) context.Context {
	c.until = c.w.sim.Now() + d
	return context.Background()
}

// put writes n kilobytes at the leader.
func (c *backupCluster) put(n int) {
	c.t.Helper()
	for range n {
		c.puts++
		for c.done < c.puts {
			if c.leader() == nil {
				c.w.run(10 * time.Millisecond)
				continue
			}
			c.propose(c.leader())
			if !c.w.until(10*time.Second, func() bool { return c.done >= c.puts }) {
				c.t.Fatalf("a put has no answer: %s", c.w.failure)
			}
		}
	}
}

func (c *backupCluster) propose(at *host) {
	put := new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %d", c.puts%8), Value: make([]byte, 1024)})
	endpoint{at.member}.Propose(kv.Proposal{ReplyTo: c, Requests: []uint64{1}, Commands: []kv.Command{put}, Timeout: clientTimeout})
}

func (c *backupCluster) leader() *host {
	for _, h := range c.w.hosts {
		if h.leads {
			return h
		}
	}
	return nil
}

// follower is a member that does not lead, by the number in the order of names.
func (c *backupCluster) follower(n int) *host {
	return slices.DeleteFunc(slices.Clone(c.w.hosts), func(h *host) bool { return h.leads })[n]
}

func applied(h *host) uint64 {
	at, _ := h.member.status.View().Applied()
	return at
}

// A base is made of the member's newest snapshot, with its parts. If that is older than the backup needs, the member saves another one. A file that
// the member has removed is told apart from a disk that fails.
func TestBackupReadsSnapshotAndParts(t *testing.T) {
	c := newBackupCluster(t, 1, func(l *limits.Tunable) { l.Index.ExtentBytes = 20_000 })
	h := c.w.hosts[0]
	r := c.run(h)
	if err := r.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var files []*memberFile
	for range 4 {
		c.put(40)
		least := applied(h)
		c.within(time.Minute)
		f, err := r.snapshot(t.Context(), least)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		if err := r.base(t.Context(), least); err != nil {
			t.Fatal(err)
		}
		if base := r.newest(); base.Index < least || len(base.Files) < 2 {
			t.Errorf("a base of entry %d or later: %+v", least, base)
		}
	}
	all := make([]byte, files[3].Size())
	if _, err := files[3].ReadAt(all, 0); err != nil {
		t.Error(err)
	}
	if _, err := files[0].ReadAt(all[:1], 0); !errors.Is(err, errGone) { // a member keeps two
		t.Errorf("a file that was removed: %v", err)
	}
	h.disk.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: ".snap", Err: syscall.EIO})
	if _, err := files[3].ReadAt(all, 0); !errors.Is(err, syscall.EIO) || errors.Is(err, errGone) {
		t.Errorf("a disk that fails: %v", err)
	}
	if c.w.failure != "" {
		t.Error(c.w.failure)
	}
}

// A part that is damaged or gone when it is copied to the backup is fetched from another member, and then the base is made.
func TestBackupHasItsPartsRepaired(t *testing.T) {
	for name, harm := range map[string]func(h *host, part string) error{
		"damaged": func(h *host, part string) error { return h.disk.Rot(part, 500, 1) },
		"gone":    func(h *host, part string) error { return h.disk.Remove(part) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newBackupCluster(t, 3, func(l *limits.Tunable) { l.Index.ExtentBytes = 20_000 })
			c.put(100)
			h := c.leader()
			r := c.run(h)
			if err := r.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.snapshot(t.Context(), applied(h)); err != nil {
				t.Fatal(err)
			}
			h.rotted = true // its alarms are expected
			if err := harm(h, h.files("data/snap", ".part")[1]); err != nil {
				t.Fatal(err)
			}
			if err := r.base(t.Context(), 0); err == nil {
				t.Fatal("a base is made of it")
			}
			c.w.run(20 * time.Second)
			c.within(time.Minute)
			if err := r.base(t.Context(), 0); err != nil || c.w.failure != "" {
				t.Errorf("after the repair: %v; %s", err, c.w.failure)
			}
		})
	}
}

// The log is given without gaps, from memory and from the disk, up to an entry. One that a snapshot has replaced is told apart from a disk that
// fails: that one is tried again.
func TestBackupReadsTheLog(t *testing.T) {
	c := newBackupCluster(t, 1)
	h := c.w.hosts[0]
	h.disk.SetCapacity(1 << 30)
	c.put(200)
	r := c.run(h)
	if err := r.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.base(t.Context(), applied(h)); err != nil {
		t.Fatal(err)
	}
	base, reads := r.newest().Index, h.disk.Count(simdisk.OpRead)
	h.member.status.BackedUp(base) // the log behind it stays
	c.put(20)
	for at := base; at < applied(h); {
		c.within(time.Minute)
		entries, err := r.entries(t.Context(), at, applied(h))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if at++; e.Index != at {
				t.Fatalf("entry %d instead of %d", e.Index, at)
			}
		}
	}
	if h.disk.Count(simdisk.OpRead) == reads {
		t.Error("nothing was read from the disk")
	}
	if _, err := r.entries(t.Context(), 1, applied(h)); !errors.Is(err, errBehind) || !strings.Contains(err.Error(), "it has no entry 2") {
		t.Errorf("behind entry 1: %v", err)
	}
	h.disk.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: ".wal", Err: syscall.EIO})
	if entries, err := r.entries(t.Context(), base, applied(h)); err != nil || len(entries) == 0 {
		t.Errorf("after one failure: %d entries, %v", len(entries), err)
	}
	h.disk.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: ".wal", Err: syscall.EIO, Stays: true})
	if _, err := r.entries(t.Context(), base, applied(h)); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a disk that fails: %v", err)
	}
}

// The cluster has another entry where the backup ends: it was set back, or restored a second time. The backup is refused.
func TestBackupOfAnotherHistory(t *testing.T) {
	c := newBackupCluster(t, 1)
	h := c.w.hosts[0]
	r := c.run(h)
	if err := errors.Join(r.open(t.Context()), r.base(t.Context(), 0)); err != nil {
		t.Fatal(err)
	}
	c.put(3)
	c.within(time.Minute)
	if err := errors.Join(r.slice(t.Context()), r.open(t.Context())); err != nil {
		t.Fatal(err)
	}
	end, term := r.w.Last()
	if err := r.w.Append(t.Context(), []backup.Entry{{Index: end + 1, Term: term + 7}}); err != nil { // of the other history
		t.Fatal(err)
	}
	c.put(3)
	c.within(time.Minute)
	if err := r.open(t.Context()); !errors.Is(err, backup.ErrForeign) || !strings.Contains(err.Error(), "give another place") {
		t.Errorf("the cluster has applied entry %d, and goes on: %v", applied(h), err)
	}
}

// The place is away for longer than the snapshots of the members reach back. The log behind the newest slice stays, on each member: the backup
// goes on without a gap, also by another leader. When the disk has no room, the log goes.
func TestLogIsKeptForTheBackup(t *testing.T) {
	c := newBackupCluster(t, 3)
	for _, h := range c.w.hosts {
		h.kill()
		h.config.Backup = BackupTarget{Store: struct{ store.Store }{store.OpenFolder(simdisk.New(1), "b")}}
		h.disk.SetCapacity(64 << 20)
		h.start()
	}
	c.put(20)
	end := applied(c.leader())
	c.leader().member.status.BackedUp(end)
	kept := func(h *host) bool {
		c.within(time.Minute)
		_, err := newBackupDuty(h.member).newRun(c.wait).entries(t.Context(), end, end+1)
		return !errors.Is(err, errBehind)
	}
	for range 12 {
		c.put(60)
		c.w.run(10 * time.Second)
	}
	for _, h := range c.w.hosts {
		if saved := h.member.status.Parts(); !kept(h) {
			t.Errorf("%s has not kept the log behind entry %d: %+v", h.name(), end, saved)
		}
	}
	c.leader().member.status.BackedUp(applied(c.leader()))
	c.put(120)
	if !c.w.until(time.Minute, func() bool { return !slices.ContainsFunc(c.w.hosts, kept) }) {
		t.Error("the log stays although the backup has it")
	}
	if c.w.failure != "" {
		t.Error(c.w.failure)
	}
}

// The newest object of the backup is a base: the log ends before it. The cluster was set back to an entry between. Its backup is refused, also
// when the cluster has gone on.
func TestBackupOfAClusterBehindItsBase(t *testing.T) {
	c := newBackupCluster(t, 1)
	before := c.run(c.w.hosts[0])
	if err := errors.Join(before.open(t.Context()), before.base(t.Context(), 0)); err != nil {
		t.Fatal(err)
	}
	c.put(3)
	c.within(time.Minute)
	if err := before.slice(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.put(60)
	c.within(time.Minute)
	before.due = 1 << 62 // no slice follows
	if err := before.base(t.Context(), applied(c.w.hosts[0])); err != nil {
		t.Fatal(err)
	}
	last, _ := before.w.Last()
	c = newBackupCluster(t, 1) // the same cluster, as it was
	c.put(10)
	h := c.w.hosts[0]
	r := c.run(h)
	r.target.Store = before.target.Store
	if now, base := applied(h), before.newest().Index; h.member.folder.Cluster != before.member.folder.Cluster || now <= last || now >= base {
		t.Fatalf("the example is wrong: the log ends at %d, the cluster has %d, and the base %d", last, now, base)
	}
	if err := r.open(t.Context()); err == nil || !strings.Contains(err.Error(), "its data folder was set back") {
		t.Errorf("behind the newest base: %v", err)
	}
	// It goes on past the base, with other entries than those which the base has.
	c.w.run(time.Minute)
	c.put(58)
	c.within(time.Minute)
	if err := r.open(t.Context()); !errors.Is(err, backup.ErrForeign) || applied(h) <= before.newest().Index {
		t.Errorf("with entry %d, and the base of entry %d: %v", applied(h), before.newest().Index, err)
	}
}
