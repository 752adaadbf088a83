//go:build !linux

package cluster

import (
	"context"

	"qkv/internal/checks"
)

const linuxOnly = "members run on Linux only"

// folderFacts examines no folder.
func folderFacts(_ context.Context, dir string) *checks.Folder {
	return &checks.Folder{Dir: dir, Error: linuxOnly, TimerSlackSkip: linuxOnly, ClockSkip: linuxOnly, UDPSkip: linuxOnly}
}
