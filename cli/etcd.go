package cli

import (
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
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/internal/etcdflags"
	"qkv/internal/limits"
	"qkv/net/etcd"
	"qkv/net/wire"
	"qkv/node"
)

// etcdName is what the command is called, and the program where it takes etcd's place.
const etcdName = "etcd"

// etcdCommand is in the table for its help alone: its line is etcd's, and never comes to urfave/cli.
func etcdCommand() *cli.Command {
	return &cli.Command{
		Name: etcdName, Category: "cluster", Usage: "run one member by etcd's own command line",
		Description: "Flags, ETCD_ variables and --config-file are etcd 3.7's, and so are the defaults: data in NAME.etcd, history " +
			"kept until it is compacted. `qkv etcd --help` explains each; those without a meaning here are accepted, and the log says " +
			"so. The same happens where the program is called etcd. Members talk by QUIC (UDP) at the host and port of the peer URLs; " +
			"http:// in them is for loopback.",
		ArgsUsage: "[etcd's flags]",
	}
}

// etcdLine returns the words of etcd's command line if a line is one: by its first word, or by what the program is called.
func etcdLine(args []string) (program string, words []string, ok bool) {
	switch {
	case len(args) > 0 && filepath.Base(args[0]) == etcdName:
		return etcdName, args[1:], true
	case len(args) > 1 && args[1] == etcdName:
		return "qkv " + etcdName, args[2:], true
	}
	return "", nil, false
}

// runEtcd runs a member by etcd's command line. Exit codes are etcd's: 2 for a line that cannot be read, and 1 for all else
// that is wrong with it; those of a member that has run are serve's.
func runEtcd(ctx context.Context, program string, words []string, stdout, stderr io.Writer) int {
	c, err := etcdflags.Parse(words, os.Environ(), os.ReadFile)
	var syntax *etcdflags.SyntaxError
	switch {
	case errors.Is(err, etcdflags.ErrHelp):
		writeEtcdHelp(stdout, program)
		return exitOK
	case errors.Is(err, etcdflags.ErrVersion):
		fmt.Fprintf(stdout, "etcd Version: %s\nqkv Version: %s\nGo Version: %s\nGo OS/Arch: %s/%s\n", etcd.Version, Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	case errors.As(err, &syntax):
		fmt.Fprintf(stderr, "%s\nusage: %s [flags]; `%s --help` lists them\n", syntax.Text, program, program)
		return exitUsage
	}
	logger, closing, bad := etcdLogger(c, stdout, stderr)
	if bad != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, bad)
		return exitFailed
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
		return exitFailed
	}
	return etcdExit(logger, etcdMember(ctx, c, logger))
}

// writeEtcdHelp is the help of etcd's command line, laid out as etcd's own is.
func writeEtcdHelp(to io.Writer, program string) {
	w := helpWriter{to, widthOf(to)}
	fmt.Fprintf(w, "usage: %s [flags]\n\n", program)
	w.text("etcd's own command line: flags, ETCD_ variables and --config-file are those of etcd 3.7.\n\n" +
		"Members talk to each other by QUIC, which is UDP, at the host and port of the peer URLs.")
	indent := strings.Repeat(" ", 8)
	for _, s := range etcdflags.Help() {
		fmt.Fprintf(w, "\n%s:\n", s.Title)
		for _, f := range s.Flags {
			w.wrap("  --"+f.Name, indent, f.Default)
			w.wrap(strings.TrimSuffix(indent, " "), indent, f.Usage)
		}
	}
}

// etcdExit says why a member does not run any more, and returns the exit code.
func etcdExit(logger *slog.Logger, err error) int {
	var ended *interruption
	var refused *exitError
	switch {
	case err == nil, errors.As(err, &ended):
		return exitCode(err)
	case errors.As(err, &refused) && refused.code == exitUsage:
		err = &exitError{exitFailed, err}
	}
	logger.Error("qkv etcd failed", "error", notPermitted(err).Error(), "exit_code", exitCode(err))
	return exitCode(err)
}

// etcdMember runs the member.
func etcdMember(ctx context.Context, c *etcdflags.Config, logger *slog.Logger) error {
	if err := c.Resolve(hostAddress()); err != nil {
		return err
	}
	config, err := etcdNode(c, logger)
	if err != nil {
		return err
	}
	return runMember(ctx, config, func(ctx context.Context, n *node.Node) {
		if n.Ready(ctx) == nil {
			logger.Info("ready to serve client requests")
			tellSystemd(logger)
		}
	})
}

// hostAddress is this machine's address on the way to others: that of the default route. Nothing is sent.
func hostAddress() string {
	c, err := net.Dial("udp", "192.0.2.1:9") // TEST-NET-1: nobody is there
	if err != nil {
		return ""
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return host
}

// etcdNode is the configuration of a member that etcd's command line asks for.
func etcdNode(c *etcdflags.Config, logger *slog.Logger) (node.Config, error) {
	fresh, err := etcdFolder(c, logger)
	if err != nil {
		return node.Config{}, err
	}
	config := node.Config{
		Name: c.Name, DataDir: c.DataDir, TrustDomain: etcdName,
		InitialClusterToken: c.Token,
		HeartbeatInterval:   c.HeartbeatInterval, ElectionTimeout: c.ElectionTimeout,
		WatchProgress: c.WatchProgress, MaxRequestBytes: int64(c.MaxRequestBytes), SegmentBytes: limits.SegmentBytes,
		QuotaBytes:  c.QuotaBytes,
		MetricsURLs: c.ListenMetrics.Strings(), Profiles: c.EnablePprof,
		Logger: logger, Version: Version,
	}
	if 0 < c.QuotaBytes && c.QuotaBytes < limits.QuotaLeast {
		logger.Warn("quota is raised to the least that there is", "quota-size-bytes", c.QuotaBytes, "least", limits.QuotaLeast)
		config.QuotaBytes = limits.QuotaLeast
	}
	if least := int64(limits.RequestBytesLeast); config.MaxRequestBytes < least {
		logger.Warn("the bound of requests is raised to the least that there is", "max-request-bytes", c.MaxRequestBytes, "least", least)
		config.MaxRequestBytes = least
	}
	config.Etcd.CompactAfter, config.Etcd.CompactRevisions = c.CompactAfter, c.CompactRevisions
	if config.Etcd.TxnOperations = int(min(max(c.MaxTxnOps, 1), limits.TxnParts)); uint(config.Etcd.TxnOperations) != c.MaxTxnOps {
		logger.Warn("the bound of operations is brought between what there is", "max-txn-ops", c.MaxTxnOps, "used", config.Etcd.TxnOperations)
	}
	if c.WatchProgress > 0 {
		config.WatchProgress = max(c.WatchProgress, limits.WatchProgressLeast)
	}
	if text := os.Getenv("QKV_SEGMENT_BYTES"); text != "" { // etcd has no word for it
		if config.SegmentBytes, err = strconv.ParseInt(text, 10, 64); err != nil {
			return config, fmt.Errorf("QKV_SEGMENT_BYTES=%s is not a number of bytes", text)
		}
	}
	if err := etcdPeers(c, &config, fresh); err != nil {
		return config, err
	}
	if err := etcdClients(c, &config); err != nil {
		return config, err
	}
	config.Home, err = wire.Home(os.Getenv)
	switch {
	case err == nil:
	case config.Etcd.Peers != nil:
		logger.Warn("qkv's own commands do not reach this member, but etcd's do", "error", err)
		config.Listen, err = "", nil
	case len(c.Cluster) == 1: // in a container, as a rule
		config.Home, err = filepath.Join(c.DataDir, "home"), nil
	}
	return config, err
}

// etcdFolder looks at the data folder, and says whether it is an empty one. One that holds data of etcd's is refused: beside
// it a new and empty cluster would begin.
func etcdFolder(c *etcdflags.Config, logger *slog.Logger) (fresh bool, err error) {
	if _, err := os.Stat(filepath.Join(c.DataDir, "member")); err == nil {
		return false, fmt.Errorf("%s holds the data of an etcd member, which qkv does not read in place: `qkv migrate from-etcd` takes it over into another folder", c.DataDir)
	}
	info, err := os.Stat(c.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if mode := info.Mode().Perm(); info.IsDir() && mode != 0o700 {
		logger.Warn("the data folder is closed to others", "data-dir", c.DataDir, "mode", fmt.Sprintf("%04o", mode))
		if err := os.Chmod(c.DataDir, 0o700); err != nil {
			return false, fmt.Errorf("the data folder %s has mode %04o, and others could read the data: %w", c.DataDir, mode, err)
		}
	}
	_, err = os.Stat(filepath.Join(c.DataDir, "identity"))
	return errors.Is(err, os.ErrNotExist), nil
}

// etcdPeers says where the members are, and how an empty data folder begins.
func etcdPeers(c *etcdflags.Config, config *node.Config, fresh bool) error {
	if fresh {
		if err := c.CheckBootstrap(); err != nil {
			return err
		}
	}
	listen, err := oneURL("--listen-peer-urls", c.ListenPeer)
	if err != nil {
		return err
	}
	told, err := oneURL("--initial-advertise-peer-urls", c.AdvertisePeer)
	if err != nil {
		return err
	}
	config.ListenPeer, config.AdvertisePeer, config.Etcd.PeerScheme = listen.Host, told.Host, listen.Scheme
	for _, m := range c.Cluster {
		at, err := oneURL("--initial-cluster of "+m.Name, m.URLs)
		if err != nil {
			return err
		}
		if at.Scheme != listen.Scheme {
			return fmt.Errorf("--listen-peer-urls is %s, and in --initial-cluster %s is at %s: members talk by one of http and https", listen, m.Name, at)
		}
		switch {
		case !c.Existing:
			config.InitialCluster = append(config.InitialCluster, node.Member{Name: m.Name, Address: at.Host})
		case m.Name != c.Name:
			config.Join = append(config.Join, at.Host)
		}
	}
	if !fresh && !slices.ContainsFunc(c.Cluster, func(m etcdflags.Member) bool { return m.Name == c.Name }) {
		config.InitialCluster = nil // the data folder knows better
	}
	if c.Existing && fresh && len(config.Join) == 0 {
		return fmt.Errorf("--initial-cluster-state existing joins a cluster, and --initial-cluster %s names no other member of it", c.InitialCluster)
	}
	if listen.Scheme == "http" || c.Peer.Auto && !c.Peer.Given() {
		return plainPeers(c, listen)
	}
	return securePeers(c, config, listen)
}

// securePeers says by what members know each other.
func securePeers(c *etcdflags.Config, config *node.Config, listen *url.URL) error {
	if !c.Peer.Given() {
		return fmt.Errorf("TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url %s with HTTPS scheme", listen)
	}
	if c.Peer.TrustedCAFile == "" {
		return errors.New("--peer-trusted-ca-file is missing: a member is whoever that CA has signed for a host of the cluster, and without it anybody")
	}
	config.Etcd.Peers = &wire.FileNames{
		Cert: c.Peer.CertFile, Key: c.Peer.KeyFile, DialCert: c.Peer.DialCertFile, DialKey: c.Peer.DialKeyFile,
		CA: c.Peer.TrustedCAFile, CRL: c.Peer.CRLFile, AllowedNames: c.Peer.AllowedNames, AllowedHosts: c.Peer.AllowedHosts,
	}
	return nil
}

// plainPeers refuses members without certificates where others could reach them.
func plainPeers(c *etcdflags.Config, listen *url.URL) error {
	host := listen.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	at := "HOST"
	if told := c.AdvertisePeer[0].Hostname(); told != "localhost" {
		at = told
	}
	return fmt.Errorf("--listen-peer-urls %s: members talk without certificates of their own on loopback only, since whoever reaches that port could be one of them. Make certificates with\n"+
		"  qkv cert ca --certs-dir certs --cluster NAME\n  qkv cert member --certs-dir certs %s %s\n"+
		"on one host, copy ca.crt and each member's two files to its own, and give\n"+
		"  --peer-cert-file certs/member-%s.crt --peer-key-file certs/member-%s.key --peer-trusted-ca-file certs/ca.crt\n"+
		"with https:// in place of http:// in --listen-peer-urls, --initial-advertise-peer-urls and --initial-cluster; a cluster of one member can listen for peers on http://127.0.0.1:%s",
		listen, c.Name, at, c.Name, c.Name, listen.Port())
}

// etcdClients says where clients come in. Native ones come by the local CA at a port of the same number on loopback.
func etcdClients(c *etcdflags.Config, config *node.Config) error {
	config.Etcd.URLs = c.AdvertiseClient.Strings()
	if len(c.ListenClient) == 0 {
		return errors.New("--listen-client-urls is empty: a member that no client can reach is of no use")
	}
	secure := false
	for i := range c.ListenClient {
		u := &c.ListenClient[i]
		if u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--listen-client-urls %s: sockets of Unix are not supported: give http:// or https://", u)
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

// etcdClientTLS says what clients are shown, and whom of them a member believes.
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
		if s.Name == name {
			return s.ID, nil
		}
	}
	return 0, fmt.Errorf("unexpected TLS cipher suite %q", name)
}

// onLoopback is the port of a URL, on loopback.
func onLoopback(u *url.URL) string {
	host := u.Hostname()
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, u.Port())
}

// oneURL is the only URL of a flag.
func oneURL(what string, urls etcdflags.URLs) (*url.URL, error) {
	if len(urls) != 1 {
		return nil, fmt.Errorf("%s has %d URLs (%s), and a member has one for the others", what, len(urls), urls)
	}
	u := &urls[0]
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s is %s: members talk over UDP, at the host and port of an http:// or https:// URL", what, u)
	}
	return u, nil
}

// etcdLogger writes lines as etcd's are, to where etcd would.
func etcdLogger(c *etcdflags.Config, stdout, stderr io.Writer) (logger *slog.Logger, closing func(), err error) {
	var to []io.Writer
	var files []*os.File
	closing = func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for _, output := range c.LogOutputs {
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
	_ = level.UnmarshalText([]byte(c.LogLevel)) // what slog has no name for is worse than an error
	w := io.MultiWriter(to...)
	if c.LogFormat == "console" {
		return slog.New(newLineHandler(w, level)), closing, nil
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: etcdAttr})), closing, nil
}

// etcdAttr gives time and level the names and forms that they have in etcd's log.
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

// tellSystemd says that the member is ready, to a unit of Type=notify.
func tellSystemd(logger *slog.Logger) {
	to := os.Getenv("NOTIFY_SOCKET")
	if to == "" {
		return
	}
	if to[0] == '@' { // an abstract name
		to = "\x00" + to[1:]
	}
	c, err := net.DialTimeout("unixgram", to, time.Second)
	if err == nil {
		_, err = c.Write([]byte("READY=1"))
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		logger.Error("failed to notify systemd for readiness", "error", err.Error())
	}
}
