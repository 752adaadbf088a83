//go:build linux

package data

// This file is `qkv inspect`: print a file of a member, a backup or a snapshot of etcd, without changing it.

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index"
	"qkv/internal/checks"
	"qkv/internal/damage"
	"qkv/log"
	"qkv/log/disk"
	"qkv/net/etcd/migrate"
	"qkv/snapshot"
	"qkv/snapshot/backup"
)

// inspect prints one file or folder. It also prints the part before an error.
func inspect(c *cli.Context) error {
	name, entries, asJSON := c.Args().First(), c.Bool("verbose"), c.String("write-out") == form.JSON
	info, err := os.Stat(name)
	folder := err == nil && info.IsDir()
	o := log.DumpOptions{Entries: entries, Describe: describeEntry, JSON: asJSON}
	switch {
	case folder && holdsLog(name):
		err = log.Dump(disk.OS(), name, c.App.Writer, o)
	case folder, strings.Contains(name, "://"):
		return onBackup(func(c *cli.Context, r *backup.Reader) error {
			return r.Dump(c.App.Writer, backup.DumpOptions{Entries: entries, Describe: describeEntry, JSON: asJSON})
		})(c)
	case err != nil:
		err = fmt.Errorf("%w: PATH is a log, a segment, a snapshot, a part, a backup, or a file of `etcdctl snapshot save`", err)
	case strings.HasSuffix(name, ".wal"):
		o.Segment = filepath.Base(name)
		err = log.Dump(disk.OS(), filepath.Dir(name), c.App.Writer, o)
	case info.Mode().IsRegular() && migrate.IsDatabase(name):
		err = inspectDatabase(c, name, info.Size())
	default:
		err = snapshot.Dump(disk.OS(), name, c.App.Writer, asJSON)
	}
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	return nil
}

// holdsLog reports whether a folder holds segments, or the folder of a log.
func holdsLog(dir string) bool {
	entries, _ := os.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".wal") || e.Name() == "wal" })
}

// describeEntry describes the data of a log entry; raft's own entries have none.
func describeEntry(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	return ": " + index.Describe(data)
}

// databaseLine is the JSON of a snapshot of etcd.
type databaseLine struct {
	Kind      string   `json:"kind"`
	File      string   `json:"file,omitempty"`
	Bytes     int64    `json:"bytes,omitempty"`
	SHA256    string   `json:"sha256,omitempty"`
	Version   string   `json:"version,omitempty"` // of etcd's schema
	Revision  int64    `json:"revision,omitempty"`
	Compacted int64    `json:"compacted_revision,omitempty"`
	Records   int64    `json:"records,omitempty"`
	Leases    int      `json:"leases,omitempty"`
	Users     int      `json:"users,omitempty"`
	Roles     int      `json:"roles,omitempty"`
	Notes     []string `json:"notes,omitempty"`
}

// inspectDatabase reads a snapshot of etcd whole, and prints what it holds. A copy of member/snap/db has no SHA-256 to check.
func inspectDatabase(c *cli.Context, name string, size int64) error {
	f, err := migrate.OpenFile(name, size%512 != sha256.Size)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Check(c.Context, nil); err != nil {
		return err
	}
	d := damage.NewDump(c.App.Writer, c.String("write-out") == form.JSON)
	l := databaseLine{
		Kind: "etcd", File: name, Bytes: f.Size, SHA256: fmt.Sprintf("%x", f.Sum), Version: f.Version, Revision: f.Revision, Compacted: f.Compacted,
		Records: f.Records, Leases: len(f.Leases), Users: len(f.Auth.Users), Roles: len(f.Auth.Roles), Notes: f.Notes,
	}
	d.Line(l, "%s: a snapshot of etcd, %d bytes, SHA-256 %s\nrevision %d, compacted %d, %s, %s%s\n", name, l.Bytes, l.SHA256, l.Revision,
		l.Compacted, checks.Plural(l.Records, "record", "records"), checks.Plural(l.Leases, "lease", "leases"), usersText(&f.Auth))
	d.Line(databaseLine{Kind: "sound"}, "%ssound\n", strings.Join(append(f.Notes, ""), "\n"))
	return d.End()
}
