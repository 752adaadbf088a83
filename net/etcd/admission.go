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

func newAdmission(s *core) admission {
	bounds := &s.config.Limits
	return admission{
		reads:     admit.NewFairQueue(&s.requests),
		json:      admit.NewBudget(max(bounds.GatewayBytes, heldBytes(max(s.jsonBytes(), limits.EtcdGatewayBytes))), bounds.Stall, nil),
		buffered:  admit.NewBudget(bounds.BuiltBytes, bounds.Stall, s.collectGarbage),
		snapshots: admit.NewBudget(limits.EtcdSnapshots, bounds.Stall, nil),
		building:  make(admit.Slots, limits.EtcdBuilds), longReads: make(admit.Slots, limits.EtcdWideReads),
		leaseLists: make(admit.Slots, limits.EtcdLeasesAsking), largeTxns: make(admit.Slots, limits.EtcdTxns),
		hashing: make(admit.Slots, 1), evaluating: make(admit.Slots, 1), toHub: make(admit.Slots, limits.EtcdHubCallers),
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
