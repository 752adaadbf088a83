package log

import (
	"fmt"
	"log/slog"
	"path"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log/disk"
)

// Marker says that the state up to an entry is elsewhere, in a snapshot or in nothing at all: the log begins after it.
type Marker struct {
	Index, Term uint64
	ConfState   *raftpb.ConfState
}

// HardState is raft's promise: a term, the vote in it, and what is known to be committed.
type HardState struct {
	Term, Vote, Commit uint64
}

// Position is where an entry's record lies. It is verified when the record is read.
type Position struct {
	Segment uint64
	Offset  int64
	Length  uint32
	CRC     uint32
}

// Options are what a log is opened with.
type Options struct {
	FS           disk.FS
	Dir          string
	Cluster      uint64
	Member       uint64
	SegmentBytes int64
	WindowBytes  int64         // of the newest entries in memory
	Salt         func() uint64 // randomness nobody can guess
	// Covered is the index of a snapshot that can be loaded: damage to nothing but entries up to it is skipped. 0 skips
	// nothing.
	Covered uint64
	// Reserve is how much of the disk's free space no new segment may take; nil is none.
	Reserve func() int64
	Logger  *slog.Logger // nil is silence
}

// withDefaults returns the options with what they leave out; wrong ones are a programmer's error.
func (o Options) withDefaults() Options {
	if o.SegmentBytes < segmentLeast || o.SegmentBytes%pageBytes != 0 {
		panic(fmt.Sprintf("log: a segment of %d bytes: at least %d, and whole pages of %d", o.SegmentBytes, segmentLeast, pageBytes))
	}
	if o.Reserve == nil {
		o.Reserve = func() int64 { return 0 }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// frameMost is how long a frame's payload may grow before the next entry begins a new frame.
func (o Options) frameMost() int { return int(min(o.SegmentBytes/4, 1<<20)) }

func (o Options) path(name string) string { return path.Join(o.Dir, name) }

// Stats are the figures of a log.
type Stats struct {
	Bytes       int64 // of the segments' files, spares not counted
	Segments    int
	Spares      int
	Quarters    int       // of a segment that can be written without another file; at most 4
	Index, Term uint64    // the last entry that is durable
	HardState   HardState // that is durable
	Groups      int64     // syncs of groups since Open
	RecordBytes int64     // of records synced since Open
	Inline      int64     // segments made by Sync, because there was no spare
}

// Recovered is what Open found.
type Recovered struct {
	HardState HardState // Commit is not above Last
	Marker    Marker    // the newest in the log; its Index is 0 when it was released
	Window    *Window   // all entries
	First     uint64    // the first entry; what is before it must be in a snapshot
	Last      uint64    // the last entry; First-1 when there is none
	LastTerm  uint64
	Torn      *Torn  // what was cut; nil when the log ended cleanly
	Skipped   error  // the damage that Options.Covered made harmless; nil for none
	Behind    string // the file that the oldest segment follows: it was released, or is lost; empty for none
	Bytes     int64  // of the segments' files
}

// Torn names what a crash left unfinished. It was never synced, so nobody was told of it.
type Torn struct {
	File   string
	Offset int64
	Bytes  int64
	Reason string
}

func (t *Torn) String() string {
	return fmt.Sprintf("%s at byte %d: %d bytes were never synced: %s", t.File, t.Offset, t.Bytes, t.Reason)
}
