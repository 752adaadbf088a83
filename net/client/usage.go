package client

import (
	"bytes"
	"context"
	"errors"

	"qkv/index/kv"
	"qkv/net/wire"
)

// usageTries is how many times in a row a member begins to count for one call of Usage.
const usageTries = 5

// Usage returns the usage of all groups, which must fit into memory, as of one revision. The member counts in short turns and holds up no
// writes. If it stops, another member counts again from the beginning; so it does if the history is compacted meanwhile.
func (c *Client) Usage(ctx context.Context, q Usage) (UsageResult, error) {
	for tries := 1; ; tries++ {
		// This question needs no permission. It finds a member that answers, and confirms that it has everything that was written before.
		if _, err := asked(ctx, c, wire.OpAuthStatus, wire.AppendMembersBody(nil, q.Serializable), wire.ReadAnswer[AuthStatus]); err != nil {
			return UsageResult{}, err
		}
		all, again, err := c.usageOnce(ctx, &q)
		if !again || tries == usageTries {
			return all, err
		}
	}
}

// usageOnce asks the current member. again says that another attempt may succeed.
func (c *Client) usageOnce(ctx context.Context, q *Usage) (all UsageResult, again bool, err error) {
	s := c.openStream(ctx, wire.OpUsage, wire.AppendUsageBody(nil, q))
	if s == nil {
		return all, true, errStopping
	}
	defer s.close()
	for {
		p, err := s.response(ctx)
		var page UsageResult
		if err == nil {
			page, err = p.Usage()
		}
		if err != nil {
			answer, is := errors.AsType[*kv.Error](err)
			return UsageResult{}, ctx.Err() == nil && (is && answer.Code == kv.Compacted || resumable(err)), err
		}
		all.Revision, all.Period = page.Revision, page.Period
		for _, row := range page.Rows {
			row.Prefix = bytes.Clone(row.Prefix) // out of the frame
			all.Rows = append(all.Rows, row)
		}
		if !page.More {
			return all, false, nil
		}
	}
}
