package etcdflags

import "fmt"

// use says what becomes of a flag.
type use uint8

const (
	applies use = iota
	ignored
	refused
	founds  // refused in an empty data folder; a member with data says that it is ignored
	removed // and ignored, or as the flag named in now
)

// kind is the type of a flag's value. Its texts are those of Go's package flag.
type kind uint8

const (
	text kind = iota
	onOff
	count   // uint
	count64 // uint64
	count32 // uint32, whose errors are strconv's
	whole   // int
	whole64 // int64
	span    // time.Duration
	list    // of texts, with commas
	urls    // with commas; or nothing, or *
	choice  // one of spec.choices
	gates   // NAME=true|false with commas
	nothing // whatever it is
)

// spec is one flag.
type spec struct {
	name    string
	kind    kind
	value   string // by default
	choices []string
	use     use
	usage   string // of one that applies: what it is; of others: why not, or what to do
	now     string // the flag that took its place
}

// group is flags under one title of the help.
type group struct {
	title string
	specs []spec
}

// Values by default that others need, too.
const (
	defaultName       = "default"
	defaultPeerURL    = "http://localhost:2380"
	defaultClientURL  = "http://localhost:2379"
	defaultCluster    = defaultName + "=" + defaultPeerURL
	defaultHeartbeat  = 100
	defaultElection   = 1000
	defaultMaxRequest = 3 << 19
	defaultMaxTxnOps  = 128
)

// table is all flags of etcd 3.7, and those before it that are still met.
var table = []group{
	{"Member", []spec{
		{name: "name", value: defaultName, usage: "this member's name"},
		{name: "data-dir", usage: "folder of this member's data (NAME.etcd)"},
		{name: "heartbeat-interval", kind: count, value: fmt.Sprint(defaultHeartbeat), usage: "milliseconds between two heartbeats of the leader; if it is not given, the default of `qkv serve`"},
		{name: "election-timeout", kind: count, value: fmt.Sprint(defaultElection), usage: "milliseconds of silence after which a leader is replaced in any case, by chance up to twice this; usually it is replaced sooner, by how late its heartbeats were"},
		{name: "listen-peer-urls", kind: urls, value: defaultPeerURL, usage: "where to listen for the other members: QUIC, at the URL's host and port over UDP"},
		{name: "listen-client-urls", kind: urls, value: defaultClientURL, usage: "where to listen for clients; http:// takes them without TLS"},
		{name: "quota-backend-bytes", kind: whole64, value: "0", usage: "bytes that the state may weigh until NOSPACE is raised; 0: 2 GiB, below 0: no bound"},
		{name: "max-txn-ops", kind: count, value: fmt.Sprint(defaultMaxTxnOps), usage: "operations that a transaction may have"},
		{name: "max-request-bytes", kind: count, value: fmt.Sprint(defaultMaxRequest), usage: "bytes that a client's request may have"},
		{name: "listen-client-http-urls", kind: urls, usage: "where to listen for clients, too: HTTP and gRPC share each port, and neither holds up the other"},
		{name: "wal-dir", use: refused, usage: "the log stays in the data folder: put that on the quick disk"},
		{name: "snapshot-count", kind: count64, value: "10000", use: ignored, usage: "a snapshot is taken when the log outweighs the state"},
		{name: "snapshot-catchup-entries", kind: count64, value: "5000", use: ignored, usage: "the log is kept back to the older of two snapshots"},
		{name: "initial-election-tick-advance", kind: onOff, value: "true", use: ignored, usage: "elections begin as soon as they may"},
		{name: "max-snapshots", kind: count, value: "5", use: ignored, usage: "two snapshots are kept"},
		{name: "max-wals", kind: count, value: "5", use: ignored, usage: "the log's files are used again when nothing refers to them"},
		{name: "memory-mlock", kind: onOff, use: ignored, usage: "memory is not locked: turn swap off"},
		{name: "backend-bbolt-freelist-type", value: "map", use: ignored, usage: "there is no bbolt backend"},
		{name: "backend-batch-interval", kind: span, value: "0s", use: ignored, usage: "there is no bbolt backend"},
		{name: "backend-batch-limit", kind: whole, value: "0", use: ignored, usage: "there is no bbolt backend"},
		{name: "max-concurrent-streams", kind: count32, value: "4294967295", usage: "requests and streams in flight of one connection; over 8192 is 8192"},
		{name: "grpc-keepalive-min-time", kind: span, value: "5s", use: ignored, usage: "it is 5 s"},
		{name: "grpc-keepalive-interval", kind: span, value: "2h0m0s", use: ignored, usage: "it is 2 h"},
		{name: "grpc-keepalive-timeout", kind: span, value: "20s", use: ignored, usage: "it is 20 s"},
		{name: "socket-reuse-port", kind: onOff, use: ignored, usage: "two processes never share a member's port"},
		{name: "socket-reuse-address", kind: onOff, use: ignored, usage: "the system's default is used"},
		{name: "enable-grpc-gateway", kind: onOff, value: "true", usage: "serve the JSON gateway, /v3/ on the clients' port"},
		{name: "raft-read-timeout", kind: span, value: "5s", use: ignored, usage: "members talk over QUIC, which has its own"},
		{name: "raft-write-timeout", kind: span, value: "5s", use: ignored, usage: "members talk over QUIC, which has its own"},
		{name: "feature-gates", kind: gates, use: ignored, usage: "what its gates turn on is either always on or not there"},
	}},
	{"Clustering", []spec{
		{name: "initial-advertise-peer-urls", kind: urls, value: defaultPeerURL, usage: "where the other members reach this one"},
		{name: "initial-cluster", value: defaultCluster, usage: "NAME=URL,... of all members, this one included"},
		{name: "initial-cluster-state", kind: choice, value: "new", choices: []string{"new", "existing"}, usage: "new founds a cluster, existing joins one to which this member was added; ignored once there is data"},
		{name: "initial-cluster-token", value: "etcd-cluster", usage: "tells clusters of equal members apart"},
		{name: "advertise-client-urls", kind: urls, value: defaultClientURL, usage: "where clients reach this member"},
		{name: "auto-compaction-mode", value: "periodic", usage: "periodic or revision"},
		{name: "auto-compaction-retention", value: "0", usage: "how much history stays: a time (a bare number is hours), or a number of revisions; 0: all"},
		{name: "strict-reconfig-check", kind: onOff, value: "true", use: ignored, usage: "a change of the members that would cost the quorum is always refused"},
		{name: "pre-vote", kind: onOff, value: "true", use: ignored, usage: "it is always on"},
		{name: "discovery-token", use: founds, usage: "there is no discovery service: give --initial-cluster"},
		{name: "discovery-endpoints", kind: list, use: founds, usage: "there is no discovery service: give --initial-cluster"},
		{name: "discovery-srv", use: founds, usage: "DNS is not asked for the members: give --initial-cluster"},
		{name: "discovery-srv-name", use: founds, usage: "DNS is not asked for the members: give --initial-cluster"},
		{name: "discovery", use: founds, usage: "there is no discovery service: give --initial-cluster"},
		{name: "discovery-dial-timeout", kind: span, value: "2s", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-request-timeout", kind: span, value: "5s", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-keepalive-time", kind: span, value: "2s", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-keepalive-timeout", kind: span, value: "6s", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-insecure-transport", kind: onOff, value: "true", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-insecure-skip-tls-verify", kind: onOff, use: ignored, usage: "there is no discovery service"},
		{name: "discovery-cert", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-key", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-cacert", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-user", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-password", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-proxy", use: ignored, usage: "there is no discovery service"},
		{name: "discovery-fallback", kind: choice, value: "exit", choices: []string{"exit", "proxy"}, use: ignored, usage: "there is no discovery service"},
		{name: "v2-deprecation", use: ignored, usage: "there is no v2 store"},
	}},
	{"qkv", []spec{ // not etcd's
		{name: "cluster-secret-file", usage: "file with the cluster secret of `qkv cert secret`, in place of certificates for peers; or QKV_CLUSTER_SECRET holds the secret itself"},
		{name: "insecure-peers", kind: onOff, usage: "INSECURE: members on http:// URLs of several hosts derive their secret from --initial-cluster-token: every host that can guess the token can join and read everything"},
		{name: "serve-stale", kind: onOff, usage: "for a lost quorum: after a start, serve serializable ranges before a quorum confirms that acknowledged writes are not missing"},
	}},
	{"Security", []spec{
		{name: "cert-file", usage: "certificate that clients are shown"},
		{name: "key-file", usage: "its key"},
		{name: "client-cert-auth", kind: onOff, usage: "clients must show a certificate that --trusted-ca-file has signed"},
		{name: "client-crl-file", usage: "certificates of clients that were revoked"},
		{name: "client-cert-allowed-hostname", kind: list, usage: "host names one of which a client's certificate must hold"},
		{name: "trusted-ca-file", usage: "who signs clients' certificates"},
		{name: "auto-tls", kind: onOff, usage: "a certificate for clients is made, which nobody has signed"},
		{name: "peer-cert-file", usage: "certificate that other members are shown"},
		{name: "peer-key-file", usage: "its key"},
		{name: "peer-client-cert-auth", kind: onOff, usage: "other members must show a certificate: they always have to"},
		{name: "peer-trusted-ca-file", usage: "who signs members' certificates"},
		{name: "peer-cert-allowed-cn", kind: list, usage: "common names one of which a member's certificate must have"},
		{name: "peer-cert-allowed-hostname", kind: list, usage: "host names one of which a member's certificate must hold"},
		{name: "peer-crl-file", usage: "certificates of members that were revoked"},
		{name: "peer-auto-tls", kind: onOff, usage: "on loopback the local CA signs members' certificates; elsewhere it is refused, for it would believe anybody"},
		{name: "self-signed-cert-validity", kind: count, value: "1", usage: "years for which a certificate of --auto-tls is made"},
		{name: "cipher-suites", kind: list, usage: "cipher suites of TLS 1.2 for clients"},
		{name: "tls-min-version", value: "TLS1.2", usage: "TLS1.2 or TLS1.3, of clients: members talk by TLS 1.3"},
		{name: "tls-max-version", usage: "TLS1.2 or TLS1.3, of clients"},
		{name: "client-cert-file", use: ignored, usage: "this member is nobody's client over TCP"},
		{name: "client-key-file", use: ignored, usage: "this member is nobody's client over TCP"},
		{name: "peer-client-cert-file", usage: "certificate by which this member dials the others (--peer-cert-file)"},
		{name: "peer-client-key-file", usage: "its key"},
		{name: "peer-skip-client-san-verification", kind: onOff, use: ignored, usage: "who a peer is follows from the hosts in its certificate"},
		{name: "cors", kind: urls, value: "*", use: ignored, usage: "no other origin is allowed"},
		{name: "host-whitelist", kind: list, value: "*", usage: "names in the Host header of requests over HTTP without TLS; by default any, but of browsers and on loopback only names of this member, and names that the public DNS does not have"},
	}},
	{"Auth", []spec{
		{name: "auth-token", value: "simple", usage: "kind of users' tokens: simple, or jwt,sign-method=METHOD,priv-key=FILE,pub-key=FILE,ttl=TIME"},
		{name: "bcrypt-cost", kind: count, value: "10", usage: "cost of a password's hash, from 4 to 14: each step doubles the time that a login takes"},
		{name: "auth-token-ttl", kind: count, value: "300", usage: "seconds for which a simple token is valid after its last use"},
	}},
	{"Profiling and monitoring", []spec{
		{name: "enable-pprof", kind: onOff, usage: "/debug/pprof on the clients' port"},
		{name: "metrics", value: "basic", use: ignored, usage: "/metrics always has what extensive adds"},
		{name: "listen-metrics-urls", kind: urls, usage: "where to answer /metrics, /health, /livez and /readyz, too"},
	}},
	{"Logging", []spec{
		{name: "log-outputs", kind: list, value: "default", usage: "default, stderr, stdout, or a file"},
		{name: "log-level", value: "info", usage: "debug, info, warn, error, panic or fatal"},
		{name: "log-format", value: "json", usage: "json or console"},
		{name: "logger", value: "zap", use: ignored, usage: "there is one logger"},
		{name: "enable-log-rotation", kind: onOff, use: refused, usage: "the log is not rotated: give it to journald, or to logrotate with copytruncate"},
		{name: "log-rotation-config-json", value: `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}`, use: ignored, usage: "the log is not rotated"},
		{name: "warning-unary-request-duration", kind: span, value: "0s", use: ignored, usage: "slow requests are not logged"},
	}},
	{"Distributed tracing", []spec{
		{name: "enable-distributed-tracing", kind: onOff, use: ignored, usage: "there is no tracing"},
		{name: "distributed-tracing-address", value: "localhost:4317", use: ignored, usage: "there is no tracing"},
		{name: "distributed-tracing-service-name", value: "etcd", use: ignored, usage: "there is no tracing"},
		{name: "distributed-tracing-instance-id", use: ignored, usage: "there is no tracing"},
		{name: "distributed-tracing-sampling-rate", kind: whole, value: "0", use: ignored, usage: "there is no tracing"},
	}},
	{"Features", []spec{
		{name: "watch-progress-notify-interval", kind: span, value: "0s", usage: "time without a change after which a watch that wants it is told so (10m)"},
		{name: "corrupt-check-time", kind: span, value: "0s", use: ignored, usage: "the members' states are always compared"},
		{name: "compact-hash-check-time", kind: span, value: "1m0s", use: ignored, usage: "the members' states are always compared"},
		{name: "compaction-batch-limit", kind: whole, value: "0", use: ignored, usage: "a compaction goes in steps that hold up nobody"},
		{name: "compaction-sleep-interval", kind: span, value: "0s", use: ignored, usage: "a compaction goes in steps that hold up nobody"},
		{name: "warning-apply-duration", kind: span, value: "100ms", use: ignored, usage: "slow requests are not logged"},
		{name: "bootstrap-defrag-threshold-megabytes", kind: count, value: "0", use: ignored, usage: "there is nothing to defragment"},
		{name: "max-learners", kind: whole, value: "1", use: ignored, usage: "up to three members are brought up to date at a time"},
		{name: "downgrade-check-time", kind: span, value: "5s", use: ignored, usage: "there is no downgrade"},
	}},
	{"Unsafe", []spec{
		{name: "force-new-cluster", kind: onOff, use: refused, usage: "run `qkv recover --data-dir DIR --accept-loss` once, while the member does not run, and start it without this flag: as in etcd, its data becomes the cluster of this member alone"},
		{name: "unsafe-no-fsync", kind: onOff, use: ignored, usage: "what is acknowledged is always synced"},
	}},
	{"Removed", []spec{
		{name: "experimental-initial-corrupt-check", kind: onOff, use: removed, usage: "the members' states are always compared"},
		{name: "experimental-corrupt-check-time", kind: span, value: "0s", use: removed, now: "corrupt-check-time"},
		{name: "experimental-compact-hash-check-enabled", kind: onOff, use: removed, usage: "the members' states are always compared"},
		{name: "experimental-compact-hash-check-time", kind: span, value: "1m0s", use: removed, now: "compact-hash-check-time"},
		{name: "experimental-watch-progress-notify-interval", kind: span, value: "0s", use: removed, now: "watch-progress-notify-interval"},
		{name: "experimental-compaction-batch-limit", kind: whole, value: "0", use: removed, now: "compaction-batch-limit"},
		{name: "experimental-compaction-sleep-interval", kind: span, value: "0s", use: removed, now: "compaction-sleep-interval"},
		{name: "experimental-warning-apply-duration", kind: span, value: "100ms", use: removed, now: "warning-apply-duration"},
		{name: "experimental-warning-unary-request-duration", kind: span, value: "0s", use: removed, now: "warning-unary-request-duration"},
		{name: "experimental-bootstrap-defrag-threshold-megabytes", kind: count, value: "0", use: removed, now: "bootstrap-defrag-threshold-megabytes"},
		{name: "experimental-max-learners", kind: whole, value: "1", use: removed, now: "max-learners"},
		{name: "experimental-snapshot-catchup-entries", kind: count64, value: "5000", use: removed, now: "snapshot-catchup-entries"},
		{name: "experimental-memory-mlock", kind: onOff, use: removed, now: "memory-mlock"},
		{name: "experimental-downgrade-check-time", kind: span, value: "5s", use: removed, now: "downgrade-check-time"},
		{name: "experimental-peer-skip-client-san-verification", kind: onOff, use: removed, now: "peer-skip-client-san-verification"},
		{name: "experimental-enable-lease-checkpoint", kind: onOff, use: removed, usage: "a lease's time outlives its leader anyway"},
		{name: "experimental-enable-lease-checkpoint-persist", kind: onOff, use: removed, usage: "a lease's time outlives its leader anyway"},
		{name: "experimental-enable-distributed-tracing", kind: onOff, use: removed, now: "enable-distributed-tracing"},
		{name: "experimental-distributed-tracing-address", value: "localhost:4317", use: removed, now: "distributed-tracing-address"},
		{name: "experimental-distributed-tracing-service-name", value: "etcd", use: removed, now: "distributed-tracing-service-name"},
		{name: "experimental-distributed-tracing-instance-id", use: removed, now: "distributed-tracing-instance-id"},
		{name: "experimental-distributed-tracing-sampling-rate", kind: whole, value: "0", use: removed, now: "distributed-tracing-sampling-rate"},
		{name: "experimental-stop-grpc-service-on-defrag", kind: onOff, use: removed, usage: "there is nothing to defragment"},
		{name: "experimental-txn-mode-write-with-shared-buffer", kind: onOff, value: "true", use: removed, usage: "there is no bbolt backend"},
		{name: "experimental-set-member-localaddr", kind: onOff, use: removed, usage: "the system chooses the address to dial from"},
		{name: "experimental-wait-cluster-ready-timeout", kind: span, value: "5s", use: removed, usage: "a member serves as soon as it hears of a leader"},
		{name: "enable-v2", kind: onOff, use: removed, usage: "there is no v2 API"},
		{name: "experimental-enable-v2v3", use: removed, usage: "there is no v2 API"},
		{name: "debug", kind: onOff, use: removed, usage: "--log-level debug says more"},
		{name: "log-package-levels", use: removed, usage: "--log-level is of all of it"},
	}},
	{"Ignored", func() (all []spec) {
		for _, name := range []string{
			"cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force", "max-result-buffer", "max-retry-attempts",
			"peer-heartbeat-interval", "peer-election-timeout", "retry-interval", "snapshot", "v", "vv", "test.coverprofile", "test.outputdir",
		} {
			all = append(all, spec{name: name, kind: nothing, use: ignored, usage: "etcd ignores it, too"})
		}
		return all
	}()},
}
