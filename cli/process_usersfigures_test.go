package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
)

// TestProcessUsersFigures measures what users and roles cost: puts and gets with authentication off and on, in turns, with 100 users and
// 1,000 roles of 10 ranges each; then puts beside wrong passwords. Its limits hold on a host that does nothing else.
func TestProcessUsersFigures(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("figures of users and roles: QKV_FULL=1; TestProcessTeams holds what must be true of them")
	}
	c := startProcesses(t, 1)
	root, user := c.withTeams(t)
	toggle := map[bool]func(){
		true:  func() { must(t, root.EnableAuth(t.Context())) },
		false: func() { must(t, root.DisableAuth(t.Context())) },
	}
	for _, load := range []string{"put", "get"} {
		c.costOf(t, user, load, 20_000)
		var ratios []float64
		for i := range 10 {
			cost := map[bool]float64{}
			for _, on := range [][]bool{{false, true}, {true, false}}[i%2] {
				toggle[on]()
				cost[on] = c.costOf(t, user, load, 80_000)
				toggle[false]()
			}
			ratios = append(ratios, cost[true]/cost[false])
			t.Logf("figures: %s: %.2f us of CPU time with authentication, %.2f without", load, cost[true], cost[false])
		}
		slices.Sort(ratios)
		t.Logf("figures: %s: authentication costs a factor of %.3f in CPU time at the median, of %.3f", load, ratios[len(ratios)/2], ratios)
		if ratios[1] > 1.03 { // the interval of the median, 98 % of 10 pairs
			t.Errorf("%s: authentication costs at least %.1f %% more CPU time, over 3 %%", load, (ratios[1]-1)*100)
		}
	}
	toggle[true]()
	c.besideWrongPasswords(t, user)
}

// withTeams fills the state with 100 users of 10 roles each, and 1,000 roles of 10 ranges, and returns clients of root and team-007.
func (c *clusterProcess) withTeams(t *testing.T) (root, user *client.Client) {
	t.Helper()
	certs := filepath.Join(c.home, "certs")
	as := func(name string) *client.Client {
		c.qkv("cert", "client", name, "--certs-dir", certs).exits(t, exitOK)
		of := *c
		of.certsDir, of.client = certs, name
		return of.open(0, 10*time.Second)
	}
	ctx := t.Context()
	root = as("root")
	for deadline := time.Now().Add(processWait); root.AddRole(ctx, "root") != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) { // the members raise the feature level first
			t.Fatalf("no role can be added\n%s", c.tails())
		}
	}
	must(t, root.AddUser(ctx, "root", ""))
	must(t, root.GrantRole(ctx, "root", "root"))
	var all sync.WaitGroup
	for u := range 100 {
		all.Go(func() {
			name := fmt.Sprintf("team-%03d", u)
			must(t, root.AddUser(ctx, name, map[string]string{"team-001": "sesame"}[name]))
			for r := range 10 {
				role := fmt.Sprintf("%s-%d", name, r)
				must(t, root.AddRole(ctx, role))
				for k := range 10 {
					key := fmt.Appendf(nil, "%s/%d/%d/", name, r, k)
					must(t, root.GrantPermission(ctx, role, kv.Permission{Key: key, End: kv.PrefixEnd(key), Type: kv.PermitReadWrite}))
				}
				must(t, root.GrantRole(ctx, name, role))
			}
		})
	}
	all.Wait()
	return root, as("team-007")
}

// costOf makes n requests of a load by team-007, and returns the members' CPU time for each, in microseconds.
func (c *clusterProcess) costOf(t *testing.T, s *client.Client, load string, n int64) float64 {
	t.Helper()
	value := make([]byte, 256)
	var next atomic.Int64
	var all sync.WaitGroup
	before := c.cpu(t)
	for range 200 {
		all.Go(func() {
			for i := next.Add(1); i <= n; i = next.Add(1) {
				key := fmt.Appendf(nil, "team-007/%d/%d/%05d", i%10, i/10%10, i%20_000)
				var err error
				if load == "put" {
					_, err = s.Put(t.Context(), key, value)
				} else {
					_, _, err = s.Get(t.Context(), key)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(c.cpu(t)-before) / float64(n) / 1000
}

// besideWrongPasswords measures puts beside a flood of wrong passwords. The flood's own CPU time is measured without puts.
func (c *clusterProcess) besideWrongPasswords(t *testing.T, user *client.Client) {
	t.Helper()
	var flood atomic.Bool
	var tries, busy atomic.Int64
	var all sync.WaitGroup
	url := "http://" + c.members[0].listen + "/v3/auth/authenticate"
	end := make(chan struct{})
	for range 100 {
		all.Go(func() {
			pace := time.NewTicker(100 * time.Millisecond) // 1,000 a second together
			defer pace.Stop()
			for {
				select {
				case <-end:
					return
				case <-pace.C:
				}
				if !flood.Load() {
					continue
				}
				r, err := http.Post(url, "application/json", strings.NewReader(`{"name":"team-001","password":"wrong"}`))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
				if tries.Add(1); r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable {
					busy.Add(1)
				}
			}
		})
	}
	defer all.Wait()
	defer close(end)
	share := func(flooded bool, during func()) (cpu, lasted time.Duration) {
		flood.Store(flooded)
		defer flood.Store(false)
		before, begun := c.cpu(t), time.Now()
		during()
		return c.cpu(t) - before, time.Since(begun)
	}
	puts := func() { c.costOf(t, user, "put", 20_000) }
	puts()
	var ratios []float64
	for range 7 {
		floodCPU, floodTime := share(true, func() { time.Sleep(2 * time.Second) })
		idleCPU, idleTime := share(false, func() { time.Sleep(time.Second) })
		alone, _ := share(false, puts)
		beside, lasted := share(true, puts)
		rate := floodCPU.Seconds()/floodTime.Seconds() - idleCPU.Seconds()/idleTime.Seconds()
		own := beside.Seconds() - rate*lasted.Seconds()
		ratios = append(ratios, own/alone.Seconds())
		t.Logf("figures: wrong passwords take %.2f of %d processors; 20,000 puts cost %.2f s beside them, and %.2f s alone", rate, runtime.GOMAXPROCS(0), own, alone.Seconds())
	}
	slices.Sort(ratios)
	t.Logf("figures: puts beside wrong passwords cost a factor of %.3f at the median, of %.3f; %d passwords, %d refused as too many", ratios[3], ratios, tries.Load(), busy.Load())
	if ratios[1] > 1.1 {
		t.Errorf("puts beside wrong passwords cost at least %.1f %% more CPU time, over 10 %%", (ratios[1]-1)*100)
	}
}
