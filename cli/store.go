package cli

import (
	"context"
)

// store is what the commands need of a cluster; the client library is behind it.
type store interface {
	put(ctx context.Context, key, value []byte) (revision int64, err error)
	get(ctx context.Context, q query) (*pairs, error)
	del(ctx context.Context, key, end []byte) (deleted, revision int64, err error)
	status(ctx context.Context) ([]memberStatus, error)
	close() error
}

// query is a range: a key alone when end is empty, [key, end) otherwise, and all from key on when end is a zero byte.
type query struct {
	key, end                          []byte
	revision, limit                   int64
	serializable, keysOnly, countOnly bool
}

// memberStatus is what one member says of itself, or why it could not be asked.
type memberStatus struct {
	Name          string `json:"name"`
	ID            string `json:"id"`
	Version       string `json:"version"`
	Role          string `json:"role"`
	Term          uint64 `json:"term"`
	CommitIndex   uint64 `json:"commit_index"`
	AppliedIndex  uint64 `json:"applied_index"`
	Revision      int64  `json:"revision"`
	Keys          int64  `json:"keys"`
	LogBytes      int64  `json:"log_bytes"`
	SnapshotBytes int64  `json:"snapshot_bytes"`
	Digest        string `json:"digest"`
	Error         string `json:"error"`
}
