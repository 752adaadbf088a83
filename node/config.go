package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/snapshot/backup"
)

// UsageError is a refused configuration: nothing was started and nothing was changed.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// Founder is one member of a new cluster: its name, and its address for the others.
type Founder struct{ Name, Address string }

// Config is the configuration of one member.
type Config struct {
	Name    string // of this member, as in InitialCluster and in its certificate
	DataDir string // created if missing; must be 0700

	Listen, ListenPeer string // HOST:PORT, UDP; without Listen, clients come over TCP only
	Native             bool   // clients come over UDP only: no TCP port for etcd's API and the dashboard
	// The announced addresses; empty is the listen address, or the own entry of the list. If that is a wildcard, the address that the members
	// know stays.
	Advertise, AdvertisePeer string

	// Etcd is the endpoint for etcd's clients and its announced addresses; if it is unset, Listen is used.
	Etcd Etcd

	// The beginning of an empty data folder, which CheckBeginning judges. A folder with data ignores these fields, except for the addresses:
	// they are tried in addition to the known ones.
	InitialCluster      []Founder // all founders of a new cluster, this one included
	InitialClusterToken string    // distinguishes clusters with equal founders
	Found               bool      // a new cluster of this member alone; the default on loopback
	Join                []string  // peer addresses of members of a cluster that this one was added to
	BeginFault          error     // why the command line has no usable beginning; nil: it has

	CertsDir string // empty uses Secret or, on loopback only, the local CA
	// Secret are the cluster secrets; nil: there are none. A member derives its certificate from them, and adds members that ask to join
	// and have a certificate of the same CA. With Etcd.Listen, they are for the peers alone, and add no member.
	Secret *wire.SecretSource
	// InsecurePeers shows that other hosts can guess Secret, in the log and by the notice INSECURE.
	InsecurePeers bool
	// TrustDomain replaces the certificates' trust domain, which may then change.
	TrustDomain string
	// InsecureClients accepts etcd's clients without TLS, too, whatever the address in Listen. Without certificates, and so on loopback,
	// they are accepted anyway.
	InsecureClients bool
	Home            string // folder of the local CA
	// Web are further addresses for metrics and probes: http://HOST:PORT, or https://HOST:PORT. Every host that can reach an http address
	// can read them: the URL is the operator's decision. Without Etcd.Listen, an address has the dashboard, too, unless it is one of http that
	// is not on loopback. https://LISTEN serves it at the clients' port, where it always is on loopback.
	Web      []string
	Profiles bool // serves Go's profiles to etcd's clients, at /debug/pprof/

	HeartbeatInterval time.Duration // 50 ms
	ElectionTimeout   time.Duration // 1 s; at least 5 heartbeats, at most 50 s
	MaxRequestBytes   int64         // largest accepted write
	SegmentBytes      int64         // size of the log's files; 0: by the size of the disk
	// WatchProgress is the idle time after which a watch that requests it gets a progress notice; 0: 10 m.
	WatchProgress time.Duration

	// The proofs of users: the kind of tokens as in etcd's --auth-token, their validity without use, and the bcrypt cost of new passwords;
	// the zero values are "simple", 5 m and 10.
	AuthToken    string
	AuthTokenTTL time.Duration
	BcryptCost   int

	// QuotaBytes is the total size of keys, history and leases at which this member, if it leads, raises NOSPACE; 0 is no quota.
	QuotaBytes int64

	// The history that is kept while this member leads: at most HistoryBytes, or HistoryAuto, and no revision older than HistoryAge; 0 is
	// no bound.
	HistoryBytes int64
	HistoryAge   time.Duration

	// MemoryBytes is the memory that keys and values may take, or MemoryAuto; 0 is no bound. Above it, values of live keys are read from
	// files.
	MemoryBytes int64

	// AuditLog is the file to which audit lines are appended (package audit), besides Logger; empty: none.
	AuditLog string

	// ServeStale serves reads of keys from the state that the folder has until a quorum has confirmed a newer one.
	ServeStale bool

	// Backup is the backup that this member makes while it leads, in Backup.Store; without one it makes none.
	Backup BackupTarget
	// Seed opens the backup from which this member takes parts when it joins: a part that is there does not come from the leader. A lost part
	// that no member gives comes from there, too, or else from Backup. nil: there is none.
	Seed func(ctx context.Context) (*backup.Reader, error) `json:"-"`

	Logger  *slog.Logger
	Version string

	webURLs         []*url.URL // Web
	advertisesEntry bool       // AdvertisePeer was not given, and is this member's entry in InitialCluster
}

// Etcd holds etcd's command-line settings of clients and of trust.
type Etcd struct {
	Listen []EtcdListen
	URLs   []string // announced to members and clients

	Clients         *wire.FileNames // the certificate for clients, and the CA for theirs; nil if no address has TLS
	ClientsMustShow bool            // clients must present a certificate, also if there is no CA for them
	// Auto generates the certificate for clients, for these hosts and this duration.
	Auto         bool
	AutoHosts    []string
	AutoLifetime time.Duration

	Peers      *wire.FileNames // the certificate for members, and the CA for theirs; nil is as without Etcd
	PeerScheme string          // of the members' URLs, as announced to clients

	// host names that requests over HTTP without TLS may name, "*" for any; nil: the rule of package web (guard.go)
	Hosts []string

	TxnOperations int // maximum number of operations in a transaction of etcd's clients; 0 is the default

	NoGateway bool // the JSON gateway is not served
	// maximum number of requests and streams in flight of one connection, if it is below the usual one; 0: the usual one
	Streams uint32

	// The leader's compaction, in addition to HistoryBytes and HistoryAge. CompactAfter compacts older revisions, at most once in an
	// hour, or in CompactAfter if that is shorter. The other bound keeps only that many revisions, once in etcdCompaction. 0
	// disables either.
	CompactAfter     time.Duration
	CompactRevisions int64
}

// EtcdListen is one address for etcd's clients.
type EtcdListen struct {
	Address string // HOST:PORT, TCP
	Secure  bool   // clients connect by TLS; otherwise without
}

const (
	// segmentBytesLeast and segmentBytesMost bound --segment-bytes: a smaller file costs more than the writes to it, and a larger one is
	// released late.
	segmentBytesLeast = 64 << 10
	segmentBytesMost  = 1 << 30
	// webURLsMost bounds the metrics-only addresses: a supervisor's, and a collector's, in both families.
	webURLsMost = 8
	// electionTimeoutMost is the longest election timeout, as in etcd: longer ones leave a cluster without a leader for minutes.
	// heartbeatLeast is raft's tick. An election timeout spans heartbeatsPerElection: one lost packet causes no election.
	electionTimeoutMost   = 50 * time.Second
	heartbeatLeast        = 10 * time.Millisecond
	heartbeatsPerElection = 5
)

// Validate fills in derived values, and refuses an unworkable configuration with a *UsageError. What only an empty data folder needs is left to
// CheckBeginning.
func (c *Config) Validate() error {
	if err := kv.CheckName(c.Name); err != nil {
		return usagef("--name: %v", err)
	}
	if err := c.validateTimes(); err != nil {
		return err
	}
	if c.MaxRequestBytes < limits.RequestBytesLeast || c.MaxRequestBytes > limits.RequestBytes {
		return usagef("--max-request-bytes %d: must be %d to %d bytes, the largest request that can be read back",
			c.MaxRequestBytes, limits.RequestBytesLeast, limits.RequestBytes)
	}
	if c.SegmentBytes != 0 && c.SegmentBytes < segmentBytesLeast || c.SegmentBytes > segmentBytesMost {
		return usagef("--segment-bytes %d: must be %d to %d bytes", c.SegmentBytes, segmentBytesLeast, segmentBytesMost)
	}
	if err := c.validateSettings(); err != nil {
		return err
	}
	if c.DataDir == "" {
		return usagef("--data-dir is empty")
	}
	if err := c.validateAddresses(); err != nil {
		return err
	}
	if err := c.validateWeb(); err != nil {
		return err
	}
	own := c.ownEntry()
	c.AdvertisePeer, c.advertisesEntry = cmp.Or(c.AdvertisePeer, own), c.AdvertisePeer == "" && own != ""
	if host, _, _ := net.SplitHostPort(c.ListenPeer); c.AdvertisePeer == "" && !wildcard(host) {
		c.AdvertisePeer = c.ListenPeer
	}
	return nil
}

func (c *Config) validateTimes() error {
	switch {
	case c.HeartbeatInterval < heartbeatLeast:
		return usagef("--heartbeat-interval %v is below the minimum of %v", c.HeartbeatInterval, heartbeatLeast)
	case c.ElectionTimeout < heartbeatsPerElection*c.HeartbeatInterval:
		return usagef("--election-timeout %v is below %d times --heartbeat-interval %v: one late heartbeat would start an election; raise the first or lower the second",
			c.ElectionTimeout, heartbeatsPerElection, c.HeartbeatInterval)
	case c.ElectionTimeout > electionTimeoutMost:
		return usagef("--election-timeout %v (with --heartbeat-interval %v) is over the maximum of %v: a failover would take that long",
			c.ElectionTimeout, c.HeartbeatInterval, electionTimeoutMost)
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
			return usagef("%s %.32q... has %d bytes, over the limit of %d", a.flag, a.address, len(a.address), limits.AddressBytes)
		}
		if wildcard(host) && a.advertised == "" && a.flag == "--listen" {
			return usagef(addressUnknown, a.flag, a.address, a.advertiseFlag)
		}
		if a.advertised != "" {
			if err := wire.CheckAddress(a.advertised); err != nil {
				return usagef("%s: %v", a.advertiseFlag, err)
			}
		}
		if c.CertsDir == "" && c.Secret == nil && c.Etcd.Peers == nil && !loopback(host) {
			return usagef("%s %s is not on loopback, and without certificates anyone could read and write: make a cluster secret with\n"+
				"  qkv cert secret -o qkv-secret\ncopy the file to each member's host, and give --cluster-secret-file qkv-secret; or make certificates with\n"+
				"  qkv cert ca --certs-dir certs --cluster NAME\n  qkv cert member --certs-dir certs %s %s\n  qkv cert client --certs-dir certs NAME\n"+
				"copy ca.crt and the member's two files to its host, and give --certs-dir", a.flag, a.address, c.Name, host)
		}
	}
	if c.Secret != nil && (c.CertsDir != "" || c.Etcd.Peers != nil) {
		return bothTrusts(c.Secret)
	}
	if _, port, _ := net.SplitHostPort(c.Listen); c.Listen == c.ListenPeer && port != "0" {
		return usagef("--listen and --listen-peer are both %s: clients and members need different ports", c.Listen)
	}
	if c.Advertise == "" {
		c.Advertise = c.Listen
	}
	return nil
}

// addressUnknown is the refusal of a listen address without one to announce.
const addressUnknown = "%s %s listens on all addresses, so the address for other members and clients is unknown: give %s HOST:PORT"

func bothTrusts(secret *wire.SecretSource) error {
	return usagef("%s and certificate files are both given, and each names a CA: give only one of them", secret.Name)
}

func (c *Config) validateWeb() error {
	if len(c.Web) > webURLsMost {
		return usagef("--listen-web has %d addresses, over the limit of %d", len(c.Web), webURLsMost)
	}
	c.webURLs = nil
	for _, text := range c.Web {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
			return usagef("--listen-web %q is not http://HOST:PORT or https://HOST:PORT", text)
		}
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return usagef("--listen-web %q has no port: %v", text, err)
		}
		c.webURLs = append(c.webURLs, u)
	}
	return nil
}

// pageAt reports whether a further address has the dashboard: over plain HTTP only this host can read it.
func (c *Config) pageAt(plain bool, ip net.IP) bool {
	return len(c.Etcd.Listen) == 0 && (!plain || ip.IsLoopback())
}

// webAtClients reports whether the dashboard is served at the clients' port.
func (c *Config) webAtClients() bool {
	host, _, _ := net.SplitHostPort(c.Listen)
	return len(c.Etcd.Listen) == 0 && (slices.Contains(c.Web, "https://"+c.Listen) || loopback(host))
}

// plain reports whether etcd's clients are accepted without TLS.
func (c *Config) plain() bool { return c.CertsDir == "" && c.Secret == nil || c.InsecureClients }

// addsBySecret reports whether a member that asks to join is added if its certificate is signed by the cluster secret's CA.
func (c *Config) addsBySecret() bool { return c.Secret != nil && len(c.Etcd.Listen) == 0 }

// hosts returns the hosts at which clients and members reach this member.
func (c *Config) hosts() (all []string) {
	for _, address := range []string{c.Advertise, c.AdvertisePeer, c.Listen, c.ListenPeer} {
		if host, _, err := net.SplitHostPort(address); err == nil && !wildcard(host) && !slices.Contains(all, host) {
			all = append(all, host)
		}
	}
	return all
}

// web returns this member's URLs for etcd's clients.
func (c *Config) web() []string {
	switch {
	case c.Native:
		return nil
	case len(c.Etcd.Listen) > 0:
		return c.Etcd.URLs
	case c.plain():
		return []string{"http://" + c.Advertise}
	}
	return []string{"https://" + c.Advertise}
}

// names returns the host names, in lower case, in the addresses announced to etcd's clients.
func (c *Config) names() (all []string) {
	for _, one := range c.web() {
		if u, err := url.Parse(one); err == nil {
			all = append(all, strings.ToLower(u.Hostname()))
		}
	}
	return all
}

// peerScheme returns the scheme of members' addresses, as announced to clients of etcd.
func (c *Config) peerScheme() string {
	switch {
	case len(c.Etcd.Listen) > 0:
		return c.Etcd.PeerScheme
	case c.plain():
		return "http"
	}
	return "https"
}

// native returns the addresses for native clients. Loopback addresses are left out if the member also has clients on other hosts.
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

// founders returns the names of all members that found a new cluster with this one; none if it must not found any.
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
		if m.Name == c.Name && wire.CheckAddress(m.Address) == nil {
			return m.Address
		}
	}
	return ""
}

// CheckBeginning refuses flags with which no empty data folder can begin. A member with data starts in spite of them, and says so in its log.
func (c *Config) CheckBeginning() error {
	lists, joins := len(c.InitialCluster) > 0, len(c.Join) > 0
	switch {
	case c.BeginFault != nil:
		return c.BeginFault
	case lists && !slices.Contains(c.founders(), c.Name):
		return usagef("--initial-cluster names %s, but not this member, %s: every member's list must hold all members, itself included", strings.Join(c.founders(), ", "), c.Name)
	case len(c.InitialCluster) > limits.Members:
		return usagef("--initial-cluster has %d members, over the limit of %d: with more, each write waits for more disks and is no safer", len(c.InitialCluster), limits.Members)
	case lists && joins || c.Found && (lists || joins):
		return usagef("--initial-cluster founds a cluster of several members, --found a cluster of this member alone, --join joins an existing cluster: give only one of them")
	case c.Seed != nil && !joins:
		return usagef("--seed is for a member that joins a cluster: give --join too")
	case c.AdvertisePeer == "":
		return usagef(addressUnknown, "--listen-peer", c.ListenPeer, "--advertise-peer")
	}
	for _, address := range c.Join {
		if err := wire.CheckAddress(address); err != nil {
			return usagef("--join needs the peer address of a member: %v", err)
		}
	}
	seen := map[string]bool{}
	for _, m := range c.InitialCluster {
		if err := cmp.Or(kv.CheckName(m.Name), wire.CheckAddress(m.Address)); err != nil {
			return usagef("--initial-cluster needs NAME=HOST:PORT of each member: %v", err)
		}
		if seen["name "+m.Name] || seen[m.Address] {
			return usagef("--initial-cluster has the name %s or the address %s twice", m.Name, m.Address)
		}
		seen["name "+m.Name], seen[m.Address] = true, true
	}
	return nil
}

// origin is the beginning of a new data folder: its owner, and the parameters of its cluster's founding.
type origin struct {
	cluster, self uint64
	name          string
	// founding are the inputs of the cluster's id: trust domain, token, and the founders' names in order. For a joining member it is the
	// trust domain alone.
	founding []string
	folder   [16]byte // of a joining member: its id is bound to this folder; zero: it is drawn
}

// originOf hashes the trust domain, the token and the founders' names into the cluster's id, and that with each name into a founder's id.
// All founders therefore compute the same ids without communication. The token of a lone founder is random. Addresses are not included:
// they change.
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

// hashOf returns the first 8 bytes of the SHA-256 of the parts, each preceded by its length. Neither 0 nor the two largest numbers are
// ids: raft reserves them.
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
