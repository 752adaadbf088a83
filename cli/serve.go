package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/node"
)

// stopTime is how long a member may take to hand over its leadership and to finish what is under way. Supervisors
// kill after 30 s (Kubernetes) or more.
const stopTime = 15 * time.Second

func serveCommand() *cli.Command {
	return &cli.Command{
		Name: "serve", Category: "cluster", Usage: "run one member",
		Description: "Without flags: a cluster of one member on loopback, with the data in ./qkv-data/default and certificates of a " +
			"local CA. On any other address --certs-dir is needed: `qkv cert` makes its files. SIGTERM and Ctrl-C stop it.\n" +
			"\n--found, --join and --initial-cluster say what becomes of an empty data folder: on any other address than loopback " +
			"one of them is needed. Once there is data, they are ignored.",
		Flags:  serveFlags(),
		Action: serve,
	}
}

func serveFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", EnvVars: []string{"QKV_NAME"}, Value: "default", Usage: "`NAME` of this member, as in --initial-cluster and in its certificate"},
		&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QKV_DATA_DIR"}, Usage: "`DIR` of this member's data (default: ./qkv-data/NAME)"},
		&cli.StringFlag{Name: "listen", EnvVars: []string{"QKV_LISTEN"}, Value: defaultEndpoint, Usage: "`HOST:PORT` for clients: QUIC on UDP, etcd's API and HTTP on TCP"},
		&cli.StringFlag{Name: "listen-peer", EnvVars: []string{"QKV_LISTEN_PEER"}, Value: "127.0.0.1:2380", Usage: "`HOST:PORT` for the other members, UDP"},
		&cli.StringFlag{Name: "advertise", EnvVars: []string{"QKV_ADVERTISE"}, Usage: "`HOST:PORT` that clients are told (default: --listen)"},
		&cli.StringFlag{Name: "advertise-peer", EnvVars: []string{"QKV_ADVERTISE_PEER"}, Usage: "`HOST:PORT` that members are told (default: this member's in --initial-cluster)"},
		&cli.StringFlag{Name: "initial-cluster", EnvVars: []string{"QKV_INITIAL_CLUSTER"}, Usage: "`NAME=HOST:PORT,...` of all members of a new cluster, this one included (default: this one alone)"},
		&cli.BoolFlag{Name: "found", EnvVars: []string{"QKV_FOUND"}, Usage: "an empty data folder founds a new cluster of this member alone; on loopback it does so anyway"},
		&cli.StringFlag{Name: "join", EnvVars: []string{"QKV_JOIN"}, Usage: "`HOST:PORT,...` of members (their --listen-peer): an empty data folder joins their cluster, to which `qkv member add` has added this name"},
		&cli.StringFlag{Name: "initial-cluster-token", EnvVars: []string{"QKV_INITIAL_CLUSTER_TOKEN"}, Value: "qkv", Usage: "`WORD` that tells clusters of equal members apart"},
		certsDirFlag("`DIR` with ca.crt, member-NAME.crt and member-NAME.key; without it the local CA's, on loopback only"),
		&cli.BoolFlag{Name: "insecure-clients", EnvVars: []string{"QKV_INSECURE_CLIENTS"}, Usage: "take etcd's clients without TLS, too: anybody who reaches --listen reads and writes (without --certs-dir, on loopback, they are taken anyway)"},
		&cli.StringFlag{Name: "listen-metrics-urls", EnvVars: []string{"QKV_LISTEN_METRICS_URLS"}, Usage: "`URL,...`, as in http://127.0.0.1:2381: /metrics, /health, /livez, /readyz and /version there, too; to whoever reaches an http one"},
		&cli.BoolFlag{Name: "enable-pprof", EnvVars: []string{"QKV_ENABLE_PPROF"}, Usage: "Go's profiles at --listen, in /debug/pprof/: they tell much, and cost processor time"},
		homeFlag(),
		&cli.DurationFlag{Name: "heartbeat-interval", EnvVars: []string{"QKV_HEARTBEAT_INTERVAL"}, Value: 100 * time.Millisecond, Usage: "`TIME` between two heartbeats of the leader"},
		&cli.DurationFlag{Name: "election-timeout", EnvVars: []string{"QKV_ELECTION_TIMEOUT"}, Value: time.Second, Usage: "`TIME` without a leader before an election: at least 5 heartbeats, at most 50s"},
		&cli.DurationFlag{Name: "watch-progress-notify-interval", EnvVars: []string{"QKV_WATCH_PROGRESS_NOTIFY_INTERVAL"}, Value: limits.WatchProgressInterval, Usage: "`TIME` without a change after which a watch that wants it is told so: at least 100ms"},
		&cli.Int64Flag{Name: "max-request-bytes", EnvVars: []string{"QKV_MAX_REQUEST_BYTES"}, Value: limits.RequestBytesWritten, Usage: "`N` bytes that a write may have at most, a transaction with all its values: up to 16777216"},
		&cli.Int64Flag{Name: "segment-bytes", EnvVars: []string{"QKV_SEGMENT_BYTES"}, DefaultText: "64 MiB, or a 64th of a smaller disk", Usage: "`N` bytes of each of the log's files, of which the largest write should fit one"},
		&cli.Int64Flag{Name: "history-bytes", EnvVars: []string{"QKV_HISTORY_BYTES"}, Value: node.HistoryAuto, DefaultText: "1 GiB, or as much as is live", Usage: "`N` bytes that versions which are superseded may weigh, each 64 and its key and value: past it the leader compacts the oldest revisions; 0: never"},
		&cli.DurationFlag{Name: "history-age", EnvVars: []string{"QKV_HISTORY_AGE"}, DefaultText: "never", Usage: "`TIME` after which the leader compacts a revision"},
		&cli.Int64Flag{Name: "quota-bytes", EnvVars: []string{"QKV_QUOTA_BYTES"}, Value: limits.QuotaBytes, Usage: "`N` bytes that keys, each 64 and its value, history and leases may weigh: at it NOSPACE is raised; 0: no quota"},
		&cli.StringFlag{Name: "log-format", EnvVars: []string{"QKV_LOG_FORMAT"}, Value: "auto", Usage: "`FORMAT`: text, json, or auto, which is text on a terminal", Action: oneOf("log-format", "auto", "text", "json")},
		&cli.StringFlag{Name: "log-level", EnvVars: []string{"QKV_LOG_LEVEL"}, Value: "info", Usage: "`LEVEL`: debug, info, warn or error", Action: oneOf("log-level", "debug", "info", "warn", "error")},
	}
}

func oneOf(name string, allowed ...string) func(*cli.Context, string) error {
	return func(_ *cli.Context, value string) error {
		for _, a := range allowed {
			if a == value {
				return nil
			}
		}
		return usagef("--%s %q is not one of %s", name, value, strings.Join(allowed, ", "))
	}
}

func serve(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	logger := newLogger(c.App.ErrWriter, c.String("log-format"), c.String("log-level"), c.String("name"))
	err := serveMember(c, logger)
	var ended *interruption
	if err != nil && !errors.As(err, &ended) {
		logger.Error("qkv serve failed", "error", notPermitted(err).Error(), "exit_code", exitCode(err))
	}
	if err != nil {
		return &exitError{exitCode(err), errors.New("")} // all is said, in the format of the log
	}
	return nil
}

func serveMember(c *cli.Context, logger *slog.Logger) error {
	config, err := nodeConfig(c, logger)
	if err != nil {
		return err
	}
	return runMember(c.Context, config, nil)
}

// runMember runs a member until it ends, or a signal asks for its end. When it has started, started is called beside it.
func runMember(within context.Context, config node.Config, started func(context.Context, *node.Node)) error {
	return runMemberBy(within, config, node.Start, started)
}

// runMemberBy is runMember with another way to start it.
func runMemberBy(within context.Context, config node.Config, start func(context.Context, node.Config) (*node.Node, error), started func(context.Context, *node.Node)) error {
	signals, forget := withSignals(within)
	defer forget()
	signal.Ignore(syscall.SIGPIPE) // a member lives on when who reads its log goes away
	n, err := start(signals, config)
	if err != nil {
		return serveError(err)
	}
	if started != nil {
		var beside sync.WaitGroup
		beside.Go(func() { started(signals, n) })
		defer beside.Wait()
		defer forget()
	}
	select {
	case <-n.Done():
	case <-signals.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(within), stopTime)
	defer cancel()
	if err := n.Err(); err != nil {
		if errors.Is(err, node.ErrRemoved) {
			_ = n.Stop(ctx) // clients turn to other members at once, and need not find out that nobody listens
		}
		return serveError(err)
	}
	config.Logger.Info("stopping", "reason", context.Cause(signals))
	if err := n.Stop(ctx); err != nil {
		return serveError(fmt.Errorf("stop: %w", err))
	}
	config.Logger.Info("stopped")
	var ended *interruption
	if errors.As(context.Cause(signals), &ended) && ended.signal == syscall.SIGINT {
		return ended
	}
	return nil
}

// serveError is why a member does not run, or runs no longer, with the exit code that supervisors see.
func serveError(err error) error {
	var refused *node.UsageError
	switch {
	case errors.As(err, &refused):
		return usagef("%w", err)
	case errors.Is(err, node.ErrRemoved):
		return exitf(exitNotAllowed, "%w", err)
	case errors.Is(err, node.ErrDisk) && errors.Is(err, syscall.ENOSPC):
		return exitf(exitDisk, "%w (the disk is full: free space on it)", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w (the disk is full: free space on it)", err)
	case errors.Is(err, node.ErrDisk):
		return exitf(exitDisk, "%w (the kernel's messages may say more)", err)
	default:
		return err
	}
}

// nodeConfig is the configuration that the flags say.
func nodeConfig(c *cli.Context, logger *slog.Logger) (node.Config, error) {
	for _, name := range []string{"initial-cluster", "join", "data-dir"} {
		if c.IsSet(name) && c.String(name) == "" { // as a flag it is refused before
			return node.Config{}, usagef("%[1]s is set and empty: is a variable not set that should stand there? `unset %[1]s` means the default of --%[2]s",
				"QKV_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), name)
		}
	}
	cluster, err := parseCluster(c.String("initial-cluster"))
	if err != nil {
		return node.Config{}, err
	}
	join, err := parseJoin(c.String("join"))
	if err != nil {
		return node.Config{}, err
	}
	if c.Bool("found") && len(join) > 0 {
		return node.Config{}, usagef("--found makes a new cluster, and --join joins one: give the one that is meant")
	}
	home, err := homeDir(c)
	if err != nil && c.String("certs-dir") == "" {
		return node.Config{}, err
	}
	dataDir := c.String("data-dir")
	if dataDir == "" {
		dataDir = filepath.Join("qkv-data", c.String("name"))
	}
	return node.Config{
		Name: c.String("name"), DataDir: dataDir,
		MetricsURLs: parseList(c.String("listen-metrics-urls")), Profiles: c.Bool("enable-pprof"),
		Listen: c.String("listen"), ListenPeer: c.String("listen-peer"),
		Advertise: c.String("advertise"), AdvertisePeer: c.String("advertise-peer"),
		InitialCluster: cluster, InitialClusterToken: c.String("initial-cluster-token"),
		Found: c.Bool("found"), Join: join,
		CertsDir: c.String("certs-dir"), InsecureClients: c.Bool("insecure-clients"), Home: home,
		HeartbeatInterval: c.Duration("heartbeat-interval"), ElectionTimeout: c.Duration("election-timeout"),
		WatchProgress:   c.Duration("watch-progress-notify-interval"),
		MaxRequestBytes: c.Int64("max-request-bytes"), SegmentBytes: c.Int64("segment-bytes"),
		HistoryBytes: c.Int64("history-bytes"), HistoryAge: c.Duration("history-age"), QuotaBytes: c.Int64("quota-bytes"),
		Logger: logger, Version: Version,
	}, nil
}

// parseCluster reads NAME=HOST:PORT,... Node checks what the names and addresses are.
func parseCluster(text string) ([]node.Member, error) {
	if text == "" {
		return nil, nil
	}
	var members []node.Member
	for part := range strings.SplitSeq(text, ",") {
		name, address, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || name == "" || address == "" {
			return nil, usagef("--initial-cluster %q: %q is not NAME=HOST:PORT, as in n1=10.0.0.1:2380,n2=10.0.0.2:2380", text, part)
		}
		members = append(members, node.Member{Name: name, Address: address})
	}
	return members, nil
}

// parseList reads what commas separate.
func parseList(text string) (all []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// parseJoin reads HOST:PORT,...
func parseJoin(text string) (addresses []string, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if err := wire.CheckAddress(part); err != nil {
			return nil, usagef("--join: %w", err)
		}
		addresses = append(addresses, part)
	}
	if text != "" && len(addresses) == 0 {
		return nil, usagef("--join %q names no member: HOST:PORT,... as in 10.0.0.1:2380", text)
	}
	return addresses, nil
}
