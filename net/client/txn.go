package client

import (
	"bytes"
	"context"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/net/wire"
)

// PutWith is [Client.Put] with options: a lease, the previous pair, or the key's present value or lease. If the lease does not exist, the
// result is an Error with the code LeaseNotFound. If p keeps the value or the lease of a missing key, its code is KeyNotFound.
func (c *Client) PutWith(ctx context.Context, p kv.Put) (Written, error) {
	x := c.newCall(ctx, wire.OpPut)
	x.body = kv.AppendPut(room(x.body, len(p.Key)+len(p.Value)+slotWeight), &p)
	return c.written(ctx, x)
}

// DeleteWith is [Client.DeleteRange] with options: d.PrevKV returns the deleted pairs.
func (c *Client) DeleteWith(ctx context.Context, d kv.Delete) (Written, error) {
	x := c.newCall(ctx, wire.OpDelete)
	x.body = kv.AppendDelete(x.body[:0], &d)
	return c.written(ctx, x)
}

// Txn makes a transaction: all of it happens, at one revision, or nothing. Comparisons that do not hold are not an error: Succeeded is
// false then, and the Failure list was applied. The result has one answer for each operation of the applied list, in its order.
//
// Each list may have 128 entries: beyond that the code of the error is TooManyOperations. It is DuplicateKey if a list changes a key twice.
// The whole transaction may have as many bytes as a put. Keys and values of the answer may have 17 MiB: beyond that the result is an Error
// with the code AnswerTooLarge, although a write was applied. A transaction whose lists have only ranges is retried as a read.
func (c *Client) Txn(ctx context.Context, t kv.Txn) (kv.TxnResult, error) {
	x := c.newCall(ctx, wire.OpTxn)
	x.write = !t.ReadOnly()
	x.bulk = !x.write && t.Ranges()
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

// Compact drops the history before a revision: it becomes the oldest revision that can be read or watched. The newest version of a key is
// never dropped. The error's code is Compacted if that or a later revision is the oldest already, and FutureRevision if the revision does
// not exist yet. Members free the space afterwards: see [Admin.WaitDropped].
func (a *Admin) Compact(ctx context.Context, revision int64) error {
	return a.c.change(ctx, wire.OpCompact, wire.Ask{Revision: revision})
}

// droppedPoll is how often WaitDropped asks: a member frees compacted data within milliseconds.
const droppedPoll = 20 * time.Millisecond

// WaitDropped waits until this client's member has freed the space of the revisions before revision, which must be the revision of an
// earlier [Admin.Compact]. It waits as long as ctx lasts, even over Config.Timeout, and returns the cause of ctx when that ends. If ctx has
// no deadline, and no member answers for Config.Timeout, the result is an UnavailableError.
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

// RevisionAt returns the newest revision that was written at a time or before it, by the clocks of the members, to the millisecond. For a
// time in the future that is the newest revision. The error's code is Compacted if that revision is compacted. It is BadRequest if the time
// determines no revision, because the members' clocks contradicted each other then, or the revisions were imported.
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
