package client

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"

	"github.com/quic-go/quic-go"

	"qkv/internal/limits"
	"qkv/net/wire"
)

// learn keeps the endpoints that a member's status tells, in the place of those that were told before: who is gone from
// it is no member any more. What one without a leader tells is only added, since changes of the membership may have
// passed it by.
func (c *Client) learn(s *wire.Status) {
	if c.config.NoDiscovery {
		return
	}
	var told []string
	add := func(addresses []string) {
		for _, address := range addresses {
			if !slices.Contains(c.config.Endpoints, address) && !slices.Contains(told, address) && usable(address) {
				told = append(told, address)
			}
		}
	}
	for _, m := range s.Members {
		add(m.Clients)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !led(s) {
		add(c.learned)
	}
	c.learned = told[:min(len(told), learnedMost)]
	c.known.Store(int64(len(c.config.Endpoints) + len(c.learned)))
	known := c.endpointsLocked()
	maps.DeleteFunc(c.notes, func(endpoint string, _ note) bool { return !slices.Contains(known, endpoint) })
}

// listen takes what the member tells unasked, each on a stream of its own: its status, when the members have changed. A
// member that this client has left may be behind, and is not believed as long as there is another.
func (k *conn) listen() {
	for {
		qs, err := k.qc.AcceptUniStream(k.qc.Context())
		if err != nil {
			return // the connection is over
		}
		status, err := readTold(qs)
		switch _, reset := errors.AsType[*quic.StreamError](err); {
		case reset: // it is told again
		case err != nil:
			k.fail(wire.Explain(err))
			return
		default:
			if current := k.client.current.Load(); current == k || current == nil {
				k.client.learn(&status)
			}
		}
	}
}

// readTold reads the one frame of a stream that a member has opened.
func readTold(from io.Reader) (wire.Status, error) {
	frames := wire.NewFrameReader(from, limits.ResponseBytes)
	for {
		if err := frames.Fill(); err != nil {
			if err == io.EOF {
				err = fmt.Errorf("%w: a stream without one", wire.ErrFrame)
			}
			return wire.Status{}, err
		}
		frame, err := frames.Next()
		if err != nil {
			return wire.Status{}, err
		}
		if frame != nil {
			p, err := wire.ReadResponse(frame)
			if err != nil {
				return wire.Status{}, err
			}
			return p.Status()
		}
	}
}

// toldMost is how many statuses of a member may be on their way unasked.
const toldMost = 4

// led says that a member knows a leader, and so what the cluster decides.
func led(s *wire.Status) bool { return s.Leader != 0 || s.Role == "leader" }

// learnedMost bounds how many endpoints a member can make the client know.
const learnedMost = 64

func usable(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return false
	}
	ip := net.ParseIP(host)
	return host != "" && (ip == nil || !ip.IsUnspecified())
}
