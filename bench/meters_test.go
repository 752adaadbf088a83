package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"qkv/bench/result"
	"qkv/internal/testretry"
)

// said is what a member says after so many looks.
func said(look int64) string {
	return fmt.Sprintf(`# HELP qkv_write_stage_seconds x
qkv_write_stage_seconds_bucket{stage="sync",le="0.001"} %[1]d
qkv_write_stage_seconds_sum{stage="sync"} %[2]g
qkv_write_stage_seconds_count{stage="sync"} %[1]d
qkv_write_stage_seconds_sum{stage="queue"} %[3]g
qkv_write_stage_seconds_count{stage="queue"} %[1]d
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} %[1]d
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} %[4]d
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} %[4]d
etcd_disk_wal_fsync_duration_seconds_sum 1e-3
etcd_disk_wal_fsync_duration_seconds_count %[4]d
process_cpu_seconds_total %[1]d
process_resident_memory_bytes 1.5e+07
other_metric{stage="sync"} 7
`, 10*look, 0.02*float64(look), 0.001*float64(look), 30*look)
}

type meteredCluster struct {
	Cluster
	urls []string
}

func (c meteredCluster) Metrics() []string { return c.urls }

func TestParseCounts(t *testing.T) {
	c := parseCounts([]byte(said(2)))
	if s := c.stages["sync"]; s.count != 20 || s.seconds != 0.04 || len(c.stages) != 2 {
		t.Errorf("%+v", c.stages)
	}
	if c.syncs != 1e-3 || c.processor != 20 || c.resident != 1.5e7 {
		t.Errorf("%+v", c)
	}
}

// TestObserve: what members count between the warm-up's end and the load's is in the run, and one that is gone is no error.
func TestObserve(t *testing.T) {
	var looks atomic.Int64
	member := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, said(looks.Add(1)))
	}))
	defer member.Close()
	testretry.Longer(t, 20*time.Millisecond, func(t testing.TB, warmUp time.Duration) {
		o := Observe(context.Background(), meteredCluster{urls: []string{member.URL, "http://127.0.0.1:1/metrics"}})
		o.Begin(time.Now().Add(warmUp))
		time.Sleep(2 * warmUp)
		var run result.Run
		o.End(&run)
		if len(run.Stages) != 2 || run.Stages[0].Name != "queue" || run.Stages[1].Count < 10 || run.Stages[1].Mean < 0.0019 || run.Stages[1].Mean > 0.0021 {
			t.Errorf("%+v", run.Stages)
		}
		if run.Values["processors_by_these_share"] <= 0 {
			t.Errorf("%+v", run.Values)
		}
	})
	// What the member says is 10 s of processor time between two looks: of a run of 100 operations a second.
	o := Observe(context.Background(), meteredCluster{urls: []string{member.URL}})
	o.Begin(time.Now())
	o.Begin(time.Now().Add(time.Hour)) // a later part of the load
	run, begun := result.Run{Rate: 100}, looks.Load()
	for looks.Load() == begun {
		time.Sleep(time.Millisecond)
	}
	o.End(&run)
	o.charge(&run)
	want := 10 * float64(looks.Load()-begun-1) / o.Took.Seconds() / 100
	if got := run.Values[result.ServerCPU]; got <= 0 || got < 0.99*want || got > 1.01*want {
		t.Errorf("%v s an operation, not %v", got, want)
	}
	run.Values["events_rate"] = 1000 // which is the rate that is shown
	if o.charge(&run); run.Values[result.ServerCPU] > want/9 {
		t.Errorf("%v s an event, and %v an operation", run.Values[result.ServerCPU], want)
	}
	two, one := result.Run{Rate: 100}, looks.Load() // two members, which are asked in turn
	o = Observe(context.Background(), meteredCluster{urls: []string{member.URL, member.URL}})
	o.Begin(time.Now())
	for looks.Load() < one+2 {
		time.Sleep(time.Millisecond)
	}
	o.End(&two)
	o.charge(&two)
	both := 2 * 10 * float64(looks.Load()-one-2) / o.Took.Seconds() / 100
	if got := two.Values[result.ServerCPU]; got <= 0 || got < 0.99*both || got > 1.01*both {
		t.Errorf("%v s an operation of two members, not %v", got, both)
	}
	var idle result.Run // a load that fails before it begins
	o = Observe(context.Background(), meteredCluster{urls: []string{member.URL}})
	o.End(&idle)
	o.charge(&idle)
	if idle.Values != nil {
		t.Errorf("nothing was observed: %+v", idle.Values)
	}
	var none result.Run
	Observe(context.Background(), fakeCluster{}).End(&none)
	var nobody *Observer
	nobody.Begin(time.Now())
	nobody.charge(&none)
	if none.Values != nil {
		t.Errorf("a cluster without metrics has %+v", none)
	}
}
