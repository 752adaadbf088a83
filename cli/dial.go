package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/net/client"
	"qkv/net/wire"
)

// defaultEndpoint is where `qkv serve` listens without flags.
const defaultEndpoint = "127.0.0.1:2379"

// sourceDefault is where the endpoints come from that nobody gave.
const sourceDefault = "the default"

// clientFlags are the flags of every command that talks to a cluster.
func clientFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringSliceFlag{
			Name: "endpoints", EnvVars: []string{"QKV_ENDPOINTS"},
			Usage: "`HOST:PORT,...` of members; without it $QKV_HOME/endpoints (written by qkv demo), then " + defaultEndpoint,
		},
		&cli.BoolFlag{
			Name: "no-discovery", EnvVars: []string{"QKV_NO_DISCOVERY"},
			Usage: "use --endpoints alone, and not the other addresses that members tell",
		},
		&cli.DurationFlag{
			Name: "timeout", EnvVars: []string{"QKV_TIMEOUT"}, Value: 5 * time.Second,
			Usage:  "`TIME` that the command may take; get of a range, import, export, diff, revert, log, member replace, watch, lock and elect: how long they wait for an answer",
			Action: positive("timeout"),
		},
		certsDirFlag("`DIR` with ca.crt, client-NAME.crt and client-NAME.key; without it the local CA's, on loopback only"),
		&cli.StringFlag{Name: "client", EnvVars: []string{"QKV_CLIENT"}, Usage: "`NAME` of the client whose certificate to use, when --certs-dir has several"},
		homeFlag(),
	)
}

func certsDirFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "certs-dir", EnvVars: []string{"QKV_CERTS_DIR"}, Usage: usage}
}

func homeFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "home", EnvVars: []string{"QKV_HOME"},
		Usage: "`DIR` of the local CA and the endpoints file; without it $XDG_CONFIG_HOME/qkv, then ~/.config/qkv",
	}
}

func positive(name string) func(*cli.Context, time.Duration) error {
	return func(_ *cli.Context, d time.Duration) error {
		if d <= 0 {
			return usagef("--%s %v must be above zero, as in 5s", name, d)
		}
		return nil
	}
}

// homeDir is the user's folder of qkv.
func homeDir(c *cli.Context) (string, error) {
	home, err := wire.Home(func(variable string) string {
		if variable == "QKV_HOME" {
			return c.String("home")
		}
		return os.Getenv(variable)
	})
	if err != nil {
		return "", usagef("%w", err)
	}
	return home, nil
}

// target is a cluster and how to be let in.
type target struct {
	endpoints []string
	source    string // where the endpoints come from, for the message when none of them answers
	fromFile  bool   // they come from the endpoints file
	home      string
	certsDir  string
	name      string        // of the client whose certificate to use; empty is the only one
	timeout   time.Duration // of a call without a deadline
	failFast  bool          // one try of each endpoint
	given     bool          // the endpoints alone are used
	mixed     bool          // the endpoints may be of several clusters
	inOrder   bool          // the first endpoint that answers, and not one at random
}

func targetOf(c *cli.Context) (target, error) {
	t := target{certsDir: c.String("certs-dir"), name: c.String("client"), timeout: c.Duration("timeout"), given: c.Bool("no-discovery")}
	home, err := homeDir(c)
	if err != nil && t.certsDir == "" {
		return t, err
	}
	t.home = home // units and containers have no HOME, and need none: the certificates lie elsewhere
	t.endpoints, t.source, err = endpoints(c.StringSlice("endpoints"), t.home)
	t.fromFile = t.source == filepath.Join(t.home, endpointsFile)
	return t, err
}

// config is how a client is opened, but for its credentials.
func (t target) config() client.Config {
	return client.Config{
		Endpoints: t.endpoints, InOrder: t.inOrder, Timeout: t.timeout, FailFast: t.failFast, AnyCluster: t.mixed, NoDiscovery: t.given,
	}
}

// inTurn is the target of each of n clients that begin at the endpoints in turn. Where the clients of a load begin decides its
// figures, since a member that does not lead passes on what it gets: it is not left to chance.
func (t target) inTurn(n int) []target {
	t.inOrder = true
	all := make([]target, n)
	for i := range all {
		first := i % len(t.endpoints)
		all[i] = t
		all[i].endpoints = slices.Concat(t.endpoints[first:], t.endpoints[:first])
	}
	return all
}

// open connects to a member that answers.
func (t target) open(ctx context.Context) (*client.Client, error) {
	credentials, err := t.credentials()
	if err != nil {
		return nil, err
	}
	config := t.config()
	config.Credentials = credentials
	s, err := client.Open(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, t.advice(err))
	}
	return s, nil
}

// advice says where to look when no member could be reached: at the certificates when all that answered distrust them.
func (t target) advice(err error) string {
	switch exitCode(err) {
	case exitNotAllowed:
	case exitUsage:
		return fmt.Sprintf("the endpoints come from %s, `qkv status` shows who is there", t.source)
	default:
		return fmt.Sprintf("the endpoints come from %s%s%s, `qkv serve` starts a member", t.source, t.leftBehind(err), t.notEtcds())
	}
	certs := "--certs-dir or QKV_CERTS_DIR: " + t.certsDir
	if t.certsDir == "" {
		certs = "the local CA in " + t.home + ", --certs-dir names others"
	}
	return fmt.Sprintf("the endpoints come from %s, the certificate from %s", t.source, certs)
}

// notEtcds says where the endpoints are not from, when nothing but etcdctl's variable gives any.
func (t target) notEtcds() string {
	if t.source != sourceDefault || os.Getenv("ETCDCTL_ENDPOINTS") == "" {
		return ""
	}
	return " (ETCDCTL_ENDPOINTS is etcdctl's: qkv reads QKV_ENDPOINTS, without http://)"
}

// leftBehind says that the endpoints file may be one that a demo left behind, when nobody listens at any of them.
func (t target) leftBehind(err error) string {
	var unavailable *client.UnavailableError
	if !t.fromFile || !errors.As(err, &unavailable) {
		return ""
	}
	for _, e := range unavailable.Endpoints {
		if !errors.Is(e.Err, client.ErrNobody) {
			return ""
		}
	}
	return " (left by a demo that died? then it can be removed)"
}

// credentials are those of --certs-dir, or, where only this host's loopback is to be reached, the local CA's.
func (t target) credentials() (*wire.Credentials, error) {
	if t.certsDir != "" {
		credentials, err := wire.LoadClient(t.certsDir, t.name, time.Now)
		if err != nil {
			return nil, usagef("%w", err)
		}
		return credentials, nil
	}
	for _, e := range t.endpoints {
		if host, _, err := net.SplitHostPort(e); err == nil && !loopbackHost(host) {
			return nil, usagef("%s is not on loopback, and its members believe no local certificate: give --certs-dir DIR with "+
				"ca.crt and this client's certificate (`qkv cert client --certs-dir DIR NAME` makes it where the CA is)", e)
		}
	}
	credentials, err := certMaker().LocalClient(t.home)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return credentials, nil
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// endpoints are the addresses to try, and where they come from.
func endpoints(given []string, home string) (addresses []string, source string, err error) {
	if len(given) > 0 {
		addresses, err = parseEndpoints(strings.Join(given, ","))
		return addresses, "--endpoints or QKV_ENDPOINTS", err
	}
	file := filepath.Join(home, endpointsFile)
	text, err := os.ReadFile(file)
	switch {
	case home == "", errors.Is(err, fs.ErrNotExist):
		return []string{defaultEndpoint}, sourceDefault, nil
	case err != nil:
		return nil, "", fmt.Errorf("read the endpoints: %w; name them with --endpoints", err)
	}
	if addresses, err = parseEndpoints(string(text)); err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	return addresses, file, nil
}

// endpointsFile lies in the home folder: an address a line, # begins a comment.
const endpointsFile = "endpoints"

func parseEndpoints(text string) ([]string, error) {
	var addresses []string
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		for _, a := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			if scheme, rest, found := strings.Cut(a, "://"); found {
				return nil, usagef("%q is not an endpoint: leave %s:// away, as in %s", a, scheme, cmp.Or(strings.TrimRight(rest, "/"), defaultEndpoint))
			}
			host, port, err := net.SplitHostPort(a)
			if err != nil || host == "" || port == "" {
				return nil, usagef("%q is not an endpoint: HOST:PORT, as in %s", a, defaultEndpoint)
			}
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return nil, usagef("%q is not an endpoint: a port is a number from 1 to 65535", a)
			}
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, usagef("no endpoint given: HOST:PORT, as in %s", defaultEndpoint)
	}
	return addresses, nil
}

// within runs f with a connection to the cluster; --timeout bounds all of it.
func within(c *cli.Context, f func(ctx context.Context, s *client.Client) error) error {
	timeout := c.Duration("timeout")
	ctx, cancel := context.WithTimeoutCause(c.Context, timeout, noAnswer(timeout))
	defer cancel()
	return open(ctx, c, func(s *client.Client) error { return f(ctx, s) })
}

// noAnswer is the deadline that the user has set, in the user's words.
type noAnswer time.Duration

func (n noAnswer) Error() string { return "no answer within " + time.Duration(n).String() }

func (n noAnswer) Is(target error) bool { return target == context.DeadlineExceeded }

func open(ctx context.Context, c *cli.Context, f func(s *client.Client) error) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	s, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	return orSerializable(c, f(s))
}
