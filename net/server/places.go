package server

import (
	"time"

	"qkv/net/wire"
)

// identity is who opens connections: all clients that show certificates of one name.
type identity struct {
	name  wire.Identity
	share *share
	conns map[*conn]struct{}
}

// place makes room for one more connection of an identity, in a full server, or says that there is none. It returns
// the connection whose place it is: the one that was idle for longest among those of the identity that has most. From an
// identity that has more than the newcomer's any connection may be taken, so that one identity cannot lock out the
// others; from its own only one that has been idle for the time given, so that it does not take its own connections
// away from under each other.
func place(all map[wire.Identity]*identity, own *identity, now time.Time, idle time.Duration) *conn {
	from := own
	for _, other := range all {
		if len(other.conns) > len(from.conns) {
			from = other
		}
	}
	least := time.Duration(0)
	if from == own || len(from.conns) <= len(own.conns)+1 {
		from, least = own, idle
	}
	var longest *conn
	for c := range from.conns {
		if d := c.idle(now); d >= least {
			longest, least = c, d
		}
	}
	return longest
}
