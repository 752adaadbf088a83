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
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
)

// wait is for how long a test waits for what must come.
const wait = time.Minute

type alone struct {
	m      *member
	rt     *actor.Runtime
	ch     chan []kv.Completion
	failed chan error
}

// nobody is the way to the others of a member that has none.
type nobody struct{}

func (nobody) Send(uint64, peerframe.Class, []byte, bool) {}
func (nobody) SetPeers([]peer.Peer)                       {}
func (nobody) Start(peer.Handler) error                   { return nil }
func (nobody) ServeParts(peer.Handler) error              { return nil }
func (nobody) Status() []peer.PeerStatus                  { return nil }
func (nobody) CheckAlive(uint64)                          {}

func (a *alone) Complete(d []kv.Completion) { a.ch <- append([]kv.Completion{}, d...) }

func startAlone(t testing.TB, dir string) (*alone, error) {
	small := limits.Defaults()
	small.SnapshotBytes = 64 << 10
	return startAloneWith(t, dir, 64<<10, small)
}

func startAloneWith(t testing.TB, dir string, segment int64, bounds limits.Tunable, changes ...func(*environment)) (*alone, error) {
	return startAloneAs(t, dir, segment, bounds, func(*Config) {}, changes...)
}

func startAloneAs(t testing.TB, dir string, segment int64, bounds limits.Tunable, configure func(*Config), changes ...func(*environment)) (*alone, error) {
	c := Config{
		Name: "n1", DataDir: dir, Listen: "127.0.0.1:1", ListenPeer: "127.0.0.1:2", HeartbeatInterval: 50 * time.Millisecond, ElectionTimeout: 500 * time.Millisecond,
		MaxRequestBytes: 1 << 20, SegmentBytes: segment, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Version: "t",
	}
	configure(&c)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	a := &alone{rt: actor.NewRuntime(), ch: make(chan []kv.Completion, 10000), failed: make(chan error, 1)}
	env := environment{
		FS: disk.OS(), Driver: a.rt, Random: rand.Reader, Yield: func() {},
		Limits:    bounds,
		Transport: func(*folder, [16]byte) (transport, error) { return nobody{}, nil },
	}
	for _, change := range changes {
		change(&env)
	}
	m, err := build(c, "x", env, func(err error) { a.failed <- err })
	a.m = m
	return a, err
}

func (a *alone) put(t testing.TB, k, v string) kv.Completion {
	endpoint{a.m}.Propose(kv.Proposal{ReplyTo: a, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(k), Value: []byte(v)})}, Timeout: wait})
	select {
	case d := <-a.ch:
		return d[0]
	case <-time.After(wait):
		t.Fatal("no answer")
	}
	panic(0)
}

func (a *alone) stop(t testing.TB) {
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

// The newest entries are gone; a snapshot that the member saved itself proves that the log was longer.
func TestOwnSnapshotAheadOfTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	os.MkdirAll(dir, 0o700)
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	put := func() {
		if d := a.put(t, fmt.Sprintf("k%d", n), string(bytes.Repeat([]byte("v"), 1000))); d.Result.Err != nil {
			t.Fatal(d.Result.Err)
		}
		n++
	}
	for n < 100 {
		put()
	}
	// What is restored later: all that was acknowledged so far is in it.
	wal, copied := filepath.Join(dir, "wal"), filepath.Join(t.TempDir(), "wal")
	for tries := 1; ; tries++ {
		err := os.CopyFS(copied, os.DirFS(wal))
		if err == nil {
			break
		}
		if os.RemoveAll(copied); tries == 20 { // a file is renamed now and then
			t.Fatal(err)
		}
	}
	newest := func() (entry int) {
		if snaps := list(t, dir, "snap/*.snap"); len(snaps) > 0 {
			_, _ = fmt.Sscanf(filepath.Base(snaps[len(snaps)-1]), "%d-", &entry)
		}
		return entry
	}
	for newest() < 300 {
		put()
	}
	a.stop(t)
	if err := os.RemoveAll(wal); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, wal); err != nil {
		t.Fatal(err)
	}
	b, err := startAlone(t, dir)
	if err != nil {
		t.Logf("refused: %v; snapshots now %v", err, list(t, dir, "snap/*.snap"))
		return
	}
	time.Sleep(300 * time.Millisecond)
	t.Errorf("started; revision %d of %d; alarms %+v; snapshots now %v", b.m.status.View().Revision(), n+1, b.m.alarms(), list(t, dir, "snap/*.snap"))
	b.stop(t)
}

// A batch from another member with a command that nobody knows: an entry says that it was refused, and nobody stops.
func TestBatchOfAnotherVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	os.MkdirAll(dir, 0o700)
	a, err := startAlone(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	if d := a.put(t, "a", "b"); d.Result.Err != nil {
		t.Fatal(d.Result.Err)
	}
	for begun := time.Now(); !a.m.status.View().Members().Named("n1").Started(); time.Sleep(time.Millisecond) { // its own entries are in
		if time.Since(begun) > wait {
			t.Fatal("it does not say who it is")
		}
	}
	before, _ := a.m.status.View().Applied()
	later := []byte{0x97, 99, 1, 0xa0, 0, 0, 0, 0x90} // kind 99
	envelope := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 77, Incarnation: 1, First: 1}, [][]byte{later})
	peerHandler{a.m}.Receive(77, &peerframe.MemberIdentity{}, peerframe.Append, peerframe.Encode(peerframe.Forward{Term: a.m.status.Raft().Term, Oldest: 1, Envelope: envelope}))
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		if applied, _ := a.m.status.View().Applied(); applied > before {
			break
		}
		if time.Since(begun) > wait {
			t.Fatal("no entry tells its client")
		}
	}
	if d := a.put(t, "a", "c"); d.Result.Err != nil || d.Result.Revision != 3 {
		t.Errorf("afterwards: %+v", d.Result)
	}
	select {
	case err := <-a.failed:
		t.Errorf("the leader ended: %v", err)
	default:
	}
}
