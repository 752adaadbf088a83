package node

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"qkv/internal/limits"
	"qkv/net/wire"
)

// UsageError is a configuration that is refused: nothing was started and nothing was changed.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// Member is one member of a new cluster: its name and the address that the others reach it by.
type Member struct{ Name, Address string }

// Config is what one member is started with.
type Config struct {
	Name    string // of this member, as in InitialCluster and in its certificate
	DataDir string // made when missing; must be 0700

	Listen, ListenPeer       string // HOST:PORT, UDP; without the first, clients come over TCP only
	Advertise, AdvertisePeer string // what others are told; empty is the listen address, or the own entry of the list

	// Etcd is where etcd's clients are served, and what they are told of it; without it that is Listen.
	Etcd Etcd

	// How an empty data folder begins. Once there is something in it, it knows better, and these are ignored, but for the
	// addresses, which are tried beside those that are known.
	InitialCluster      []Member // all founders of a new cluster, this one included
	InitialClusterToken string   // tells clusters of equal founders apart
	Found               bool     // a new cluster of this member alone; on loopback that is what happens without a word
	Join                []string // peer addresses of members of a cluster that this one was added to

	CertsDir string // empty uses the local CA, on loopback only
	// TrustDomain takes the place of that of the certificates, which then may change theirs.
	TrustDomain string
	// InsecureClients takes etcd's clients without TLS, too, wherever Listen is. Without certificates, and so on loopback, they are
	// taken anyway.
	InsecureClients bool
	Home            string // folder of the local CA
	// MetricsURLs are further addresses for health and metrics, http://HOST:PORT or https://HOST:PORT, which wants what clients have.
	// Whoever reaches one of http reads them: the URL is the operator's word.
	MetricsURLs []string
	Profiles    bool // Go's profiles are served to etcd's clients, at /debug/pprof/

	HeartbeatInterval time.Duration // 100 ms
	ElectionTimeout   time.Duration // 1 s; at least 5 heartbeats, at most 50 s
	MaxRequestBytes   int64         // largest write that is accepted
	SegmentBytes      int64         // size of the log's files; 0: by the size of the disk
	// WatchProgress is for how long a watch that wants it hears nothing before it is told that there is nothing; 0: 10 m.
	WatchProgress time.Duration

	// QuotaBytes is what keys, history and leases may weigh before this member, if it leads, raises NOSPACE; 0 is no quota.
	QuotaBytes int64

	// What of the history stays while this member leads: no more than weighs so much, or HistoryAuto, and nothing that is older;
	// 0 is no bound.
	HistoryBytes int64
	HistoryAge   time.Duration

	Logger  *slog.Logger
	Version string

	metricsURLs     []*url.URL // MetricsURLs
	advertisesEntry bool       // AdvertisePeer was not given, and is this member's in InitialCluster
}

// Etcd is what etcd's command line says of clients and of trust.
type Etcd struct {
	Listen []EtcdListen
	URLs   []string // that members and clients are told

	Clients         *wire.FileNames // what clients are shown, and who signs what they show; nil where no address has TLS
	ClientsMustShow bool            // a certificate, also where there is no CA for them
	// Auto makes what clients are shown, for these hosts and as long.
	Auto         bool
	AutoHosts    []string
	AutoLifetime time.Duration

	Peers      *wire.FileNames // what members are shown, and who signs what they show; nil is as without Etcd
	PeerScheme string          // of the members' URLs, as clients are told

	TxnOperations int // that a transaction of etcd's clients may have; 0 is the default

	// What the leader compacts, beside what HistoryBytes and HistoryAge say: what is older, at most once in an hour or the time itself
	// when that is shorter; or all but so many revisions, once in limits.EtcdCompaction. 0 is neither.
	CompactAfter     time.Duration
	CompactRevisions int64
}

// EtcdListen is one address for etcd's clients.
type EtcdListen struct {
	Address string // HOST:PORT, TCP
	Secure  bool   // clients come by TLS; others do without
}

// Validate fills in what is derived, and refuses what cannot work with a *UsageError.
func (c *Config) Validate() error {
	if err := wire.CheckName(c.Name); err != nil {
		return usagef("--name: %v", err)
	}
	if err := c.validateTimes(); err != nil {
		return err
	}
	if c.MaxRequestBytes < limits.RequestBytesLeast || c.MaxRequestBytes > limits.RequestBytes {
		return usagef("--max-request-bytes %d: what may be written is %d to %d bytes, the most that can be read",
			c.MaxRequestBytes, limits.RequestBytesLeast, limits.RequestBytes)
	}
	if c.SegmentBytes != 0 && c.SegmentBytes < limits.SegmentBytesLeast || c.SegmentBytes > limits.SegmentBytesMost {
		return usagef("--segment-bytes %d: a segment has %d to %d bytes", c.SegmentBytes, limits.SegmentBytesLeast, limits.SegmentBytesMost)
	}
	if c.QuotaBytes != 0 && c.QuotaBytes < limits.QuotaLeast {
		return usagef("--quota-bytes %d: a quota has at least %d bytes, and 0 is none", c.QuotaBytes, limits.QuotaLeast)
	}
	if c.HistoryBytes < HistoryAuto {
		return usagef("--history-bytes %d must not be below zero, and 0 is no bound", c.HistoryBytes)
	}
	if c.HistoryAge < 0 {
		return usagef("--history-age %v must not be below zero, and 0 is no bound", c.HistoryAge)
	}
	if c.DataDir == "" {
		return usagef("--data-dir is empty")
	}
	if err := c.validateAddresses(); err != nil {
		return err
	}
	if err := c.validateMetrics(); err != nil {
		return err
	}
	return c.validateCluster()
}

func (c *Config) validateTimes() error {
	switch {
	case c.HeartbeatInterval < limits.HeartbeatLeast:
		return usagef("--heartbeat-interval %v is under %v, which is the shortest: give that, or a longer one", c.HeartbeatInterval, limits.HeartbeatLeast)
	case c.ElectionTimeout < limits.HeartbeatsPerElection*c.HeartbeatInterval:
		return usagef("--election-timeout %v is under %d times --heartbeat-interval %v: one late heartbeat would be an election; raise the first or lower the second",
			c.ElectionTimeout, limits.HeartbeatsPerElection, c.HeartbeatInterval)
	case c.ElectionTimeout > limits.ElectionTimeoutMost:
		return usagef("--election-timeout %v (with --heartbeat-interval %v) is over %v: a cluster would be without a leader for that long",
			c.ElectionTimeout, c.HeartbeatInterval, limits.ElectionTimeoutMost)
	case c.WatchProgress != 0 && c.WatchProgress < limits.WatchProgressLeast:
		return usagef("--watch-progress-notify-interval %v is under %v, which is the shortest: give that, or a longer one", c.WatchProgress, limits.WatchProgressLeast)
	}
	return nil
}

func (c *Config) validateAddresses() error {
	for _, a := range []struct{ flag, address, advertised, advertiseFlag string }{
		{"--listen", c.Listen, c.Advertise, "--advertise"},
		{"--listen-peer", c.ListenPeer, c.AdvertisePeer, "--advertise-peer"},
	} {
		if a.address == "" && len(c.Etcd.Listen) > 0 && a.flag == "--listen" {
			continue
		}
		if strings.Contains(a.address, "://") {
			return usagef("%s: %v", a.flag, wire.CheckAddress(a.address))
		}
		host, _, err := net.SplitHostPort(a.address)
		if err != nil {
			return usagef("%s %q is not HOST:PORT: %v", a.flag, a.address, err)
		}
		if len(a.address) > limits.AddressBytes {
			return usagef("%s %.32q... has %d bytes, and may have %d", a.flag, a.address, len(a.address), limits.AddressBytes)
		}
		if wildcard(host) && a.advertised == "" && !(a.flag == "--listen-peer" && c.ownEntry() != "") {
			return usagef("%s %s listens on all addresses, so nobody can be told which one to use: give %s HOST:PORT", a.flag, a.address, a.advertiseFlag)
		}
		if a.advertised != "" {
			if err := wire.CheckAddress(a.advertised); err != nil {
				return usagef("%s: %v", a.advertiseFlag, err)
			}
		}
		if c.CertsDir == "" && c.Etcd.Peers == nil && !loopback(host) {
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

func (c *Config) validateMetrics() error {
	if len(c.MetricsURLs) > limits.MetricsURLs {
		return usagef("--listen-metrics-urls has %d addresses, and may have %d", len(c.MetricsURLs), limits.MetricsURLs)
	}
	c.metricsURLs = nil
	for _, text := range c.MetricsURLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
			return usagef("--listen-metrics-urls %q is not http://HOST:PORT or https://HOST:PORT", text)
		}
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return usagef("--listen-metrics-urls %q has no port: %v", text, err)
		}
		c.metricsURLs = append(c.metricsURLs, u)
	}
	return nil
}

// plain says that etcd's clients are taken without TLS.
func (c *Config) plain() bool { return c.CertsDir == "" || c.InsecureClients }

// web is where etcd's clients reach this member.
func (c *Config) web() []string {
	switch {
	case len(c.Etcd.Listen) > 0:
		return c.Etcd.URLs
	case c.plain():
		return []string{"http://" + c.Advertise}
	}
	return []string{"https://" + c.Advertise}
}

// peerScheme is how members' addresses begin as clients of etcd are told.
func (c *Config) peerScheme() string {
	switch {
	case len(c.Etcd.Listen) > 0:
		return c.Etcd.PeerScheme
	case c.plain():
		return "http"
	}
	return "https"
}

// native are the addresses for native clients. An address on loopback is nobody else's concern where others come from other
// hosts.
func (c *Config) native() []string {
	elsewhere := func(text string) bool {
		u, err := url.Parse(text)
		return err != nil || !loopback(u.Hostname())
	}
	if c.Advertise == "" || slices.ContainsFunc(c.Etcd.URLs, elsewhere) {
		return nil
	}
	return []string{c.Advertise}
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || (ip != nil && ip.IsUnspecified())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// founders are the names of the members that found a new cluster with this one; none where it must not found any.
func (c *Config) founders() []string {
	host, _, _ := net.SplitHostPort(c.Listen)
	hostPeer, _, _ := net.SplitHostPort(c.ListenPeer)
	switch {
	case len(c.InitialCluster) > 0:
		var names []string
		for _, m := range c.InitialCluster {
			names = append(names, m.Name)
		}
		return names
	case c.Found, len(c.Join) == 0 && loopback(host) && loopback(hostPeer):
		return []string{c.Name}
	}
	return nil
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
	if len(c.InitialCluster) > limits.Members {
		return usagef("--initial-cluster has %d members, at most %d are supported: each write would wait for more disks and be no safer", len(c.InitialCluster), limits.Members)
	}
	if c.AdvertisePeer == "" {
		c.AdvertisePeer, c.advertisesEntry = own, own != ""
	}
	if c.AdvertisePeer == "" {
		c.AdvertisePeer = c.ListenPeer
	}
	ways := 0
	for _, given := range []bool{len(c.InitialCluster) > 0, c.Found, len(c.Join) > 0} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		return usagef("--initial-cluster founds a cluster of several, --found one of this member alone, --join takes part in one that is there: give one of them")
	}
	for _, address := range c.Join {
		if err := wire.CheckAddress(address); err != nil {
			return usagef("--join wants a member's address for members: %v", err)
		}
	}
	names, addresses := map[string]bool{}, map[string]string{}
	for _, m := range c.InitialCluster {
		if err := wire.CheckName(m.Name); err != nil {
			return usagef("--initial-cluster: %v", err)
		}
		if err := wire.CheckAddress(m.Address); err != nil {
			return usagef("--initial-cluster wants NAME=HOST:PORT of each: %v", err)
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

// origin is what a new data folder begins with: whose it is, and what its cluster was founded with.
type origin struct {
	cluster, self uint64
	name          string
	// founding is what the cluster's id is made of: trust domain, token, and the founders' names in their order. Of a member
	// that joins it is the trust domain alone.
	founding []string
}

// originOf hashes the trust domain, the token and the founders' names into the cluster's id, and that with each name into
// a founder's, so that all of them find the same ids without a word; the token of one that founds alone is random. Addresses
// have no part in it: they change.
func originOf(trustDomain, token, self string, founders []string) origin {
	sorted := slices.Sorted(slices.Values(founders))
	o := origin{name: self, founding: append([]string{trustDomain, token}, sorted...)}
	o.cluster = hashOf(append([]string{"qkv cluster"}, o.founding...)...)
	o.self = founderID(o.cluster, self)
	return o
}

func founderID(cluster uint64, name string) uint64 {
	return hashOf("qkv member", fmt.Sprintf("%016x", cluster), name)
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
