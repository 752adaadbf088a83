package cli

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/net/client"
)

// stateFigures is a member with much data, whose memory, pauses and restart are measured. Its limits hold on a host that does
// nothing else.
type stateFigures struct {
	t *testing.T
	c *clusterProcess
	s *client.Client
}

const (
	stateKeys  = 1_000_000
	stateValue = 256
)

func newStateFigures(t *testing.T) *stateFigures {
	t.Helper()
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("figures of a large state: QKV_FULL=1")
	}
	c := startProcesses(t, 1, "--segment-bytes", "67108864")
	return &stateFigures{t: t, c: c, s: c.open(0, processWait)}
}

// load puts a range of keys, a hundred in a transaction.
func (f *stateFigures) load(from, to int64, value []byte, lease int64) {
	f.t.Helper()
	failed := f.t.Failed() // by a figure
	var all sync.WaitGroup
	var next atomic.Int64
	next.Store(from)
	for range 64 {
		all.Go(func() {
			for i := next.Add(100) - 100; i < to; i = next.Add(100) - 100 {
				var txn kv.Txn
				for j := range int64(100) {
					txn.Success = append(txn.Success, kv.Op{Put: &kv.Put{Key: fmt.Appendf(nil, "key/%08d", i+j), Value: value, Lease: lease}})
				}
				if _, err := f.s.Txn(f.t.Context(), txn); err != nil {
					f.t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if f.t.Failed() && !failed {
		f.t.FailNow()
	}
}

func (f *stateFigures) rss() int64 { return rssAnon(f.t, f.c.members[0].cmd.Process.Pid) }

// least is the least memory of the idle member within 30 s, or the first that fits.
func (f *stateFigures) least(fits int64) int64 {
	least := f.rss()
	for begun := time.Now(); least > fits && time.Since(begun) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
		least = min(least, f.rss())
	}
	return least
}

func (f *stateFigures) revision() int64 {
	f.t.Helper()
	found, err := f.s.Range(f.t.Context(), kv.Range{Key: []byte("x"), CountOnly: true})
	must(f.t, err)
	return found.Revision
}

func (f *stateFigures) compact() {
	f.t.Helper()
	must(f.t, f.s.Admin().Compact(f.t.Context(), f.revision()))
}

// held is the longest that a put of another key took meanwhile.
func (f *stateFigures) held(during func()) (longest time.Duration) {
	f.t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			begun := time.Now()
			if _, err := f.s.Put(f.t.Context(), []byte("other"), []byte("value")); err != nil {
				f.t.Error(err)
				return
			}
			longest = max(longest, time.Since(begun))
		}
	}()
	time.Sleep(200 * time.Millisecond)
	during()
	time.Sleep(2 * time.Second)
	close(stop)
	<-stopped
	return longest.Round(100 * time.Microsecond)
}

// figure prints a figure and holds it against its limit.
func (f *stateFigures) figure(what string, got, limit any, fits bool) {
	f.t.Helper()
	f.t.Logf("figures: %s: %v, at most %v is asked", what, got, limit)
	if !fits {
		f.t.Errorf("%s: %v, at most %v is asked", what, got, limit)
	}
}

func (f *stateFigures) megabytes(what string, got, limit int64) {
	f.t.Helper()
	f.figure(what, fmt.Sprintf("%d MB", got>>20), fmt.Sprintf("%d MB", limit), got>>20 <= limit)
}

// TestProcessStateMemory measures what a state takes, and that it is given back.
func TestProcessStateMemory(t *testing.T) {
	f := newStateFigures(t)
	f.load(0, stateKeys, make([]byte, 8), 0)
	f.megabytes("1,000,000 keys with values of 8 bytes", f.least(200<<20), 200)
	everything := kv.Delete{Key: []byte("key/"), End: client.Prefix([]byte("key/"))}
	remove := func() {
		_, err := f.s.DeleteWith(t.Context(), everything)
		must(t, err)
		// What a compacted revision has changed can be read, so that the deletion goes when a later one is compacted.
		_, err = f.s.Put(t.Context(), []byte("other"), nil)
		must(t, err)
		f.compact()
	}
	remove()
	f.megabytes("all deleted and compacted", f.least(100<<20), 100)
	value := make([]byte, stateValue)
	f.load(0, stateKeys, value, 0)
	f.least(0)
	before := f.rss()
	f.load(0, stateKeys, value, 0)
	each := (f.least(0) - before) / stateKeys
	f.figure("an overwritten version of 256 bytes", fmt.Sprintf("%d bytes", each), "400 bytes", each <= 400)
	for range 5 {
		f.load(0, stateKeys, value, 0)
	}
	f.compact()
	f.megabytes("1,000,000 keys of 256 bytes, each overwritten six times and compacted", f.least(600<<20), 600)
	remove()
	f.megabytes("all of these deleted and compacted", f.least(100<<20), 100)
}

// TestProcessStateStalls measures for how long one large change holds up others.
func TestProcessStateStalls(t *testing.T) {
	f := newStateFigures(t)
	stall := func(what string, limit time.Duration, during func()) {
		t.Helper()
		longest := f.held(during)
		f.figure(what, longest, limit, longest <= limit)
	}
	value := make([]byte, stateValue)
	stall("nothing, for comparison", time.Hour, func() { time.Sleep(2 * time.Second) })
	lease, err := f.s.Grant(t.Context(), 600*time.Second, client.GrantOptions{})
	must(t, err)
	f.load(0, 100_000, value, lease.ID)
	time.Sleep(2 * time.Second)
	stall("a revocation of a lease with 100,000 keys", 100*time.Millisecond, func() {
		_, err := f.s.Revoke(t.Context(), lease.ID)
		must(t, err)
	})
	f.load(0, stateKeys, value, 0)
	for range 3 {
		f.load(0, stateKeys, value, 0)
	}
	time.Sleep(5 * time.Second)
	stall("a compaction of 1 GiB of history", 50*time.Millisecond, func() {
		f.compact()
		must(t, f.s.Admin().WaitDropped(t.Context(), f.revision()-1_000_000))
	})
	time.Sleep(5 * time.Second)
	stall("a deletion of 1,000,000 keys", 500*time.Millisecond, func() {
		_, err := f.s.DeleteRange(t.Context(), []byte("key/"), client.Prefix([]byte("key/")))
		must(t, err)
	})
}

// TestProcessStateRestart measures how long a member with 1,000,000 keys and 1 GiB of history takes from kill -9 to the first read.
func TestProcessStateRestart(t *testing.T) {
	f := newStateFigures(t)
	value := make([]byte, stateValue)
	for range 4 {
		f.load(0, stateKeys, value, 0)
	}
	status := f.c.status()[0]
	m := f.c.members[0]
	m.kill()
	begun := time.Now()
	m.start()
	for {
		if _, found, err := f.s.Get(t.Context(), []byte("key/00000000")); err == nil && found {
			break
		}
	}
	took := time.Since(begun).Round(time.Millisecond)
	f.figure(fmt.Sprintf("a restart with %d keys and %d MiB of history", status.Get(figures.Keys), status.Get(figures.HistoryBytes)>>20), took, 4*time.Second, took <= 4*time.Second)
	oldest := max(f.c.status()[0].Get(figures.Oldest), 2)
	w, err := f.s.Watch(t.Context(), kv.Watch{Key: []byte("key/"), End: client.Prefix([]byte("key/")), Revision: oldest})
	must(t, err)
	defer w.Close()
	first, err := w.Next()
	must(t, err)
	if len(first.Events) == 0 || first.Events[0].KV.ModRevision != oldest {
		t.Errorf("a watch from revision %d on begins with %+v", oldest, first)
	}
}
