package actor

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
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
	stuck      []snapshot.Info // that are sent, or could not be removed: they keep their parts, and go later
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

// published inserts a new file by its index, and removes the files beyond the limit.
func (c *snapshotCore) published(info snapshot.Info) {
	c.removeStuck(info.Path)
	c.files = append(c.files, info)
	slices.SortFunc(c.files, func(a, b snapshot.Info) int { return cmp.Compare(b.Index, a.Index) })
	for len(c.files) > limits.SnapshotsKept {
		old := c.files[len(c.files)-1]
		c.files = c.files[:len(c.files)-1]
		c.remove(old)
	}
}

// removeStuck removes the files that could not be removed before, without the one that is published anew.
func (c *snapshotCore) removeStuck(anew string) {
	stuck := c.stuck
	c.stuck = nil
	for _, one := range stuck {
		if one.Path != anew {
			c.remove(one)
		}
	}
}

func (c *snapshotCore) remove(info snapshot.Info) {
	if slices.Contains(c.parts.offered, info.Path) { // a member pulls it
		c.stuck = append(c.stuck, info)
		return
	}
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

// postStored tells the applier which changes are in parts. While a received state is being installed it does not: that state has other
// parts, and its end is followed by a report.
func (c *snapshotCore) postStored() {
	if !c.installing {
		c.Applier.MustPost(stored{Shelf: c.shelf})
	}
}

// readElsewhere says whether values are still read from an older Shelf: the applier does not have the newest one yet.
func (c *snapshotCore) readElsewhere() bool {
	shelf := snapshot.ShelfOf(c.Status.View())
	return shelf != nil && shelf != c.shelf
}

// needed returns the parts that something besides an older snapshot needs.
func (c *snapshotCore) needed() []snapshot.Part {
	all := slices.Concat(c.shelf.Parts(), c.parts.written, c.parts.received, c.parts.sent)
	if c.parts.withheld = c.readElsewhere(); c.parts.withheld {
		all = append(all, snapshot.ShelfOf(c.Status.View()).Parts()...)
	}
	if len(c.files) > 0 {
		all = append(all, c.files[0].Parts...)
	}
	return all
}

// removeParts removes the parts that nothing needs any more, and finds out how much the older snapshots hold.
func (c *snapshotCore) removeParts() {
	needed, older := map[[32]byte]bool{}, map[[32]byte]bool{}
	for _, one := range c.needed() {
		needed[one.SHA] = true
	}
	for _, info := range slices.Concat(c.files, c.stuck) {
		for _, one := range info.Parts {
			older[one.SHA] = true
		}
	}
	if partial := c.parts.partial; partial != "" { // the transfer goes on with it, or does not go on
		if c.parts.partial = ""; partial != c.parts.incoming {
			_ = snapshot.Remove(c.FS, partial)
		}
	}
	c.parts.older = 0
	// A snapshot that was removed before its parts must not come back without them after a power loss.
	synced := false
	for _, one := range slices.SortedFunc(maps.Values(c.parts.all), func(a, b snapshot.Part) int { return bytes.Compare(a.SHA[:], b.SHA[:]) }) {
		switch {
		case needed[one.SHA]:
			continue
		case older[one.SHA]:
			c.parts.older += one.Bytes
			continue
		}
		var err error
		if !synced {
			err = c.FS.SyncDir(c.Dir)
		}
		if synced = err == nil; synced {
			err = snapshot.Remove(c.FS, c.Dir+"/"+one.Name())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.Logger.Warn("a part of older snapshots could not be removed", "file", one.Name(), "error", err)
		}
		c.parts.remove(one)
	}
}

// lists says whether the next snapshot lists a part.
func (c *snapshotCore) lists(part snapshot.Part) bool {
	return slices.ContainsFunc(c.shelf.Parts(), func(one snapshot.Part) bool { return one.SHA == part.SHA })
}

// inBackup reports whether a part is in the backup that a branch reads, and on no member's disk.
func (c *snapshotCore) inBackup(part snapshot.Part) bool {
	backup, is := c.FS.(snapshot.InBackup)
	return is && backup.Place(c.Dir+"/"+part.Name()) != ""
}

// noteLack notes that a file found no space, until its next attempt at the latest. The segment maker then gives up the segments that wait
// for reuse.
func (c *snapshotCore) noteLack(err error) {
	if errors.Is(err, syscall.ENOSPC) {
		c.lacks = c.now + limits.SnapshotRetryMost + limits.SpaceCheck
	}
}

func (c *snapshotCore) send(to uint64, m peerframe.Message) { c.Peers.Send(to, m, false) }

func snapshotAlarm(subject, text string) kv.Alarm {
	return kv.Alarm{Name: kv.SnapshotAlarm, Subject: subject, Text: text}
}

func snapshotAt(at, term uint64, confState *raftpb.ConfState) *raftpb.Snapshot {
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: &at, Term: &term, ConfState: confState}}
}
