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
	"syscall"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

// RecoverConfig is the configuration of Recover.
type RecoverConfig struct {
	DataDir string
	Name    string // required name of the folder's member; empty is any
	Logger  *slog.Logger
	Version string
	// AcceptLoss uses a snapshot without a part that is damaged or missing, if no other snapshot can be used. Otherwise that is an error.
	AcceptLoss bool
	Agree      func(Recoverable) error // called before anything is changed; an error ends the recovery. nil: agreed
	// keepsRevisions goes on with the revisions of the folder. It is for a simulation, whose checker has a list of all revisions.
	keepsRevisions bool
	wall           int64 // the present, in nanoseconds since 1970; 0: not known
}

// Recoverable is the data of a folder that can be recovered.
type Recoverable struct {
	Name     string
	Cluster  uint64
	Revision int64
	Entry    uint64 // the last one of the log
	Loss     *Loss  // nil: all files are sound
}

// Loss describes the data that damaged parts of a snapshot no longer have. The history up to the snapshot is dropped with them.
type Loss struct {
	Revision int64 // of the snapshot
	Had, Has int64 // the keys in the whole snapshot, and in its sound blocks
	Places   []snapshot.LostPlace
	Keys     []LostKey // that damaged bytes name
}

// LostKey is a key of which a version is lost, and no later one is known.
type LostKey struct {
	Key      []byte
	Revision int64
	Has      int64 // the revision of the version that the key has instead; 0: the key is gone
}

// Recovered is the result of a recovery.
type Recovered struct {
	Name     string
	Cluster  uint64
	Revision int64  // of the data; the cluster goes on far above it
	Before   string // the new place of the old data folder
}

// Recover makes a cluster of one member from the data of one member of a cluster whose quorum is lost for good. It applies every entry of
// that member's log, committed or not: acknowledged entries are committed, but a follower does not know that of the newest. Entries that
// only other members had are lost. Cluster and member get new ids: members of the old cluster and the new one cannot connect to each
// other. The old ids are never used again.
//
// The new folder is made next to the old one. When it is wholly durable, the old folder is moved aside, and then the new one takes its
// place. Between the two renames there is no data folder, and a member started then refuses (notRecovering). The next attempt moves the
// old folder back, and begins anew.
func Recover(ctx context.Context, c RecoverConfig) (Recovered, error) {
	c.wall = time.Now().UnixNano()
	return recoverOn(ctx, c, disk.OS(), rand.Reader, limits.Defaults())
}

const (
	// RecoveringSuffix follows the name of the new data folder until it takes the old one's place.
	RecoveringSuffix = ".recovering"
	beforeSuffix     = ".before-recovery"
)

// recoverOn is Recover on a disk.
func recoverOn(ctx context.Context, c RecoverConfig, disks disk.FS, random io.Reader, l limits.Tunable) (Recovered, error) {
	old := &folder{fs: disks, dir: path.Clean(c.DataDir)}
	if err := old.moveBack(); err != nil {
		return Recovered{}, err
	}
	if err := old.whose(); errors.Is(err, fs.ErrNotExist) {
		if damage := old.isNew(); damage != nil {
			return Recovered{}, damage
		}
		return Recovered{}, usagef("%s is not a data folder: %v", c.DataDir, err)
	} else if err != nil {
		return Recovered{}, err
	}
	if c.Name != "" && c.Name != old.Name {
		return Recovered{}, usagef("the data folder %s belongs to the member %s, not to %s", c.DataDir, old.Name, c.Name)
	}
	if old.Boot == 0 {
		return Recovered{}, usagef("the member of the data folder %s was never started: it has no data", c.DataDir)
	}
	if err := old.acquire(); err != nil {
		return Recovered{}, err
	}
	defer old.lock.Close()
	if _, err := old.fs.List(old.dir + beforeSuffix); err == nil {
		return Recovered{}, usagef("%s exists, from an earlier recovery: move it away, because this recovery keeps the old data there; nothing was changed", old.dir+beforeSuffix)
	}
	s := storage{folder: old, random: random, limits: l, segmentBytes: segmentBytes(0, limits.RequestBytesWritten, old.fs, old.dir), version: c.Version, logger: c.Logger, salvage: c.AcceptLoss}
	r, err := s.recover()
	if err != nil {
		return Recovered{}, err
	}
	last, err := applyAll(ctx, old.fs, r)
	if err = errors.Join(err, r.log.Close()); err != nil {
		return Recovered{}, err
	}
	if last <= foundingIndex {
		return Recovered{}, usagef("the member of the data folder %s has never heard from a leader: it has no data; nothing was changed", c.DataDir)
	}
	if c.Agree != nil {
		if err := c.Agree(Recoverable{old.Name, old.Cluster, r.state.View().Revision(), last, r.loss()}); err != nil {
			return Recovered{}, err
		}
	}
	revision := r.state.Revision()
	if !c.keepsRevisions {
		r.state.SkipRevisions(c.wall)
	}
	made, err := s.refound(r.state, c.wall)
	made.Revision = revision
	return made, err
}

// salvageState loads the sound blocks of the newest snapshot that lacks a part, and whose own file is sound. The log behind it is applied to
// that. So the outcomes of transactions that compare lost keys may differ from the answers that their clients got.
func (s *storage) salvageState(r *recovered) (err error) {
	for _, lacks := range r.lacking {
		got, no := snapshot.Salvage(s.folder.fs, lacks.info, s.limits.Index)
		if no != nil {
			err = errors.Join(err, fmt.Errorf("%w; and it cannot be read without that part: %w", lacks, no))
			continue
		}
		r.state, r.applied, r.salvaged, r.left = got.State, got.Index, got, got.State.View().Keys()
		r.confState, err = configurationIn(got.State, got.Meta)
		return err
	}
	return err
}

// loss compares the lost versions with the state now: a later change of a key makes an earlier one history.
func (r *recovered) loss() *Loss {
	if r.salvaged == nil {
		return nil
	}
	l := &Loss{Revision: r.salvaged.Revision, Had: r.salvaged.Had, Has: r.left, Places: r.salvaged.Places}
	view := r.state.View()
	for _, one := range r.salvaged.Keys {
		if pair, _, err := view.Get(one.Key, 0); err != nil || pair.ModRevision < one.Revision {
			l.Keys = append(l.Keys, LostKey{one.Key, one.Revision, pair.ModRevision})
		}
	}
	return l
}

// moveBack restores an old folder that an interrupted recovery has moved aside.
func (f *folder) moveBack() error {
	if !f.recovering() {
		return nil
	}
	_ = f.fs.Remove(f.dir) // empty, of a start that was refused meanwhile
	if err := f.fs.Rename(f.dir+beforeSuffix, f.dir); err != nil {
		return fmt.Errorf("move back %s, which an interrupted recovery has moved aside: %w", f.dir+beforeSuffix, err)
	}
	return f.fs.SyncDir(path.Dir(f.dir))
}

// notRecovering refuses a folder whose content is being recovered.
func (f *folder) notRecovering() error {
	if f.recovering() {
		return fmt.Errorf("a recovery of the data folder %s was interrupted: run `qkv recover` with it again", f.dir)
	}
	return nil
}

// recovering reports whether the data folder is missing because a recovery moved the old one aside and ended before the new one took its
// place. A new folder without an old one belongs to a recovery that ended earlier, before the data folder was emptied.
func (f *folder) recovering() bool {
	_, none := f.read("identity")
	_, err := (&folder{fs: f.fs, dir: f.dir + RecoveringSuffix}).read("identity")
	_, aside := f.fs.List(f.dir + beforeSuffix)
	return errors.Is(none, fs.ErrNotExist) && err == nil && aside == nil
}

// applyAll applies all entries of a log that was just opened, and returns the last one's index.
func applyAll(ctx context.Context, disks disk.FS, r *recovered) (last uint64, err error) {
	reader := log.NewReader(disks)
	defer reader.Close()
	if last, err = r.window.LastIndex(); err != nil {
		return 0, err
	}
	for next := r.applied + 1; next <= last; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		entries, err := r.window.Entries(next, last+1, limits.ApplyingBytes)
		if err != nil {
			return 0, fmt.Errorf("read entry %d: %w", next, err)
		}
		for _, e := range entries {
			if err := applyTo(r.state, e); err != nil {
				return 0, fmt.Errorf("entry %d of term %d cannot be applied: %w", e.GetIndex(), e.GetTerm(), err)
			}
			next = e.GetIndex() + 1
		}
		for _, order := range r.window.TakeWanted(nil) {
			read, err := reader.Read(order)
			if _, _, err := r.window.Load(order, read, err); err != nil {
				return 0, fmt.Errorf("read the log: %w", err)
			}
		}
		r.window.DropUnused()
	}
	last, _ = r.state.Applied()
	return last, nil
}

func applyTo(s *index.State, e *raftpb.Entry) error {
	data, err := actor.EnvelopeOf(e)
	if err != nil {
		return err
	}
	apply := s.Apply
	if e.GetType() != raftpb.EntryNormal {
		apply = s.ApplyChange
	}
	_, err = apply(e.GetIndex(), e.GetTerm(), data, nil)
	return err
}

// refound makes a data folder with a state and a lone member, and puts it in the place of the old one.
func (s storage) refound(state *index.State, wall int64) (Recovered, error) {
	old := s.folder
	made := &folder{fs: old.fs, dir: old.dir + RecoveringSuffix}
	token := fmt.Sprintf("recovered %016x", s.salt())
	first := originOf(old.Founding[0], token, old.Name, []string{old.Name})
	state.Refound(first.cluster, index.Founders(map[string]uint64{first.name: first.self}), wall)
	s.folder = made
	err := s.clear()
	if err == nil {
		err = s.make(state, first, false)
	}
	if err != nil {
		return Recovered{}, err
	}
	before, above := old.dir+beforeSuffix, path.Dir(old.dir)
	for _, name := range [][2]string{{old.dir, before}, {made.dir, old.dir}} {
		err := made.fs.Rename(name[0], name[1])
		if err == nil {
			err = made.fs.SyncDir(above) // the second rename counts only after the first one
		}
		if errors.Is(err, syscall.EBUSY) { // the first rename; a retry would fail again
			return Recovered{}, errors.Join(usagef("%s cannot be moved aside: it is a mount point; copy it to a folder that is not one (`cp -a %s COPY`), recover the copy, and start the member with the copy as --data-dir; nothing was changed",
				old.dir, old.dir), removeFolder(made.fs, made.dir))
		}
		if err != nil {
			return Recovered{}, fmt.Errorf("rename %s to %s: %w; run the same command again", name[0], name[1], err)
		}
	}
	return Recovered{Name: first.name, Cluster: first.cluster, Before: before}, nil
}

// removeFolder removes a folder with its content, and the content of its folders. Files that are kept stay, and the folder with them.
func removeFolder(disks disk.FS, dir string, kept ...string) error {
	names, err := disks.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(kept, name) {
			continue
		}
		if _, err := disks.List(dir + "/" + name); err == nil {
			if err := removeFolder(disks, dir+"/"+name); err != nil {
				return err
			}
		} else if err := disks.Remove(dir + "/" + name); err != nil {
			return err
		}
	}
	if len(kept) > 0 {
		return nil
	}
	return disks.Remove(dir)
}
