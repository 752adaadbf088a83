//go:build linux

package data

// This file is `qkv restore`: make a new cluster of a backup, as of any moment.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/cli/keys"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/etcd/migrate"
	"qkv/net/wire"
	"qkv/node"
	"qkv/snapshot/backup"
)

func restore(ctx context.Context, c *cli.Context) error {
	if err := CheckRevision(c); err != nil {
		return err
	}
	dir := c.String("data-dir")
	if dir == "" {
		dir = filepath.Join("qkv-data", wire.FileName(c.String("name")))
	}
	from := c.Args().First()
	certsDir, secret, err := form.MemberTrust(c)
	if err != nil {
		return err
	}
	if !migrate.IsDatabase(from) {
		return restoreBackup(ctx, c, from, dir, certsDir, secret)
	}
	for _, name := range []string{"at", "revision", "initial-cluster", "identity", "accept-loss"} {
		if c.IsSet(name) {
			return form.Usagef("%s is a snapshot of etcd, of one moment, and becomes a cluster of one member: --%s is for backups of qkv", from, name)
		}
	}
	return migrateFile(ctx, c, from, from, node.MigrateConfig{DataDir: dir, Name: c.String("name"), CertsDir: certsDir, Secret: secret, Restores: true})
}

func restoreBackup(ctx context.Context, c *cli.Context, from, dir, certsDir string, secret *wire.SecretSource) error {
	cluster, err := ParseCluster(c.String("initial-cluster"))
	if err != nil {
		return err
	}
	to := node.RestoreConfig{
		DataDir: dir, Name: c.String("name"), CertsDir: certsDir, Secret: secret, Token: c.String("initial-cluster-token"),
		Version: form.Version, Logger: form.NewLogger(io.Discard, "text", slog.LevelError, ""),
	}
	for _, m := range cluster {
		to.Founders = append(to.Founders, m.Name)
	}
	m := Moment{Context: c, Place: from}
	made, err := node.Restore(to, m.Keeping(ctx))
	if err != nil {
		return ServeError(err)
	}
	fmt.Fprint(c.App.Writer, m.Text)
	writeNext(c, made, dir)
	return nil
}

// CheckRevision refuses a revision that does not exist.
func CheckRevision(c *cli.Context) error {
	if revision := c.Int64("revision"); c.IsSet("revision") && revision < form.BeforeAll {
		return form.Usagef("--revision %d: the first revision is %d", revision, form.BeforeAll)
	}
	return nil
}

// Moment is a moment of a backup that is restored.
type Moment struct {
	*cli.Context
	Place string
	Got   *backup.Restored
	Text  string // describes it
}

// Fill returns the state. It keeps the parts in a folder, or leaves them in the backup.
func (m *Moment) Fill(ctx context.Context, keep func(r *backup.Reader)) (*index.State, error) {
	at, asked, err := momentAsked(m.Context, time.Now())
	if err != nil {
		return nil, err
	}
	r, err := openBackup(ctx, m.Context, m.Place)
	if err != nil {
		return nil, err
	}
	keep(r)
	bar := form.NewBytesProgress(m.App.ErrWriter, "restore")
	m.Got, err = r.Restore(at, limits.Defaults().Index, progressTo(bar))
	bar.End()
	if err != nil {
		return nil, restoreError(err, at)
	}
	for _, note := range slices.Concat(r.Faults, m.Got.Notes) {
		fmt.Fprintln(m.App.ErrWriter, "note:", note)
	}
	if m.Got.Lost != nil {
		fmt.Fprintln(m.App.ErrWriter, "LOST: everything behind this moment:", m.Got.Lost)
	}
	m.Text = describeRestored(m.Got, r.Path, asked) // a member that goes on with the state owns it
	if at.Since != 0 {
		m.Text += fmt.Sprintf("its history begins with revision %d\n", max(m.Got.State.View().Compacted(), 1))
	}
	return m.Got.State, nil
}

// Keeping is a node.Fill that keeps the parts.
func (m *Moment) Keeping(ctx context.Context) node.Fill {
	return func(files disk.FS, dir string) (*index.State, error) {
		return m.Fill(ctx, func(r *backup.Reader) { r.KeepParts(files, dir) })
	}
}

// momentAsked returns the moment of --at or --revision, and its description.
func momentAsked(c *cli.Context, now time.Time) (at backup.At, asked string, err error) {
	at.AcceptLoss = c.Bool("accept-loss")
	revision, since, err := keys.ParsePoint(c.String("since"), now)
	switch {
	case err != nil:
		return at, "", err
	case revision != 0:
		return at, "", form.Usagef("--since %s: a time is needed, or an age, such as 7d", c.String("since"))
	case !since.IsZero():
		at.Since = max(since.UnixNano(), 1)
	}
	switch {
	case c.IsSet("at") && c.IsSet("revision"):
		return at, "", form.Usagef("--at and --revision exclude each other")
	case c.IsSet("revision"):
		at.Revision = c.Int64("revision")
		return at, fmt.Sprintf(" as of revision %d", at.Revision), nil
	case c.IsSet("at"):
		moment, err := form.ParseTime(c.String("at"), now)
		if err != nil {
			return at, "", err
		}
		// 0 would be the newest state, and times before 1678 cannot be expressed
		if at.Wall = moment.UnixNano(); moment.Unix() <= 0 {
			return at, "", form.Usagef("--at %s: no backup has writes of 1970 or before", c.String("at"))
		}
		return at, " as of " + zoned(at.Wall), nil
	}
	return at, "", nil
}

// restoreError says what helps.
func restoreError(err error, at backup.At) error {
	if errors.Is(err, damage.ErrDamaged) || errors.Is(err, backup.ErrGap) || errors.Is(err, backup.ErrForeign) {
		if !at.AcceptLoss {
			return form.Exitf(form.ExitFailed, "%w; --accept-loss restores that state; nothing was written", err)
		}
		return form.Exitf(form.ExitFailed, "%w; nothing was written", err)
	}
	return backupError(err)
}

// describeRestored describes a restored state.
func describeRestored(got *backup.Restored, from, asked string) string {
	v := got.State.View()
	users := 0
	v.Auth().Users(func(*kv.UserRecord) bool { users++; return true })
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s: revision %d, the newest write of %s\n", from, asked, got.Revision, zoned(got.Wall))
	fmt.Fprintf(&b, "%s, %s, %s; a base of entry %d, and %s behind it\n", checks.Plural(v.Keys(), "key", "keys"), checks.Plural(v.LeaseCount(), "lease", "leases"),
		checks.Plural(users, "user", "users"), got.Base.Index, checks.Plural(got.Entries, "entry", "entries"))
	if got.Ends && asked != "" {
		fmt.Fprintln(&b, "the backup ends there: later writes, if there were any, are not in it")
	}
	return b.String()
}

// restartPrograms is the last line of a command that makes a new cluster of an old one's data.
const restartPrograms = "restart programs that use qkv's own client and still run: they refuse the new cluster\n"

// writeNext prints the next commands.
func writeNext(c *cli.Context, made node.Made, dir string) {
	name, cluster := c.String("name"), c.String("initial-cluster")
	fmt.Fprintf(c.App.Writer, "%s is the data of %s in the new cluster %s\n", dir, name, form.Hex(made.Cluster))
	if cluster == "" {
		fmt.Fprintf(c.App.Writer, "start it: qkv serve --name %s --data-dir %s ...\n"+form.BindsTrust, form.ShellWord(name), form.ShellWord(dir))
		fmt.Fprint(c.App.Writer, restartPrograms)
		return
	}
	fmt.Fprintln(c.App.Writer, "run the same command on the other hosts, each with its own --name: all must print this cluster")
	fmt.Fprintf(c.App.Writer, "then start each: qkv serve --name %s --data-dir %s --initial-cluster %s ...\n", form.ShellWord(name), form.ShellWord(dir), form.ShellWord(cluster))
	fmt.Fprint(c.App.Writer, restartPrograms)
}
