package actor

import (
	"slices"
	"testing"
	"time"

	"qkv/internal/meter"
)

// TestBoundsOfEtcdsMetrics: the histograms have the bounds of etcd's metrics, by which rules for etcd ask.
func TestBoundsOfEtcdsMetrics(t *testing.T) {
	c := newCounters()
	for name, has := range map[string]struct {
		histogram *meter.Histogram
		first     time.Duration
		bounds    int
	}{
		"etcd_disk_wal_fsync_duration_seconds":      {c.Syncs, time.Millisecond, 14},
		"etcd_disk_backend_commit_duration_seconds": {c.Batches, time.Millisecond, 14},
		"etcd_snap_fsync_duration_seconds":          {c.SaveSyncs, time.Millisecond, 14},
		"etcd_snap_db_save_total_duration_seconds":  {c.Saves, 100 * time.Millisecond, 10},
		"etcd_server_apply_duration_seconds":        {c.Applies, 100 * time.Microsecond, 20},
	} {
		ends := has.histogram.Times().Ends
		for i := range has.bounds {
			if !slices.Contains(ends[:], has.first<<i) {
				t.Errorf("%s lacks the bound %v: %v", name, has.first<<i, ends)
			}
		}
	}
	if c.applied(time.Second); c.Batches.Times().Count != 1 || c.Applies.Times().Count != 1 {
		t.Error("a batch is not counted once in each histogram")
	}
}
