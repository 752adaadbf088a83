package actor

import (
	"sync"
	"sync/atomic"
	"time"

	"qkv/index/kv"
	"qkv/internal/meter"
)

// Observer has the measurements and counters of a member's actors, for people: no decision depends on them. The actors report what they
// did, batch by batch.
type Observer struct {
	Stages   Stages
	Counters Counters

	syncSince atomic.Int64 // the log writer's: the start of the running sync; 0: none is running
	syncsMu   sync.Mutex
	syncs     syncTimes // the log writer's; guarded by syncsMu

	clock func() Time // of the driver; nil in tests that need none
}

// begin enables the measurements; the zero value takes none.
func (o *Observer) begin(clock func() Time) {
	o.clock, o.Counters = clock, newCounters()
	o.Stages.begin(o.moment)
}

// Counters are the actors' counters since the start.
type Counters struct {
	// Consensus'.
	LeaderChanges atomic.Uint64 // new leaders that became known
	ReadsFailed   atomic.Uint64 // linearizable reads whose clients' timeouts expired
	ReadsSlow     atomic.Uint64 // rounds for linearizable reads that took longer than an election timeout
	Renewals      atomic.Uint64 // of leases, granted by this member's clock
	LateBeats     atomic.Uint64 // heartbeats that this leader sent later than two intervals after the ones before
	SendsFailed   atomic.Uint64 // of snapshots to peers
	SendsDone     atomic.Uint64
	FalseClaims   atomic.Uint64 // messages of the present term that only its leader may send, from another member
	Undecodable   atomic.Uint64 // appends that were dropped because an entry in them cannot be decoded

	// The applier's.
	Pending       atomic.Int64     // batches that this member's clients wait for
	WritesFailed  atomic.Uint64    // writes whose clients' timeouts expired, or that a change of the leader has ended
	Batches       *meter.Histogram // from taking committed entries until their clients have the answers
	Applies       *meter.Histogram // the same, with the bounds of another metric of etcd
	BatchesSlow   atomic.Uint64    // those of more than slowBatch
	InstallsDone  atomic.Uint64    // of snapshots from a leader
	ReceiveFailed atomic.Uint64    // the snapshotter's
	Installing    atomic.Bool      // the snapshotter's: a received snapshot is about to become the state

	Syncs     *meter.Histogram // the log writer's: writing a group, and making it durable
	SyncBytes atomic.Int64     // of records that were made durable
	Saves     *meter.Histogram // the snapshotter's, from the order to the published file
	SaveSyncs *meter.Histogram // the snapshotter's: writing the last bytes of a file, and making the file durable
}

// slowBatch is etcd's threshold for a request that is slow to apply.
const slowBatch = 100 * time.Millisecond

// newCounters returns histograms whose bounds include those of etcd's metrics: rules for etcd name a bound.
func newCounters() Counters {
	const first = time.Millisecond / 8
	return Counters{
		Batches: meter.NewHistogram(first), Applies: meter.NewHistogram(100 * time.Microsecond), Syncs: meter.NewHistogram(first),
		Saves: meter.NewHistogram(100 * first), SaveSyncs: meter.NewHistogram(first),
	}
}

// Uncounted is implemented by a ReplyTo whose outcomes the actors do not count: it does not serve clients, or counts them itself.
type Uncounted interface{ Uncounted() }

// counted returns the number of failures to count for n requests.
func counted(to kv.ReplyTo, n int) uint64 {
	if _, not := to.(Uncounted); not {
		return 0
	}
	return uint64(n)
}

// applied counts a batch of the applier's.
func (c *Counters) applied(took time.Duration) {
	c.Batches.Observe(took)
	c.Applies.Observe(took)
	if took > slowBatch {
		c.BatchesSlow.Add(1)
	}
}
