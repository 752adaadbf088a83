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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"qkv/cli/data"
	"qkv/cli/form"
	"qkv/cli/local"
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

// The defaults of a backup.
const (
	backupEvery = time.Hour
	backupKeep  = 7 * form.Day
)

// MemberFlags are the settings of a member: all flags of serve but the file that may hold them.
func MemberFlags() []cli.Flag {
	return slices.DeleteFunc(form.Flags("serve", words()...), func(f cli.Flag) bool { return f.Names()[0] == "config" })
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
		HeartbeatInterval: c.Duration("heartbeat-interval"), ElectionTimeout: c.Duration("election-timeout"),
		MaxRequestBytes: form.SizeOf(c, "max-request-bytes"), SegmentBytes: form.SizeOf(c, "segment-bytes"),
		HistoryBytes: form.SizeOf(c, "history-bytes"), HistoryAge: c.Duration("history-age"), QuotaBytes: form.SizeOf(c, "quota-bytes"), MemoryBytes: form.SizeOf(c, "memory-bytes"),
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
