package log

import (
	"fmt"
	"log/slog"
	"path"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log/disk"
)

// Marker is the entry after which the log begins. The state up to that entry is in a snapshot, or empty.
type Marker struct {
	Index, Term uint64
	ConfState   *raftpb.ConfState
}

// HardState is raft's durable state: the term, the vote in it, and the commit index.
type HardState struct {
	Term, Vote, Commit uint64
}

// Position is the segment, offset, length and checksum of an entry's record. The record is verified when it is read.
type Position struct {
	Segment uint64
	Offset  int64
	Length  uint32
	CRC     uint32
}

// Options configure a log.
type Options struct {
	FS           disk.FS
	Dir          string
	Cluster      uint64
	Member       uint64
	SegmentBytes int64
	WindowBytes  int64         // budget in bytes of the newest entries in memory
	Salt         func() uint64 // unpredictable random numbers
	// Covered is the index of a snapshot that can be loaded. Damage that affects only entries up to it is skipped. 0
	// skips no damage.
	Covered uint64
	// Reserve returns how many bytes of the disk's free space no new segment may use; nil means 0.
	Reserve func() int64
	Logger  *slog.Logger // nil logs nothing
}

// withDefaults fills in missing options. Invalid options panic.
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

// frameMost is the size of a frame's payload above which the next entry begins a new frame.
func (o Options) frameMost() int { return int(min(o.SegmentBytes/4, 1<<20)) }

func (o Options) path(name string) string { return path.Join(o.Dir, name) }

// Stats are the figures of a log.
type Stats struct {
	Bytes       int64 // of the segments' files, without spares
	Segments    int
	Spares      int
	Quarters    int       // free quarters of a segment that can be written without a new file; at most 4
	Index, Term uint64    // the last durable entry
	HardState   HardState // the durable one
	Groups      int64     // group syncs since Open
	RecordBytes int64     // synced since Open
	Inline      int64     // segments that Sync made itself for want of a spare
}

// Recovered is the result of Open.
type Recovered struct {
	HardState HardState // Commit is not above Last
	Marker    Marker    // the newest in the log; Index is 0 if it was released
	Window    *Window   // all entries
	First     uint64    // the first entry; a snapshot must hold everything before it
	Last      uint64    // the last entry; First-1 if there is none
	LastTerm  uint64
	Torn      *Torn  // the torn end that was cut; nil if the log ended cleanly
	Skipped   error  // damage that Options.Covered made harmless; nil for none
	Behind    string // the file before the oldest segment, released or lost; empty for none
	Bytes     int64  // of the segments' files
}

// Torn is the torn write at the end of a log, left by a crash. It was never synced, so it was never acknowledged.
type Torn struct {
	File   string
	Offset int64
	Bytes  int64
	Reason string
}

func (t *Torn) String() string {
	return fmt.Sprintf("%s at byte %d: %d bytes were never synced: %s", t.File, t.Offset, t.Bytes, t.Reason)
}
