package client

import (
	"context"

	"qkv/index/kv"
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

// DialEndpoint returns why an endpoint cannot be dialled.
func DialEndpoint(ctx context.Context, c *Client, endpoint string) error {
	k, err := c.dialEndpoint(ctx, endpoint)
	if (k == nil) == (err == nil) {
		panic("neither a connection nor an error, or both")
	}
	return err
}

// DialOrder is the order in which the client would dial its endpoints.
func (c *Client) DialOrder() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orderLocked()
}

// Learn has the client hear of a status.
func Learn(c *Client, s *kv.Status) { c.learn(s) }

// Serving is the endpoint of the connection that calls go out on, or empty.
func (c *Client) Serving() string {
	if k := c.current.Load(); k != nil {
		return k.endpoint
	}
	return ""
}

// Bounds, for tests.
const (
	ClientWatchBytes = clientWatchBytes
	EndpointsTold    = endpointsTold
)
