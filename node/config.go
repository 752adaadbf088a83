package node

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"sort"
	"strings"
	"time"

	"qkv/log/limits"
	"qkv/net/wire"
)

// UsageError is a configuration that is refused: nothing was started and nothing was changed.
type UsageError struct{ Reason string }

func (e *UsageError) Error() string { return e.Reason }

func usagef(format string, args ...any) error {
	return &UsageError{Reason: fmt.Sprintf(format, args...)}
}

// Member is one member of a new cluster: its name and the address that the others reach it by.
type Member struct{ Name, Address string }

// Config is what one member is started with.
type Config struct {
	Name    string // of this member, as in InitialCluster and in its certificate
	DataDir string // made when missing; must be 0700

	Listen, ListenPeer       string // HOST:PORT, UDP
	Advertise, AdvertisePeer string // what others are told; empty is the listen address, or the own entry of the list

	InitialCluster      []Member // all members of a new cluster; empty is this one alone
	InitialClusterToken string   // tells clusters of equal members apart

	CertsDir string // empty uses the local CA, on loopback only
	Home     string // folder of the local CA

	HeartbeatInterval time.Duration // 100 ms
	ElectionTimeout   time.Duration // 1 s; at least 5 heartbeats, at most 50 s
	ValueBytes        int64         // largest value that is accepted
	SegmentBytes      int64         // size of the log's files

	Logger  *slog.Logger
	Version string
}

const (
	// electionTimeoutMost is the longest election timeout, as etcd's: longer ones leave a cluster without a leader
	// for minutes.
	electionTimeoutMost = 50 * time.Second
	// heartbeatLeast is raft's tick.
	heartbeatLeast = 10 * time.Millisecond
	// heartbeatsPerElection is how many heartbeats an election timeout must span, so that one lost packet is no
	// election.
	heartbeatsPerElection = 5
	segmentBytesLeast     = 64 << 10
	segmentBytesMost      = 1 << 30
	membersMost           = 7
)

// Validate fills in what is derived, and refuses what cannot work with a *UsageError.
func (c *Config) Validate() error {
	if err := wire.CheckName(c.Name); err != nil {
		return usagef("--name: %v", err)
	}
	if err := c.validateTimes(); err != nil {
		return err
	}
	if c.ValueBytes < 1 || c.ValueBytes > limits.ValueBytes {
		return usagef("--value-bytes %d: a value may have 1 to %d bytes", c.ValueBytes, limits.ValueBytes)
	}
	if c.SegmentBytes < segmentBytesLeast || c.SegmentBytes > segmentBytesMost {
		return usagef("--segment-bytes %d: a segment has %d to %d bytes", c.SegmentBytes, segmentBytesLeast, segmentBytesMost)
	}
	if c.DataDir == "" {
		return usagef("--data-dir is empty")
	}
	if err := c.validateAddresses(); err != nil {
		return err
	}
	return c.validateCluster()
}

func (c *Config) validateTimes() error {
	switch {
	case c.HeartbeatInterval < heartbeatLeast:
		return usagef("--heartbeat-interval %v is under %v", c.HeartbeatInterval, heartbeatLeast)
	case c.ElectionTimeout < heartbeatsPerElection*c.HeartbeatInterval:
		return usagef("--election-timeout %v is under %d times --heartbeat-interval %v: one late heartbeat would be an election; raise the first or lower the second",
			c.ElectionTimeout, heartbeatsPerElection, c.HeartbeatInterval)
	case c.ElectionTimeout > electionTimeoutMost:
		return usagef("--election-timeout %v (with --heartbeat-interval %v) is over %v: a cluster would be without a leader for that long",
			c.ElectionTimeout, c.HeartbeatInterval, electionTimeoutMost)
	}
	return nil
}

func (c *Config) validateAddresses() error {
	for _, a := range []struct{ flag, address, advertised, advertiseFlag string }{
		{"--listen", c.Listen, c.Advertise, "--advertise"},
		{"--listen-peer", c.ListenPeer, c.AdvertisePeer, "--advertise-peer"},
	} {
		host, _, err := net.SplitHostPort(a.address)
		if err != nil {
			return usagef("%s %q is not HOST:PORT: %v", a.flag, a.address, err)
		}
		if wildcard(host) && a.advertised == "" && !(a.flag == "--listen-peer" && c.ownEntry() != "") {
			return usagef("%s %s listens on all addresses, so nobody can be told which one to use: give %s HOST:PORT", a.flag, a.address, a.advertiseFlag)
		}
		if a.advertised != "" {
			if host, _, err := net.SplitHostPort(a.advertised); err != nil || wildcard(host) {
				return usagef("%s %q is not an address that others can reach", a.advertiseFlag, a.advertised)
			}
		}
		if c.CertsDir == "" && !loopback(host) {
			return usagef("%s %s is not on loopback, and without certificates anybody could read and write: make them with\n"+
				"  qkv cert ca --certs-dir certs --cluster NAME\n  qkv cert member --certs-dir certs %s %s\n  qkv cert client --certs-dir certs NAME\n"+
				"copy ca.crt and the member's two files to its host, and give --certs-dir", a.flag, a.address, c.Name, host)
		}
	}
	if _, port, _ := net.SplitHostPort(c.Listen); c.Listen == c.ListenPeer && port != "0" {
		return usagef("--listen and --listen-peer are both %s: clients and members need a port each", c.Listen)
	}
	if c.Advertise == "" {
		c.Advertise = c.Listen
	}
	return nil
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || (ip != nil && ip.IsUnspecified())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func (c *Config) ownEntry() string {
	for _, m := range c.InitialCluster {
		if m.Name == c.Name {
			return m.Address
		}
	}
	return ""
}

func (c *Config) validateCluster() error {
	own := c.ownEntry()
	if len(c.InitialCluster) > 0 && own == "" {
		names := make([]string, 0, len(c.InitialCluster))
		for _, m := range c.InitialCluster {
			names = append(names, m.Name)
		}
		return usagef("--initial-cluster names %s, but not this member, %s: every member's list must hold all members, itself included", strings.Join(names, ", "), c.Name)
	}
	if len(c.InitialCluster) > membersMost {
		return usagef("--initial-cluster has %d members, at most %d are supported: each write would wait for more disks and be no safer", len(c.InitialCluster), membersMost)
	}
	if c.AdvertisePeer == "" {
		c.AdvertisePeer = own
	}
	if c.AdvertisePeer == "" {
		c.AdvertisePeer = c.ListenPeer
	}
	if len(c.InitialCluster) == 0 {
		c.InitialCluster = []Member{{Name: c.Name, Address: c.AdvertisePeer}}
	}
	names, addresses := map[string]bool{}, map[string]string{}
	for _, m := range c.InitialCluster {
		if err := wire.CheckName(m.Name); err != nil {
			return usagef("--initial-cluster: %v", err)
		}
		if _, _, err := net.SplitHostPort(m.Address); err != nil {
			return usagef("--initial-cluster %s=%s is not NAME=HOST:PORT: %v", m.Name, m.Address, err)
		}
		if names[m.Name] {
			return usagef("--initial-cluster names %s twice", m.Name)
		}
		if other := addresses[m.Address]; other != "" {
			return usagef("--initial-cluster gives %s and %s the same address, %s", other, m.Name, m.Address)
		}
		names[m.Name], addresses[m.Address] = true, m.Name
	}
	return nil
}

// ids are the numbers of a static bootstrap: hashes, so that every member finds the same ones without a word.
type ids struct {
	cluster uint64
	self    uint64
	members map[uint64]Member
	order   []uint64 // ascending
}

// idsOf hashes the trust domain, the token and the sorted list into the cluster's id, and that with each name into a
// member's.
func idsOf(trustDomain, token, self string, cluster []Member) ids {
	sorted := append([]Member{}, cluster...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	parts := []string{"qkv cluster", trustDomain, token}
	for _, m := range sorted {
		parts = append(parts, m.Name, m.Address)
	}
	all := ids{cluster: hashOf(parts...), members: map[uint64]Member{}}
	for _, m := range sorted {
		id := hashOf("qkv member", fmt.Sprintf("%016x", all.cluster), m.Name)
		all.members[id] = m
		all.order = append(all.order, id)
		if m.Name == self {
			all.self = id
		}
	}
	sort.Slice(all.order, func(i, j int) bool { return all.order[i] < all.order[j] })
	return all
}

// hashOf is the first 8 bytes of the SHA-256 of the parts, each with its length before it. Neither 0 nor the two
// largest numbers are ids: raft uses them for itself.
func hashOf(parts ...string) uint64 {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	id := binary.BigEndian.Uint64(h.Sum(nil))
	if id == 0 || id >= 1<<64-2 {
		return 1
	}
	return id
}

func (i ids) nameOf(member uint64) string {
	if m, ok := i.members[member]; ok {
		return m.Name
	}
	return fmt.Sprintf("%016x", member)
}
