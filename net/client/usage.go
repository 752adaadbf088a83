package client

import (
	"context"
	"errors"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// usageTries is how many times in a row one call of Usage begins to add up.
const usageTries = 5

// Usage returns the usage of all groups, which must fit into memory, as of one revision. A member streams the keys without their
// values, and the client adds them up; writes go on meanwhile. If the member stops, or if history is compacted after the stream has
// released its state (see Pages), it begins again.
func (a *Admin) Usage(ctx context.Context, q kv.Usage) (kv.UsageResult, error) {
	if err := q.Check(kv.Bounds{Key: limits.KeyBytes}); err != nil {
		return kv.UsageResult{}, err
	}
	for tries := 1; ; tries++ {
		// This question needs no permission. It finds a member that answers, and confirms that it has everything that was written before.
		if _, err := asked[kv.AuthStatus](ctx, a.c, wire.OpAuthStatus, wire.Ask{Serializable: q.Serializable}); err != nil {
			return kv.UsageResult{}, err
		}
		all, again, err := a.c.usageOnce(ctx, &q)
		if !again || tries == usageTries {
			return all, err
		}
	}
}

// usageOnce asks the current member. again says that another attempt may succeed.
func (c *Client) usageOnce(ctx context.Context, q *kv.Usage) (all kv.UsageResult, again bool, err error) {
	of := q.Range()
	s := c.openPages(ctx, &of)
	if s == nil {
		return all, true, errStopping
	}
	defer s.close()
	for {
		page, err := s.next(ctx)
		if err == nil {
			err = all.Add(q, &page)
		}
		if err != nil {
			answer, is := errors.AsType[*kv.Error](err)
			return kv.UsageResult{}, ctx.Err() == nil && (is && answer.Code == kv.Compacted || resumable(err)), err
		}
		if !page.More {
			return all, false, nil
		}
	}
}
