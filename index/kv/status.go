package kv

import (
	"time"

	"qkv/internal/figures"
)

// Status is one member's report of its own state.
type Status struct {
	Name    string `msgpack:"name"`
	ID      uint64 `msgpack:"id"`
	Cluster uint64 `msgpack:"cluster"`
	Version string `msgpack:"version"`
	// Role is leader, follower, candidate, learner, or suspended: the member takes no part.
	Role   string `msgpack:"role"`
	Leader uint64 `msgpack:"leader"` // the leader's id as this member sees it; 0: none
	Digest uint64 `msgpack:"digest"` // of the state at figures.Applied: equal on all members with the same Applied
	// starting: only status and members are answered; stale: reads of keys, too, by --serve-stale; empty once the
	// member has started
	Stage     string `msgpack:"stage"`
	Interface string `msgpack:"nic"` // towards the other members; of several the one with the smallest MTU
	// the folder of the backup that this member makes while it leads; empty: it makes none
	Backup string  `msgpack:"backup"`
	Alarms []Alarm `msgpack:"alarms"`
	// as this member knows them: ID, Name, Clients, Role, Version, Level, Replaces
	Members []Member `msgpack:"members"`
	Links   []Link   `msgpack:"links"` // to the other members
	// The numbers are for qkv's own programs, which have the table of their ids. Other programs read them from /metrics, or from
	// `qkv status -w json`.
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

// ClientLoad is the sum of all connections of one client to a member, for one of the two APIs.
type ClientLoad struct {
	Name        string `msgpack:"n"` // in its certificate, or its address
	API         string `msgpack:"a"` // qkv or etcd
	Connections int64  `msgpack:"c"`
	Requests    int64  `msgpack:"r"` // under way
	Watches     int64  `msgpack:"w"`
	Bytes       int64  `msgpack:"b"` // of requests and of answers that the client has not read
}
