//go:build linux

package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/net/etcd/migrate"
	"qkv/net/wire"
	"qkv/node"
)

// migrateLive makes a cluster follow a running etcd.
func migrateLive(ctx context.Context, c *cli.Context) error {
	from, err := sourceGroup(c)
	if err != nil {
		return err
	}
	defer from.Close()
	if c.Bool("dry-run") {
		return tryMigration(ctx, c, from)
	}
	to, err := targetGroup(c)
	if err != nil {
		return err
	}
	defer to.Close()
	dir := c.String("work-dir")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return usagef("%w; give --work-dir DIR", err)
		}
		dir = filepath.Join(cache, "qkv-migrate")
	}
	var bar *progress
	l := migrate.Live{
		From: from, To: to, WorkDir: dir, CutOver: c.Bool("cut-over"), Timeout: c.Duration("timeout"),
		Say: func(format string, values ...any) {
			if bar != nil {
				bar.end()
			}
			fmt.Fprintf(c.App.Writer, format+"\n", values...)
		},
		Bar: func(total, more int) {
			if more == 0 {
				bar = newProgress(c.App.ErrWriter, "load", total)
			}
			bar.add(more)
		},
	}
	err = l.Run(ctx)
	if errors.Is(err, migrate.ErrEnded) && !l.CutOver {
		l.Say("%s was cut over by another command: this one has done its part", to.Name)
		return nil
	}
	if why := diagnosed(ctx, err, from, to); why != nil {
		return why
	}
	return migrateError(err)
}

// tryMigration checks the data of a running etcd, by a temporary snapshot.
func tryMigration(ctx context.Context, c *cli.Context, from *migrate.Group) error {
	if above := c.String("work-dir"); above != "" {
		if err := os.MkdirAll(above, 0o700); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(c.String("work-dir"), "qkv-migrate-")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "snapshot.db")
	bar := newBytesProgress(c.App.ErrWriter, "snapshot")
	err = from.Save(ctx, path, bar.set)
	bar.end()
	if err == nil {
		err = migrate.CheckFollowed(path)
	}
	if err == nil {
		// The dry run uses a folder beside the snapshot: ./qkv-data here belongs to another member.
		err = migrateFile(ctx, c, path, from.Name, node.MigrateConfig{DataDir: filepath.Join(dir, "data"), Name: "default"})
	}
	if why := diagnosed(ctx, err, from, nil); why != nil {
		return errors.Join(why, os.RemoveAll(dir))
	}
	return errors.Join(migrateError(err), os.RemoveAll(dir))
}

// diagnosed explains why neither side was reached, if the cause is TLS.
func diagnosed(ctx context.Context, err error, from, to *migrate.Group) error {
	if !migrate.Unreachable(err) {
		return nil
	}
	why := from.Diagnose(ctx, "source")
	if why == nil && to != nil {
		why = to.Diagnose(ctx, "to")
	}
	if why == nil {
		return nil
	}
	return exitf(exitUnavailable, "%w", why)
}

// sourceGroup returns the members of the etcd to follow.
func sourceGroup(c *cli.Context) (*migrate.Group, error) {
	return urlGroup(c, "endpoints", "source")
}

// urlGroup returns the members at URLs; tlsFlags is the prefix of the flags with their certificates.
func urlGroup(c *cli.Context, flag, tlsFlags string) (*migrate.Group, error) {
	config, err := etcdTLS(c, tlsFlags)
	if err != nil {
		return nil, err
	}
	var all []*migrate.Source
	var names []string
	for _, part := range c.StringSlice(flag) {
		for text := range strings.SplitSeq(part, ",") {
			u, err := url.Parse(strings.TrimSpace(text))
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
				return nil, usagef("--%s %q is no URL of an etcd: http://HOST:PORT or https://HOST:PORT", flag, text)
			}
			with := config
			if u.Scheme == "http" {
				with = nil
			}
			s, err := migrate.Dial(u.Host, with)
			if err != nil {
				return nil, usagef("%w", err)
			}
			all, names = append(all, s), append(names, u.Host)
		}
	}
	return migrate.NewGroup(strings.Join(names, ","), all...), nil
}

// etcdTLS returns the TLS configuration for members at https:// URLs.
func etcdTLS(c *cli.Context, flags string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := c.String(flags + "-cacert"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("--%s-cacert: %w", flags, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, usagef("--%s-cacert %s holds no certificate", flags, file)
		}
	}
	cert, key := c.String(flags+"-cert"), c.String(flags+"-key")
	if (cert == "") != (key == "") {
		return nil, usagef("--%s-cert and --%s-key belong together", flags, flags)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, usagef("--%s-cert: %w", flags, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// targetGroup returns the members of the following cluster.
func targetGroup(c *cli.Context) (*migrate.Group, error) {
	if hasURL(c.StringSlice("to")) { // of `qkv etcd`
		return urlGroup(c, "to", "to")
	}
	t := target{certsDir: c.String("certs-dir"), name: c.String("client"), timeout: c.Duration("timeout")}
	home, err := homeDir(c)
	if err != nil && t.certsDir == "" {
		return nil, err
	}
	t.home = home
	if t.endpoints, t.source, err = endpoints(c.StringSlice("to"), home); err != nil {
		return nil, err
	}
	return t.group()
}

// group returns the members' ports for etcd's clients, with the certificates of native clients.
func (t target) group() (*migrate.Group, error) {
	credentials, err := t.credentials()
	if err != nil {
		return nil, err
	}
	var all []*migrate.Source
	for _, endpoint := range t.endpoints {
		s, err := migrate.Dial(endpoint, wire.ClientTLS(credentials, "h2", wire.Identity{Class: wire.ClassMember}))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return migrate.NewGroup(strings.Join(t.endpoints, ","), all...), nil
}

// hasURL reports whether members are given by URLs, as etcd's are.
func hasURL(endpoints []string) bool { return strings.Contains(strings.Join(endpoints, ","), "://") }
