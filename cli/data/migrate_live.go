//go:build linux

package data

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
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
			return form.Usagef("%w; give --work-dir DIR", err)
		}
		dir = filepath.Join(cache, "qkv-migrate")
	}
	what := from.Name + " to " + to.DataDir
	lock, other, err := lockWork(dir, what)
	if err != nil {
		return form.Usagef("--work-dir: %w", err)
	}
	defer lock.Close()
	order := filepath.Join(dir, orderName)
	switch {
	case other == what && c.Bool("cut-over"):
		return orderCutOver(ctx, c.App.Writer, lock, order, what)
	case other != "":
		return form.Usagef("another process uses the work folder %s, to move %s: add --cut-over to the command of that process to cut over, or give another --work-dir", dir, other)
	}
	var bar *form.Progress
	say := func(format string, values ...any) {
		if bar != nil {
			bar.End()
		}
		fmt.Fprintf(c.App.Writer, format+"\n", values...)
	}
	ordered := make(chan struct{}, 1)
	if c.Bool("cut-over") {
		ordered <- struct{}{}
	} else {
		say("to cut over, stop all writes to %s, and run this command once more, with --cut-over", from.Name)
		watching, cancel := context.WithCancel(ctx)
		defer cancel()
		go awaitOrder(watching, order, ordered)
	}
	l := migrate.Live{
		From: from, WorkDir: dir, CutOver: ordered, Timeout: c.Duration("timeout"), Say: say, Clock: unixNano, Hash: etcd.HashKV,
		Bar: func(total, more int) {
			if more == 0 {
				bar = form.NewProgress(c.App.ErrWriter, "load", total)
			}
			bar.Add(more)
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
	if err := os.Remove(order); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	done.print(c, from.Name, &l.Auth)
	if _, newest, err := l.Newest(ctx); err == nil && newest != l.Revision {
		say("WARNING: %s was written to meanwhile and is at revision %d: revisions from %d on are not in %s. Stop the writers, and run the command again "+
			"with another --data-dir", from.Name, newest, l.Revision+1, to.DataDir)
	}
	return nil
}

const (
	// LockName is a locked file in the work folder. It names the source and the data folder of the process that has the lock.
	LockName = "lock"
	// orderName is a file in the work folder. A second process creates it to let the first one cut over, and the first one removes it when
	// its data folder is complete.
	orderName = "cut-over"
	orderPoll = 200 * time.Millisecond
)

// lockWork locks the work folder of a migration. If another process has the lock, other is the text in its file. The lock ends with
// the process; on a file system without locks a second process is not refused.
func lockWork(dir, what string) (lock *os.File, other string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	if lock, err = os.OpenFile(filepath.Join(dir, LockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, "", err
	}
	if locked(lock) {
		text, err := io.ReadAll(lock)
		return lock, cmp.Or(string(text), "another etcd"), err
	}
	if err = os.Remove(filepath.Join(dir, orderName)); errors.Is(err, os.ErrNotExist) { // of a killed process
		err = nil
	}
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = lock.WriteString(what)
	}
	return lock, "", err
}

// locked reports whether another process has the lock; if none has, this process takes it.
func locked(lock *os.File) bool {
	return errors.Is(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// awaitOrder waits until another process orders the cutover.
func awaitOrder(ctx context.Context, order string, ordered chan<- struct{}) {
	for {
		if _, err := os.Lstat(order); err == nil {
			ordered <- struct{}{}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(orderPoll):
		}
	}
}

// orderCutOver lets the process that has the lock cut over, and waits until that process ends.
func orderCutOver(ctx context.Context, to io.Writer, lock *os.File, order, what string) error {
	if err := os.WriteFile(order, nil, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(to, "the process that moves %s cuts over\n", what)
	for locked(lock) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(orderPoll):
		}
	}
	if err := os.Remove(order); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(errors.New("the process that follows ended without a cutover, and its output says why; nothing was written"), err)
	}
	fmt.Fprintln(to, "it has cut over")
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
	bar := form.NewBytesProgress(c.App.ErrWriter, "snapshot")
	err = from.Save(ctx, path, bar.Set)
	bar.End()
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
		return form.Exitf(form.ExitUnavailable, "%w", why)
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
				return nil, form.Usagef("--endpoints %q is no URL of an etcd: http://HOST:PORT or https://HOST:PORT", text)
			}
			with := config
			if u.Scheme == "http" {
				with = nil
			}
			s, err := migrate.Dial(u.Host, with)
			if err != nil {
				return nil, form.Usagef("%w", err)
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
			return nil, form.Usagef("--source-cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, form.Usagef("--source-cacert %s holds no certificate", file)
		}
	}
	cert, key := c.String("source-cert"), c.String("source-key")
	if (cert == "") != (key == "") {
		return nil, form.Usagef("--source-cert and --source-key belong together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, form.Usagef("--source-cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// groupOf returns the members' ports for etcd's clients, with the certificates of native clients.
func groupOf(t form.Target) (*migrate.Group, error) {
	credentials, err := t.Credentials()
	if err != nil {
		return nil, err
	}
	var all []*migrate.Source
	for _, endpoint := range t.Endpoints {
		s, err := migrate.Dial(endpoint, wire.ClientTLS(credentials, "h2", wire.Identity{Class: wire.ClassMember}))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return migrate.NewGroup(strings.Join(t.Endpoints, ","), all...), nil
}
