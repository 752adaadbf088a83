package servertest

import (
	"math"
	"sync"
	"time"

	"qkv/index"
	"qkv/index/kv"
)

// leasePoll is how often ExpireLeases looks for leases that have ended.
const leasePoll = 10 * time.Millisecond

// leaseClock is when leases end, by the entry that granted each.
type leaseClock struct {
	mu   sync.Mutex
	ends map[uint64]time.Time // nil: leases do not end
}

// left returns the remaining seconds of a lease, and restarts its TTL if it is renewed.
func (c *leaseClock) left(l kv.Lease, renew bool) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends == nil {
		return l.TTL
	}
	now := time.Now()
	end, ok := c.ends[l.Granted]
	if !ok || renew && end.After(now) {
		end = now.Add(time.Duration(min(l.TTL, int64(math.MaxInt64/time.Second))) * time.Second)
		c.ends[l.Granted] = end
	}
	return int64((max(0, end.Sub(now)) + time.Second - 1) / time.Second)
}

// ExpireLeases makes leases end by a clock, as a leader's does, until the test ends.
func (m *Member) ExpireLeases(t T) {
	m.leases.ends = map[uint64]time.Time{}
	stop, ended := make(chan struct{}), make(chan struct{})
	tick := time.NewTicker(leasePoll)
	go func() {
		defer close(ended)
		for {
			select {
			case <-tick.C:
				m.revokeEnded()
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		tick.Stop()
		close(stop)
		<-ended
	})
}

// revokeEnded revokes the leases that have ended, and forgets those that are no more.
func (m *Member) revokeEnded() {
	var commands []kv.Command
	known := map[uint64]bool{}
	m.View().Leases(math.MinInt64, func(l kv.Lease) bool {
		if known[l.Granted] = true; m.leases.left(l, false) == 0 {
			commands = append(commands, index.AppendRevoke(nil, l.ID, 1, l.Granted))
		}
		return true
	})
	m.leases.mu.Lock()
	for granted := range m.leases.ends {
		if !known[granted] {
			delete(m.leases.ends, granted)
		}
	}
	m.leases.mu.Unlock()
	if len(commands) > 0 {
		m.store.apply(commands, func([]kv.Result) {})
	}
}
