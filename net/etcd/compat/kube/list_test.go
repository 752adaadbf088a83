package kube

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// fill makes n objects.
func fill(t *testing.T, c *clientv3.Client, n int) {
	t.Helper()
	value := strings.Repeat("v", 1000)
	for i := 0; i < n; i += 100 {
		ops := make([]clientv3.Op, min(100, n-i))
		for j := range ops {
			ops[j] = clientv3.OpPut(fmt.Sprintf("/registry/many/%06d", i+j), value)
		}
		_, err := c.Txn(c.Ctx()).Then(ops...).Commit()
		must(t, err)
	}
}

// list lists all of it in pages of 500, as the apiserver does: what is pinned is the first page's revision.
func list(t *testing.T, c *clientv3.Client) (keys int, took time.Duration) {
	t.Helper()
	const prefix = "/registry/many/"
	end := clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix))
	begun, from, revision := time.Now(), prefix, int64(0)
	for {
		r, err := c.Get(c.Ctx(), from, end, clientv3.WithLimit(500), clientv3.WithRev(revision))
		must(t, err)
		if revision == 0 {
			revision = r.Header.Revision
		}
		keys += len(r.Kvs)
		if !r.More {
			return keys, time.Since(begun)
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

// TestList: how long a list of many objects in pages takes while some of them are changed, beside a quiet store. The rounds take
// turns, so that both have the same host.
func TestList(t *testing.T) {
	objects, rounds, most := 10_000, 5, 0.0
	if full {
		objects, rounds, most = 100_000, 9, 1.5
	}
	_, c := start(t, 3)
	fill(t, c, objects)
	list(t, c)
	var quiet, busy []time.Duration
	changes := 0
	for range rounds {
		n, took := list(t, c)
		want(t, "what is listed", n, objects)
		quiet = append(quiet, took)

		ctx, cancel := context.WithCancel(c.Ctx())
		over := make(chan int)
		go func() {
			tick := time.NewTicker(10 * time.Millisecond) // 100 in a second
			defer tick.Stop()
			done := 0
			for {
				select {
				case <-ctx.Done():
					over <- done
					return
				case <-tick.C:
					if _, err := c.Put(ctx, fmt.Sprintf("/registry/many/%06d", done*997%objects), "changed"); err == nil {
						done++
					}
				}
			}
		}()
		n, took = list(t, c)
		cancel()
		changes += <-over
		want(t, "what is listed during changes", n, objects)
		busy = append(busy, took)
	}
	a, b := median(quiet), median(busy)
	t.Logf("%d objects in pages of 500: %v quiet, %v with %d changes, %.2f times (medians of %d)", objects, a.Round(time.Millisecond), b.Round(time.Millisecond), changes, float64(b)/float64(a), rounds)
	if most > 0 && float64(b) > most*float64(a) {
		t.Errorf("more than %.1f times as long", most)
	}
}
