package node

import (
	"context"
	"testing"

	"qkv/internal/limits"
	"qkv/log/disk"
)

// SmallParts are limits for many snapshots with many parts.
func SmallParts() limits.Tunable { return smallParts() }

// BranchWithSmallParts is Branch with these limits.
func BranchWithSmallParts(ctx context.Context, c Config, fill Fill, parts func() disk.FS) (*Node, error) {
	return branchOn(ctx, c, disk.OS(), smallParts(), fill, parts)
}

// StartWithSmallParts is Start with limits for many snapshots with many parts.
func StartWithSmallParts(ctx context.Context, c Config) (*Node, error) {
	return StartWithParts(ctx, c, smallParts().Index.ExtentBytes)
}

// StartWithParts is StartWithSmallParts with parts of that size.
func StartWithParts(ctx context.Context, c Config, size int64) (*Node, error) {
	l := smallParts()
	l.Index.ExtentBytes = size
	return start(ctx, c, disk.OS(), l, nil)
}

// ReadFiles has the member read all of its files, and returns the result.
func (n *Node) ReadFiles(t *testing.T) filesRead {
	t.Helper()
	return readAgain(t, n.scrubber)
}
