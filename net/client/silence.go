package client

import (
	"time"

	"github.com/quic-go/quic-go"
)

const (
	// silenceLeast and two round trips are the least time for which packets must be unanswered before a member's host is silent: a
	// living host acknowledges a packet within 25 ms and a round trip, or QUIC repeats the packet. silenceMost is the bound while the
	// link is not known, and where the client knows no other member; four round trips, if that is more.
	silenceLeast = 125 * time.Millisecond
	silenceMost  = 500 * time.Millisecond
	// answersLeast is the number of answers before a link is known.
	answersLeast = 40
	// silenceFactor is how many times the lateness of answers, packets must be unanswered. latenessFades is the number of answers after
	// which a lateness counts for a third.
	silenceFactor = 8
	latenessFades = 1000
	// probeAfter is the time without any packet after which the member is probed. An idle member is silent, too.
	probeAfter = silenceMost / 2
)

// silence tells a silent host from an idle one by the packets of a connection, while requests are under way. Only packets that were
// sent and not answered count, from the first one on. QUIC repeats them, so a second packet goes out within some 30 ms. Mere
// acknowledgements are never answered. A host is therefore silent only if it has not answered a probe for half of the time. A gap between two looks proves nothing: this process itself may have been paused.
//
// The time follows the link: it grows with the lateness that answers have shown, on a slow link and at a busy host. Under load answers
// come all the time, and show none: the round trip is added.
type silence struct {
	looked      time.Time // zero: no request was under way
	heard, sent uint64    // packets received until heardAt, and sent until then
	heardAt     time.Time // when the newest packet was noticed
	sentAt      time.Time // when a packet sent behind it was noticed; zero: none
	probedAt    time.Time // when a probe was asked for since heardAt; zero: not yet

	answers int           // looks that found one
	late    time.Duration // the latest of them, which fades
}

// rest says that no request is under way.
func (s *silence) rest() { s.looked = time.Time{} }

// look judges a connection. silent is above 0, for how long packets are unanswered, if the host is silent. probe asks for a packet that
// the member must answer. alone says that the client has no other member to turn to.
func (s *silence) look(now time.Time, stats quic.ConnectionStats, alone bool) (silent time.Duration, probe bool) {
	paused := now.Sub(s.looked) >= silenceLeast
	s.looked = now
	if stats.PacketsReceived != s.heard || paused {
		if !paused && stats.PacketsSent > s.sent {
			late := time.Duration(0) // within a look
			if !s.sentAt.IsZero() {
				late = now.Sub(s.sentAt)
			}
			s.answers++
			s.late = max(late, s.late-s.late/latenessFades)
		}
		s.heard, s.sent, s.heardAt, s.sentAt, s.probedAt = stats.PacketsReceived, stats.PacketsSent, now, time.Time{}, time.Time{}
		return 0, false
	}
	if s.sentAt.IsZero() && stats.PacketsSent > s.sent {
		s.sentAt = now
	}
	unanswered, most := time.Duration(0), s.timeout(stats, alone)
	if stats.PacketsSent >= s.sent+2 {
		unanswered = now.Sub(s.sentAt)
	}
	if s.probedAt.IsZero() {
		if unanswered < most/2 && now.Sub(s.heardAt) < probeAfter {
			return 0, false
		}
		s.probedAt = now
		return 0, true
	}
	if unanswered >= most && now.Sub(s.probedAt) >= most/2 {
		return unanswered, false
	}
	return 0, false
}

// timeout is for how long packets may be unanswered.
func (s *silence) timeout(stats quic.ConnectionStats, alone bool) time.Duration {
	most := max(silenceMost, 4*stats.SmoothedRTT)
	if alone || s.answers < answersLeast {
		return most
	}
	return min(max(silenceLeast+2*stats.SmoothedRTT, silenceFactor*s.late), most)
}
