package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/net/wire"
	"qkv/snapshot"
)

// MigrateConfig is the configuration of Migrate.
type MigrateConfig struct {
	DataDir  string // must not exist, or be empty
	Name     string
	CertsDir string             // as Config's
	Secret   *wire.SecretSource // as Config's
	Version  string
	Logger   *slog.Logger
	// Restores says that the source may have gone on behind the imported moment, as behind a backup. The cluster then begins far above it.
	Restores bool
}

// Migrated is the result of Migrate: the new member.
type Migrated struct {
	Cluster, Member uint64
	View            *index.View
}

const migratingSuffix = ".migrating"

// Migrate makes the data folder of a cluster of one member. fill builds its state, which is empty, and returns its users (nil: none). The
// state is in memory first: nothing is written before fill returns, and the folder gets its name when it is complete and durable.
func Migrate(ctx context.Context, c MigrateConfig, fill func(s *index.State) (*index.AuthContent, error)) (Migrated, error) {
	domain, _, err := domainOf(c.CertsDir, c.Secret, c.Name)
	if err != nil {
		return Migrated{}, err
	}
	to := &folder{fs: disk.OS(), dir: path.Clean(c.DataDir)}
	building, err := to.building(migratingSuffix)
	if err != nil {
		return Migrated{}, err
	}
	s := storage{random: rand.Reader, limits: limits.Defaults(), segmentBytes: limits.SegmentBytes, version: c.Version, logger: c.Logger}
	first := originOf(domain, fmt.Sprintf("migrated %016x", s.salt()), c.Name, []string{c.Name})
	made := &folder{fs: disk.OS(), dir: building, identity: identity{Cluster: first.cluster, Founding: first.founding}}
	state := index.NewState(s.limits.Index)
	state.Found(made.founders())
	if _, err := state.Apply(foundingIndex, foundingTerm, nil, nil); err != nil {
		return Migrated{}, err
	}
	users, err := fill(state)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && users != nil {
		err = restoreUsers(users, state, rand.Reader)
	}
	if err != nil {
		return Migrated{}, err
	}
	if s.folder = made; c.Restores {
		state.SkipRevisions(time.Now().UnixNano())
	}
	if err := s.build(to.dir, func() error { return s.make(state, first, false) }); err != nil {
		return Migrated{}, err
	}
	return Migrated{Cluster: first.cluster, Member: first.self, View: state.View()}, nil
}

// domainOf returns the trust domain of a new member: that of its certificates or of the cluster secret, or the local one. issuer is the CA
// of the secret, which distinguishes clusters in its domain; it is empty for the others.
func domainOf(certsDir string, secret *wire.SecretSource, name string) (domain, issuer string, err error) {
	switch {
	case certsDir != "" && secret != nil:
		return "", "", bothTrusts(secret)
	case secret != nil:
		credentials, err := wire.Maker{Now: time.Now, Rand: rand.Reader}.SecretMember(*secret, name, nil)
		if err != nil {
			return "", "", usagef("%w", err)
		}
		return credentials.Cluster(), credentials.Certificate().Issuer.CommonName, nil
	case certsDir != "":
		credentials, err := wire.LoadMember(certsDir, name, time.Now)
		if err != nil {
			return "", "", usagef("%w", err)
		}
		return credentials.Cluster(), "", nil
	}
	return wire.LocalCluster, "", nil
}

// restoreUsers gives the new state users and roles.
func restoreUsers(users *index.AuthContent, state *index.State, random io.Reader) error {
	var secret [limits.AuthSecretBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return fmt.Errorf("draw the secret of the tokens: %w", err)
	}
	state.RestoreAuth(users, secret, time.Now().UnixNano())
	return nil
}

// building returns where a new data folder is built: beside its place, or inside if the folder exists and cannot be replaced, as a mount
// point with lost+found. A folder with other content is refused. If something is impossible, the error comes now, and not after all of the work.
func (f *folder) building(suffix string) (string, error) {
	names, err := f.fs.List(f.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.dir + suffix, nil
	case err != nil:
		return "", usagef("--data-dir: %w", err)
	case slices.ContainsFunc(names, func(name string) bool { return name != "lost+found" && name != suffix }):
		return "", usagef("the data folder %s is not empty, and a new one is needed: give another --data-dir; nothing was changed", f.dir)
	case len(names) == 0 && f.fs.Remove(f.dir) == nil:
		return f.dir + suffix, nil
	}
	return f.path(suffix), nil
}

// build makes a new data folder by make, and gives it its name. The lock keeps two processes from building one folder. Nothing stays if make
// fails.
func (s *storage) build(to string, make func() error) (err error) {
	made := s.folder
	if err := made.fs.MkdirAll(made.dir); err != nil {
		return err
	}
	if err := made.acquire(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, made.lock.Close()) }()
	if err := s.clear(); err != nil {
		return err
	}
	if err := make(); err != nil {
		return errors.Join(err, removeFolder(made.fs, made.dir))
	}
	return made.rename(to)
}

// clear removes what an earlier attempt left in a new data folder.
func (s *storage) clear() error {
	if err := removeFolder(s.folder.fs, s.folder.dir, "LOCK"); err != nil {
		return fmt.Errorf("remove %s, which an earlier attempt left: %w", s.folder.dir, err)
	}
	return nil
}

// make writes a new data folder with a state, next to its final place. The log begins behind the state. keep: the folder has the parts of the
// state's Shelf, and the snapshot lists them. Otherwise, or if the base is another one by now, the state becomes a base.
func (s *storage) make(state *index.State, first origin, keep bool) error {
	made := s.folder
	if err := made.fs.MkdirAll(made.path("snap")); err != nil {
		return err
	}
	if err := made.found(first, s.random); err != nil {
		return err
	}
	last, term := state.Applied()
	shelf := snapshot.ShelfOf(state.View())
	if !keep || shelf == nil || len(shelf.Parts()) == 0 || shelf.Base() != state.View().Base() {
		state.ResetExtents()
		shelf = nil
	}
	for state.View(); state.Reclaim(); { // the base has nothing that is compacted
	}
	view := state.ViewToSave()
	confState := actor.ConfStateOf(view.Members().Configuration())
	shelf, err := snapshot.Save(made.fs, made.path("snap"), snapshot.Meta{
		Cluster: made.Cluster, Member: made.Member, Index: last, Term: term, ConfState: actor.ConfStateBytes(confState), Version: s.version,
	}, view, shelf)
	if err != nil {
		return fmt.Errorf("save the data: %w", err)
	}
	s.made = shelf
	if err := s.removeUnlisted(snapshot.Name(last, term)); err != nil {
		return err
	}
	if err := log.Create(s.logOptions(), log.Marker{Index: last, Term: term, ConfState: confState}); err != nil {
		return fmt.Errorf("create the log: %w", err)
	}
	made.Boot++ // the log exists
	return made.publish()
}

// removeUnlisted removes the parts that a snapshot does not list: a restore has copied them for a base that it did not use in the end.
func (s *storage) removeUnlisted(name string) error {
	on, dir := s.folder.fs, s.folder.path("snap")
	r, err := snapshot.Open(on, path.Join(dir, name))
	if err != nil {
		return err
	}
	defer r.Close()
	listed := []string{name}
	for _, p := range r.Meta().Parts {
		listed = append(listed, p.Name())
	}
	return removeFolder(on, dir, listed...)
}

// rename gives the folder its name, or moves its content there if it was built inside. The identity comes last: without it no member starts.
func (f *folder) rename(to string) error {
	err := error(nil)
	if path.Dir(f.dir) == to {
		err = f.moveUp(to)
	} else if err = f.fs.Rename(f.dir, to); err == nil {
		err = f.fs.SyncDir(path.Dir(to))
	}
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w; remove what is in %s, and run the same command again", f.dir, to, err, to)
	}
	return nil
}

func (f *folder) moveUp(to string) error {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return err
	}
	names = append(slices.DeleteFunc(names, func(name string) bool { return name == "identity" }), "identity")
	for _, name := range names {
		if name == "identity" {
			err = f.fs.SyncDir(to)
		}
		if err == nil {
			err = f.fs.Rename(f.path(name), path.Join(to, name))
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(f.fs.SyncDir(to), f.fs.Remove(f.dir))
}
