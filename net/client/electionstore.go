package client

import (
	"context"
	"errors"
	"time"

	"qkv/index/kv"
)

// store implements election.Store for a cluster.
type store struct{ client *Client }

// pause is the pause between two attempts of a request that no member served.
const pause = 50 * time.Millisecond

// again reports, after a pause, whether a request that failed with err must be retried: no member served it within the client's own
// timeout, and ctx has time left.
func again(ctx context.Context, err error) bool {
	if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrClusterReplaced) || ctx.Err() != nil ||
		!errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrOutcomeUnknown) {
		return false
	}
	wait := time.NewTimer(pause)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
		return true
	}
}

// Txn implements [election.Store].
func (s store) Txn(ctx context.Context, t kv.Txn) (kv.TxnResult, error) {
	for {
		result, err := s.client.Txn(ctx, t)
		if !again(ctx, err) {
			return result, err
		}
	}
}

// Await implements [election.Store].
func (s store) Await(ctx context.Context, watches ...kv.Watch) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, len(watches))
	for _, one := range watches {
		go func() { ended <- s.awaitOne(ctx, one) }()
	}
	err := <-ended
	cancel()
	for range watches[1:] {
		<-ended
	}
	return err
}

func (s store) awaitOne(ctx context.Context, watch kv.Watch) error {
	for {
		err := s.await(ctx, watch)
		if _, ok := errors.AsType[*CompactedError](err); ok {
			return nil
		}
		if !again(ctx, err) {
			return err
		}
	}
}

func (s store) await(ctx context.Context, watch kv.Watch) error {
	w, err := s.client.Watch(ctx, watch)
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		response, err := w.Next()
		if err != nil || len(response.Events) > 0 {
			return err
		}
	}
}
