package node

import (
	"context"

	"qkv/log/disk"
)

// StartWithSmallParts is Start with limits for many snapshots with many parts.
func StartWithSmallParts(ctx context.Context, c Config) (*Node, error) {
	return StartWithParts(ctx, c, smallParts().Index.ExtentBytes)
}

// StartWithParts is StartWithSmallParts with parts of that size.
func StartWithParts(ctx context.Context, c Config, size int64) (*Node, error) {
	l := smallParts()
	l.Index.ExtentBytes = size
	return start(ctx, c, disk.OS(), l)
}
