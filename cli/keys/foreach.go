package keys

import (
	"context"
	"sync"
)

// forEach calls f for each item, with a number of workers, and returns the first error. After an error it starts no further call.
func forEach[T any](ctx context.Context, workers int, items []T, f func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan T)
	var all sync.WaitGroup
	for range min(workers, len(items)) {
		all.Go(func() {
			for item := range work {
				if ctx.Err() != nil {
					return
				}
				if err := f(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
feeding:
	for _, item := range items {
		select {
		case work <- item:
		case <-ctx.Done():
			break feeding
		}
	}
	close(work)
	all.Wait()
	return context.Cause(ctx)
}
