//go:build linux

package run

// This file is `qkv etcd`: run one member by etcd's own command line.

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"qkv/cli/form"
	"qkv/internal/etcdflags"
	"qkv/internal/limits"
	"qkv/net/etcd"
	"qkv/net/wire"
	"qkv/node"
)

// etcdName is the name of the command, and of the program file that replaces etcd's.
const etcdName = "etcd"

// EtcdLine returns the words of an etcd command line. A line is one by its first word or by the name of the program.
func EtcdLine(args []string) (program string, words []string, ok bool) {
	switch {
	case len(args) > 0 && filepath.Base(args[0]) == etcdName:
		return etcdName, args[1:], true
	case len(args) > 1 && args[1] == etcdName:
		return "qkv " + etcdName, args[2:], true
	}
	return "", nil, false
}

// RunMemberLine runs a command line that urfave/cli cannot parse, and returns its exit code: a member by etcd's command line.
func RunMemberLine(ctx context.Context, args []string, stdout, stderr io.Writer) (code int, ok bool) {
	program, words, ok := EtcdLine(args)
	if ok {
		code = runEtcd(ctx, program, words, stdout, stderr)
	}
	return code, ok
}

// runEtcd runs a member by etcd's command line. Exit codes are etcd's: 2 for a line that cannot be parsed, 1 for all other errors of
// the line. A member that has started ends with the exit codes of serve.
func runEtcd(ctx context.Context, program string, words []string, stdout, stderr io.Writer) int {
	if len(words) > 0 && (words[0] == "grpc-proxy" || words[0] == "gateway") {
		fmt.Fprintf(stderr, "%s: %s is not supported: qkv is a server only. etcd's own program runs as a proxy in front of qkv\n", program, words[0])
		return form.ExitFailed
	}
	c, err := etcdflags.Parse(words, os.Environ(), os.ReadFile)
	var syntax *etcdflags.SyntaxError
	switch {
	case errors.Is(err, etcdflags.ErrHelp):
		writeEtcdHelp(stdout, program)
		return form.ExitOK
	case errors.Is(err, etcdflags.ErrVersion):
		fmt.Fprintf(stdout, "etcd Version: %s\nqkv Version: %s\nGo Version: %s\nGo OS/Arch: %s/%s\n", etcd.Version, form.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return form.ExitOK
	case errors.As(err, &syntax):
		fmt.Fprintf(stderr, "%s\nusage: %s [flags]; `%s --help` lists them\n", syntax.Text, program, program)
		return form.ExitUsage
	}
	logger, closing, bad := etcdLogger(&c.Log, stdout, stderr)
	if bad != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, bad)
		return form.ExitFailed
	}
	defer closing()
	for _, n := range c.Notes {
		level := slog.LevelInfo
		if n.Warn {
			level = slog.LevelWarn
		}
		logger.Log(ctx, level, n.Text, n.More...)
	}
	if err != nil {
		logger.Warn("failed to verify flags", "error", err.Error())
		// otherwise the terminal would show nothing, with a log file only
		if len(c.Log.Outputs) > 0 && !slices.ContainsFunc(c.Log.Outputs, onTerminal) {
			fmt.Fprintf(stderr, "%s: %v\n", program, err)
		}
		return form.ExitFailed
	}
	return etcdExit(logger, etcdMember(ctx, c, logger))
}

// writeEtcdHelp prints the help of etcd's command line, in etcd's layout.
func writeEtcdHelp(to io.Writer, program string) {
	w := form.PageOn(to)
	fmt.Fprintf(w, "usage: %s [flags]\n\n", program)
	w.Text("etcd's own command line: flags, ETCD_ variables and --config-file are those of etcd 3.7.\n\n" +
		"Members talk to each other by QUIC, which is UDP, at the host and port of the peer URLs.")
	indent := strings.Repeat(" ", 8)
	for _, s := range etcdflags.Help() {
		fmt.Fprintf(w, "\n%s:\n", s.Title)
		for _, f := range s.Flags {
			w.Wrap("  --"+f.Name, indent, f.Default)
			w.Wrap(strings.TrimSuffix(indent, " "), indent, f.Usage)
		}
	}
}

// etcdExit logs why a member has ended, and returns the exit code.
func etcdExit(logger *slog.Logger, err error) int {
	var ended *form.Interruption
	var refused *form.ExitError
	switch {
	case err == nil, errors.As(err, &ended):
		return form.ExitCode(err)
	case errors.As(err, &refused) && refused.Code == form.ExitUsage:
		err = form.Exitf(form.ExitFailed, "%w", err)
	}
	logger.Error("qkv etcd failed", "error", form.NotPermitted(err).Error(), "exit_code", form.ExitCode(err))
	return form.ExitCode(err)
}

// etcdMember runs the member.
func etcdMember(ctx context.Context, c *etcdflags.Config, logger *slog.Logger) error {
	c.Resolve(hostAddress())
	config, err := etcdNode(c, logger)
	if err != nil {
		return err
	}
	return runMember(ctx, config, node.Start, nil)
}

// hostAddress returns this machine's address on the default route. It sends no packet.
func hostAddress() string {
	c, err := net.Dial("udp", "192.0.2.1:9") // TEST-NET-1: an address without a host
	if err != nil {
		return ""
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return host
}

// etcdNode returns the configuration of a member from etcd's command line.
func etcdNode(c *etcdflags.Config, logger *slog.Logger) (node.Config, error) {
	c.DataDir = node.OwnFolder(c.DataDir)
	config := node.Config{
		Name: c.Name, DataDir: c.DataDir, TrustDomain: etcdName,
		InitialClusterToken: c.Token,
		HeartbeatInterval:   c.HeartbeatInterval, ElectionTimeout: c.ElectionTimeout,
		WatchProgress: c.WatchProgress, MaxRequestBytes: int64(c.MaxRequestBytes), SegmentBytes: limits.SegmentBytes,
		QuotaBytes: c.QuotaBytes, MemoryBytes: node.MemoryAuto,
		Web: c.ListenMetrics.Strings(), Profiles: c.EnablePprof, ServeStale: c.ServeStale,
		AuthToken: c.AuthToken, AuthTokenTTL: c.AuthTokenTTL, BcryptCost: c.BcryptCost,
		Logger: logger, Version: form.Version,
	}
	if least := int64(limits.RequestBytesLeast); config.MaxRequestBytes < least {
		logger.Warn("the limit of requests is raised to the minimum", "max-request-bytes", c.MaxRequestBytes, "least", least)
		config.MaxRequestBytes = least
	}
	if !c.HeartbeatGiven {
		config.HeartbeatInterval = heartbeatInterval // etcd's default keeps to etcd's checks alone
	}
	config.Etcd.CompactAfter, config.Etcd.CompactRevisions = c.CompactAfter, c.CompactRevisions
	config.Etcd.Hosts, config.Etcd.NoGateway, config.Etcd.Streams = c.HostWhitelist, !c.Gateway, c.MaxStreams
	if config.Etcd.TxnOperations = int(min(max(c.MaxTxnOps, 1), limits.TxnParts)); uint(config.Etcd.TxnOperations) != c.MaxTxnOps {
		logger.Warn("the limit of operations is changed to the nearest possible one", "max-txn-ops", c.MaxTxnOps, "used", config.Etcd.TxnOperations)
	}
	if c.WatchProgress > 0 {
		config.WatchProgress = max(c.WatchProgress, limits.WatchProgressLeast)
	}
	var err error
	if text := os.Getenv("QKV_SEGMENT_BYTES"); text != "" { // etcd has no flag for it
		if config.SegmentBytes, err = form.ParseSize(text); err != nil {
			return config, fmt.Errorf("QKV_SEGMENT_BYTES=%s: %w", text, err)
		}
	}
	config.AuditLog = os.Getenv("QKV_AUDIT_LOG") // likewise
	if config.Backup, err = backupVariables(); err != nil {
		return config, err
	}
	if err := etcdPeers(c, &config, logger); err != nil {
		return config, err
	}
	if err := etcdClients(c, &config); err != nil {
		return config, err
	}
	config.Home, err = wire.Home(os.Getenv)
	switch {
	case err == nil:
	case config.Etcd.Peers != nil, config.Secret != nil:
		logger.Warn("qkv's own commands do not reach this member, but etcd's do", "error", err)
		config.Listen, err = "", nil
	case len(c.Cluster) <= 1: // usually in a container
		config.Home, err = filepath.Join(c.DataDir, "home"), nil
	default:
		if config.Home, err = wire.HomeBeside(c.DataDir); err == nil {
			logger.Info("no home folder is set: members on this host share a local CA beside their data folders; qkv's own commands need this variable", "QKV_HOME", config.Home)
		}
	}
	return config, err
}

// backupVariables returns the backup of qkv's own variables: etcd has no flags for one.
func backupVariables() (node.BackupTarget, error) {
	keep, recipients := backupKeep, parseList(os.Getenv("QKV_BACKUP_RECIPIENT"))
	if text := os.Getenv("QKV_BACKUP_KEEP"); text != "" {
		var err error
		if keep, err = form.ParseDuration(text); err != nil || keep <= 0 {
			return node.BackupTarget{}, fmt.Errorf("QKV_BACKUP_KEEP=%s is no time, such as 7d: %w", text, err)
		}
	}
	return backupTarget(os.Getenv("QKV_BACKUP"), backupEvery, keep, recipients)
}

// etcdPeers sets the members' addresses, and how a member with an empty data folder starts. A member with data ignores what is wrong with that.
func etcdPeers(c *etcdflags.Config, config *node.Config, logger *slog.Logger) error {
	listen, err := oneURL("--listen-peer-urls", c.ListenPeer, logger)
	if err != nil {
		return err
	}
	told, err := oneURL("--initial-advertise-peer-urls", c.AdvertisePeer, logger)
	if err != nil {
		return err
	}
	alone := len(c.Cluster) <= 1
	reached := func(u *url.URL) string {
		if ip := net.ParseIP(u.Hostname()); alone && ip != nil && ip.IsUnspecified() {
			return onLoopback(u) // the only member: no other one asks for it yet
		}
		return u.Host
	}
	config.ListenPeer, config.AdvertisePeer, config.Etcd.PeerScheme = listen.Host, reached(told), listen.Scheme
	config.BeginFault = cmp.Or(c.Fault, c.CheckBootstrap())
	for _, m := range c.Cluster {
		at, err := oneURL("--initial-cluster of "+m.Name, m.URLs, logger)
		if err == nil && at.Scheme != listen.Scheme {
			err = fmt.Errorf("--listen-peer-urls is %s, and in --initial-cluster %s is at %s: members talk by one of http and https", listen, m.Name, at)
		}
		switch config.BeginFault = cmp.Or(config.BeginFault, err); {
		case err != nil:
		case !c.Existing:
			config.InitialCluster = append(config.InitialCluster, node.Founder{Name: m.Name, Address: reached(at)})
		case m.Name != c.Name:
			config.Join = append(config.Join, at.Host)
		}
	}
	if c.Existing && len(config.Join) == 0 && config.BeginFault == nil {
		config.BeginFault = fmt.Errorf("--initial-cluster-state existing joins a cluster, and --initial-cluster %s names no other member of it", c.InitialCluster)
	}
	if c.Peer.Given() && listen.Scheme == "https" {
		return securePeers(c, config)
	}
	return derivedPeers(c, config, listen, logger)
}

// securePeers sets that members authenticate each other by certificate files.
func securePeers(c *etcdflags.Config, config *node.Config) error {
	if c.InsecurePeers {
		return errors.New("--insecure-peers and --peer-cert-file are both given, and each names a CA: give only one of them")
	}
	if c.Peer.TrustedCAFile == "" {
		return errors.New("--peer-trusted-ca-file is missing: without a CA every host could join as a member")
	}
	config.Etcd.Peers = &wire.FileNames{
		Cert: c.Peer.CertFile, Key: c.Peer.KeyFile, DialCert: c.Peer.DialCertFile, DialKey: c.Peer.DialKeyFile,
		CA: c.Peer.TrustedCAFile, CRL: c.Peer.CRLFile, AllowedNames: c.Peer.AllowedNames, AllowedHosts: c.Peer.AllowedHosts,
	}
	return nil
}

// derivedPeers sets how members without certificate files authenticate each other: by the cluster secret or, on loopback, by the local CA.
func derivedPeers(c *etcdflags.Config, config *node.Config, listen *url.URL, logger *slog.Logger) error {
	secret, err := form.SecretSource(cmp.Or(c.SecretFile, os.Getenv(form.SecretFileVariable)), os.Getenv)
	if err != nil {
		return err
	}
	host := listen.Hostname()
	ip := net.ParseIP(host)
	switch {
	case secret != nil && c.InsecurePeers:
		return fmt.Errorf("--insecure-peers and %s are both given: leave out --insecure-peers", secret.Name)
	case secret != nil:
		config.Secret = secret
	case c.InsecurePeers:
		config.Secret = &wire.SecretSource{Name: "--insecure-peers", Secrets: []wire.ClusterSecret{wire.InsecureSecret(c.Token)}}
		config.InsecurePeers = true
	case listen.Scheme == "https" && !c.Peer.Auto:
		return fmt.Errorf("TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url %s with HTTPS scheme", listen)
	case host == "localhost" || ip != nil && ip.IsLoopback():
	case len(c.Cluster) <= 1:
		config.ListenPeer = net.JoinHostPort("127.0.0.1", listen.Port())
		logger.Warn("the only member listens for peers on loopback: another member needs a cluster secret or certificates on all members", "listen-peer-urls", listen.String(), "listens", config.ListenPeer)
	default:
		return plainPeersRefused(c, listen)
	}
	return nil
}

// plainPeersRefused is the refusal of several members without a secret or certificates on addresses that other hosts can reach.
func plainPeersRefused(c *etcdflags.Config, listen *url.URL) error {
	at := "HOST"
	if told := c.AdvertisePeer[0].Hostname(); told != "localhost" {
		at = told
	}
	file := form.ShellWord("certs/" + wire.Identity{Class: wire.ClassMember, Name: c.Name}.FileName())
	return fmt.Errorf("--listen-peer-urls %s: several members need a cluster secret or certificates beyond loopback, since every host that reaches that port could pose as a member. Make a secret with\n"+
		"  qkv cert secret -o qkv-secret\ncopy the file to each member's host, and give --cluster-secret-file qkv-secret beside the line as it is. Or make certificates with\n"+
		"  qkv cert ca --certs-dir certs --cluster NAME\n  qkv cert member --certs-dir certs %s %s\n"+
		"on one host, copy ca.crt and each member's two files to its own, and give\n"+
		"  --peer-cert-file %s.crt --peer-key-file %s.key --peer-trusted-ca-file certs/ca.crt\n"+
		"with https:// in place of http:// in --listen-peer-urls, --initial-advertise-peer-urls and --initial-cluster",
		listen, form.ShellWord(c.Name), at, file, file)
}

// etcdClients sets the client addresses. Native clients use the local CA at a port of the same number on loopback.
func etcdClients(c *etcdflags.Config, config *node.Config) error {
	config.Etcd.URLs = c.AdvertiseClient.Strings()
	if len(c.ListenClient) == 0 {
		return errors.New("--listen-client-urls is empty: no client could reach the member")
	}
	secure := false
	for _, one := range slices.Concat(c.ListenClient, c.ListenHTTP) {
		u := &one
		if u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--listen-client-urls %s: Unix sockets are not supported: give http:// or https://", u)
		}
		secure = secure || u.Scheme == "https"
		config.Etcd.Listen = append(config.Etcd.Listen, node.EtcdListen{Address: u.Host, Secure: u.Scheme == "https"})
		config.Etcd.AutoHosts = append(config.Etcd.AutoHosts, u.Hostname())
		if config.Listen == "" {
			config.Listen = onLoopback(u)
		}
	}
	for i := range c.ListenMetrics {
		secure = secure || c.ListenMetrics[i].Scheme == "https"
	}
	if !secure {
		return nil
	}
	return etcdClientTLS(c, config)
}

// etcdClientTLS sets the certificate shown to clients, and which client certificates are accepted.
func etcdClientTLS(c *etcdflags.Config, config *node.Config) error {
	config.Etcd.Auto = c.Client.Auto && !c.Client.Given()
	if !config.Etcd.Auto && !c.Client.Given() {
		return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for client url %s with HTTPS scheme", c.ListenClient)
	}
	config.Etcd.AutoLifetime = time.Duration(max(c.SelfSignedYears, 1)) * 365 * 24 * time.Hour
	config.Etcd.ClientsMustShow = c.Client.ClientAuth
	config.Etcd.Clients = &wire.FileNames{
		Cert: c.Client.CertFile, Key: c.Client.KeyFile, CA: c.Client.TrustedCAFile, CRL: c.Client.CRLFile, AllowedHosts: c.Client.AllowedHosts,
		MinVersion: c.MinVersion, MaxVersion: c.MaxVersion,
	}
	for _, name := range c.CipherSuites {
		id, err := cipherSuite(name)
		if err != nil {
			return err
		}
		config.Etcd.Clients.CipherSuites = append(config.Etcd.Clients.CipherSuites, id)
	}
	return nil
}

// cipherSuite returns the number of a cipher suite.
func cipherSuite(name string) (uint16, error) {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		// an older name
		if s.Name == name || strings.HasSuffix(name, "_CHACHA20_POLY1305") && s.Name == name+"_SHA256" {
			return s.ID, nil
		}
	}
	return 0, fmt.Errorf("unexpected TLS cipher suite %q", name)
}

// onLoopback returns the port of a URL, on loopback.
func onLoopback(u *url.URL) string {
	host := u.Hostname()
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, u.Port())
}

// oneURL returns the first URL of a flag, and says that the others are not used.
func oneURL(what string, urls etcdflags.URLs, logger *slog.Logger) (*url.URL, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("%s has no URL, and the other members need one", what)
	}
	u := &urls[0]
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s is %s: members talk over UDP, at the host and port of an http:// or https:// URL", what, u)
	}
	if len(urls) > 1 {
		logger.Warn("members talk to each other at one URL: the first one is used", "flag", what, "used", u.String(), "unused", urls[1:].String())
	}
	return u, nil
}

// onTerminal reports whether an output of the log is a standard stream of the process.
func onTerminal(output string) bool {
	return slices.Contains([]string{"default", "stderr", "/dev/stderr", "systemd/journal", "stdout", "/dev/stdout"}, output)
}

// etcdLogger writes lines in etcd's format, to etcd's outputs.
func etcdLogger(as *etcdflags.Log, stdout, stderr io.Writer) (logger *slog.Logger, closing func(), err error) {
	var to []io.Writer
	var files []*os.File
	closing = func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for _, output := range as.Outputs {
		switch output {
		case "default", "stderr", "/dev/stderr", "systemd/journal":
			to = append(to, stderr)
		case "stdout", "/dev/stdout":
			to = append(to, stdout)
		default:
			f, err := os.OpenFile(output, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
			if err != nil {
				closing()
				return nil, nil, fmt.Errorf("--log-outputs: %w", err)
			}
			files, to = append(files, f), append(to, f)
		}
	}
	if len(to) == 0 {
		to = append(to, stderr)
	}
	level := slog.LevelError
	_ = level.UnmarshalText([]byte(as.Level)) // levels unknown to slog are more severe than error
	w := io.MultiWriter(to...)
	if as.Format == "console" {
		return slog.New(form.NewLineHandler(w, level)), closing, nil
	}
	return slog.New(form.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: etcdAttr})), closing, nil
}

// etcdAttr gives time and level the names and formats of etcd's log.
func etcdAttr(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.TimeKey:
		return slog.String("ts", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000000Z"))
	case a.Key == slog.LevelKey:
		return slog.String(slog.LevelKey, strings.ToLower(a.Value.String()))
	}
	return a
}
