package client

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// learn stores the endpoints in a member's status, in place of the earlier ones: an endpoint that is missing there is not a
// member's any more. The status of a member that does not serve only adds endpoints, since that member may have missed changes of
// the membership.
func (l *link) learn(s *kv.Status) {
	l.learnClock(s)
	if l.config.NoDiscovery {
		return
	}
	var told []string
	add := func(addresses []string) {
		for _, address := range addresses {
			if len(told) < endpointsTold && !slices.Contains(told, address) && usable(address) {
				told = append(told, address)
			}
		}
	}
	for _, m := range s.Members {
		add(m.Clients)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !serves(s) {
		add(l.told)
	}
	l.told = told
	l.learned = slices.DeleteFunc(slices.Clone(l.told), func(address string) bool { return slices.Contains(l.config.Endpoints, address) })
	l.known.Store(int64(len(l.config.Endpoints) + len(l.learned)))
	known := l.endpointsLocked()
	maps.DeleteFunc(l.notes, func(endpoint string, _ note) bool { return !slices.Contains(known, endpoint) })
}

// orderLocked returns the order in which endpoints are dialled. The configured endpoints of known members come first. Then learned
// endpoints alternate with configured endpoints that no member reports. Members may have moved away from the latter, or be
// reachable only there, behind a name or another network.
func (l *link) orderLocked() []string {
	given := slices.Concat(l.config.Endpoints[l.first:], l.config.Endpoints[:l.first])
	learned := slices.Clone(l.learned)
	if !l.config.InOrder { // spreads the clients of a lost member over the others
		rand.Shuffle(len(learned), func(i, j int) { learned[i], learned[j] = learned[j], learned[i] })
	}
	order := make([]string, 0, len(given)+len(learned))
	for _, endpoint := range given {
		if slices.Contains(l.told, endpoint) {
			order = append(order, endpoint)
		}
	}
	for _, endpoint := range given {
		if slices.Contains(l.told, endpoint) {
			continue
		}
		if len(learned) > 0 {
			order, learned = append(order, learned[0]), learned[1:]
		}
		order = append(order, endpoint)
	}
	order = append(order, learned...)
	for _, endpoint := range l.left {
		if i := slices.Index(order, endpoint); i >= 0 {
			order = append(slices.Delete(order, i, i+1), endpoint)
		}
	}
	return order
}

// leaveLocked puts an endpoint after all others, including the endpoints that were left shortly before. If only the last one came
// last, two members that cannot serve would send the client back and forth, and it would never try a third. If a member has served
// for leftFor, the earlier endpoints in left are dialled in normal order again.
func (l *link) leaveLocked(endpoint string, now time.Time) {
	if now.Sub(l.leftAt) >= leftFor {
		l.left = nil
	}
	known := l.endpointsLocked()
	l.left = append(slices.DeleteFunc(l.left, func(other string) bool { return other == endpoint || !slices.Contains(known, other) }), endpoint)
	l.leftAt = now
}

// listen reads the member's pushes, each on a stream of its own: its status, after a change of the members or an advance of the
// session clock. A member that this client has left may lag: its pushes are ignored as long as there is another member.
func (k *conn) listen() {
	for {
		qs, err := k.qc.AcceptUniStream(k.qc.Context())
		if err != nil {
			return // the connection is over
		}
		status, err := readTold(qs)
		switch _, reset := errors.AsType[*quic.StreamError](err); {
		case reset: // the member repeats the push
		case err != nil:
			k.fail(wire.Explain(err))
			return
		default:
			if current := k.link.current.Load(); current == k || current == nil {
				k.link.learn(&status)
			}
		}
	}
}

// readTold reads the one frame of a stream that a member has opened.
func readTold(from io.Reader) (kv.Status, error) {
	frames := wire.NewFrameReader(from, limits.ResponseBytes)
	for {
		if err := frames.Fill(); err != nil {
			if err == io.EOF {
				err = fmt.Errorf("%w: the stream ended without a frame", wire.ErrFrame)
			}
			return kv.Status{}, err
		}
		frame, err := frames.Next()
		if err != nil {
			return kv.Status{}, err
		}
		if frame != nil {
			p, err := wire.ReadResponse(frame)
			if err != nil {
				return kv.Status{}, err
			}
			return wire.ReadAnswer[kv.Status](&p)
		}
	}
}

// serves reports whether a member has started and knows a leader, and so the cluster's decisions. Requests to a member that still
// starts wait until it has applied what it missed.
func serves(s *kv.Status) bool { return s.Stage == "" && (s.Leader != 0 || s.Role == "leader") }

func usable(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return false
	}
	ip := net.ParseIP(host)
	return host != "" && (ip == nil || !ip.IsUnspecified())
}
