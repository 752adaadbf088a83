package server

import (
	"time"

	"qkv/net/wire"
)

// identity is an owner of connections: all clients whose certificates have one name.
type identity struct {
	name  wire.Identity
	share *memoryBudget
	conns map[*conn]struct{}
}

// place chooses the connection to replace when a full server gets a new one; nil if there is none. It is the connection that was
// idle for longest, of the identity with the most connections. If that identity has more connections than the new connection's own,
// any of its connections may be replaced: one identity cannot lock out the others. If it is the own identity, the connection must
// have been idle for at least idle: an identity does not close its own connections that are in use.
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
