package node_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/internal/testlong"
)

// samples are what a member's /metrics says, by name and labels.
func samples(ctx context.Context, t testing.TB, at string) map[string]float64 {
	t.Helper()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s %v %s", r.Status, err, body)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			name, value, _ := strings.Cut(strings.ReplaceAll(line, "} ", "}\x00"), "\x00")
			if value == "" {
				name, value, _ = strings.Cut(line, " ")
			}
			if all[name], err = strconv.ParseFloat(value, 64); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	}
	return all
}

// TestMetrics writes by one member: all count what they apply and sync, know one leader, and see the others' round trips; and when
// another one leads, those that follow have seen that.
func TestMetrics(t *testing.T) {
	withCluster(t, 3, func(t testing.TB, c *cluster) {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		conn, err := grpc.NewClient(c.configs[0].Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		const puts = 7
		for i := range puts {
			if _, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: []byte("v")}); err != nil {
				t.Fatal(err)
			}
		}
		leaders := 0.0
		for _, config := range c.configs {
			var got map[string]float64
			for {
				got = samples(ctx, t, config.Listen)
				trips := 0
				for name, n := range got {
					if strings.HasPrefix(name, "etcd_network_peer_round_trip_time_seconds_count{") && n > 0 {
						trips++
					}
				}
				if got["etcd_mvcc_put_total"] == puts && trips == 2 {
					break
				}
				if ctx.Err() != nil {
					t.Fatalf("%s: %v puts, round trips to %d members", config.Name, got["etcd_mvcc_put_total"], trips)
				}
				time.Sleep(10 * time.Millisecond)
			}
			leaders += got["etcd_server_is_leader"]
			for _, name := range []string{
				"etcd_server_has_leader", "etcd_server_leader_changes_seen_total", "etcd_disk_wal_fsync_duration_seconds_count",
				"etcd_disk_backend_commit_duration_seconds_count", "etcd_disk_wal_write_bytes_total", "etcd_server_proposals_applied_total",
				"etcd_mvcc_db_total_size_in_bytes", "process_resident_memory_bytes", "os_fd_used", "qkv_certificate_not_after_seconds",
			} {
				if got[name] <= 0 {
					t.Errorf("%s: %s is %v", config.Name, name, got[name])
				}
			}
			if n := got["etcd_server_proposals_failed_total"]; n != 0 {
				t.Errorf("%s: %v writes have failed", config.Name, n)
			}
		}
		if leaders != 1 {
			t.Errorf("%v members say that they lead", leaders)
		}
	})
}

// TestReadiness cuts off two of three members: /readyz of the third says within the probe's time that it cannot read, /livez that it is alive.
func TestReadiness(t *testing.T) {
	testlong.Skip(t)
	withCluster(t, 3, func(t testing.TB, c *cluster) {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		at := c.configs[0].Listen
		ask := func(path string) (code int, body string) {
			q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.DefaultClient.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			all, _ := io.ReadAll(r.Body)
			return r.StatusCode, string(all)
		}
		for code := 0; code != http.StatusOK; code, _ = ask("/readyz") {
			if ctx.Err() != nil {
				t.Fatal("a member of a whole cluster is not ready")
			}
		}
		for _, n := range c.nodes[1:] {
			_ = n.Stop(ctx)
		}
		for { // a leader notices within an election timeout; until then it does not confirm anything either
			began := time.Now()
			code, body := ask("/readyz")
			if took := time.Since(began); code == http.StatusServiceUnavailable && strings.Contains(body, "[-]linearizable_read failed") {
				t.Logf("/readyz said so within %v", took.Round(time.Millisecond))
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("without a quorum /readyz says %d %s", code, body)
			}
		}
		if code, body := ask("/livez"); code != http.StatusOK {
			t.Errorf("without a quorum /livez says %d %s", code, body)
		}
		if code, body := ask("/health"); code != http.StatusServiceUnavailable {
			t.Errorf("without a quorum /health says %d %s", code, body)
		}
		if code, body := ask("/health?serializable=true"); code != http.StatusOK {
			t.Errorf("the member alone: %d %s", code, body)
		}
		conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		before := samples(ctx, t, at)["etcd_server_proposals_failed_total"]
		for samples(ctx, t, at)["etcd_server_proposals_failed_total"] == before { // gRPC's client gives up first, on a busy host before it has said a word
			short, done := context.WithTimeout(ctx, 50*time.Millisecond)
			if _, err := pb.NewKVClient(conn).Put(short, &pb.PutRequest{Key: []byte("a")}); err == nil {
				t.Error("a write without a quorum is acknowledged")
			}
			done()
		}
		if got := samples(ctx, t, at); got["etcd_server_health_failures"] != 1 {
			t.Errorf("%v failures of health are counted, and there was one", got["etcd_server_health_failures"])
		}
	})
}
