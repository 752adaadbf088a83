package client

import (
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"time"

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
	c.learnAt = time.Now().Add(c.config.learnEvery + rand.N(c.config.learnEvery))
	known := c.endpointsLocked()
	maps.DeleteFunc(c.notes, func(endpoint string, _ note) bool { return !slices.Contains(known, endpoint) })
}

// learnAgain asks the current member for its status when the members may have changed since the last one. It is called
// while calls are under way.
func (c *Client) learnAgain(now time.Time) {
	k := c.current.Load()
	c.mu.Lock()
	due := k != nil && !c.config.NoDiscovery && !now.Before(c.learnAt)
	if due {
		c.learnAt = now.Add(c.config.learnEvery) // whatever comes of it
	}
	c.mu.Unlock()
	if !due {
		return
	}
	x := c.newCall(c.ctx, wire.OpStatus)
	x.attempts = attemptsLast
	x.done = func(x *call) {
		if x.err != nil {
			return
		}
		if p, err := wire.ReadResponse(x.answer); err == nil {
			if status, err := p.Status(); err == nil {
				c.learn(&status)
			}
		}
	}
	if !k.streams[smallStream].send(x) {
		x.recycle()
	}
}

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
