package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// TestAdverseListers: many clients list all keys in small pages at the leader, at a revision that is not the newest. Puts
// go on.
func TestAdverseListers(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	const (
		slowerMost = 3.0             // times a put's p99
		idleMost   = 3 * time.Second // of processor time that goes on after the listers have gone
	)
	stopMost := variant(processWait/2, 15*time.Second)
	keys, listers, many, took := variant(20_000, 300_000), variant(20, 100), variant(60, 300), variant(2*time.Second, 15*time.Second)
	c := startProcesses(t, 3, "--segment-bytes", "16777216")
	loader := c.open(0, processWait)
	var loading sync.WaitGroup
	var next atomic.Int64
	for range 256 {
		loading.Go(func() {
			for i := next.Add(1); i <= int64(keys); i = next.Add(1) {
				if _, err := loader.Put(t.Context(), fmt.Appendf(nil, "list/%07d", i), make([]byte, 64)); err != nil && !errors.Is(err, client.ErrOutcomeUnknown) {
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	loading.Wait()
	l := startMeter(c, "puts", c.clients(3), 6, 256, 5*time.Millisecond)
	l.acknowledges(processWait)
	old, err := loader.Range(t.Context(), kv.Range{Key: []byte("list/"), CountOnly: true})
	must(t, err)
	from := l.now()
	time.Sleep(took)
	before, leaders := l.quantile(0.99, from, l.now()), c.leaders()

	// All of them at the leader: on a host of their own the others would have processors of their own.
	leader := c.leader()
	at := &clusterProcess{t: t, home: c.home, members: []*memberProcess{leader}}
	var pages atomic.Int64
	listing, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	list := func(n int) {
		for range n {
			s := at.open(0, processWait)
			all.Go(func() {
				defer func() { _ = s.Close() }()
				q := kv.Range{Key: []byte("list/"), End: client.Prefix([]byte("list/")), Revision: old.Revision, Limit: 100}
				for listing.Err() == nil {
					page, err := s.Range(listing, q)
					switch {
					case err != nil:
						pause(listing, 100*time.Millisecond)
					case len(page.KVs) == 0 || !page.More:
						q.Key = []byte("list/")
					default:
						q.Key = append(page.KVs[len(page.KVs)-1].Key, 0)
					}
					pages.Add(1)
				}
			})
		}
	}
	list(listers)
	time.Sleep(time.Second)
	from = l.now()
	time.Sleep(took)
	some := l.quantile(0.99, from, l.now())
	list(many - listers)
	time.Sleep(time.Second)
	from = l.now()
	time.Sleep(took)
	most, gap := l.quantile(0.99, from, l.now()), l.gap(from, l.now())
	moved := c.leaders() - leaders
	stop()
	busy := leader.processorTime()
	time.Sleep(5 * time.Second)
	busy = leader.processorTime() - busy
	stopping := time.Now()
	leader.stop()
	stopped := time.Since(stopping)
	all.Wait()
	t.Logf("figures: %d listers of %d keys: a put's p99 was %v, is %v; with %d it is %v, longest gap %v, %d changes of leader; %d pages; after they have gone %v of processor time in 5 s, SIGTERM takes %v",
		listers, keys, before.Round(time.Microsecond), some.Round(time.Microsecond), many, most.Round(time.Microsecond), gap.Round(time.Millisecond), moved, pages.Load(), busy, stopped.Round(time.Millisecond))
	if fullVariant() && float64(some) > slowerMost*float64(before) {
		t.Errorf("p99 is %v with %d listers, over %.0f times %v", some, listers, slowerMost, before)
	}
	if gap > variant(processWait/2, 3*time.Second) {
		t.Errorf("for %v no put was acknowledged", gap)
	}
	if fullVariant() && moved > 0 {
		t.Errorf("leadership changed %d times", moved)
	}
	if fullVariant() && busy > idleMost {
		t.Errorf("reads that nobody waits for took %v of 5 s", busy)
	}
	if stopped > stopMost {
		t.Errorf("SIGTERM took %v", stopped)
	}
	leader.start()
	l.nothingLost()
}

// processorTime is what a member has used so far.
func (m *memberProcess) processorTime() time.Duration {
	m.t.Helper()
	text := string(readFile(m.t, fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid)))
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	var user, system int64
	_, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	must(m.t, err)
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ
}
