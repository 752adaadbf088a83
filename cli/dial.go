package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/net/client"
	"qkv/net/wire"
)

// defaultEndpoint is the client address of `qkv serve` without flags.
const defaultEndpoint = "127.0.0.1:2379"

// sourceDefault names the source of the endpoints when no flag, variable or file gives any.
const sourceDefault = "the default"

// clientFlags are the flags of every command that talks to a cluster.
func clientFlags(more ...cli.Flag) []cli.Flag {
	return append(append(more,
		&cli.StringSliceFlag{
			Name: "endpoints", EnvVars: []string{"QKV_ENDPOINTS"},
			Usage: "`HOST:PORT,...` of members; without it those of the profile, then $QKV_HOME/endpoints (written by qkv demo), then " + defaultEndpoint,
		},
		&cli.BoolFlag{
			Name: "no-discovery", EnvVars: []string{"QKV_NO_DISCOVERY"},
			Usage: "use --endpoints only, without the addresses that members report",
		},
		&cli.DurationFlag{
			Name: "timeout", EnvVars: []string{"QKV_TIMEOUT"}, Value: 5 * time.Second,
			Usage:  "how long to wait before giving up, as `TIME`; for get of a range, du, import, export, diff, revert, log, member replace, watch, lock and elect: for each answer",
			Action: positive("timeout"),
		},
		certsDirFlag("`DIR` with ca.crt, client-NAME.crt and client-NAME.key; without it the local CA's, on loopback only"),
		&cli.StringFlag{Name: "client", EnvVars: []string{"QKV_CLIENT"}, Usage: "`NAME` of the client whose certificate to use, when --certs-dir has several"},
		homeFlag(), profileFlag(),
	), loginFlags()...)
}

func certsDirFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "certs-dir", EnvVars: []string{certsDirVariable}, Usage: usage}
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

// homeDir returns the user's folder of qkv.
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

// target is a cluster and the credentials for it.
type target struct {
	endpoints []string
	source    string // source of the endpoints, for the message when none of them answers
	fromFile  bool   // the source is the endpoints file
	home      string
	certsDir  string
	name      string        // of the client whose certificate to use; empty: the only one
	user      string        // that logs in; empty: none
	password  string        // of the user
	timeout   time.Duration // of a call without a deadline
	failFast  bool          // try each endpoint once
	given     bool          // use only the given endpoints
	mixed     bool          // the endpoints may belong to several clusters
	inOrder   bool          // take the first endpoint that answers, not a random one
}

func targetOf(c *cli.Context) (target, error) {
	t := target{certsDir: c.String("certs-dir"), name: c.String("client"), timeout: c.Duration("timeout"), given: c.Bool("no-discovery")}
	if t.name != "" && t.certsDir == "" {
		return t, usagef("--client %s needs --certs-dir, the folder of its certificate: without it, the certificate is the local CA's, of another user", shellWord(t.name))
	}
	var err error
	if t.user, t.password, err = loginGiven(c); err != nil {
		return t, err
	}
	home, err := homeDir(c)
	if err != nil && t.certsDir == "" {
		return t, err
	}
	t.home = home // units and containers without HOME do not need it: their certificates are elsewhere
	t.endpoints, t.source, err = endpoints(c.StringSlice("endpoints"), t.home)
	if profile, _ := c.App.Metadata[endpointsProfile].(string); profile != "" {
		t.source = "the profile " + profile + " in " + filepath.Join(t.home, profilesFile)
	}
	t.fromFile = t.source == filepath.Join(t.home, endpointsFile)
	return t, err
}

// config returns the configuration of the client, without credentials.
func (t target) config() client.Config {
	return client.Config{
		Endpoints: t.endpoints, InOrder: t.inOrder, Timeout: t.timeout, FailFast: t.failFast, AnyCluster: t.mixed, NoDiscovery: t.given,
		User: t.user, Password: t.password,
	}
}

// inTurn returns the targets of n clients that begin at the endpoints in turn. Members that do not lead forward requests to the
// leader, so the choice of endpoints changes a load's figures: it must not be random.
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

// waitInSilence is the wait for the first answer after which a command on a terminal prints a message.
const waitInSilence = time.Second

// sayAfter prints to a terminal, after some time, which endpoints have not answered yet. Stopping the timer prevents that.
func (t target) sayAfter(d time.Duration, w io.Writer) *time.Timer {
	return time.AfterFunc(d, func() {
		if isTerminal(w) {
			fmt.Fprintf(w, "qkv: no answer yet from %s (from %s), trying for %v\n", strings.Join(t.endpoints, ", "), t.source, t.timeout)
		}
	})
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

// advice says what to check when no member could be reached: the certificates if all members that answered refused them, otherwise
// the endpoints.
func (t target) advice(err error) string {
	if codeOf(err) == kv.AuthFailed {
		return "the user is that of --user or QKV_USER, the password that of --user, --user-password-file or QKV_USER_PASSWORD_FILE"
	}
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

// notEtcds explains that ETCDCTL_ENDPOINTS is not used, if no other source gives endpoints.
func (t target) notEtcds() string {
	if t.source != sourceDefault || os.Getenv("ETCDCTL_ENDPOINTS") == "" {
		return ""
	}
	return " (ETCDCTL_ENDPOINTS is etcdctl's: qkv reads QKV_ENDPOINTS, without http://)"
}

// leftBehind suggests that the endpoints file is left over from a demo, if no process listens at any of its endpoints.
func (t target) leftBehind(err error) string {
	var unavailable *client.UnavailableError
	if !t.fromFile || !errors.As(err, &unavailable) {
		return ""
	}
	for _, e := range unavailable.Endpoints {
		if !errors.Is(e.Err, client.ErrConnectionRefused) {
			return ""
		}
	}
	return " (left by a demo that died? then it can be removed)"
}

// credentials returns those of --certs-dir; for endpoints on loopback only, the default is the local CA.
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
			return nil, usagef("%s is not on loopback, and its members accept no local certificate: give --certs-dir DIR with "+
				"ca.crt and this client's certificate (`qkv cert client --certs-dir DIR NAME` makes it where the CA is)", e)
		}
	}
	credentials, err := wire.LocalCredentials(t.home)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return credentials, nil
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// endpoints returns the addresses to try, and their source.
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

// endpointsFile is in the home folder: one address per line, # begins a comment.
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
	ctx, cancel := bounded(c.Context, c.Duration("timeout"))
	defer cancel()
	return open(ctx, c, func(s *client.Client) error { return f(ctx, s) })
}

// asking returns the action of a command that asks the cluster, within --timeout.
func asking(f func(ctx context.Context, c *cli.Context, s *client.Client) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		return within(c, func(ctx context.Context, s *client.Client) error { return f(ctx, c, s) })
	}
}

// changing is asking for a command with one change: its error says whether nothing was changed.
func changing(f func(ctx context.Context, c *cli.Context, s *client.Client) error) cli.ActionFunc {
	return func(c *cli.Context) error { return orNothing(asking(f)(c)) }
}

// untilSignal runs f with a client, without a timeout: a signal ends its context.
func untilSignal(c *cli.Context, f func(ctx context.Context, s *client.Client) error) error {
	return interruptible(c, func(ctx context.Context) error {
		return open(ctx, c, func(s *client.Client) error { return f(ctx, s) })
	})
}

// bounded returns a context that ends with noAnswer after a time.
func bounded(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, most, noAnswer(most))
}

// noAnswer is the error of an expired --timeout.
type noAnswer time.Duration

func (n noAnswer) Error() string { return "no answer within " + time.Duration(n).String() }

func (n noAnswer) Is(target error) bool { return target == context.DeadlineExceeded }

func open(ctx context.Context, c *cli.Context, f func(s *client.Client) error) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	waiting := t.sayAfter(waitInSilence, c.App.ErrWriter)
	s, err := t.open(ctx)
	waiting.Stop()
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	return orRunbook(c, f(s))
}
