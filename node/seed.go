package node

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"qkv/snapshot"
	"qkv/snapshot/backup"
)

// A backup has the same parts as all members (package snapshot/backup). So a member that joins takes them from there (`qkv serve --seed`), and a
// member that has lost a part takes it from there if no member gives it.

// backup returns a function that opens the backup with this member's parts; nil: none is known.
func (c *Config) backup(ctx context.Context) func() (*backup.Reader, error) {
	switch {
	case c.Seed != nil:
		return func() (*backup.Reader, error) { return c.Seed(ctx) }
	case c.Backup.Store != nil:
		return func() (*backup.Reader, error) { return backup.Open(ctx, c.Backup.Store) }
	}
	return nil
}

// joins reports whether this member joins, and has no snapshot yet.
func (s *storage) joins(r *recovered) bool {
	return len(r.snapshots) == 0 && len(s.folder.founders().All()) == 0
}

// seed fetches the parts of the newest base of a backup that are not here. The leader sends the others, and its newest snapshot: a failure costs
// only time, except that a backup of another cluster is an operator's mistake at the first start.
func (s *storage) seed(r *recovered) error {
	from, err := s.repairs.seed()
	if err == nil && from.Cluster.ID != s.folder.Cluster {
		err = usagef("--seed %s is the backup of %s, %016x, and this member joins the cluster %016x: give its backup, or none", from.Path, from.Cluster.Name, from.Cluster.ID, s.folder.Cluster)
		if s.folder.Boot == 0 {
			return err
		}
	}
	if err == nil && len(from.Bases) == 0 {
		err = errors.New("it has no base yet")
	}
	if err == nil {
		err = s.seedBase(r, from, &from.Bases[len(from.Bases)-1])
	}
	if err != nil {
		s.logger.Warn("not all parts of the state could be taken from the backup: the leader sends the others", "error", err)
	}
	return nil
}

func (s *storage) seedBase(r *recovered, from *backup.Reader, base *backup.Base) error {
	all, err := from.Parts(base)
	if err != nil {
		return err
	}
	bytes, _ := base.Bytes()
	s.logger.Info("parts of the state are taken from the backup", "backup", from.Path, "parts", len(all), "bytes", bytes, "revision", base.Revision)
	for _, p := range all {
		err := snapshot.Fetch(s.folder.fs, s.folder.path("snap"), "", p.Name(), p.Bytes, p.SHA, func(to *snapshot.Incoming) error {
			return from.Part(to.Name(), to.Size(), to.Offset(), to.Write)
		})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if !slices.ContainsFunc(r.interrupted.Parts, func(one snapshot.Part) bool { return one.SHA == p.SHA }) {
			r.interrupted.Parts = append(r.interrupted.Parts, p) // a snapshot that lists it comes
		}
	}
	return nil
}
