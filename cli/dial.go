package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/net/wire"
)

// defaultEndpoint is where `qkv serve` listens without flags.
const defaultEndpoint = "127.0.0.1:2379"

// clientFlags are the flags of every command that talks to a cluster.
func clientFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringSliceFlag{
			Name: "endpoints", EnvVars: []string{"QKV_ENDPOINTS"},
			Usage: "`HOST:PORT,...` of members; without it $QKV_HOME/endpoints (written by qkv demo), then " + defaultEndpoint,
		},
		&cli.DurationFlag{
			Name: "timeout", EnvVars: []string{"QKV_TIMEOUT"}, Value: 5 * time.Second,
			Usage:  "`TIME` that the command may take; import and export: how long they wait for an answer",
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
	home      string
	certsDir  string
	client    string
	timeout   time.Duration // of establishing a connection, and of a request without a deadline
}

func targetOf(c *cli.Context) (target, error) {
	t := target{certsDir: c.String("certs-dir"), client: c.String("client"), timeout: c.Duration("timeout")}
	var err error
	if t.home, err = homeDir(c); err != nil {
		return t, err
	}
	t.endpoints, t.source, err = endpoints(c.StringSlice("endpoints"), t.home)
	return t, err
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
	case errors.Is(err, fs.ErrNotExist):
		return []string{defaultEndpoint}, "the default", nil
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
			if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
				return nil, usagef("%q is not an endpoint: HOST:PORT, as in %s", a, defaultEndpoint)
			}
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, usagef("no endpoint given: HOST:PORT, as in %s", defaultEndpoint)
	}
	return addresses, nil
}

// connected runs f with a connection to the cluster; each request bounds its own time.
func connected(c *cli.Context, f func(s store) error) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	s, err := t.open()
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	return f(s)
}

// within runs f with a connection to the cluster, in the time that --timeout gives.
func within(c *cli.Context, f func(ctx context.Context, s store) error) error {
	return connected(c, func(s store) error {
		ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
		defer cancel()
		return f(ctx, s)
	})
}
