package wire

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Route detects that a connection's path loses large packets while small ones pass: its MTU fell. quic-go only searches for larger packets,
// and a connection would stand still although its small packets, as heartbeats, are acknowledged. A new connection begins with
// limits.PacketLeast and heals at once.
//
// The dialling side sends probes in datagrams, which no flow control holds back: a slow reader, or a disk that stands still, answers them.
// Either side answers a probe at once.
type Route struct {
	conn       *quic.Conn
	unanswered [pathProbes]atomic.Int32 // probes since the last answer, by kind
}

// The kinds of probes.
const (
	pathOut  = iota // a large probe with a small answer
	pathBack        // a small probe with a large answer
	pathProbes
)

const (
	pathProbe  = 0 // the first byte of a probe; the second one is its kind
	pathAnswer = 1
)

// pathStalls counts the connections that Watch has given up in this process.
var pathStalls atomic.Uint64

// PathStalls returns how many connections of this process were dialled again because their path lost large packets.
func PathStalls() uint64 { return pathStalls.Load() }

// NewRoute returns the Route of a connection. Its caller runs Answer on both sides, and Watch on the dialling side.
func NewRoute(conn *quic.Conn) *Route { return &Route{conn: conn} }

// Answer answers probes and takes answers, until the connection ends, or at once if the other side has no probes.
func (r *Route) Answer() {
	for {
		b, err := r.conn.ReceiveDatagram(r.conn.Context())
		if err != nil {
			return
		}
		switch {
		case len(b) < 2 || b[1] >= pathProbes: // from a newer version
		case b[0] == pathProbe:
			_ = r.send(pathAnswer, b[1], b[1] == pathBack)
		case b[0] == pathAnswer:
			r.unanswered[b[1]].Store(0)
		}
	}
}

const (
	// packetMost is the largest packet that quic-go sends.
	packetMost = 1452
	// pathProbeInterval is how often a connection with traffic checks that large packets pass. pathLost lost ones in a row, while small
	// ones pass, end it: within an election timeout of a second, and with 5 % of random losses once in 10^10 checks. pathMoved is how many
	// bytes make a check due: more than a check itself takes. A connection without traffic looks for bytes pathIdle times between checks.
	pathProbeInterval = 100 * time.Millisecond
	pathLost          = 8
	pathMoved         = 8 << 10
	pathIdle          = 5
)

// send sends one datagram; a large one has the size of the connection's packets.
func (r *Route) send(what, kind byte, large bool) error {
	b := make([]byte, 2, packetMost)
	b[0], b[1] = what, kind
	if large {
		b = b[:cap(b)]
	}
	err := r.conn.SendDatagram(b)
	if most, ok := errors.AsType[*quic.DatagramTooLargeError](err); ok {
		err = r.conn.SendDatagram(b[:most.MaxDatagramPayloadSize])
	}
	return err
}

// Watch probes the path, until the connection ends or the path loses large packets: then it returns an error. It probes while data moves,
// and else once in idle. A lost probe is repeated each pathProbeInterval, or each two round trips if that is more. While
// no packets of the peer arrive, its process may stand still, and lost probes prove nothing. They prove nothing either if the host receives
// no packets: answers, unless it is nil, reports whether the host answers a first packet.
func (r *Route) Watch(idle time.Duration, answers func() bool) error {
	if state := r.conn.ConnectionState(); !state.SupportsDatagrams.Remote {
		return nil
	}
	var at, heard uint64 // bytes moved until the last probe, packets received until the last look
	alive := int32(0)    // looks at which packets had arrived, since the last answer of each kind
	last, wait := time.Now(), pathProbeInterval
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-r.conn.Context().Done():
			return nil
		case <-timer.C:
		}
		stats, now := r.conn.ConnectionStats(), time.Now()
		lost := max(r.unanswered[pathOut].Load(), r.unanswered[pathBack].Load())
		switch {
		case lost <= 1: // the last probe may still be answered
			alive = 0
		case stats.PacketsReceived > heard:
			alive++
		}
		heard = stats.PacketsReceived
		if lost >= pathLost && alive >= pathLost/4 {
			if answers == nil || answers() {
				pathStalls.Add(1)
				return fmt.Errorf("%d large packets in a row were lost while small ones pass: the path's MTU fell below this connection's packets", lost)
			}
			alive = 0
		}
		moved := stats.BytesSent + stats.BytesReceived
		wait = min(2*wait, max(pathProbeInterval, idle/pathIdle))
		if lost > 0 || moved-at >= pathMoved {
			wait = max(pathProbeInterval, 2*stats.SmoothedRTT)
		}
		if lost == 0 && moved-at < pathMoved && now.Sub(last) < idle {
			timer.Reset(wait)
			continue
		}
		for kind := range byte(pathProbes) {
			if r.unanswered[kind].Load() < 2*pathLost { // more would wait in the connection's queue
				r.unanswered[kind].Add(1)
				if err := r.send(pathProbe, kind, kind == pathOut); err != nil {
					return nil // the connection ended
				}
			}
		}
		stats = r.conn.ConnectionStats()
		at, last = stats.BytesSent+stats.BytesReceived, now
		timer.Reset(wait)
	}
}
