package client

import (
	"bytes"
	"context"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/net/wire"
)

// PutWith is Put with all options. The caller may reuse its slices when it returns.
func (c *Client) PutWith(ctx context.Context, p kv.Put) (Written, error) {
	x := c.newCall(ctx, wire.OpPut)
	x.body = kv.AppendPut(room(x.body, len(p.Key)+len(p.Value)+slotWeight), &p)
	return c.written(ctx, x)
}

// DeleteWith is DeleteRange with all options.
func (c *Client) DeleteWith(ctx context.Context, d kv.Delete) (Written, error) {
	x := c.newCall(ctx, wire.OpDelete)
	x.bulk = d.PrevKV && len(d.End) > 0
	x.body = kv.AppendDelete(x.body[:0], &d)
	return c.written(ctx, x)
}

// Txn makes a transaction. A transaction that is [kv.Txn.ReadOnly] is a read, also when it fails. Keys and values of its answer may
// have [limits.BodyBytes]: beyond that the result is an error, although a write was applied.
func (c *Client) Txn(ctx context.Context, t kv.Txn) (kv.TxnResult, error) {
	x := c.newCall(ctx, wire.OpTxn)
	x.write = !t.ReadOnly()
	x.bulk = t.Ranges()
	x.body = kv.AppendTxn(x.body[:0], &t)
	if err := tooLarge(x); err != nil {
		return kv.TxnResult{}, err
	}
	if err := c.do(ctx, x); err != nil {
		return kv.TxnResult{}, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(bytes.Clone(x.answer)) // the result's slices are parts of it
	var result *kv.TxnResult
	if err == nil {
		result, err = p.Txn()
	}
	switch {
	case err == nil:
		return *result, nil
	case x.write:
		err = unknown(x.op, x.where.Load(), err)
	}
	return kv.TxnResult{}, err
}

// Compact drops the history before a revision: it becomes the oldest revision that can be read.
func (a *Admin) Compact(ctx context.Context, revision int64) error {
	return a.c.change(ctx, wire.OpCompact, wire.Ask{Revision: revision})
}

// droppedPoll is how often WaitDropped asks: a member frees compacted data within milliseconds.
const droppedPoll = 20 * time.Millisecond

// WaitDropped waits until this client's member has freed the compacted data of the revisions before a compacted revision.
func (a *Admin) WaitDropped(ctx context.Context, revision int64) error {
	tick := time.NewTicker(droppedPoll)
	defer tick.Stop()
	for {
		status, err := a.Status(ctx, "")
		if err != nil {
			return err
		}
		if status.Get(figures.Dropped) == 1 && status.Get(figures.Oldest) >= revision {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// RevisionAt returns the newest revision that was written at a time or before it, by the clocks of the members. If it is compacted,
// the result is an Error with the code Compacted.
func (c *Client) RevisionAt(ctx context.Context, at time.Time, o ReadOptions) (int64, error) {
	answer, err := asked[wire.List[int64]](ctx, c, wire.OpRevisionAt, wire.Ask{Wall: at.UnixNano(), Serializable: o.Serializable})
	if err == nil && len(answer.All) != 1 {
		err = errShortTimes
	}
	if err != nil {
		return 0, err
	}
	return answer.All[0], nil
}
