package node

import (
	"sync"
	"time"

	"qkv/actor"
	"qkv/internal/meter"
	"qkv/net/etcd"
	"qkv/net/peer"
	"qkv/net/wire"
)

// etcdMember is the member as the endpoint of etcd's clients sees it: the common endpoint, with the counters.
type etcdMember struct {
	endpoint
	node        *Node
	certificate certificate
}

// Metrics implements etcd.Member.
func (e etcdMember) Metrics() etcd.Metrics {
	c := &e.status.Observer.Counters
	m := etcd.Metrics{
		Status:       e.Status(),
		WritesFailed: c.WritesFailed.Load(), ReadsFailed: c.ReadsFailed.Load(), ReadsSlow: c.ReadsSlow.Load(), WritesPending: c.Pending.Load(),
		Renewals: c.Renewals.Load(), BatchesSlow: c.BatchesSlow.Load(),
		Batches: c.Batches.Times(), Applies: c.Applies.Times(), Syncs: c.Syncs.Times(), Saves: c.Saves.Times(), SaveSyncs: c.SaveSyncs.Times(),
		SyncBytes: c.SyncBytes.Load(), LateBeats: c.LateBeats.Load(), Installing: c.Installing.Load(),
		SnapshotsSent: c.SendsDone.Load(), SendsFailed: c.SendsFailed.Load(),
		SnapshotsInstalled: c.InstallsDone.Load(), SnapshotsNotTaken: c.ReceiveFailed.Load(),
		SendErrors:      wire.SendErrors(),
		CertificateEnds: e.certificate.NotAfter(), Peers: e.node.trips.metrics(e.transport.Status()), Mailboxes: map[string]int{},
	}
	for stage, times := range &e.status.Observer.Stages.Times {
		m.Stages = append(m.Stages, etcd.StageMetrics{Name: actor.Stage(stage).String(), Times: times.Times()})
	}
	for name, waiting := range e.actors.mailboxes {
		m.Mailboxes[name] = waiting()
	}
	if e.node.server == nil {
		return m
	}
	s := e.node.server.Stats()
	m.Native = etcd.NativeMetrics{
		Connections: s.Connections, Handshakes: s.Handshakes, Requests: s.Requests, Bytes: s.Bytes, RangeRows: s.RangeRows, Accepted: s.Accepted,
	}
	return m
}

// roundTrips are the round trips of the connections to the other members, sampled once per tripInterval.
type roundTrips struct {
	mu sync.Mutex
	of map[uint64]*meter.Histogram // of peers only
}

const tripInterval = time.Second

// look adds the connections' present values.
func (r *roundTrips) look(peers []peer.PeerStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := make(map[uint64]*meter.Histogram, len(peers))
	for i := range peers {
		p := &peers[i]
		if now[p.ID] = r.of[p.ID]; now[p.ID] == nil {
			now[p.ID] = meter.NewHistogram(100 * time.Microsecond)
		}
		if p.Connected && p.RTT > 0 {
			now[p.ID].Observe(p.RTT)
		}
	}
	r.of = now
}

func (r *roundTrips) metrics(peers []peer.PeerStatus) (all []etcd.PeerMetrics) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range peers {
		all = append(all, etcd.PeerMetrics{
			ID: p.ID, Connected: p.Connected, SentBytes: p.SentBytes, ReceivedBytes: p.ReceivedBytes, SentFrames: p.SentFrames, NotSent: p.Dropped,
			Queued: int64(p.Queued), RoundTrips: r.of[p.ID].Times(), PacketsSent: p.PacketsSent, PacketsLost: p.PacketsLost,
		})
	}
	return all
}
