package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testretry"
	"qkv/net/client"
	"qkv/net/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func clients(t testing.TB, n int) ([]*client.Client, *servertest.Member) {
	t.Helper()
	trust, member := servertest.NewTrust(t), servertest.NewMember()
	s := servertest.Start(t, trust, member, nil)
	var all []*client.Client
	for range n {
		c, err := client.Open(context.Background(), client.Config{Endpoints: []string{servertest.Endpoint(s)}, Credentials: trust.Client, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	return all, member
}

func TestLoadOfEachOp(t *testing.T) {
	all, member := clients(t, 2)
	r, err := Load(t.Context(), Config{Stores: Natives(all), Op: Put, InFlight: 50, Keys: 3, Duration: 100 * time.Millisecond})
	if err != nil || r.Done == 0 || r.Latencies.Count != r.Done || r.Failed != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	if keys := member.View().Keys(); keys < 1 || keys > 3 {
		t.Errorf("%d keys were written", keys)
	}
	pairs, err := all[0].Range(t.Context(), kv.Range{Key: []byte("bench/0000000000"), End: []byte("bench/1")})
	if err != nil || len(pairs.KVs) == 0 || len(pairs.KVs[0].Value) != 256 {
		t.Errorf("%+v %v", pairs, err)
	}
	for _, op := range []Op{Get, GetSerializable} {
		r, err := Load(t.Context(), Config{Stores: Natives(all), Op: op, InFlight: 50, Keys: 300, Duration: 100 * time.Millisecond})
		if err != nil || r.Done == 0 || r.Latencies.P50 <= 0 || r.Latencies.P99 < r.Latencies.P50 || r.Latencies.Max < r.Latencies.P99 || r.Rate <= 0 {
			t.Errorf("%v: %v %+v", op, err, r)
		}
	}
}

func TestLoadByTime(t *testing.T) {
	all, _ := clients(t, 1)
	testretry.Longer(t, 200*time.Millisecond, func(t testing.TB, limit time.Duration) {
		begun := time.Now()
		r, err := Load(t.Context(), Config{Stores: Natives(all), InFlight: 20, Duration: limit, WarmUp: limit / 2})
		if took := time.Since(begun); err != nil || took < limit*3/2 || took > 10*limit {
			t.Fatalf("%v after %v", err, took)
		}
		if r.Done == 0 || r.Elapsed < limit*3/4 || r.Elapsed > 5*limit || r.LongestGap <= 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestLoadCountsErrors(t *testing.T) {
	all, _ := clients(t, 1)
	_ = all[0].Close() // each call fails at once, before it returns
	r, err := Load(t.Context(), Config{Stores: Natives(all), InFlight: 10, Duration: 100 * time.Millisecond})
	if err != nil || r.Done != 0 || r.Failed < 10 || r.FirstError != client.ErrClosed.Error() || r.Rate != 0 {
		t.Errorf("%v %+v", err, r)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	all, _ := clients(t, 1)
	testretry.Longer(t, 100*time.Millisecond, func(t testing.TB, limit time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		r, err := Load(ctx, Config{Stores: Natives(all), InFlight: 10, Duration: time.Hour})
		if !errors.Is(err, context.DeadlineExceeded) || r.Done == 0 {
			t.Errorf("%v %+v", err, r)
		}
	})
}

func TestLoadRefusesNonsense(t *testing.T) {
	all, _ := clients(t, 1)
	for _, c := range []Config{
		{},
		{Stores: Natives(all), InFlight: -1},
		{Stores: Natives(all), InFlight: 1 << 20},
		{Stores: Natives(all), Keys: -1},
		{Stores: Natives(all), ValueBytes: 1 << 30},
		{Stores: Natives(all), Prefix: strings.Repeat("x", limits.KeyBytes)},
		{Stores: Natives(all), Rate: -1},
		{Stores: Natives(all), Rate: math.NaN()},
		{Stores: Natives(all), Rate: math.Inf(1)},
		{Stores: Natives(all), Rate: 1e-300},
		{Stores: Natives(all), Op: 9},
		{Stores: Natives(all), Duration: -1},
	} {
		if _, err := Load(t.Context(), c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestKeys(t *testing.T) {
	for n, want := range map[int64]string{0: "p/0000000000", 42: "p/0000000042", 9_999_999_999: "p/9999999999", 12_345_678_901: "p/12345678901"} {
		if got := string(appendKey(nil, "p/", n)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestLogSyncs(t *testing.T) {
	dir := t.TempDir()
	probe := LogSyncs(dir)
	probe.Count, probe.Longest = 100, time.Hour // a disk may be slow
	l, err := ProbeDisk(t.Context(), probe)
	if err != nil || l.Count != 100 || l.P50 <= 0 {
		t.Fatalf("%v %+v", err, l)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v was left", left)
	}
	if _, err := ProbeDisk(t.Context(), LogSyncs("/proc/nowhere")); err == nil {
		t.Error("measured a disk that is none")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ProbeDisk(ctx, LogSyncs(dir)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func BenchmarkLogSyncs(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		l, err := ProbeDisk(b.Context(), LogSyncs(dir))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(l.P50.Microseconds()), "p50-µs")
		b.ReportMetric(float64(l.P99.Microseconds()), "p99-µs")
	}
}

// Client, wire and server around a member that does nothing but keep a map.
func BenchmarkLoad(b *testing.B) {
	for _, op := range []Op{Put, Get, GetSerializable} {
		b.Run(strings.ReplaceAll(op.String(), " ", "-"), func(b *testing.B) {
			all, _ := clients(b, 1)
			for b.Loop() {
				r, err := Load(b.Context(), Config{Stores: Natives(all), Op: op, Keys: 1000, Duration: 2 * time.Second, WarmUp: 200 * time.Millisecond})
				if err != nil || r.Failed+r.Unknown > 0 {
					b.Fatal(err, r)
				}
				b.ReportMetric(r.Rate, "op/s")
				b.ReportMetric(float64(r.Latencies.P50.Microseconds()), "p50-µs")
				b.ReportMetric(float64(r.Latencies.P99.Microseconds()), "p99-µs")
			}
		})
	}
}
