package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// TimesOf returns when revisions were written, by the clocks of the members that proposed them, to the millisecond. The result has one time
// for each revision, in the same order. A revision that is compacted, imported, or does not exist yet has the zero time.
func (c *Client) TimesOf(ctx context.Context, revisions []int64) ([]time.Time, error) {
	all := make([]time.Time, 0, len(revisions))
	for len(all) < len(revisions) {
		part := revisions[len(all):]
		part = part[:min(len(part), limits.TimesAsked)]
		answer, err := asked[wire.List[int64]](ctx, c, wire.OpTimesOf, wire.Ask{Revisions: part})
		if err == nil && len(answer.All) != len(part) {
			err = errShortTimes
		}
		if err != nil {
			return nil, err
		}
		for _, wall := range answer.All {
			at := time.Time{}
			if wall != 0 {
				at = time.Unix(0, wall)
			}
			all = append(all, at)
		}
	}
	return all, nil
}

var errShortTimes = errors.New("the member answered for other revisions than the requested ones")

// changesPoll is how often Changes requests the member's progress: the answer is lost with a connection.
const changesPoll = time.Second

// Changes yields the deliveries of a watch from request.Revision on, up to the newest revision at the beginning of the iteration; then it
// ends. With request.Revision 0 it yields nothing. It is linearizable: each write that was acknowledged before is among the changes. It
// goes on through failovers, as a watch does, for as long as ctx lasts. An error is the last element, such as a [CompactedError].
func (c *Client) Changes(ctx context.Context, request kv.Watch) iter.Seq2[WatchResponse, error] {
	return func(yield func(WatchResponse, error) bool) {
		w, err := c.Watch(ctx, request)
		if err != nil {
			yield(WatchResponse{}, err)
			return
		}
		defer w.Close()
		// linearizable: the member of the watch may lag
		newest, err := c.Range(ctx, kv.Range{Key: request.Key, CountOnly: true})
		if err != nil {
			yield(WatchResponse{}, err)
			return
		}
		last := newest.Revision
		if request.Revision == 0 || request.Revision > last {
			return
		}
		c.RequestProgress()
		again := time.NewTicker(changesPoll)
		defer again.Stop()
		done := make(chan struct{})
		defer close(done)
		c.start(func() {
			for {
				select {
				case <-again.C:
					c.RequestProgress()
				case <-done:
					return
				case <-c.ctx.Done():
					return
				}
			}
		})
		for response, err := range w.All() {
			over := response.Revision >= last
			for n := len(response.Events); n > 0 && response.Events[n-1].KV.ModRevision > last; n-- {
				response.Events = response.Events[:n-1]
			}
			if err != nil || len(response.Events) > 0 {
				if !yield(response, err) {
					return
				}
			}
			if over || err != nil {
				return
			}
		}
	}
}

// Versions yields the kept history of a key: its puts and deletions, oldest first, up to the newest revision at the beginning of the
// iteration. The first version may be older than the oldest revision that can be read, if the key had it then. A key that never existed has
// none, and that is no error. The events have no Before. An error is the last element.
func (c *Client) Versions(ctx context.Context, key []byte) iter.Seq2[kv.WatchEvent, error] {
	return func(yield func(kv.WatchEvent, error) bool) {
		for {
			told, err := c.versions(ctx, key, func(e kv.WatchEvent) bool { return yield(e, nil) })
			if answer, ok := errors.AsType[*kv.Error](err); ok && !told && answer.Code == kv.Compacted && ctx.Err() == nil {
				continue // more was compacted since the member was asked
			}
			if err != nil {
				yield(kv.WatchEvent{}, err)
			}
			return
		}
	}
}

func (c *Client) versions(ctx context.Context, key []byte, f func(kv.WatchEvent) bool) (told bool, err error) {
	status, err := c.Admin().Status(ctx, "")
	if err != nil {
		return false, err
	}
	oldest := max(status.Get(figures.Oldest), 1)
	first, err := c.Range(ctx, kv.Range{Key: key, Revision: oldest})
	switch {
	case err != nil:
		return false, err
	case len(first.KVs) > 0 && first.KVs[0].ModRevision < oldest:
		e := kv.WatchEvent{}
		e.KV = first.KVs[0]
		if told = true; !f(e) {
			return told, nil
		}
	}
	for response, err := range c.Changes(ctx, kv.Watch{Key: key, Revision: oldest}) {
		if err != nil {
			return told, err
		}
		for _, e := range response.Events {
			if told = true; !f(e) {
				return told, nil
			}
		}
	}
	return told, nil
}
