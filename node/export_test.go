package node

import (
	"context"

	"qkv/log/disk"
)

// StartWithSmallParts is Start with limits for many snapshots with many parts.
func StartWithSmallParts(ctx context.Context, c Config) (*Node, error) {
	return start(ctx, c, disk.OS(), smallParts())
}
