package cli

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/cli/keys"
	"qkv/index/kv"
	"qkv/net/client"
)

// rssAnon is a process' own memory, in bytes.
func rssAnon(t *testing.T, pid int) int64 {
	t.Helper()
	m := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindSubmatch(readFile(t, fmt.Sprintf("/proc/%d/status", pid)))
	if m == nil {
		t.Fatal("no RssAnon")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	must(t, err)
	return n << 10
}

// TestProcessRangeFigures measures ranges of a million keys. Its limits hold on a host that does nothing else.
func TestProcessRangeFigures(t *testing.T) {
	const count = stateKeys
	f := newStateFigures(t) // TestPagesStream in net/client holds what must be true of ranges
	c, s := f.c, f.s
	value := make([]byte, stateValue)
	f.load(0, count, value, 0)
	pid := c.members[0].cmd.Process.Pid
	time.Sleep(5 * time.Second)
	everything := kv.Range{Key: []byte("key/"), End: client.Prefix([]byte("key/"))}
	read := func() (took time.Duration, above int64) {
		t.Helper()
		resting := rssAnon(t, pid)
		var most atomic.Int64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					most.Store(max(most.Load(), rssAnon(t, pid)))
				}
			}
		}()
		begun, n := time.Now(), 0
		for page, err := range s.Pages(t.Context(), everything) {
			must(t, err)
			n += len(page.KVs)
		}
		took = time.Since(begun)
		close(stop)
		<-stopped
		if n != count {
			t.Fatalf("%d keys, of %d", n, count)
		}
		return took, max(most.Load()-resting, 0)
	}
	figure := func(what string, limit time.Duration, f func() (time.Duration, int64)) {
		var all []time.Duration
		var most int64
		members, own := c.cpu(t), cpuOf(t, os.Getpid())
		for range 5 {
			took, above := f()
			all, most = append(all, took.Round(time.Millisecond)), max(most, above)
		}
		slices.Sort(all)
		t.Logf("figures: %s: %v at the median of %v, at most %d MB above the memory at rest; processors: %v member, %v client", what, all[2], all, most>>20,
			(c.cpu(t)-members)/5, (cpuOf(t, os.Getpid())-own)/5)
		if all[2] > limit {
			t.Errorf("%s: %v, %v are asked", what, all[2], limit)
		}
		if limit < 2*time.Second && most > 64<<20 {
			t.Errorf("%s: %d MB above the memory at rest, 64 are asked", what, most>>20)
		}
	}
	figure("a million keys", 1500*time.Millisecond, read)
	old := func(revision func() int64) func() (time.Duration, int64) {
		return func() (time.Duration, int64) {
			q := everything
			q.CountOnly, q.Revision = true, revision()
			begun := time.Now()
			found, err := s.Range(t.Context(), q)
			must(t, err)
			if took := time.Since(begun); found.Count == count {
				return took, 0
			}
			t.Fatalf("%d are counted", found.Count)
			return 0, 0
		}
	}
	figure("count", 20*time.Millisecond, old(func() int64 { return 0 }))

	// While others write.
	var puts atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	w := c.open(0, processWait)
	pace := time.NewTicker(time.Millisecond)
	tokens := make(chan struct{}, 100)
	writers.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-pace.C:
				for range 30 {
					select {
					case tokens <- struct{}{}:
					default:
					}
				}
			}
		}
	})
	for range 256 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-tokens:
					if _, err := w.Put(t.Context(), fmt.Appendf(nil, "key/%08d", puts.Add(1)%count), value); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	begun := time.Now()
	figure("a million keys while others write", 5*time.Second, read)
	rate := float64(puts.Load()) / time.Since(begun).Seconds()
	for puts.Load() < 120_000 {
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	writers.Wait()
	t.Logf("figures: %.0f puts/s meanwhile", rate)
	newest, err := keys.NewestOf(t.Context(), s, "")
	must(t, err)
	figure("count 100000 revisions ago", 20*time.Millisecond, old(func() int64 { return newest - 100_000 }))
}
