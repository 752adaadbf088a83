package etcd

import (
	"context"
	"runtime"

	"qkv/internal/admit"
	"qkv/internal/limits"
)

// admission bounds what requests may hold or do at the same time.
type admission struct {
	reads *admit.FairQueue // that may visit many keys

	json      *admit.Budget // memory of requests over HTTP
	buffered  *admit.Budget // memory of answers held as a whole
	snapshots *admit.Budget // slots, not bytes, of snapshots in transfer

	building   admit.Slots      // answers that wait for buffered
	longReads  admit.Slots      // that hold their results until they are answered
	leaseLists admit.Slots      // lists of leases that query the clock for each
	largeTxns  admit.Slots      // transactions of many parts in decoding
	hashing    admit.Slots      // one state hash at a time
	evaluating admit.Slots      // one read-only transaction that compares many keys
	toHub      admit.Slots      // handlers that may wait for the watch hub
	lockWaits  *admit.FairSlots // requests that wait for a lock or an election
}

const (
	// etcdWideReads bounds the concurrent reads that hold all their results until they are encoded: some 250 bytes for each of a million
	// keys. etcdWideSteps times limits.RangeRows is the number of keys beyond which a read is such a wide read. Pages visit fewer, and a
	// read that waits holds no more than that.
	etcdWideReads = 2
	etcdWideSteps = 8
	// etcdBuilds bounds the answers that wait for memory of limits.EtcdBuiltBytes: their results wait in memory, too.
	etcdBuilds = 8
	// etcdTxns bounds the transactions of more than etcdTxnFew parts that are decoded at a time: one of 8,192 parts takes 3.2 MiB, and was
	// 70 KiB on the wire.
	etcdTxns   = 32
	etcdTxnFew = 64
	// etcdLeasesSorted bounds the leases that are listed in order of expiry: the leader's clock is queried for each. etcdLeasesAsking
	// bounds the concurrent lists of this kind: they take a quarter of etcdRequests.
	etcdLeasesSorted = 4096
	etcdLeasesAsking = 4
	// etcdStreamsAll bounds the streams of all connections together, watches and others. etcdHubCallers bounds how many of them wait for
	// the watch hub at a time. A stream of watches is two goroutines with 8 KiB of stack each, and 9 KiB of the heap, of which Go's
	// collector may keep as much again: 35 KiB resident (measured; 20,480 of them were 719 MiB).
	etcdStreamsAll = 12 << 10
	etcdHubCallers = 64
)

func newAdmission(s *core) admission {
	bounds := &s.config.Limits
	return admission{
		reads:     admit.NewFairQueue(&s.requests),
		json:      admit.NewBudget(max(bounds.GatewayBytes, heldBytes(max(s.jsonBytes(), limits.EtcdGatewayBytes))), bounds.Stall, nil),
		buffered:  admit.NewBudget(bounds.BuiltBytes, bounds.Stall, s.collectGarbage),
		snapshots: admit.NewBudget(etcdSnapshots, bounds.Stall, nil),
		building:  make(admit.Slots, etcdBuilds), longReads: make(admit.Slots, etcdWideReads),
		leaseLists: make(admit.Slots, etcdLeasesAsking), largeTxns: make(admit.Slots, etcdTxns),
		hashing: make(admit.Slots, 1), evaluating: make(admit.Slots, 1), toHub: make(admit.Slots, etcdHubCallers),
		lockWaits: &admit.FairSlots{Total: bounds.Locks},
	}
}

// collectGarbage collects garbage in the background, and then calls a function.
func (s *core) collectGarbage(then func()) {
	s.running.Go(func() {
		runtime.GC()
		then()
	})
}

// read calls step in turns until it is done, fails, or ctx ends.
func (s *core) read(ctx context.Context, step func() (done bool, err error)) error {
	if err := s.admission.reads.Read(ctx, step); err != nil {
		return statusOf(err)
	}
	return nil
}
