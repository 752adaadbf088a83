package node

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/log/disk"
)

type alone struct {
	m      *member
	rt     *actor.Runtime
	ch     chan []index.Done
	failed chan error
}

func (a *alone) Deposit(d []index.Done) { a.ch <- append([]index.Done{}, d...) }

func startAlone(t *testing.T, dir string) (*alone, error) {
	c := Config{
		Name: "n1", DataDir: dir, Listen: "127.0.0.1:1", ListenPeer: "127.0.0.1:2", HeartbeatInterval: 50 * time.Millisecond, ElectionTimeout: 500 * time.Millisecond,
		ValueBytes: 1 << 20, SegmentBytes: 64 << 10, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Version: "t",
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	id := idsOf("x", "", "n1", c.InitialCluster)
	a := &alone{rt: actor.NewRuntime(), ch: make(chan []index.Done, 10000), failed: make(chan error, 1)}
	m, err := build(c, id, environment{
		FS: disk.OS(), Driver: a.rt, Random: rand.Reader, Yield: func() {},
		Tuning: tuning{SnapshotBytes: 64 << 10, SnapshotInterval: time.Millisecond},
		Link:   func(links) (actor.Peers, error) { return nobody{}, nil },
	}, func(err error) { a.failed <- err })
	a.m = m
	return a, err
}

func (a *alone) put(t *testing.T, k, v string) index.Done {
	endpoint{a.m}.Propose(index.Proposal{From: a, Requests: []uint64{1}, Commands: [][]byte{index.AppendPut(nil, []byte(k), []byte(v), 0)}, Timeout: 5 * time.Second})
	select {
	case d := <-a.ch:
		return d[0]
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	panic(0)
}

func (a *alone) stop(t *testing.T) {
	a.rt.Stop()
	if err := a.m.close(); err != nil {
		t.Error(err)
	}
}

func list(t *testing.T, dir, pattern string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, pattern))
	sort.Strings(names)
	return names
}

// The newest segments are gone; a snapshot that the member saved itself proves that the log was longer.
func TestOwnSnapshotAheadOfTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	os.MkdirAll(dir, 0o700)
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 400; n++ {
		if d := a.put(t, fmt.Sprintf("k%d", n), string(bytes.Repeat([]byte("v"), 1000))); d.Err != nil {
			t.Fatal(d.Err)
		}
	}
	time.Sleep(300 * time.Millisecond)
	a.stop(t)
	snaps := list(t, dir, "snap/*.snap")
	segs := list(t, dir, "wal/*.wal")
	t.Logf("snapshots %v", snaps)
	t.Logf("%d segments", len(segs))
	// find the newest segment files in use and remove until the newest snapshot is ahead of the log: as a
	// restored wal/, or a lost directory entry, would be
	for i := len(segs) - 1; i >= 0; i-- {
		b, _ := os.ReadFile(segs[i])
		if string(b[:8]) != "qkv log\n" {
			os.Remove(segs[i])
			continue
		}
		break
	}
	segs = list(t, dir, "wal/*.wal")
	for cut := 1; cut < len(segs); cut++ {
		os.Remove(segs[len(segs)-cut])
		if len(segs)-cut == len(segs)/3 {
			break
		}
	}
	t.Logf("segments left %d", len(list(t, dir, "wal/*.wal")))
	b, err := startAlone(t, dir)
	if err != nil {
		t.Logf("refused: %v; snapshots now %v", err, list(t, dir, "snap/*.snap"))
		return
	}
	time.Sleep(300 * time.Millisecond)
	t.Errorf("started; revision %d of %d; problems %q; snapshots now %v", b.m.status.View().Revision(), n+1, b.m.problems(), list(t, dir, "snap/*.snap"))
	b.stop(t)
}

// A batch from another member with a command that nobody knows goes into the log, and stops every member for good.
func TestBatchOfAnotherVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	os.MkdirAll(dir, 0o700)
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := a.put(t, "a", "b"); d.Err != nil {
		t.Fatal(d.Err)
	}
	bad := []byte{0x97, 99, 1, 0xa0, 0, 0, 0, 0x90} // kind 99
	env := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 77, Incarnation: 1, First: 1}, [][]byte{bad})
	t.Logf("CheckEnvelope would say: %v", index.CheckEnvelope(env))
	a.m.receive(77, actor.Replication, actor.AppendPeerMessage(nil, actor.Forward{Term: a.m.status.Standing().Term, Envelope: env}))
	select {
	case err := <-a.failed:
		t.Errorf("the leader ended: %v", err)
	case <-time.After(2 * time.Second):
		a.stop(t)
		return
	}
	a.rt.Stop()
	a.m.close()
	b, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-b.failed:
		t.Errorf("and after a restart: %v", err)
	case <-time.After(2 * time.Second):
	}
	b.rt.Stop()
	b.m.close()
}
