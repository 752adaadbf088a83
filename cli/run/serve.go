//go:build linux

package run

// This file is `qkv serve`: run one member.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"qkv/cli/data"
	"qkv/cli/form"
	"qkv/cli/local"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/wire"
	"qkv/node"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// stopTime limits the graceful stop of a member: the handover of leadership and running requests. Supervisors kill after 30 s
// (Kubernetes) or more.
const stopTime = 15 * time.Second

// peerPort is the default port of members.
const peerPort = "2380"

// heartbeatInterval and electionTimeout are a member's defaults.
const (
	heartbeatInterval = 50 * time.Millisecond
	electionTimeout   = time.Second
)

func serveCommand() *cli.Command {
	return &cli.Command{Name: "serve", Flags: append([]cli.Flag{configFlag()}, MemberFlags()...), Action: serve}
}

// quotaBytes is the default bound on keys, their history and leases, as in etcd: the state is in memory, and a new member must receive all
// of it.
const quotaBytes = 2 << 30

// The defaults of a backup.
const (
	backupEvery = time.Hour
	backupKeep  = 7 * form.Day
)

// MemberFlags are the settings of a member.
func MemberFlags() []cli.Flag {
	return form.WithDays([]cli.Flag{
		&cli.StringFlag{Name: "name", EnvVars: []string{"QKV_NAME"}, Value: "default", Usage: "`NAME` of this member, as in --initial-cluster and in its certificate"},
		&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QKV_DATA_DIR"}, Usage: "`DIR` of this member's data (default: ./qkv-data/NAME)"},
		&cli.StringFlag{Name: "listen", EnvVars: []string{"QKV_LISTEN"}, Value: form.DefaultEndpoint, Usage: "`HOST:PORT` for clients: QUIC on UDP, etcd's API and HTTP on TCP"},
		&cli.StringFlag{Name: "listen-peer", EnvVars: []string{"QKV_LISTEN_PEER"}, Value: "127.0.0.1:" + peerPort, Usage: "`HOST:PORT` for the other members: QUIC on UDP, and TCP to notice at once that a process has died"},
		&cli.StringFlag{Name: "advertise", EnvVars: []string{"QKV_ADVERTISE"}, Usage: "`HOST:PORT` that clients are told (default: --listen)"},
		&cli.StringFlag{Name: "advertise-peer", EnvVars: []string{"QKV_ADVERTISE_PEER"}, Usage: "`HOST:PORT` that members are told (default: this member's in --initial-cluster)"},
		&cli.StringFlag{Name: "initial-cluster", EnvVars: []string{"QKV_INITIAL_CLUSTER"}, Usage: "`NAME=HOST:PORT,...` of all members of a new cluster, this one included (default: this one alone)"},
		&cli.BoolFlag{Name: "found", EnvVars: []string{"QKV_FOUND"}, Usage: "with an empty data folder, found a new cluster of this member alone; the default on loopback"},
		&cli.StringFlag{Name: "join", EnvVars: []string{"QKV_JOIN"}, Usage: "`HOST:PORT,...` of members (their --listen-peer): with an empty data folder, join their cluster, by the cluster secret or after `qkv member add` of this name; the default PORT is 2380"},
		&cli.StringFlag{Name: "initial-cluster-token", EnvVars: []string{"QKV_INITIAL_CLUSTER_TOKEN"}, Value: "qkv", Usage: "`WORD` that distinguishes clusters with the same member list"},
		form.CertsDirFlag("`DIR` with ca.crt, member-NAME.crt and member-NAME.key; without it the local CA's, on loopback only"),
		form.ClusterSecretFlag(", and followed when it changes"),
		&cli.BoolFlag{Name: "insecure-clients", EnvVars: []string{"QKV_INSECURE_CLIENTS"}, Usage: "also accept etcd's clients without TLS: every host that reaches --listen can read and write (always on for loopback without --certs-dir)"},
		&cli.BoolFlag{Name: "serve-stale", EnvVars: []string{"QKV_SERVE_STALE"}, Usage: "after a start, serve reads of keys (get, export and du with --serializable) before a quorum confirms that acknowledged writes are not missing: for a lost quorum only, see docs/emergencies.md"},
		&cli.StringFlag{Name: "listen-web", EnvVars: []string{"QKV_LISTEN_WEB"}, Usage: "`URL,...`, as in http://127.0.0.1:2381: also serve metrics, probes and the dashboard there, at /ui/; at http on another address than loopback, metrics and probes alone; https needs no client certificate"},
		&cli.BoolFlag{Name: "enable-pprof", EnvVars: []string{"QKV_ENABLE_PPROF"}, Usage: "serve Go's profiles at --listen, in /debug/pprof/: they show internals and cost CPU time"},
		&cli.StringFlag{Name: "auth-token", EnvVars: []string{"QKV_AUTH_TOKEN"}, Value: "simple", Usage: "`KIND` of the tokens of users who log in with a password: simple, or jwt,sign-method=METHOD,priv-key=FILE, with pub-key=FILE and ttl=TIME as in etcd"},
		form.HomeFlag(),
		&cli.DurationFlag{Name: "heartbeat-interval", EnvVars: []string{"QKV_HEARTBEAT_INTERVAL"}, Value: heartbeatInterval, Usage: "`TIME` between two heartbeats of the leader"},
		&cli.DurationFlag{Name: "election-timeout", EnvVars: []string{"QKV_ELECTION_TIMEOUT"}, Value: electionTimeout, Usage: "`TIME` of silence after which a leader is replaced in any case, by chance up to twice this; usually it is replaced sooner, see --fixed-detection; at least 5 heartbeats, at most 50s"},
		&cli.BoolFlag{Name: "fixed-detection", EnvVars: []string{"QKV_FIXED_DETECTION"}, Usage: "replace a silent leader only after --election-timeout, not sooner by how late its heartbeats were: see docs/emergencies.md"},
		form.SizeFlag("max-request-bytes", "QKV_MAX_REQUEST_BYTES", limits.RequestBytesWritten, "1.5MiB", "largest `SIZE` of a write, a transaction with all its values: up to 16MiB"),
		&cli.GenericFlag{Name: "segment-bytes", EnvVars: []string{"QKV_SEGMENT_BYTES"}, Value: new(form.Size(0)), Hidden: true, Usage: "`SIZE` of each log segment, for tests (default: 64MiB, or a 64th of a smaller disk)"},
		form.SizeFlag("history-bytes", "QKV_HISTORY_BYTES", node.HistoryAuto, "1GiB, or the size of the live keys", "largest `SIZE` of the superseded versions, each 64 bytes and its key and value: above it the leader compacts the oldest revisions; 0: never"),
		&cli.DurationFlag{Name: "history-age", EnvVars: []string{"QKV_HISTORY_AGE"}, DefaultText: "never", Usage: "`TIME` after which the leader compacts a revision"},
		form.SizeFlag("quota-bytes", "QKV_QUOTA_BYTES", quotaBytes, "2GiB", "largest `SIZE` of keys (each 64 bytes and its value), history and leases: when it is reached, NOSPACE is raised; 0: no quota"),
		&cli.StringFlag{Name: "audit-log", EnvVars: []string{"QKV_AUDIT_LOG"}, Usage: "`FILE` to which the log's lines about logins, refusals, and changes of users, roles, members and alarms are appended as JSON, too (default: only the log has them)"},
		&cli.StringFlag{Name: "seed", EnvVars: []string{"QKV_SEED"}, Usage: "`PLACE` of the cluster's backup, with --join: this member takes what it can from there, and only the rest from the leader (default: all from the leader)"},
		data.IdentityFlag(),
		&cli.StringFlag{Name: "backup", EnvVars: []string{"QKV_BACKUP"}, Usage: "`PLACE`, s3://BUCKET/PREFIX or a shared folder that exists: the leader backs the cluster up there; give it to all members (default: no backup)"},
		&cli.DurationFlag{Name: "backup-every", EnvVars: []string{"QKV_BACKUP_EVERY"}, Value: backupEvery, Hidden: true, Usage: "`TIME` between the bases in --backup, for tests", Action: form.Positive("backup-every")},
		&cli.DurationFlag{Name: "backup-keep", EnvVars: []string{"QKV_BACKUP_KEEP"}, Value: backupKeep, Usage: "`TIME` for which every moment can be restored from --backup, as in 7d; older data is removed with each new base", Action: form.Positive("backup-keep")},
		&cli.StringSliceFlag{Name: "backup-recipient", EnvVars: []string{"QKV_BACKUP_RECIPIENT"}, Usage: "encrypt the backup in --backup for the age public `KEY`; several are allowed"},
		&cli.StringFlag{Name: "log-format", EnvVars: []string{"QKV_LOG_FORMAT"}, Value: "auto", Usage: "`FORMAT`: text, json, or auto, which is text on a terminal", Action: form.OneOf("log-format", "auto", "text", "json")},
		&cli.StringFlag{Name: "log-level", EnvVars: []string{"QKV_LOG_LEVEL"}, Value: "info", Usage: "`LEVEL`: debug, info, warn or error", Action: form.OneOf("log-level", "debug", "info", "warn", "error")},
	})
}

func serve(c *cli.Context) error {
	s, err := readMemberSettings(c, c.String("config"))
	level := form.LevelOf(s.Context)
	logger := form.NewLogger(c.App.ErrWriter, s.String("log-format"), level, s.String("name"))
	if err == nil {
		err = serveMember(s, level, logger)
	}
	var ended *form.Interruption
	if err != nil && !errors.As(err, &ended) {
		logger.Error("qkv serve failed", "error", form.NotPermitted(err).Error(), "exit_code", form.ExitCode(err))
	}
	if err != nil {
		return form.Exitf(form.ExitCode(err), "") // the error is already in the log
	}
	return nil
}

func serveMember(s *memberSettings, level *slog.LevelVar, logger *slog.Logger) error {
	config, err := nodeConfig(s.Context, logger)
	if err != nil {
		return err
	}
	if s.file == "" {
		return runMember(s.Context.Context, config, node.Start, nil)
	}
	again := &reloading{started: s, level: level, logger: logger}
	return runMember(s.Context.Context, config, node.Start, func(n *node.Node) { again.reload(n.Change) })
}

// runMember runs a member until it ends or a signal asks for its end, and reports its state to the service manager. SIGHUP calls reload;
// without it, SIGHUP asks for the end, too.
func runMember(within context.Context, config node.Config, start func(context.Context, node.Config) (*node.Node, error), reload func(*node.Node)) error {
	local.EndWithParent(form.ExitFailed)
	hangups := make(chan os.Signal, 1) // one that waits stands for all later ones
	if reload != nil {
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}
	signals, forget := form.WithSignals(within, reload == nil)
	defer forget()
	signal.Ignore(syscall.SIGPIPE) // a member must survive the end of the process that reads its log
	manager := NewServiceManager(os.Getenv, config.Logger)
	started := manager.starting()
	n, err := start(signals, config)
	started()
	if err != nil {
		return data.ServeError(err)
	}
	var beside sync.WaitGroup
	beside.Go(func() { manager.Follow(signals, n) })
	beside.Go(func() {
		for {
			select {
			case <-hangups:
				reload(n)
			case <-signals.Done():
				return
			}
		}
	})
	defer beside.Wait()
	defer forget()
	select {
	case <-n.Done():
	case <-signals.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(within), stopTime)
	defer cancel()
	if err := n.Err(); err != nil {
		if errors.Is(err, node.ErrRemoved) {
			_ = n.Stop(ctx) // clients turn to other members at once, without failed dials
		}
		return data.ServeError(err)
	}
	config.Logger.Info("stopping", "reason", context.Cause(signals))
	manager.tell("STOPPING=1", "STATUS=stopping")
	if err := n.Stop(ctx); err != nil {
		return data.ServeError(fmt.Errorf("stop: %w", err))
	}
	config.Logger.Info("stopped")
	var ended *form.Interruption
	if errors.As(context.Cause(signals), &ended) && ended.Signal == syscall.SIGINT {
		return ended
	}
	return nil
}

// nodeConfig builds the configuration from the flags.
func nodeConfig(c *cli.Context, logger *slog.Logger) (node.Config, error) {
	empty := func(name string) error {
		if !c.IsSet(name) || c.String(name) != "" { // an empty flag was refused before
			return nil
		}
		return form.Usagef("%[1]s is set and empty: if a variable should stand there, set it; `unset %[1]s` means the default of --%[2]s",
			"QKV_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), name)
	}
	cluster, noCluster := data.ParseCluster(c.String("initial-cluster"))
	join, noJoin := parseJoin(c.String("join"))
	seed, noSeed := seedOf(c)
	certsDir, secret, err := form.MemberTrust(c)
	if err = cmp.Or(empty("data-dir"), err); err != nil {
		return node.Config{}, err
	}
	home, err := form.HomeDir(c)
	if err != nil && certsDir == "" && secret == nil {
		return node.Config{}, err
	}
	backUp, err := backupTarget(c.String("backup"), c.Duration("backup-every"), c.Duration("backup-keep"), c.StringSlice("backup-recipient"))
	if err != nil {
		return node.Config{}, err
	}
	dataDir := c.String("data-dir")
	if dataDir == "" {
		dataDir = filepath.Join("qkv-data", wire.FileName(c.String("name")))
	}
	dataDir = node.OwnFolder(dataDir)
	return node.Config{
		Name: c.String("name"), DataDir: dataDir,
		Web: parseList(c.String("listen-web")), Profiles: c.Bool("enable-pprof"),
		Listen: c.String("listen"), ListenPeer: c.String("listen-peer"),
		Advertise: c.String("advertise"), AdvertisePeer: c.String("advertise-peer"),
		InitialCluster: cluster, InitialClusterToken: c.String("initial-cluster-token"),
		Found: c.Bool("found"), Join: join, BeginFault: cmp.Or(empty("initial-cluster"), empty("join"), noCluster, noJoin, noSeed),
		AuthToken: c.String("auth-token"),
		CertsDir:  certsDir, Secret: secret, InsecureClients: c.Bool("insecure-clients"), ServeStale: c.Bool("serve-stale"), Home: home,
		HeartbeatInterval: c.Duration("heartbeat-interval"), ElectionTimeout: c.Duration("election-timeout"), FixedDetection: c.Bool("fixed-detection"),
		MaxRequestBytes: form.SizeOf(c, "max-request-bytes"), SegmentBytes: form.SizeOf(c, "segment-bytes"),
		HistoryBytes: form.SizeOf(c, "history-bytes"), HistoryAge: c.Duration("history-age"), QuotaBytes: form.SizeOf(c, "quota-bytes"),
		AuditLog: c.String("audit-log"),
		Backup:   backUp, Seed: seed,
		Logger: logger, Version: form.Version,
	}, nil
}

// backupTarget returns the target of --backup. A place that cannot be used now is no fault of the command line: the leader tries it again, and
// says so.
func backupTarget(place string, every, keep time.Duration, recipients []string) (t node.BackupTarget, err error) {
	t = node.BackupTarget{Every: every, Keep: keep}
	for _, text := range recipients {
		one, err := age.ParseX25519Recipient(text)
		if err != nil {
			return t, form.Usagef("--backup-recipient %s is not a public key of age: %w", text, err)
		}
		t.To = append(t.To, one)
	}
	if place != "" {
		if t.Store, err = store.Open(disk.OS(), place); err != nil {
			err = form.Usagef("--backup %s: %w", place, err)
		}
	}
	return t, err
}

// seedOf returns what opens the backup of --seed.
func seedOf(c *cli.Context) (func(context.Context) (*backup.Reader, error), error) {
	if c.String("seed") == "" {
		return nil, nil
	}
	keys, err := data.Identities(c)
	if err != nil {
		return nil, err
	}
	from, err := data.OpenStore("--seed", c.String("seed"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (*backup.Reader, error) { return backup.Open(ctx, from, keys...) }, nil
}

// parseList splits a list at commas.
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
		if !strings.Contains(part, ":") || strings.HasSuffix(part, "]") {
			part += ":" + peerPort
		}
		addresses = append(addresses, part)
	}
	if text != "" && len(addresses) == 0 {
		return nil, form.Usagef("--join %q names no member: HOST:PORT,... as in 10.0.0.1:2380", text)
	}
	return addresses, nil
}
