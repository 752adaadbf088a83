package node_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
)

// inflight is how many requests a load keeps under way.
const inflight = 1000

// load keeps a number of requests under way until n are done.
func load(b *testing.B, n int, begin func(i int, done func(error))) {
	b.Helper()
	slots := make(chan struct{}, inflight)
	failed := make(chan error, 1)
	for i := range n {
		slots <- struct{}{}
		begin(i, func(err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
			<-slots
		})
	}
	for range inflight {
		slots <- struct{}{}
	}
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
}

// BenchmarkCluster loads members in this process with 1000 requests in flight: values of 256 bytes, real disks.
// With -cpuprofile it tells where the time goes, client included.
func BenchmarkCluster(b *testing.B) {
	value := make([]byte, 256)
	for _, members := range []int{1, 3} {
		c := newCluster(b, members, 500*time.Millisecond)
		all := make([]int, members)
		for i := range all {
			all[i] = i
		}
		cl := c.client(all...)
		key := func(i int) []byte { return binary.BigEndian.AppendUint64([]byte("bench/"), uint64(i%100_000)) }
		waitReady(b, cl)
		b.Run(fmt.Sprintf("put-%d", members), func(b *testing.B) {
			load(b, b.N, func(i int, done func(error)) {
				cl.PutAsync(key(i), value, func(_ client.Written, err error) { done(err) })
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
		})
		b.Run(fmt.Sprintf("get-%d", members), func(b *testing.B) {
			load(b, b.N, func(i int, done func(error)) {
				cl.GetAsync(key(i), client.ReadOptions{}, func(_ kv.KeyValue, _ bool, err error) { done(err) })
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "gets/s")
		})
		b.Run(fmt.Sprintf("put-one-caller-%d", members), func(b *testing.B) {
			for i := range b.N {
				if _, err := cl.Put(context.Background(), key(i), value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func waitReady(b *testing.B, cl *client.Client) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := cl.Put(ctx, []byte("ready"), nil); err != nil {
		b.Fatal(err)
	}
}
