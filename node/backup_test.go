package node

import (
	"context"
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
	"qkv/snapshot"
)

// backupCluster is simulated members. Their backups wait by letting the simulation go on.
type backupCluster struct {
	t     *testing.T
	w     *world
	until time.Duration // when the context of a request ends
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
	c.w.backup = &simBackup{w: c.w} // members get backups
	for _, h := range c.w.hosts {
		h.start()
		h.backups.wait = c.wait
	}
	c.put(1)
	return c
}

// wait is what backups.wait is here.
func (c *backupCluster) wait(_ context.Context, told logTold) (one logAnswer, ok bool) {
	for c.w.sim.Now() < c.until {
		c.w.run(backupPoll)
		select {
		case one = <-told:
			return one, true
		default:
			if told == nil {
				return one, true
			}
		}
	}
	return one, false
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

// read reads all of a file.
func (c *backupCluster) read(b *backups, name string, bytes int64) *kv.Error {
	for at := int64(0); at < bytes; {
		piece, err := b.Piece(name, at)
		if err != nil {
			return err
		}
		at += int64(len(piece))
	}
	for _, at := range []int64{bytes, bytes + 1, 1 << 62} {
		if piece, err := b.Piece(name, at); err != nil || len(piece) > 0 {
			c.t.Errorf("behind the end of %s: %d bytes, %v", name, len(piece), err)
		}
	}
	return nil
}

func applied(h *host) uint64 {
	at, _ := h.member.status.View().Applied()
	return at
}

// The base of a backup is the member's newest snapshot, with its parts. If that is older than the backup needs, the member saves another one.
// A file that the member has removed is Compacted.
func TestBackupReadsSnapshotAndParts(t *testing.T) {
	c := newBackupCluster(t, 1, func(l *limits.Tunable) { l.Index.ExtentBytes = 20_000 })
	h := c.w.hosts[0]
	b := h.backups
	var bases []kv.BackupBase
	for range 4 {
		c.put(40)
		least := applied(h)
		base, err := b.Base(c.within(time.Minute), least)
		if err != nil || base.Index < least {
			t.Fatalf("a base of entry %d or later: %+v, %v", least, base, err)
		}
		bases = append(bases, base)
		r, failed := snapshot.Open(h.disk, h.member.folder.path("snap/"+base.Name))
		if failed != nil {
			t.Fatal(failed)
		}
		if base.Bytes != r.Size() || base.SHA != r.SHA() || len(r.Meta().Parts) == 0 {
			t.Errorf("the base %+v is described of %+v", base, r.Meta())
		}
		if err := c.read(b, base.Name, base.Bytes); err != nil {
			t.Error(err)
		}
		for _, p := range r.Meta().Parts {
			if err := c.read(b, p.Name(), p.Bytes); err != nil {
				t.Error(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	again, err := b.Base(c.within(time.Minute), 0)
	if err != nil || again != bases[3] {
		t.Errorf("the newest base is %+v, %v; it was %+v", again, err, bases[3])
	}
	for i, want := range map[int]kv.Code{0: kv.Compacted, 3: kv.OK} { // a member keeps two
		if err := c.read(b, bases[i].Name, bases[i].Bytes); codeOf(err) != want {
			t.Errorf("base %d: %v, want %v", i, err, want)
		}
	}
	for _, name := range []string{"", "../identity", "identity", bases[3].Name + ".tmp"} {
		if _, err := b.Piece(name, 0); codeOf(err) != kv.BadRequest {
			t.Errorf("the file %q: %v", name, err)
		}
	}
	h.disk.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: ".snap", Err: syscall.EIO})
	if _, err := b.Piece(bases[3].Name, 0); codeOf(err) != kv.Unavailable || !strings.Contains(err.Message, "ask another member") {
		t.Errorf("a disk that fails: %v", err)
	}
	if c.w.failure != "" {
		t.Error(c.w.failure)
	}
}

// The log is given without gaps, from memory and from the disk, up to what is applied. Behind its end a request waits for an entry. An
// entry that a snapshot has replaced is Compacted.
func TestBackupLog(t *testing.T) {
	c := newBackupCluster(t, 1)
	h := c.w.hosts[0]
	c.put(200)
	base, err := h.backups.Base(c.within(time.Minute), 0)
	if err != nil {
		t.Fatal(err)
	}
	at, reads := base.Index, h.disk.Count(simdisk.OpRead)
	c.put(20)
	for at < applied(h) {
		part, err := h.backups.Log(c.within(time.Second), at)
		if err != nil || len(part.Entries) == 0 || part.Applied != applied(h) {
			t.Fatalf("behind entry %d: %d entries, applied are %d of %d, %v", at, len(part.Entries), part.Applied, applied(h), err)
		}
		for _, e := range part.Entries {
			if at++; e.Index != at {
				t.Fatalf("entry %d instead of %d", e.Index, at)
			}
		}
	}
	if h.disk.Count(simdisk.OpRead) == reads {
		t.Error("nothing was read from the disk")
	}
	if _, err := h.backups.Log(c.within(time.Second), 1); codeOf(err) != kv.Compacted || !strings.Contains(err.Message, "begins behind entry 2") {
		t.Errorf("behind entry 1: %v", err)
	}
	begun := c.w.sim.Now()
	if part, err := h.backups.Log(c.within(time.Second), at); err != nil || len(part.Entries) > 0 || part.Applied != at || c.w.sim.Now()-begun < time.Second {
		t.Errorf("behind the end: %+v, %v", part, err)
	}
	c.w.sim.After(300*time.Millisecond, func() { c.propose(h) })
	begun = c.w.sim.Now()
	part, err := h.backups.Log(c.within(10*time.Second), at)
	if took := c.w.sim.Now() - begun; err != nil || len(part.Entries) == 0 || part.Entries[0].Index != at+1 || took < 300*time.Millisecond || took > time.Second {
		t.Errorf("an entry that comes later: %+v, %v, after %v", part, err, took)
	}
}

// A member whose log cannot be read says so: a backup that waits for it would fall behind without a word.
func TestBackupOfAnUnreadableLog(t *testing.T) {
	c := newBackupCluster(t, 1)
	h := c.w.hosts[0]
	c.put(200)
	base, err := h.backups.Base(c.within(time.Minute), 0)
	if err != nil {
		t.Fatal(err)
	}
	c.put(20)
	h.disk.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: ".wal", Err: syscall.EIO, Stays: true})
	if part, err := h.backups.Log(c.within(time.Second), base.Index); codeOf(err) != kv.Unavailable || !strings.Contains(err.Message, "input/output error") || !strings.Contains(err.Message, "ask another member") {
		t.Errorf("%d entries, %v", len(part.Entries), err)
	}
	h.disk.ClearFaults()
	h.disk.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: ".wal", Err: syscall.EIO})
	if part, err := h.backups.Log(c.within(time.Second), base.Index); err != nil || len(part.Entries) == 0 {
		t.Errorf("after one failure: %d entries, %v", len(part.Entries), err)
	}
}

// A member that lags gives what it has, and waits for nothing that it cannot have. When it hears of no leader it refuses, at once.
func TestBackupOfALaggingMember(t *testing.T) {
	c := newBackupCluster(t, 3)
	c.put(100)
	c.w.run(time.Second)
	h := c.follower(0)
	base, err := h.backups.Base(c.within(time.Minute), 0)
	if err != nil {
		t.Fatal(err)
	}
	c.w.run(5 * time.Second) // two snapshots are that far apart
	c.w.blockPaths(fault{lasts: time.Hour}, func(from, to *host) bool { return from == h || to == h })
	had := applied(h)
	c.put(20)
	if applied(h) >= applied(c.leader()) || h.member.status.Raft().Leader == 0 {
		t.Fatalf("it has applied entry %d of %d, and hears of the leader %x", applied(h), applied(c.leader()), h.member.status.Raft().Leader)
	}
	got, err := h.backups.Base(c.within(400*time.Millisecond), applied(c.leader()))
	if err != nil || got.Index < base.Index || got.Index > had {
		t.Errorf("a base of what it lacks: %+v, %v", got, err)
	}
	c.w.run(3 * c.w.shape.election)
	begun := c.w.sim.Now()
	if _, err := h.backups.Base(c.within(time.Minute), 0); codeOf(err) != kv.Unavailable || !strings.Contains(err.Message, "hears of no leader") {
		t.Errorf("a base: %v", err)
	}
	if _, err := h.backups.Log(c.within(time.Minute), had); codeOf(err) != kv.Unavailable || !strings.Contains(err.Message, "ask another member") {
		t.Errorf("the log: %v", err)
	}
	if c.w.sim.Now() != begun {
		t.Error("it waits before it refuses")
	}
	h = c.follower(1)
	asked := c.w.sim.Now()
	c.w.sim.After(time.Second, func() {
		for _, one := range c.w.hosts {
			if one != h {
				one.kill()
			}
		}
	})
	if _, err := h.backups.Log(c.within(time.Minute), applied(h)+1000); codeOf(err) != kv.Unavailable || c.w.sim.Now()-asked > 10*time.Second {
		t.Errorf("a request that waits while the leader is lost: %v, after %v", err, c.w.sim.Now()-asked)
	}
}
