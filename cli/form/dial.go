package form

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

// DefaultEndpoint is the client address of `qkv serve` without flags.
const DefaultEndpoint = "127.0.0.1:2379"

// sourceDefault names the source of the endpoints when no flag, variable or file gives any.
const sourceDefault = "the default"

// HomeDir returns the user's folder of qkv.
func HomeDir(c *cli.Context) (string, error) {
	home, err := wire.Home(func(variable string) string {
		if variable == "QKV_HOME" {
			return c.String("home")
		}
		return os.Getenv(variable)
	})
	if err != nil {
		return "", Usagef("%w", err)
	}
	return home, nil
}

// Target is a cluster and the credentials for it.
type Target struct {
	Endpoints []string
	Source    string // source of the endpoints, for the message when none of them answers
	fromFile  bool   // the source is the endpoints file
	Home      string
	CertsDir  string
	Name      string        // of the client whose certificate to use; empty: the only one
	user      string        // that logs in; empty: none
	password  string        // of the user
	Timeout   time.Duration // of a call without a deadline
	FailFast  bool          // try each endpoint once
	Given     bool          // use only the given endpoints
	Mixed     bool          // the endpoints may belong to several clusters
	inOrder   bool          // take the first endpoint that answers, not a random one
}

func TargetOf(c *cli.Context) (Target, error) {
	t := Target{CertsDir: c.String("certs-dir"), Name: c.String("client"), Timeout: c.Duration("timeout"), Given: c.Bool("no-discovery")}
	if t.Name != "" && t.CertsDir == "" {
		return t, Usagef("--client %s needs --certs-dir, the folder of its certificate: without it, the certificate is the local CA's, of another user", ShellWord(t.Name))
	}
	var err error
	if t.user, t.password, err = LoginGiven(c); err != nil {
		return t, err
	}
	home, err := HomeDir(c)
	if err != nil && t.CertsDir == "" {
		return t, err
	}
	t.Home = home // units and containers without HOME do not need it: their certificates are elsewhere
	t.Endpoints, t.Source, err = endpoints(c.StringSlice("endpoints"), t.Home)
	if profile, _ := c.App.Metadata[endpointsProfile].(string); profile != "" {
		t.Source = "the profile " + profile + " in " + filepath.Join(t.Home, ProfilesFile)
	}
	t.fromFile = t.Source == filepath.Join(t.Home, EndpointsFile)
	return t, err
}

// config returns the configuration of the client, without credentials.
func (t Target) config() client.Config {
	return client.Config{
		Endpoints: t.Endpoints, InOrder: t.inOrder, Timeout: t.Timeout, FailFast: t.FailFast, AnyCluster: t.Mixed, NoDiscovery: t.Given,
		User: t.user, Password: t.password,
	}
}

// InTurn returns the targets of n clients that begin at the endpoints in turn. Members that do not lead forward requests to the
// leader, so the choice of endpoints changes a load's figures: it must not be random.
func (t Target) InTurn(n int) []Target {
	t.inOrder = true
	all := make([]Target, n)
	for i := range all {
		first := i % len(t.Endpoints)
		all[i] = t
		all[i].Endpoints = slices.Concat(t.Endpoints[first:], t.Endpoints[:first])
	}
	return all
}

// waitInSilence is the wait for the first answer after which a command on a terminal prints a message.
const waitInSilence = time.Second

// sayAfter prints to a terminal, after some time, which endpoints have not answered yet. Stopping the timer prevents that.
func (t Target) sayAfter(d time.Duration, w io.Writer) *time.Timer {
	return time.AfterFunc(d, func() {
		if IsTerminal(w) {
			fmt.Fprintf(w, "qkv: no answer yet from %s (from %s), trying for %v\n", strings.Join(t.Endpoints, ", "), t.Source, t.Timeout)
		}
	})
}

// Open connects to a member that answers.
func (t Target) Open(ctx context.Context) (*client.Client, error) {
	credentials, err := t.Credentials()
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
func (t Target) advice(err error) string {
	if CodeOf(err) == kv.AuthFailed {
		return "the user is that of --user or QKV_USER, the password that of --user, --user-password-file or QKV_USER_PASSWORD_FILE"
	}
	switch ExitCode(err) {
	case ExitNotAllowed:
	case ExitUsage:
		return fmt.Sprintf("the endpoints come from %s, `qkv status` shows who is there", t.Source)
	default:
		return fmt.Sprintf("the endpoints come from %s%s%s, `qkv serve` starts a member", t.Source, t.leftBehind(err), t.notEtcds())
	}
	certs := "--certs-dir or QKV_CERTS_DIR: " + t.CertsDir
	if t.CertsDir == "" {
		certs = "the local CA in " + t.Home + ", --certs-dir names others"
	}
	return fmt.Sprintf("the endpoints come from %s, the certificate from %s", t.Source, certs)
}

// notEtcds explains that ETCDCTL_ENDPOINTS is not used, if no other source gives endpoints.
func (t Target) notEtcds() string {
	if t.Source != sourceDefault || os.Getenv("ETCDCTL_ENDPOINTS") == "" {
		return ""
	}
	return " (ETCDCTL_ENDPOINTS is etcdctl's: qkv reads QKV_ENDPOINTS, without http://)"
}

// leftBehind suggests that the endpoints file is left over from a demo, if no process listens at any of its endpoints.
func (t Target) leftBehind(err error) string {
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

// Credentials returns those of --certs-dir; for endpoints on loopback only, the default is the local CA.
func (t Target) Credentials() (*wire.Credentials, error) {
	if t.CertsDir != "" {
		credentials, err := wire.LoadClient(t.CertsDir, t.Name, time.Now)
		if err != nil {
			return nil, Usagef("%w", err)
		}
		return credentials, nil
	}
	for _, e := range t.Endpoints {
		if host, _, err := net.SplitHostPort(e); err == nil && !LoopbackHost(host) {
			return nil, Usagef("%s is not on loopback, and its members accept no local certificate: give --certs-dir DIR with "+
				"ca.crt and this client's certificate (`qkv cert client --certs-dir DIR NAME` makes it where the CA is)", e)
		}
	}
	credentials, err := wire.LocalCredentials(t.Home)
	if err != nil {
		return nil, Usagef("%w", err)
	}
	return credentials, nil
}

func LoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// endpoints returns the addresses to try, and their source.
func endpoints(given []string, home string) (addresses []string, source string, err error) {
	if len(given) > 0 {
		addresses, err = ParseEndpoints(strings.Join(given, ","))
		return addresses, "--endpoints or QKV_ENDPOINTS", err
	}
	file := filepath.Join(home, EndpointsFile)
	text, err := os.ReadFile(file)
	switch {
	case home == "", errors.Is(err, fs.ErrNotExist):
		return []string{DefaultEndpoint}, sourceDefault, nil
	case err != nil:
		return nil, "", fmt.Errorf("read the endpoints: %w; name them with --endpoints", err)
	}
	if addresses, err = ParseEndpoints(string(text)); err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	return addresses, file, nil
}

// EndpointsFile is in the home folder: one address per line, # begins a comment.
const EndpointsFile = "endpoints"

func ParseEndpoints(text string) ([]string, error) {
	var addresses []string
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		for _, a := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			if scheme, rest, found := strings.Cut(a, "://"); found {
				return nil, Usagef("%q is not an endpoint: leave %s:// away, as in %s", a, scheme, cmp.Or(strings.TrimRight(rest, "/"), DefaultEndpoint))
			}
			host, port, err := net.SplitHostPort(a)
			if err != nil || host == "" || port == "" {
				return nil, Usagef("%q is not an endpoint: HOST:PORT, as in %s", a, DefaultEndpoint)
			}
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return nil, Usagef("%q is not an endpoint: a port is a number from 1 to 65535", a)
			}
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, Usagef("no endpoint given: HOST:PORT, as in %s", DefaultEndpoint)
	}
	return addresses, nil
}

// Within runs f with a connection to the cluster; --timeout bounds all of it.
func Within(c *cli.Context, f func(ctx context.Context, s *client.Client) error) error {
	ctx, cancel := Bounded(c.Context, c.Duration("timeout"))
	defer cancel()
	return Open(ctx, c, func(s *client.Client) error { return f(ctx, s) })
}

// Asking returns the action of a command that asks the cluster, within --timeout.
func Asking(f func(ctx context.Context, c *cli.Context, s *client.Client) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		return Within(c, func(ctx context.Context, s *client.Client) error { return f(ctx, c, s) })
	}
}

// Changing is asking for a command with one change: its error says whether nothing was changed.
func Changing(f func(ctx context.Context, c *cli.Context, s *client.Client) error) cli.ActionFunc {
	return func(c *cli.Context) error { return OrNothing(Asking(f)(c)) }
}

// UntilSignal runs f with a client, without a timeout: a signal ends its context.
func UntilSignal(c *cli.Context, f func(ctx context.Context, s *client.Client) error) error {
	return Interruptible(func(ctx context.Context, c *cli.Context) error {
		return Open(ctx, c, func(s *client.Client) error { return f(ctx, s) })
	})(c)
}

// Bounded returns a context that ends with noAnswer after a time.
func Bounded(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, most, noAnswer(most))
}

// noAnswer is the error of an expired --timeout.
type noAnswer time.Duration

func (n noAnswer) Error() string { return "no answer within " + time.Duration(n).String() }

func (n noAnswer) Is(target error) bool { return target == context.DeadlineExceeded }

func Open(ctx context.Context, c *cli.Context, f func(s *client.Client) error) error {
	t, err := TargetOf(c)
	if err != nil {
		return err
	}
	waiting := t.sayAfter(waitInSilence, c.App.ErrWriter)
	s, err := t.Open(ctx)
	waiting.Stop()
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	return orRunbook(c, f(s))
}
