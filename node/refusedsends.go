package node

import (
	"fmt"
	"maps"
	"syscall"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

// refusedSends makes the notice NETWORK. Its text is renewed once per sendErrorsNotice while datagrams are refused, and ends after
// that time without any.
type refusedSends struct {
	text string
	next time.Duration            // when text is renewed or ends
	seen map[syscall.Errno]uint64 // when text was made
	line pause                    // of the log line
}

const (
	// sendErrorsNotice is how long the notice NETWORK lasts after datagrams were refused. sendErrorsFew is the number that raises it: Linux
	// sometimes refuses the first datagram of a socket.
	sendErrorsNotice = time.Minute
	sendErrorsFew    = 3
)

// look returns the notice, or an empty text, for the number of refused datagrams since the start.
func (r *refusedSends) look(counts map[syscall.Errno]uint64, now time.Duration) string {
	if now < r.next {
		return r.text
	}
	var most syscall.Errno
	var refused uint64 // with that error
	for errno, n := range counts {
		if n -= r.seen[errno]; n > refused || n == refused && errno < most {
			most, refused = errno, n
		}
	}
	r.text = ""
	if refused >= sendErrorsFew {
		r.text = fmt.Sprintf("the kernel of this host refused to send %d datagrams: %v (%s); they count as lost, and requests take longer; %s",
			refused, most, wire.ErrnoName(most), wire.SendRemedy(most))
		r.next, r.seen = now+sendErrorsNotice, maps.Clone(counts)
	}
	return r.text
}

// noticeSends raises, ends and logs the notice NETWORK.
func (m *member) noticeSends() {
	now := m.env.Driver.Time().Now
	text := m.duty.sends.look(wire.SendErrors(), now)
	m.status.Alarm(kv.Alarm{Name: kv.NetworkNotice, Text: text})
	if text != "" && m.duty.sends.line.due(now) {
		m.logger.Warn(text)
	}
}
