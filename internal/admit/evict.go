package admit

import (
	"iter"
	"math"
	"time"
)

const evictSample = 128

// Evict chooses the connection that a full port closes for a new connection of a client. clients are the connections of each client, and own
// is the number of this client's. idle is how long a connection has been idle: negative while it serves a request.
//
//  1. If another client has the most connections, and at least two more than this client, one of its connections is closed, even if all
//     serve requests: no client keeps out the others.
//  2. Otherwise one of the unused connections is closed, if it has been idle for at least least: a client does not close its own connections
//     that are in use.
//
// The one that has been idle for longest goes, of a random sample of evictSample connections. Each new connection of a flood makes a search:
// one of all 8,192 connections took half a millisecond.
func Evict[C comparable](clients iter.Seq[map[C]struct{}], own int, unused map[C]struct{}, least time.Duration, idle func(C) time.Duration) (evicted C, ok bool) {
	from := unused
	var most map[C]struct{}
	for one := range clients {
		if len(one) > len(most) {
			most = one
		}
	}
	if len(most) > own+1 {
		from, least = most, math.MinInt64
	}
	seen := 0
	for c := range from { // in a random order
		if d := idle(c); d >= least {
			evicted, least, ok = c, d, true
		}
		if seen++; seen == evictSample {
			break
		}
	}
	return evicted, ok
}
