package node

import (
	"context"
	"crypto/rand"
	"errors"
	iofs "io/fs"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/wire"
	"qkv/snapshot"
)

// Branch makes a data folder as Restore does, and starts its member, which is a cluster of its own. The state is not loaded a second time. Parts
// that the Fill left in the backup are opened there (backup.Restored.Parts); nil: there are none. They are read, and never written. With the
// local CA, the user of its client certificate has the role root: its files and the backup belong to the user of the host that runs the branch.
func Branch(ctx context.Context, c Config, fill Fill, parts func() disk.FS) (*Node, error) {
	return branchOn(ctx, c, disk.OS(), limits.Defaults(), fill, parts)
}

// branchOn is Branch on any disk, with limits that tests may set.
func branchOn(ctx context.Context, c Config, on disk.FS, bounds limits.Tunable, fill Fill, parts func() disk.FS) (*Node, error) {
	domain, _, err := domainOf(c.CertsDir, c.Secret, c.Name)
	if err != nil {
		return nil, err
	}
	if c.CertsDir == "" && c.Secret == nil {
		fill = withRoot(fill, wire.LocalClientName)
	}
	made, err := restoreOn(RestoreConfig{DataDir: c.DataDir, Name: c.Name, Version: c.Version, Logger: c.Logger, Branch: true}, domain, on, rand.Reader, bounds, fill)
	if err != nil {
		return nil, err
	}
	if parts != nil {
		on = besideParts{on, parts()}
	}
	return start(ctx, c, on, bounds, made.state)
}

// withRoot adds an entry to the state that gives a user the role root, if authentication is enabled.
func withRoot(fill Fill, name string) Fill {
	return func(files disk.FS, dir string) (*index.State, error) {
		s, err := fill(files, dir)
		if err != nil || !s.View().Auth().Enabled() {
			return s, err
		}
		// refused if the user is there
		add := index.Own().AppendAuthChange(nil, &kv.AuthChange{Kind: kv.UserAdd, User: name, NoPassword: true})
		grant := index.Own().AppendAuthChange(nil, &kv.AuthChange{Kind: kv.UserGrantRole, User: name, Role: kv.Root})
		at, term := s.Applied()
		entry := index.AppendEnvelope(nil, index.Envelope{Level: s.Level(), Member: 1, First: 1}, [][]byte{add.Bytes, grant.Bytes})
		_, err = s.Apply(at+1, term, entry, nil)
		return s, err
	}
}

// besideParts is a file system with further files that can be read, and that belong to a backup.
type besideParts struct {
	disk.FS
	parts disk.FS
}

// Open implements disk.FS.
func (b besideParts) Open(name string) (disk.File, error) {
	f, err := b.FS.Open(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return b.parts.Open(name)
	}
	return f, err
}

// Place implements snapshot.InBackup.
func (b besideParts) Place(path string) string {
	place := b.parts.(snapshot.InBackup).Place(path)
	if place != "" && !disk.Gone(b.FS, path) { // it was written again here
		return ""
	}
	return place
}

// inBackup reports whether a file is in the backup that this member reads as a branch, and not in its folder.
func (m *member) inBackup(path string) bool {
	of, is := m.env.FS.(besideParts)
	return is && of.Place(path) != ""
}
