//go:build linux

package data

// This file is `qkv migrate`: move from etcd to qkv, and back.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/net/etcd/migrate"
	"qkv/net/wire"
	"qkv/node"
)

// liveFlags are the flags that only a running etcd needs.
var liveFlags = []string{"cut-over", "work-dir", "source-cacert", "source-cert", "source-key"}

func migrateFrom(ctx context.Context, c *cli.Context) error {
	file, live := c.String("snapshot") != "", len(c.StringSlice("endpoints")) > 0
	switch {
	case file && live:
		return form.Usagef("--snapshot makes a data folder of a file, and --endpoints follows a running etcd: give only one of them")
	case live && c.IsSet("skip-hash-check"):
		return form.Usagef("--skip-hash-check belongs to --snapshot: a running etcd sends its snapshot with the SHA-256")
	case file && slices.ContainsFunc(liveFlags, c.IsSet):
		return form.Usagef("--%s belong to --endpoints: a file is neither followed nor cut over", strings.Join(liveFlags, ", --"))
	case file || live:
		certsDir, secret, err := form.MemberTrust(c)
		if err != nil {
			return err
		}
		dir := c.String("data-dir")
		if dir == "" {
			dir = filepath.Join("qkv-data", wire.FileName(c.String("name")))
		}
		to := node.MigrateConfig{DataDir: dir, Name: c.String("name"), CertsDir: certsDir, Secret: secret}
		if live {
			return migrateLive(ctx, c, to)
		}
		return migrateFile(ctx, c, c.String("snapshot"), c.String("snapshot"), to)
	}
	return form.Usagef("--snapshot FILE is missing, a file of `etcdctl snapshot save FILE`, or --endpoints URL,... of a running etcd")
}

func migrateTo(ctx context.Context, c *cli.Context) error {
	if c.String("snapshot") == "" {
		return form.Usagef("--snapshot FILE is missing: the file to write")
	}
	urls := strings.Contains(strings.Join(c.StringSlice("endpoints"), ","), "://") // as etcd's members are given
	from, err := savedGroup(c, urls)
	if err != nil {
		return err
	}
	defer from.Close()
	user, password, err := form.LoginGiven(c)
	if err != nil {
		return err
	}
	from.Login(user, password)
	err = from.Ask(ctx, c.Duration("timeout"))
	if err == nil {
		return saveSnapshot(ctx, c, from)
	}
	if migrate.Refused(err) {
		return form.Exitf(form.ExitNotAllowed, "the members refuse the user: %w; log in with --user NAME, a user with the role root", err)
	}
	hint := "; members of `qkv etcd` are given by their URLs, --endpoints https://HOST:PORT, or http:// as in their --listen-client-urls"
	if urls {
		if why := diagnosed(ctx, err, from); why != nil {
			return why
		}
		hint = ""
	}
	return form.Exitf(form.ExitUnavailable, "no member answers etcd's API: %w%s", err, hint)
}

// savedGroup returns the members that are asked for a snapshot: by URLs and etcd's certificates, or as in all other commands.
func savedGroup(c *cli.Context, urls bool) (*migrate.Group, error) {
	if urls {
		return urlGroup(c)
	}
	if c.IsSet("source-cacert") || c.IsSet("source-cert") || c.IsSet("source-key") {
		return nil, form.Usagef("--source-cacert, --source-cert and --source-key are for members at URLs: give --endpoints https://HOST:PORT")
	}
	t, err := form.TargetOf(c)
	if err != nil {
		return nil, err
	}
	return groupOf(t)
}

// saveSnapshot writes a snapshot file, and checks it.
func saveSnapshot(ctx context.Context, c *cli.Context, from *migrate.Group) error {
	path := c.String("snapshot")
	bar := form.NewBytesProgress(c.App.ErrWriter, "snapshot")
	err := from.Save(ctx, path, bar.Set)
	bar.End()
	if errors.Is(err, os.ErrExist) {
		return form.Usagef("--snapshot: %w", err)
	}
	if err != nil {
		return form.NotThere(err, "--snapshot is a file in a folder that is there")
	}
	file, err := migrate.OpenFile(path, false)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), form.WriteAnswer(c, form.Answer{
		Document: form.Document{{"file", path}, {"bytes", file.Size}, {"revision", file.Revision}, {"compacted_revision", file.Compacted}, {"leases", len(file.Leases)}},
		Text: fmt.Sprintf("%s has %d bytes, revision %d, compacted %d, %d leases\nrestore it: etcdutl snapshot restore %s --data-dir DIR\n",
			path, file.Size, file.Revision, file.Compacted, len(file.Leases), path),
	}))
}

// migrateFile makes a data folder of a file. of is the description of the file in messages.
func migrateFile(ctx context.Context, c *cli.Context, path, of string, to node.MigrateConfig) error {
	file, err := migrate.OpenFile(path, c.Bool("skip-hash-check"))
	if err != nil {
		return form.NotThere(migrateError(err), "`etcdctl snapshot save %s` at the etcd writes it; nothing was changed", path)
	}
	defer file.Close()
	if err := file.Check(ctx, nil); err != nil {
		return migrateError(err)
	}
	for _, note := range file.Notes {
		fmt.Fprintln(c.App.ErrWriter, "note:", note)
	}
	bar := form.NewProgress(c.App.ErrWriter, "migrate", int(file.Records))
	defer bar.End()
	done, err := writeMigrated(ctx, to, func(s *index.State) (*index.AuthContent, error) {
		m, err := file.Load(ctx, s, unixNano, func() { bar.Add(1) })
		if err == nil {
			err = m.SetLeases(file.Leases)
		}
		if e, ok := errors.AsType[*kv.Error](err); ok && e.Code == kv.LeaseNotFound {
			return nil, fmt.Errorf("%w: %w, and take the snapshot again; nothing was written", migrate.ErrFile, e)
		}
		if err == nil && c.Bool("dry-run") {
			err = errDryRun
		}
		return &file.Auth, err
	})
	bar.End()
	if errors.Is(err, errDryRun) {
		fmt.Fprintf(c.App.Writer, "%s can be taken: revision %d, compacted %d, %s, %s%s; nothing was written\n",
			of, file.Revision, file.Compacted, checks.Plural(file.Records, "record", "records"), checks.Plural(len(file.Leases), "lease", "leases"), usersText(&file.Auth))
		return nil
	}
	if err != nil {
		return migrateError(err)
	}
	done.print(c, of, &file.Auth)
	return nil
}

var errDryRun = errors.New("nothing was written")

func unixNano() int64 { return time.Now().UnixNano() }

// migrated is a new data folder.
type migrated struct {
	node.MigrateConfig
	view *index.View
}

// writeMigrated makes a data folder of the state that fill builds.
func writeMigrated(ctx context.Context, to node.MigrateConfig, fill func(s *index.State) (*index.AuthContent, error)) (migrated, error) {
	to.Version, to.Logger = form.Version, form.NewLogger(io.Discard, "text", slog.LevelError, "")
	done, err := node.Migrate(ctx, to, func(s *index.State) (*index.AuthContent, error) {
		users, err := fill(s)
		if users != nil && len(users.Users)+len(users.Roles) == 0 {
			users = nil
		}
		return users, err
	})
	return migrated{to, done.View}, err
}

// print prints what the folder has, and the next command.
func (m *migrated) print(c *cli.Context, of string, users *index.AuthContent) {
	fmt.Fprintf(c.App.Writer, "%s has revision %d, compacted %d, with %s and %s, as %s%s\n", m.DataDir, m.view.Revision(), m.view.Compacted(),
		checks.Plural(m.view.Keys(), "key", "keys"), checks.Plural(m.view.LeaseCount(), "lease", "leases"), of, usersText(users))
	fmt.Fprintf(c.App.Writer, "start it: qkv serve --name %s --data-dir %s ...\n"+form.BindsTrust, m.Name, m.DataDir)
}

// usersText says how many users and roles there are, if any.
func usersText(a *index.AuthContent) string {
	if len(a.Users)+len(a.Roles) == 0 {
		return ""
	}
	return fmt.Sprintf(", %s and %s, and authentication is %s", checks.Plural(len(a.Users), "user", "users"), checks.Plural(len(a.Roles), "role", "roles"),
		map[bool]string{true: "enabled", false: "off"}[a.Enabled])
}

// migrateError explains why nothing was migrated.
func migrateError(err error) error {
	if errors.Is(err, migrate.ErrFile) {
		return form.Usagef("%w", err)
	}
	if migrate.Unreachable(err) {
		return form.Exitf(form.ExitUnavailable, "%w; does it run, and is that its address for clients?", err)
	}
	return ServeError(err)
}
