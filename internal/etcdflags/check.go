package etcdflags

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"qkv/internal/limits"
)

// errNoAdvertise is etcd's word for a member that clients could not be told of.
var errNoAdvertise = errors.New("--advertise-client-urls is required when --listen-client-urls is set explicitly")

// electionMost is the longest election timeout that etcd takes.
const electionMost = 50 * time.Second

// The quota by default, and from where on etcd warns.
const (
	quotaDefault = 2 << 30
	quotaMuch    = 8 << 30
)

// complete checks a configuration as a whole, in etcd's order and with etcd's error texts, and fills in the settings that follow from
// others.
func (l *line) complete(c *Config) error {
	if err := l.checkLogging(&c.Log); err != nil {
		return err
	}
	if l.text("discovery-fallback") == "proxy" {
		return fmt.Errorf("v2 proxy is deprecated, and --discovery-fallback can't be configured as %q", "proxy")
	}
	for _, listen := range []URLs{c.ListenPeer, c.ListenClient, c.ListenHTTP, c.ListenMetrics} {
		if err := checkListen(listen); err != nil {
			return err
		}
	}
	if err := checkAdvertised(c.AdvertisePeer); err != nil {
		return fmt.Errorf(`--initial-advertise-peer-urls %q must be "host:port" (%w)`, c.AdvertisePeer.String(), err)
	}
	if err := checkAdvertised(c.AdvertiseClient); err != nil {
		return fmt.Errorf(`--advertise-client-urls %q must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (%w)`, c.AdvertiseClient.String(), err)
	}
	if err := l.checkTimes(c); err != nil {
		return err
	}
	if l.clientURLsGiven && !l.given["advertise-client-urls"] || len(c.ListenClient) > 0 && len(c.AdvertiseClient) == 0 {
		return errNoAdvertise
	}
	if err := l.checkCompaction(c); err != nil {
		return err
	}
	if err := l.checkGates(); err != nil {
		return err
	}
	if l.given["compact-hash-check-time"] && valueOf[time.Duration](l, "compact-hash-check-time") <= 0 {
		return fmt.Errorf("--compact-hash-check-time must be >0 (set to %v)", valueOf[time.Duration](l, "compact-hash-check-time"))
	}
	if err := l.checkVersions(c); err != nil {
		return err
	}
	switch {
	case c.QuotaBytes == 0:
		c.QuotaBytes = quotaDefault
	case c.QuotaBytes < 0:
		c.QuotaBytes = 0
	case c.QuotaBytes > quotaMuch:
		l.note(true, "quota exceeds the maximum recommended value", "quota-size-bytes", c.QuotaBytes, "quota-maximum-size-bytes", int64(quotaMuch))
	}
	if c.BcryptCost < limits.PasswordCostLeast || c.BcryptCost > limits.PasswordCostMost {
		l.note(true, "use default bcrypt cost instead of the invalid given cost", "min-cost", limits.PasswordCostLeast, "max-cost", limits.PasswordCostMost, "default-cost", limits.PasswordCost, "given-cost", c.BcryptCost)
		c.BcryptCost = limits.PasswordCost
	}
	if c.Name == defaultName {
		l.note(true, "it isn't recommended to use default name, please set a value for --name. Note that etcd might run into issue when multiple members have the same default name", "name", c.Name)
	}
	if c.DataDir == "" {
		c.DataDir = c.Name + ".etcd"
		l.note(true, "'data-dir' was empty; using default", "data-dir", c.DataDir)
	}
	return nil
}

func (l *line) checkLogging(as *Log) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error", "dpanic", "panic", "fatal"}, strings.ToLower(as.Level)) {
		return &SyntaxError{fmt.Sprintf("unrecognized level: %q", as.Level)}
	}
	if !slices.Contains([]string{"json", "console"}, as.Format) {
		return fmt.Errorf("unknown log format: %s, supported values json, console", as.Format)
	}
	switch logger := l.text("logger"); logger {
	case "zap":
	case "capnslog":
		return errors.New("--logger=capnslog is removed in v3.5")
	default:
		return fmt.Errorf("unknown logger option %q", logger)
	}
	return nil
}

func (l *line) checkTimes(c *Config) error {
	heartbeat, election := c.HeartbeatInterval.Milliseconds(), c.ElectionTimeout.Milliseconds()
	switch {
	case heartbeat == 0:
		return fmt.Errorf("--heartbeat-interval must be >0 (set to %dms)", heartbeat)
	case election == 0:
		return fmt.Errorf("--election-timeout must be >0 (set to %dms)", election)
	case 5*heartbeat > election:
		return fmt.Errorf("--election-timeout[%vms] should be at least as 5 times as --heartbeat-interval[%vms]", election, heartbeat)
	case c.ElectionTimeout > electionMost:
		return fmt.Errorf("--election-timeout[%vms] is too long, and should be set less than %vms", election, electionMost.Milliseconds())
	}
	return nil
}

// checkCompaction reads what history is to stay.
func (l *line) checkCompaction(c *Config) error {
	mode, text := l.text("auto-compaction-mode"), l.text("auto-compaction-retention")
	switch mode {
	case "periodic", "revision":
	case "":
		return errors.New("undefined auto-compaction-mode")
	default:
		return fmt.Errorf("unknown auto-compaction-mode %q", mode)
	}
	number, err := strconv.Atoi(text)
	bare := err == nil && number >= 0
	switch {
	case bare && mode == "revision":
		c.CompactRevisions = int64(number)
	case bare:
		c.CompactAfter = time.Duration(number) * time.Hour
	default:
		after, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("error parsing CompactionRetention: %w", err)
		}
		if c.CompactAfter = after; mode == "revision" { // etcd takes the nanoseconds for a number
			c.CompactAfter, c.CompactRevisions = 0, after.Nanoseconds()
		}
	}
	if c.CompactAfter < 0 || c.CompactRevisions < 0 {
		return fmt.Errorf("--auto-compaction-retention %s is below 0", text)
	}
	return nil
}

func (l *line) checkGates() error {
	on := l.set.Lookup("feature-gates").Value.(*gatesValue).on
	checkpoint := on["LeaseCheckpoint"] || on["AllAlpha"]
	if on["LeaseCheckpointPersist"] && !checkpoint {
		return errors.New("enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
	}
	return nil
}

// tlsVersions are TLS's versions by etcd's names.
var tlsVersions = map[string]uint16{"": 0, "TLS1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13}

func (l *line) checkVersions(c *Config) error {
	least, most := l.text("tls-min-version"), l.text("tls-max-version")
	for _, name := range []string{least, most} {
		if _, ok := tlsVersions[name]; !ok {
			return fmt.Errorf("unexpected TLS version %q", name)
		}
	}
	c.MinVersion, c.MaxVersion = tlsVersions[least], tlsVersions[most]
	if c.MaxVersion != 0 && c.MinVersion > c.MaxVersion {
		return fmt.Errorf("min version (%s) is greater than max version (%s)", least, most)
	}
	if c.MinVersion == tls.VersionTLS13 && len(c.CipherSuites) > 0 {
		return errors.New("cipher suites cannot be configured when only TLS1.3 is enabled")
	}
	return nil
}

// checkListen refuses host names: a socket listens at an address.
func checkListen(urls URLs) error {
	return checkHosts(urls, "expected IP in URL for binding", func(host string) bool { return host == "localhost" || net.ParseIP(host) != nil })
}

func checkAdvertised(urls URLs) error {
	return checkHosts(urls, "unexpected empty host", func(host string) bool { return host != "" })
}

// checkHosts refuses URLs with other hosts than those that fit.
func checkHosts(urls URLs, refusal string, fits func(host string) bool) error {
	for i := range urls {
		u := &urls[i]
		if unix(u.Scheme) {
			continue
		}
		if host, _, err := net.SplitHostPort(u.Host); err != nil {
			return err
		} else if !fits(host) {
			return fmt.Errorf("%s (%s)", refusal, u.String())
		}
	}
	return nil
}

func unix(scheme string) bool { return scheme == "unix" || scheme == "unixs" }

// Resolve puts host, this machine's address, in the place of localhost where this member listens on all addresses and clients or
// members would be told of localhost, and reads the list of members. It is to be called once. A list that cannot be read is a
// Fault.
func (c *Config) Resolve(host string) {
	everywhere := func(listen, told URLs, byDefault string) bool {
		return host != "" && len(listen) > 0 && listen[0].Hostname() == "0.0.0.0" && told.String() == byDefault
	}
	if everywhere(c.ListenPeer, c.AdvertisePeer, defaultPeerURL) {
		c.AdvertisePeer = moved(c.AdvertisePeer, host, c.ListenPeer[0].Port())
	}
	if c.Name != defaultName && c.InitialCluster == defaultCluster {
		var all []string
		for _, at := range c.AdvertisePeer.Strings() {
			all = append(all, c.Name+"="+at)
		}
		c.InitialCluster = strings.Join(all, ",")
	}
	if everywhere(c.ListenClient, c.AdvertiseClient, defaultClientURL) {
		c.AdvertiseClient = moved(c.AdvertiseClient, host, c.ListenClient[0].Port())
	}
	cluster, err := readCluster(c.InitialCluster)
	c.Cluster, c.Fault = cluster, cmp.Or(c.Fault, err)
}

func moved(urls URLs, host, port string) URLs {
	urls = slices.Clone(urls)
	urls[0].Host = net.JoinHostPort(host, port)
	return urls
}

// CheckBootstrap says why an empty data folder cannot begin as the list of members says.
func (c *Config) CheckBootstrap() error {
	at := slices.IndexFunc(c.Cluster, func(m Member) bool { return m.Name == c.Name })
	if at < 0 {
		return fmt.Errorf("couldn't find local name %q in the initial cluster configuration", c.Name)
	}
	seen := map[string]bool{}
	for _, m := range c.Cluster {
		for _, u := range m.URLs.Strings() {
			if seen[u] {
				return fmt.Errorf("initial cluster %s has duplicate url", c.InitialCluster)
			}
			seen[u] = true
		}
	}
	if c.Existing {
		return nil
	}
	listed, told := c.Cluster[at].URLs.Strings(), c.AdvertisePeer.Strings()
	if lacks := without(listed, told); len(lacks) > 0 {
		return fmt.Errorf("--initial-cluster has %s=%s but missing from --initial-advertise-peer-urls=%s", c.Name, strings.Join(lacks, ","+c.Name+"="), strings.Join(told, ","))
	}
	if lacks := without(told, listed); len(lacks) > 0 {
		return fmt.Errorf("--initial-advertise-peer-urls has %s but missing from --initial-cluster=%s", strings.Join(lacks, ","), c.InitialCluster)
	}
	return nil
}

// without are the words that others do not have.
func without(words, others []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return slices.Contains(others, w) })
}

// readCluster reads NAME=URL,...
func readCluster(text string) ([]Member, error) {
	urls := map[string][]string{}
	for part := range strings.SplitSeq(text, ",") {
		if part != "" {
			name, at, _ := strings.Cut(part, "=")
			urls[name] = append(urls[name], at)
		}
	}
	var all []Member
	for _, name := range slices.Sorted(maps.Keys(urls)) {
		at, err := parseURLs(urls[name])
		if err != nil {
			return nil, err
		}
		all = append(all, Member{name, at})
	}
	return all, nil
}
