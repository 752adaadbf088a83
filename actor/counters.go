package actor

import (
	"sync/atomic"
	"time"

	"qkv/index/kv"
	"qkv/internal/meter"
)

// Counters are what the actors count of what they do, since the start, for an operator's eyes: nothing is decided by them.
type Counters struct {
	// Consensus'.
	LeaderChanges atomic.Uint64 // how often another leader became known
	ReadsFailed   atomic.Uint64 // linearizable reads whose clients do not wait any longer
	ReadsSlow     atomic.Uint64 // rounds for linearizable reads that took longer than an election timeout
	Renewals      atomic.Uint64 // of leases, that this member's clock has granted
	SendsFailed   atomic.Uint64 // of snapshots to peers
	SendsDone     atomic.Uint64

	// The applier's.
	Pending       atomic.Int64     // batches that this member's clients wait for
	WritesFailed  atomic.Uint64    // writes that nobody waits for any longer, or that a change of the leader has ended
	Batches       *meter.Histogram // from when what was agreed on is taken until those who asked for it have their answers
	BatchesSlow   atomic.Uint64    // those of more than slowBatch
	InstallsDone  atomic.Uint64    // of snapshots that a leader has sent
	ReceiveFailed atomic.Uint64    // the snapshotter's

	Syncs     *meter.Histogram // the log writer's: writing a group, and making it durable
	SyncBytes atomic.Int64     // of records that were made durable
	Saves     *meter.Histogram // the snapshotter's, from the order to the published file
}

// slowBatch is etcd's word for a request that is slow to apply.
const slowBatch = 100 * time.Millisecond

func newCounters() Counters {
	return Counters{
		Batches: meter.NewHistogram(100 * time.Microsecond), Syncs: meter.NewHistogram(100 * time.Microsecond),
		Saves: meter.NewHistogram(10 * time.Millisecond),
	}
}

// Uncounted is a ReplyTo whose requests are none of a client's, or that counts by itself what becomes of them.
type Uncounted interface{ Uncounted() }

// counted is how many failures there are in n requests.
func counted(to kv.ReplyTo, n int) uint64 {
	if _, not := to.(Uncounted); not {
		return 0
	}
	return uint64(n)
}

// applied counts a batch of the applier's.
func (c *Counters) applied(took time.Duration) {
	c.Batches.Observe(took)
	if took > slowBatch {
		c.BatchesSlow.Add(1)
	}
}
