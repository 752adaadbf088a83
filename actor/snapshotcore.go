package actor

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// SnapshotterConfig is the constant configuration of the snapshotter.
type SnapshotterConfig struct {
	Cluster, Member uint64
	Version         string
	FS              disk.FS
	Dir             string
	Damaged         string          // the folder for damaged files
	Kept            []snapshot.Info // initially published and valid ones, newest first
	Interrupted     Interrupted
	Shelf           *snapshot.Shelf // of the state
	Inbox           *Mailbox[SnapshotterMessage]
	Consensus       *Mailbox[ConsensusMessage]
	Applier         *Mailbox[ApplierMessage]
	Reader          *Mailbox[SnapshotReaderMessage]
	Peers           Peers
	Status          *Status
	Limits          limits.Tunable
	Logger          *slog.Logger
}

// Interrupted are the files of a transfer that was interrupted by a restart. It continues there if a snapshot with them is offered.
type Interrupted struct {
	Parts   []snapshot.Part // that no snapshot lists
	Partial string          // the path of the file that is not complete; empty: there is none
}

// snapshotCore is the state of the snapshotter that several of its parts read: the files on the disk, and the time. A part gets a pointer
// to it with each call. Each of them may publish, remove or suspect a file.
type snapshotCore struct {
	SnapshotterConfig

	now        time.Duration   // of the batch being handled
	files      []snapshot.Info // published ones that are valid, newest first
	stuck      []snapshot.Info // files that could not be removed: they keep their parts, and the next save tries again
	parts      parts           // all that are on the disk
	shelf      *snapshot.Shelf // the parts of the present state: those that the next snapshot lists
	installing bool            // a received state, which has other parts, is about to take the place of the present one
	suspects   []snapshot.Info // to be verified next: readers found them damaged, or older files must be deleted
	sound      soundSnapshot
	lacks      time.Duration // until then a file found no space
	pieceBytes int           // size of one disk request of a save or a check, adapted to the time of its steps
}

// soundSnapshot is the newest snapshot, if it was found sound on the medium.
type soundSnapshot struct {
	path    string
	at      time.Duration // when it was found sound
	noCheck time.Duration // no check to free space begins before; the last one failed
}

func newSnapshotCore(config SnapshotterConfig) snapshotCore {
	c := snapshotCore{SnapshotterConfig: config, files: config.Kept, shelf: config.Shelf, pieceBytes: limits.SnapshotPieceBytes}
	c.parts.all, c.parts.partial = map[[32]byte]snapshot.Part{}, config.Interrupted.Partial
	for _, info := range config.Kept {
		c.parts.add(info.Parts...)
	}
	c.parts.add(config.Interrupted.Parts...)
	return c
}

// published inserts a new file by its index, and removes the files beyond the limit.
func (c *snapshotCore) published(info snapshot.Info) {
	stuck := c.stuck
	c.stuck = nil
	for _, one := range stuck {
		if one.Path != info.Path {
			c.remove(one)
		}
	}
	c.files = append(c.files, info)
	slices.SortFunc(c.files, func(a, b snapshot.Info) int { return cmp.Compare(b.Index, a.Index) })
	for len(c.files) > limits.SnapshotsKept {
		old := c.files[len(c.files)-1]
		c.files = c.files[:len(c.files)-1]
		c.remove(old)
	}
}

func (c *snapshotCore) remove(info snapshot.Info) {
	if err := snapshot.Remove(c.FS, info.Path); err != nil {
		c.Logger.Warn("an old snapshot could not be removed", "file", info.Path, "error", err)
		if !errors.Is(err, fs.ErrNotExist) {
			c.stuck = append(c.stuck, info)
		}
	}
}

// keepFrom returns the index from which on the log must be kept; 0 keeps all of it.
func (c *snapshotCore) keepFrom() uint64 {
	if len(c.files) < limits.SnapshotsKept {
		return 0
	}
	return c.files[len(c.files)-1].Index
}

// foundSound notes that a snapshot is sound on the medium.
func (c *snapshotCore) foundSound(info snapshot.Info) {
	if info.Path == c.files[0].Path {
		c.sound.path, c.sound.at = info.Path, c.now
	}
}

// recheck has a snapshot's file verified, or the newest snapshot that lists a part, if it is still published.
func (c *snapshotCore) recheck(path string) (published bool) {
	i := slices.IndexFunc(c.files, func(k snapshot.Info) bool {
		return k.Path == path || slices.ContainsFunc(k.Parts, func(p snapshot.Part) bool { return c.Dir+"/"+p.Name() == path })
	})
	if i < 0 {
		return false
	}
	c.suspects = append(c.suspects, c.files[i])
	if c.sound.path == c.files[i].Path {
		c.sound.path = ""
	}
	return true
}

func (c *snapshotCore) send(to uint64, m peerframe.Message) { c.Peers.Send(to, m, false) }
