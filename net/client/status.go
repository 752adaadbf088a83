package client

import (
	"context"
	"errors"

	"qkv/net/wire"
)

// Status is what one member says of itself.
type Status = wire.Status

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
	defer c.running.Add(-1)

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

// Unban lifts the quarantine of the member with an id, which must be the one that serves at the endpoint. What that
// member forgot may be lost by it: a write that it acknowledged counts on its word no more.
func (c *Client) Unban(ctx context.Context, endpoint string, member uint64) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	x := c.newCall(ctx, wire.OpUnban)
	x.body = wire.AppendUnbanBody(x.body[:0], member)
	return c.askAt(ctx, endpoint, x)
}

// askAt asks the member at an endpoint, once, for what has no answer but that it is done.
func (c *Client) askAt(ctx context.Context, endpoint string, x *call) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		x.recycle()
		return ErrClosed
	}
	c.running.Add(1)
	c.mu.Unlock()
	defer c.running.Add(-1)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	op := x.op
	k, err := c.dialEndpoint(ctx, endpoint)
	if err != nil {
		x.recycle()
		return &UnavailableError{Op: op.String(), Endpoints: []EndpointError{{endpoint, err}}}
	}
	defer k.fail(errDone)
	err = k.ask(ctx, x, func(*wire.Response) error { return nil })
	if op.Write() && err != nil && ctx.Err() != nil && !errors.Is(err, ErrOutcomeUnknown) {
		return unknown(op, k, err)
	}
	return err
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
