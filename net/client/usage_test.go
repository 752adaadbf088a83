package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/net/server/servertest"
)

var bySlash = kv.Usage{Separator: []byte("/"), Depth: 1}

// check fails unless there are n groups of one key each, and one change of each key.
func checkUsage(t *testing.T, all kv.UsageResult, n int) {
	t.Helper()
	if len(all.Rows) != n {
		t.Fatalf("%d groups, want %d", len(all.Rows), n)
	}
	for i, row := range all.Rows {
		if want := fmt.Sprintf("k%06d/", i); string(row.Prefix) != want || row.Keys != 1 || row.Bytes != 9 || row.Changes != 1 {
			t.Fatalf("%q: %+v, want %q", row.Prefix, row, want)
		}
	}
	if all.Period != kv.UsagePeriod {
		t.Errorf("the period is %v", all.Period)
	}
}

// groups puts n keys, each in a group of its own.
func groups(t *testing.T, c *client.Client, n int) {
	t.Helper()
	for i := 0; i < n; {
		var txn kv.Txn
		for ; i < n && len(txn.Success) < limits.TxnOperations; i++ {
			txn.Success = append(txn.Success, kv.Op{Put: &kv.Put{Key: fmt.Appendf(nil, "k%06d/", i), Value: []byte("v")}})
		}
		must[kv.TxnResult](t)(c.Txn(t.Context(), txn))
	}
}

// A usage has all groups, in key order, and is linearizable.
func TestUsage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	checkUsage(t, must[kv.UsageResult](t)(c.Admin().Usage(t.Context(), bySlash)), 0)
	groups(t, c.Client, 20_000)
	checkUsage(t, must[kv.UsageResult](t)(c.Admin().Usage(t.Context(), bySlash)), 20_000)
	stale := bySlash
	stale.Serializable = true
	checkUsage(t, must[kv.UsageResult](t)(c.Admin().Usage(t.Context(), stale)), 20_000)
	one := kv.Usage{Prefix: []byte("k00001"), Separator: []byte("none")}
	if all := must[kv.UsageResult](t)(c.Admin().Usage(t.Context(), one)); len(all.Rows) != 1 || string(all.Rows[0].Prefix) != "k00001" || all.Rows[0].Keys != 10 {
		t.Errorf("%+v", all)
	}
	if _, err := c.Admin().Usage(t.Context(), kv.Usage{}); err == nil || err.(*kv.Error).Code != kv.BadRequest {
		t.Errorf("without a separator: %v", err)
	}
}

// A member that stops while it counts is replaced by another one, which counts again.
func TestUsageElsewhere(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	trust := servertest.NewTrust(t)
	first := servertest.NewMember()
	one := servertest.Start(t, trust, first, nil)
	other := servertest.Start(t, trust, servertest.NewMember(first), nil)
	c := open(t, trust, servertest.Endpoint(one), servertest.Endpoint(other))
	const n = 100_000
	groups(t, c, n)
	done := make(chan error, 1)
	go func() {
		time.Sleep(20 * time.Millisecond)
		done <- one.Close()
	}()
	checkUsage(t, must[kv.UsageResult](t)(c.Admin().Usage(t.Context(), bySlash)), n)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	checkUsage(t, must[kv.UsageResult](t)(c.Admin().Usage(t.Context(), bySlash)), n)
}

// A count that fails because of a compaction begins again, but not forever. Another failure is final.
func TestUsageAgain(t *testing.T) {
	t.Parallel()
	trust, member := servertest.NewTrust(t), servertest.NewMember()
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, member, nil)))
	groups(t, c, 10)
	for _, x := range []struct {
		code  kv.Code
		fails int64
		reads int64 // two for each attempt
		want  kv.Code
	}{
		{kv.Compacted, 2, 6, kv.OK},
		{kv.Unavailable, 1, 4, kv.OK},
		{kv.Compacted, 100, 10, kv.Compacted},
		{kv.NotAllowed, 1, 2, kv.NotAllowed},
	} {
		var reads, failed atomic.Int64
		member.SetBefore(func(int, int) *kv.Error {
			if reads.Add(1)%2 == 0 && failed.Add(1) <= x.fails { // every second read is the count
				return &kv.Error{Code: x.code}
			}
			return nil
		})
		all, err := c.Admin().Usage(t.Context(), bySlash)
		if answer, is := errors.AsType[*kv.Error](err); is != (x.want != kv.OK) || is && answer.Code != x.want || reads.Load() != x.reads {
			t.Errorf("%d times %v: %v, %d reads", x.fails, x.code, err, reads.Load())
		}
		if x.want == kv.OK {
			checkUsage(t, all, 10)
		}
	}
}

// A call that is given up ends at once.
func TestUsageGivenUp(t *testing.T) {
	t.Parallel()
	trust, member := servertest.NewTrust(t), servertest.NewMember()
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, member, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var reads atomic.Int64
	release := make(chan struct{})
	member.SetBefore(func(int, int) *kv.Error {
		if reads.Add(1) == 2 {
			cancel()
			<-release
		}
		return nil
	})
	begun := time.Now()
	if _, err := c.Admin().Usage(ctx, bySlash); !errors.Is(err, context.Canceled) || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	close(release)
}
