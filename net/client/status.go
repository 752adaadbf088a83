package client

import (
	"context"
	"errors"

	"qkv/index/kv"
	"qkv/net/wire"
)

// Status returns what the member at an endpoint, host:port, says of itself: its role, its leader and its alarms. It needs no user, and
// members answer it while they start, or without a quorum. With no endpoint, this client's member is asked, as any call does.
//
// A given endpoint may be any member's, also of another cluster. It is tried once, for 2 s until it answers, and for at most
// Config.Timeout, even if ctx lasts longer. If it does not answer, the result is an UnavailableError.
func (a *Admin) Status(ctx context.Context, endpoint string) (kv.Status, error) {
	if endpoint == "" {
		return a.c.statusOfAny(ctx)
	}
	a.c.mu.Lock()
	if a.c.closed {
		a.c.mu.Unlock()
		return kv.Status{}, ErrClosed
	}
	a.c.running.Add(1)
	a.c.mu.Unlock()
	defer a.c.running.Add(-1)

	ctx, cancel := context.WithTimeout(ctx, a.c.config.Timeout)
	defer cancel()
	defer context.AfterFunc(a.c.ctx, cancel)()
	if k := a.c.current.Load(); k != nil && k.endpoint == endpoint {
		if status, err := k.status(ctx, a.c.newCall(ctx, wire.OpStatus)); err == nil || ctx.Err() != nil {
			return status, a.c.endedAt(ctx, wire.OpStatus, endpoint, err)
		}
	}
	k, err := a.c.dialEndpoint(ctx, endpoint)
	if err != nil {
		return kv.Status{}, a.c.endedAt(ctx, wire.OpStatus, endpoint, err)
	}
	defer k.fail(errDone)
	return k.member, nil
}

// Readmit lifts the suspension of the member with this id, which must be the member at the endpoint. It accepts the loss of the member's
// forgotten data: an acknowledged write that relied on this member may be lost. The code of the error is BadRequest if that member is
// another one, or is not suspended. The endpoint is tried once, as by [Admin.Status]; a request without an answer has an unknown outcome.
func (a *Admin) Readmit(ctx context.Context, endpoint string, member uint64) error {
	ctx, cancel := context.WithTimeout(ctx, a.c.config.Timeout)
	defer cancel()
	x := a.c.newCall(ctx, wire.OpReadmit)
	x.body = wire.AppendAsk(x.body[:0], &wire.Ask{Member: member})
	return a.c.askAt(ctx, endpoint, x, func(*wire.Response) error { return nil })
}

// askAt sends a request to the member at an endpoint, once, and reads its answer.
func (l *link) askAt(ctx context.Context, endpoint string, x *call, read func(*wire.Response) error) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		x.recycle()
		return ErrClosed
	}
	l.running.Add(1)
	l.mu.Unlock()
	defer l.running.Add(-1)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	op := x.op
	k, err := l.dialEndpoint(ctx, endpoint)
	if err != nil {
		x.recycle()
		return l.endedAt(ctx, op, endpoint, err)
	}
	defer k.fail(errDone)
	if err := l.logIn(ctx, k); err != nil {
		x.recycle()
		return l.endedAt(ctx, op, endpoint, err)
	}
	err = k.ask(ctx, x, read)
	if op.Write() && err != nil && ctx.Err() != nil && !errors.Is(err, ErrOutcomeUnknown) {
		return unknown(op, k, err)
	}
	return l.endedAt(ctx, op, endpoint, err)
}

// endedAt returns the error of a request to the member at an endpoint alone, as the table in doc.go has it. The request certainly changed
// nothing, or err says that its outcome is unknown.
func (l *link) endedAt(ctx context.Context, op wire.Op, endpoint string, err error) error {
	switch {
	case err == nil || isAnswer(err) || errors.Is(err, ErrOutcomeUnknown):
		return err
	case l.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Cause(ctx)
	default:
		return &UnavailableError{Op: op.String(), Endpoints: []EndpointError{{endpoint, err}}}
	}
}

func (c *Client) statusOfAny(ctx context.Context) (kv.Status, error) {
	x := c.newCall(ctx, wire.OpStatus)
	if err := c.do(ctx, x); err != nil {
		return kv.Status{}, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return kv.Status{}, err
	}
	return wire.ReadAnswer[kv.Status](&p)
}
