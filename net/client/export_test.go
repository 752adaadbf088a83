package client

import (
	"context"
	"time"
)

// PacketsLost is how many packets the current connection took for lost, and sent.
func (c *Client) PacketsLost() (lost, sent uint64) {
	k := c.current.Load()
	if k == nil {
		return 0, 0
	}
	stats := k.qc.ConnectionStats()
	return stats.PacketsLost, stats.PacketsSent
}

// LearnEvery returns a configuration with which the client asks so often who the members are.
func LearnEvery(c Config, every time.Duration) Config {
	c.learnEvery = every
	return c
}

// DialEndpoint returns why an endpoint cannot be dialled.
func DialEndpoint(ctx context.Context, c *Client, endpoint string) error {
	k, err := c.dialEndpoint(ctx, endpoint)
	if (k == nil) == (err == nil) {
		panic("neither a connection nor an error, or both")
	}
	return err
}
