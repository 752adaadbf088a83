package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"qkv/bench"
)

const (
	etcdTimeout = 30 * time.Second      // of one request: a stall is measured, a dead server is an error
	errorPause  = 10 * time.Millisecond // before what failed is tried again
)

// meter records the latencies of one kind of request.
type meter struct {
	begun time.Time // of the step: earlier requests do not count

	mu          sync.Mutex
	all         *hdrhistogram.Histogram
	last, ended time.Time // the last success, and the last recorded one
	gap         time.Duration
	failed      int64
	first       error
}

// end records a request that was due at a time.
func (m *meter) end(due, now time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if m.failed++; m.first == nil {
			m.first = err
		}
		return
	}
	if !m.last.IsZero() {
		m.gap = max(m.gap, now.Sub(m.last))
	}
	if m.last = now; due.Before(m.begun) {
		return
	}
	if m.all == nil {
		m.all = bench.NewHistogram()
	}
	took := min(max(int64(now.Sub(due)), m.all.LowestTrackableValue()), m.all.HighestTrackableValue())
	_ = m.all.RecordValue(took)
	if now.After(m.ended) {
		m.ended = now
	}
}

// report returns what was recorded, in the form of a load.
func (m *meter) report() bench.Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := bench.Report{Latencies: bench.LatenciesOf(m.all), Failed: m.failed, LongestGap: m.gap, Last: m.last}
	r.Done, r.Elapsed = r.Latencies.Count, max(0, m.ended.Sub(m.begun))
	if r.Elapsed > 0 {
		r.Rate = float64(r.Done) / r.Elapsed.Seconds()
	}
	if m.first != nil {
		r.FirstError = m.first.Error()
	}
	return r
}

// round shortens a time for a note.
func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// keyOf returns the key with a number; all have the same length.
func keyOf(prefix string, n int) []byte { return fmt.Appendf(nil, "%s%010d", prefix, n) }

// largeAnswers allows an answer of a million keys.
var largeAnswers = grpc.MaxCallRecvMsgSize(2 << 30)

// patient are the keepalives of etcdctl, by which a client notices a silent member.
var patient = grpc.WithKeepaliveParams(keepalive.ClientParameters{
	Time: 2 * time.Second, Timeout: 6 * time.Second, PermitWithoutStream: true,
})

// dial is a connection to a cluster of etcd's API by the addresses of its members: to the first one that answers, and
// to the next ones when that fails.
func dial(addresses []string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	r := manual.NewBuilderWithScheme("cluster")
	var state resolver.State
	for _, a := range addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a})
	}
	r.InitialState(state)
	options = append(options, grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()))
	return grpc.NewClient("cluster:///members", options...)
}
