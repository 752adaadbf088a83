package client

import (
	"context"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// PutAsync begins a [Client.Put], for programs that keep many requests under way without a goroutine for each. It never waits, and calls
// done once, with the outcome. The caller may reuse key and value when PutAsync returns.
//
// done runs on a goroutine of the client that serves other calls too. It must be short, and must not wait for another call; it may begin
// further asynchronous calls. If the call fails at once, done runs before PutAsync returns, on the caller's goroutine: the caller must hold
// no lock that done takes.
//
// The call ends after Config.Timeout. While 16,384 calls wait for a connection, further asynchronous calls fail with [ErrOverloaded], and
// have certainly not happened: wait until some of the earlier ones are done.
func (c *Client) PutAsync(key, value []byte, done func(Written, error)) {
	x := c.newCall(context.Background(), wire.OpPut)
	x.body = kv.AppendPut(room(x.body, len(key)+len(value)+slotWeight), &kv.Put{Key: key, Value: value})
	c.writeAsync(x, done)
}

func (c *Client) writeAsync(x *call, done func(Written, error)) {
	if err := tooLarge(x); err != nil {
		done(Written{}, err)
		return
	}
	x.done = func(x *call) {
		if x.err != nil {
			done(Written{}, x.err)
			return
		}
		done(readWritten(x, x.response))
	}
	c.submit(x)
}

// GetAsync begins a [Client.Get], in the way of [Client.PutAsync]. The pair's slices are valid only while done runs.
func (c *Client) GetAsync(key []byte, o ReadOptions, done func(pair kv.KeyValue, found bool, err error)) {
	x := c.newCall(context.Background(), wire.OpRange)
	x.body = kv.AppendRange(x.body[:0], &kv.Range{Key: key, Serializable: o.Serializable})
	if err := tooLarge(x); err != nil {
		done(kv.KeyValue{}, false, err)
		return
	}
	x.done = func(x *call) {
		if x.err != nil {
			done(kv.KeyValue{}, false, x.err)
			return
		}
		var one [1]kv.KeyValue
		page := kv.RangeResult{KVs: one[:0]}
		err := x.response.Range(&page)
		if err != nil || len(page.KVs) == 0 {
			done(kv.KeyValue{}, false, err)
			return
		}
		done(page.KVs[0], true, nil)
	}
	c.submit(x)
}

// tooLarge refuses and recycles a call whose frame exceeds every member's limit.
func tooLarge(x *call) error {
	if len(x.body)+slotWeight <= limits.RequestBytes {
		return nil
	}
	err := kv.Errorf(kv.ValueTooLarge, "the request has %d bytes, over the limit of %d: a value may have %d",
		len(x.body), limits.RequestBytes, limits.ValueBytes)
	x.recycle()
	return err
}
