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
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"qkv/index"
	"qkv/net/etcd"
	"qkv/net/etcd/migrate"
	"qkv/net/wire"
	"qkv/node"
)

// migrateLive makes a data folder of a running etcd.
func migrateLive(ctx context.Context, c *cli.Context, to node.MigrateConfig) error {
	from, err := urlGroup(c)
	if err != nil {
		return err
	}
	defer from.Close()
	if c.Bool("dry-run") {
		return tryMigration(ctx, c, from)
	}
	dir := c.String("work-dir")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return usagef("%w; give --work-dir DIR", err)
		}
		dir = filepath.Join(cache, "qkv-migrate")
	}
	var bar *progress
	say := func(format string, values ...any) {
		if bar != nil {
			bar.end()
		}
		fmt.Fprintf(c.App.Writer, format+"\n", values...)
	}
	order := make(chan os.Signal, 1)
	signal.Notify(order, syscall.SIGUSR1)
	defer signal.Stop(order)
	if c.Bool("cut-over") {
		order <- syscall.SIGUSR1
	} else {
		say("to cut over, stop all writes to %s, and run: kill -USR1 %d", from.Name, os.Getpid())
	}
	l := migrate.Live{
		From: from, WorkDir: dir, CutOver: order, Timeout: c.Duration("timeout"), Say: say, Clock: unixNano, Hash: etcd.HashKV,
		Bar: func(total, more int) {
			if more == 0 {
				bar = newProgress(c.App.ErrWriter, "load", total)
			}
			bar.add(more)
		},
	}
	done, err := writeMigrated(ctx, to, func(s *index.State) (*index.AuthContent, error) {
		l.State = s
		err := l.Run(ctx)
		return &l.Auth, err
	})
	if why := diagnosed(ctx, err, from); why != nil {
		return why
	}
	if err != nil {
		return migrateError(err)
	}
	done.print(c, from.Name, &l.Auth)
	if _, newest, err := l.Newest(ctx); err == nil && newest != l.Revision {
		say("WARNING: %s was written to meanwhile and is at revision %d: revisions from %d on are not in %s. Stop the writers, and run the command again "+
			"with another --data-dir", from.Name, newest, l.Revision+1, to.DataDir)
	}
	return nil
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
	if why := diagnosed(ctx, err, from); why != nil {
		return errors.Join(why, os.RemoveAll(dir))
	}
	return errors.Join(migrateError(err), os.RemoveAll(dir))
}

// diagnosed explains why the source was not reached, if the cause is TLS.
func diagnosed(ctx context.Context, err error, from *migrate.Group) error {
	if !migrate.Unreachable(err) {
		return nil
	}
	if why := from.Diagnose(ctx); why != nil {
		return exitf(exitUnavailable, "%w", why)
	}
	return nil
}

// urlGroup returns the members at the URLs of --endpoints.
func urlGroup(c *cli.Context) (*migrate.Group, error) {
	config, err := etcdTLS(c)
	if err != nil {
		return nil, err
	}
	var all []*migrate.Source
	var names []string
	for _, part := range c.StringSlice("endpoints") {
		for text := range strings.SplitSeq(part, ",") {
			u, err := url.Parse(strings.TrimSpace(text))
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
				return nil, usagef("--endpoints %q is no URL of an etcd: http://HOST:PORT or https://HOST:PORT", text)
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
func etcdTLS(c *cli.Context) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := c.String("source-cacert"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("--source-cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, usagef("--source-cacert %s holds no certificate", file)
		}
	}
	cert, key := c.String("source-cert"), c.String("source-key")
	if (cert == "") != (key == "") {
		return nil, usagef("--source-cert and --source-key belong together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, usagef("--source-cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
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
