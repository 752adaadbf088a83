package wire

import (
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/pack"
)

// Status is one member's report of its own state.
type Status struct {
	Name    string `msgpack:"name"`
	ID      uint64 `msgpack:"id"`
	Cluster uint64 `msgpack:"cluster"`
	Version string `msgpack:"version"`
	// Role is leader, follower, candidate, learner, or suspended: the member takes no part.
	Role           string      `msgpack:"role"`
	Leader         uint64      `msgpack:"leader"` // the leader's id as this member sees it; 0: none
	Digest         uint64      `msgpack:"digest"` // of the state at figures.Applied: equal on all members with the same Applied
	Stage          string      `msgpack:"stage"`  // starting: only status and members are answered; stale: reads of keys, too, by --serve-stale; empty once the member has started
	Interface      string      `msgpack:"nic"`    // towards the other members; of several the one with the smallest MTU
	Backup         string      `msgpack:"backup"` // the folder of the backup that this member makes while it leads; empty: it makes none
	Alarms         []kv.Alarm  `msgpack:"alarms"`
	Members        []kv.Member `msgpack:"members"` // as this member knows them: ID, Name, Clients, Role, Version, Level, Replaces
	Links          []Link      `msgpack:"links"`   // to the other members
	figures.Values `msgpack:"figures"`
}

// Link is a member's connection to another member.
type Link struct {
	Member    uint64        `msgpack:"member"`
	Connected bool          `msgpack:"connected"`
	RTT       time.Duration `msgpack:"rtt"`       // smoothed; 0 without a connection
	Error     string        `msgpack:"error"`     // why there is no connection
	Untrusted bool          `msgpack:"untrusted"` // because of a certificate
}

// arrayAhead is the number of array elements that are allocated at once: growing the array would cause most of the garbage of a
// client whose watches catch up.
const arrayAhead = 256

// readArray reads an array's elements with read. It allocates at most arrayAhead elements before they arrive: the claimed length is
// not trusted. A Reader that is passed to a function value escapes to the heap. So readArray copies the Reader: the callers'
// Readers stay on the stack, and most messages have no array.
func readArray[T any](from *pack.Reader, read func(*pack.Reader) T) (all []T) {
	r := *from
	n := r.Array()
	if n > 0 {
		all = make([]T, 0, min(n, arrayAhead))
	}
	for range n {
		if r.Err() != nil {
			break
		}
		all = append(all, read(&r))
	}
	*from = r
	return all
}
