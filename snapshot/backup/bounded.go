package backup

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"time"

	"qkv/internal/limits"
	"qkv/snapshot/backup/store"
)

// bounded is a store whose Get does not wait longer than a bound. A folder in a network's file system may hang, whatever the context says: such
// a read goes on in its goroutine, and nothing waits for it.
type bounded struct {
	store.Store
	wait   time.Duration
	slots  chan struct{} // of reads under way, some of which nothing waits for any more
	marked bool          // if an object and the backup's marker are missing, the place is away
}

// backupRead is how long a restore, a seed or a read of the history waits for filePiece bytes of an object of the backup: 90 KB/s. An object
// store that sends nothing is given up after 30 s; a folder in a network's file system may hang without an end.
const backupRead = 3 * time.Minute

func newBounded(s store.Store) bounded {
	return bounded{s, backupRead, make(chan struct{}, limits.ValueReads), false}
}

// Get implements store.Store.
func (b bounded) Get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	all, err := b.get(ctx, name, off, most)
	if errors.Is(err, iofs.ErrNotExist) && b.marked {
		if _, gone := b.get(ctx, markName, 0, 1); errors.Is(gone, iofs.ErrNotExist) {
			err = fmt.Errorf("%s holds no backup now: mount its disk again: %v", b.Path(""), gone)
		}
	}
	return all, err
}

// get is Get of any place.
func (b bounded) get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.wait, fmt.Errorf("no answer within %v", b.wait))
	defer cancel()
	type answer struct {
		b   []byte
		err error
	}
	got := make(chan answer, 1)
	select {
	case b.slots <- struct{}{}:
		go func() {
			defer func() { <-b.slots }()
			piece, err := b.Store.Get(ctx, name, off, most)
			got <- answer{piece, err}
		}()
	case <-ctx.Done():
	}
	select {
	case a := <-got:
		return a.b, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read %s: %w", b.Path(name), context.Cause(ctx))
	}
}
