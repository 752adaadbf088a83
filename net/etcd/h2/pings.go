package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// pings judges a client's pings, as grpc-go does: the connection of a client that pings too often ends at the third time, unless the server
// has sent something meanwhile.
type pings struct {
	at      time.Time
	strikes int
}

const pingStrikes = 2

// pingIdle is the shortest interval while the client has no stream.
const pingIdle = 2 * time.Hour

func (p *pings) ping(c *conn) error {
	now := time.Now()
	least := c.server.config.PingLeast
	c.mu.Lock()
	if len(c.streams) == 0 {
		least = pingIdle
	}
	if c.answered {
		c.answered, p.at, p.strikes = false, time.Time{}, 0
	}
	c.mu.Unlock()
	early := !p.at.IsZero() && now.Sub(p.at) < least
	p.at = now
	if early {
		if p.strikes++; p.strikes > pingStrikes {
			return tooManyPings
		}
	}
	return nil
}

// tooManyPings is the error that gRPC's clients know.
var tooManyPings = pingError{}

type pingError struct{}

func (pingError) Error() string { return "too_many_pings" }

func (pingError) Unwrap() error { return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm) }
