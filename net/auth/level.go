package auth

import (
	"context"
	"time"

	"qkv/internal/limits"
)

// levelPoll is the polling interval of AwaitLevel.
const levelPoll = 5 * time.Millisecond

// AwaitLevel waits while the cluster's feature level is about to rise, as rises reports, for at most limits.LevelWait and until ctx ends. A
// new cluster permits changes of users a moment after its start, when its members have announced what they support.
func AwaitLevel(ctx context.Context, rises func() bool) {
	for until := time.Now().Add(limits.LevelWait); rises() && time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(levelPoll):
		}
	}
}
