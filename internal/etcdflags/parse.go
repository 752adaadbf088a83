package etcdflags

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// SyntaxError is a line that cannot be read, for which etcd exits with 2.
type SyntaxError struct{ Text string }

func (e *SyntaxError) Error() string { return e.Text }

// The command line asks for the help or the version in place of a member.
var (
	ErrHelp    = flag.ErrHelp
	ErrVersion = errors.New("the version is asked for")
)

// Note is something that the reader of the log should know of a line.
type Note struct {
	Warn bool
	Text string
	More []any // keys and values
}

// TLS is what flags say of certificates on one side: that of clients, or of the other members.
type TLS struct {
	CertFile, KeyFile         string
	DialCertFile, DialKeyFile string // of peers only: what this member shows when it dials
	ClientAuth                bool
	TrustedCAFile, CRLFile    string
	AllowedNames              []string // common names
	AllowedHosts              []string
	Auto                      bool
}

// Given says that there is a certificate.
func (t *TLS) Given() bool { return t.CertFile != "" || t.KeyFile != "" }

// Log is what flags say of the log.
type Log struct {
	Outputs       []string
	Level, Format string
}

// Member is one entry of --initial-cluster.
type Member struct {
	Name string
	URLs URLs
}

// Config is the configuration that a command line asks for. Flags without a field have no effect.
type Config struct {
	Name, DataDir                                            string
	ListenPeer, ListenClient, AdvertisePeer, AdvertiseClient URLs
	ListenHTTP, ListenMetrics                                URLs
	InitialCluster                                           string
	Cluster                                                  []Member // by name, once it is resolved
	Existing                                                 bool     // an empty data folder joins a cluster
	// why an empty data folder cannot begin; nil: nothing is known yet
	Fault                              error
	Token                              string
	HeartbeatInterval, ElectionTimeout time.Duration
	HeartbeatGiven                     bool  // HeartbeatInterval is not etcd's default
	QuotaBytes                         int64 // 0: no quota
	MaxTxnOps, MaxRequestBytes         uint
	MaxStreams                         uint32        // of a connection; 0: no limit
	Gateway                            bool          // serve JSON
	CompactAfter                       time.Duration // 0: never
	CompactRevisions                   int64         // that stay; 0: all
	WatchProgress                      time.Duration
	Client, Peer                       TLS
	SecretFile                         string // of the cluster secret
	InsecurePeers, ServeStale          bool
	CipherSuites                       []string
	MinVersion, MaxVersion             uint16 // of TLS; 0: whatever the library has
	SelfSignedYears                    uint
	EnablePprof                        bool
	AuthToken                          string
	AuthTokenTTL                       time.Duration
	BcryptCost                         int
	// in lower case, "*" for any name; nil: the line says nothing of it
	HostWhitelist []string
	Log           Log
	Notes         []Note
}

// line is a line while it is read.
type line struct {
	set   *flag.FlagSet
	given map[string]bool // flags that the line, a variable or the file has set
	notes []Note
	// Set by a file, in which these settings are no flag's value.
	clientURLsGiven bool
	fault           error // Config.Fault
}

// Parse reads a command line without the program's name, beside an environment. Files are read by read. The configuration comes
// with an error, too, as far as it is known: how to log is always.
func Parse(args, environment []string, read func(name string) ([]byte, error)) (*Config, error) {
	l := &line{set: newFlagSet(), given: map[string]bool{}}
	var said bytes.Buffer
	l.set.SetOutput(&said)
	l.set.Usage = func() {}
	if err := l.set.Parse(args); errors.Is(err, flag.ErrHelp) {
		return l.config(), ErrHelp
	} else if err != nil {
		return l.config(), &SyntaxError{err.Error()}
	}
	if l.set.NArg() > 0 {
		return l.config(), fmt.Errorf("%q is not a valid flag", l.set.Arg(0))
	}
	if l.on("version") {
		return l.config(), ErrVersion
	}
	file := l.text("config-file")
	if file == "" {
		file = valueIn(environment, variableOf("config-file"))
	}
	var err error
	if file != "" {
		l.set = newFlagSet() // what the line says otherwise is passed over
		l.note(false, "loaded server configuration, other configuration command line flags and environment variables will be ignored if provided", "path", file)
		err = l.readFile(file, read)
	} else {
		l.set.Visit(func(f *flag.Flag) { l.given[f.Name] = true })
		err = l.environment(environment)
		l.clientURLsGiven = l.given["listen-client-urls"]
	}
	if err == nil {
		err = l.replaceRemoved()
	}
	if err != nil {
		return l.config(), err
	}
	c := l.config()
	err = l.complete(c)
	c.Notes = l.notes
	return c, err
}

func (l *line) note(warn bool, text string, more ...any) {
	l.notes = append(l.notes, Note{warn, text, more})
}

func variableOf(flag string) string {
	return "ETCD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// valueIn returns a variable's value, and of several the last.
func valueIn(environment []string, name string) (value string) {
	for _, entry := range environment {
		if n, v, _ := strings.Cut(entry, "="); n == name {
			value = v
		}
	}
	return value
}

// environment takes settings that no flag sets from variables, and refuses a variable whose flag is set, too.
func (l *line) environment(environment []string) (err error) {
	shadowed, used := map[string]bool{}, map[string]bool{}
	for name := range l.given {
		shadowed[variableOf(name)] = true
	}
	l.set.VisitAll(func(f *flag.Flag) {
		name := variableOf(f.Name)
		value := valueIn(environment, name)
		if value == "" || shadowed[name] || f.Name == "version" {
			return
		}
		used[name] = true
		if bad := l.set.Set(f.Name, value); bad != nil {
			err = fmt.Errorf("invalid value %q for %s: %w", value, name, bad)
			return
		}
		l.given[f.Name] = true
		l.note(false, "recognized and used environment variable", "variable-name", name, "variable-value", value)
	})
	if err != nil {
		return err
	}
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case shadowed[name]:
			return fmt.Errorf("conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag)): %s", name)
		case strings.HasPrefix(name, "ETCD_") && !used[name] && name != variableOf("config-file"):
			l.note(true, "unrecognized environment variable", "environment-variable", entry)
		}
	}
	return nil
}

// replaceRemoved notes flags without effect, and gives the values of removed flags to their replacements.
func (l *line) replaceRemoved() error {
	for _, g := range table {
		for _, s := range g.specs {
			if !l.given[s.name] {
				continue
			}
			value := l.set.Lookup(s.name).Value.String()
			switch {
			case s.now != "":
				if l.given[s.now] {
					return fmt.Errorf("--%s is now called --%s, and both are given: leave the first out", s.name, s.now)
				}
				if err := l.set.Set(s.now, value); err != nil {
					return fmt.Errorf("invalid value %q for --%s: %w", value, s.name, err)
				}
				l.note(true, "flag has another name now", "flag", "--"+s.name, "now", "--"+s.now)
			case s.use == founds && value != s.byDefault():
				l.fault = cmp.Or(l.fault, fmt.Errorf("--%s is not supported: %s", s.name, s.usage))
			case s.use == refused && value != s.byDefault():
				return fmt.Errorf("--%s is not supported: %s", s.name, s.usage)
			case s.use == removed || s.use == ignored && (s.kind == nothing || value != s.byDefault()):
				l.note(s.kind != gates, "flag has no effect", "flag", "--"+s.name, "because", s.usage)
			}
		}
	}
	return nil
}

// byDefault is the default as a value prints itself.
func (s *spec) byDefault() string {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	s.define(fs)
	return fs.Lookup(s.name).Value.String()
}

func (l *line) text(name string) string { return l.set.Lookup(name).Value.String() }
func (l *line) on(name string) bool     { return valueOf[bool](l, name) }
func (l *line) count(name string) uint  { return valueOf[uint](l, name) }

// hosts is --host-whitelist, in which nothing stands for any name, as in etcd.
func (l *line) hosts() []string {
	if !l.given["host-whitelist"] {
		return nil
	}
	all := l.list("host-whitelist")
	if len(all) == 0 {
		return []string{"*"}
	}
	for i := range all {
		all[i] = strings.ToLower(all[i])
	}
	return all
}

func (l *line) urls(name string) URLs { return l.set.Lookup(name).Value.(*urlsValue).urls }
func (l *line) list(name string) []string {
	return slices.Clone(*l.set.Lookup(name).Value.(*listValue))
}

func valueOf[T any](l *line, name string) T {
	return l.set.Lookup(name).Value.(flag.Getter).Get().(T)
}

// config returns the configuration of the flags, before complete checks it as a whole.
func (l *line) config() *Config {
	c := &Config{
		Name: l.text("name"), DataDir: l.text("data-dir"),
		ListenPeer: l.urls("listen-peer-urls"), ListenClient: l.urls("listen-client-urls"), ListenHTTP: l.urls("listen-client-http-urls"),
		AdvertisePeer: l.urls("initial-advertise-peer-urls"), AdvertiseClient: l.urls("advertise-client-urls"),
		ListenMetrics: l.urls("listen-metrics-urls"), InitialCluster: l.text("initial-cluster"),
		Existing: l.text("initial-cluster-state") == "existing", Token: l.text("initial-cluster-token"),
		HeartbeatInterval: time.Duration(l.count("heartbeat-interval")) * time.Millisecond, HeartbeatGiven: l.given["heartbeat-interval"],
		ElectionTimeout: time.Duration(l.count("election-timeout")) * time.Millisecond,
		QuotaBytes:      valueOf[int64](l, "quota-backend-bytes"),
		MaxTxnOps:       l.count("max-txn-ops"), MaxRequestBytes: l.count("max-request-bytes"),
		MaxStreams: uint32(*l.set.Lookup("max-concurrent-streams").Value.(*count32Value)), Gateway: l.on("enable-grpc-gateway"),
		WatchProgress: valueOf[time.Duration](l, "watch-progress-notify-interval"),
		Client: TLS{
			CertFile: l.text("cert-file"), KeyFile: l.text("key-file"), ClientAuth: l.on("client-cert-auth"),
			TrustedCAFile: l.text("trusted-ca-file"), CRLFile: l.text("client-crl-file"),
			AllowedHosts: l.list("client-cert-allowed-hostname"), Auto: l.on("auto-tls"),
		},
		Peer: TLS{
			CertFile: l.text("peer-cert-file"), KeyFile: l.text("peer-key-file"), ClientAuth: l.on("peer-client-cert-auth"),
			DialCertFile: l.text("peer-client-cert-file"), DialKeyFile: l.text("peer-client-key-file"),
			TrustedCAFile: l.text("peer-trusted-ca-file"), CRLFile: l.text("peer-crl-file"),
			AllowedNames: l.list("peer-cert-allowed-cn"), AllowedHosts: l.list("peer-cert-allowed-hostname"), Auto: l.on("peer-auto-tls"),
		},
		SecretFile: l.text("cluster-secret-file"), InsecurePeers: l.on("insecure-peers"), ServeStale: l.on("serve-stale"),
		CipherSuites: l.list("cipher-suites"), SelfSignedYears: l.count("self-signed-cert-validity"),
		EnablePprof: l.on("enable-pprof"), HostWhitelist: l.hosts(),
		AuthToken: l.text("auth-token"), AuthTokenTTL: time.Duration(min(l.count("auth-token-ttl"), math.MaxInt32)) * time.Second,
		BcryptCost: int(min(l.count("bcrypt-cost"), math.MaxInt32)),
		Log:        Log{l.list("log-outputs"), l.text("log-level"), l.text("log-format")},
		Notes:      l.notes, Fault: l.fault,
	}
	return c
}
