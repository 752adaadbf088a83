package client

import (
	"context"
	"slices"

	"qkv/net/wire"
)

// Status is what one member says of itself.
type Status = wire.Status

// Member is one member of the cluster.
type Member = wire.Member

// Status asks the member at an endpoint what it says of itself; with no endpoint, the member that serves this
// client. An endpoint is tried once.
func (c *Client) Status(ctx context.Context, endpoint string) (Status, error) {
	if endpoint == "" {
		return c.statusOfAny(ctx)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Status{}, ErrClosed
	}
	c.running.Add(1)
	c.mu.Unlock()
	defer c.running.Done()

	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if k := c.current.Load(); k != nil && k.endpoint == endpoint {
		if status, err := k.status(ctx, c.newCall(ctx, wire.OpStatus)); err == nil || ctx.Err() != nil {
			return status, err
		}
	}
	k, err := c.dialEndpoint(ctx, endpoint)
	if err != nil {
		return Status{}, &UnavailableError{Op: wire.OpStatus.String(), Endpoints: []EndpointError{{endpoint, err}}}
	}
	defer k.fail(errDone)
	return k.member, nil
}

func (c *Client) statusOfAny(ctx context.Context) (Status, error) {
	x := c.newCall(ctx, wire.OpStatus)
	if err := c.do(ctx, x); err != nil {
		return Status{}, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return Status{}, err
	}
	return p.Status()
}

// Members returns the cluster's members with the addresses at which they serve clients.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	status, err := c.Status(ctx, "")
	return slices.Clone(status.Members), err
}
