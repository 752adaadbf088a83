// Package log is the replicated log on disk: framed msgpack records in segments, synced before anyone is told.
//
// A [Log] is owned by the log writer, a [Maker] by the segment maker, a [Window] by consensus, a [Reader] by the log
// reader. None of them has a goroutine, a lock, a clock or randomness of its own. This page is the format, version 1.
//
// # Files
//
// The log's folder holds segments, named by their sequence number in decimal: 0000000000000042.wal. Spares have such a
// name before they are used; what is being filled is called log.tmp or maker.tmp. A file gets a segment's name only
// when it is complete and synced, by a rename and a sync of the folder, and a number is never given twice. So a
// segment is begun without any call but the write and the sync of its first group. Spares are filled with zeros, so that a
// sync never has to commit the file system's journal. Where there is none the log makes itself a file whose room is only
// reserved: its syncs commit the journal, but zeros would double what a disk has to write that is too slow to keep up. It
// leaves that file as soon as all spares are there. At a start, when there is none yet, it fills a file of a MiB, which
// any disk soon has.
//
// # Pages, groups, frames
//
// A page is 4096 bytes. Integers of headers are little endian; all checksums are CRC32C.
//
//	segment = header page, group, group, ... , then whatever the file held before
//	group   = frame, frame, ...                  one write and one fdatasync
//	frame   = header (512 bytes), payload, zeros to the end of the page
//	payload = record, record, ...
//
//	0           4096        8192        12288       16384       20480
//	┌───────────┬───────────┬───────────┬───────────┬───────────┬─ ─ ─
//	│ segment   │ frame     │ frame                 │ frame     │ zeros, or an
//	│ header    │ state     │ entries 7..9          │ fence     │ older life
//	└───────────┴───────────┴───────────┴───────────┴───────────┴─ ─ ─
//	└── first group: one write, one sync ───────────┘
//
// The rules of writing:
//
//  1. A frame begins on a page, so a group does, and a page that was synced is never written again. What a crash tears
//     is what nobody was told of.
//  2. A group ends with its segment. What does not fit goes into the next segment, whose first write follows the sync
//     of what did: a Sync of such a group is two writes and two syncs. Frames are not split; one frame that is longer
//     than a segment gets a segment of its own, made larger for it. (An entry is at most limits.EnvelopeBytes and a
//     segment 64 MiB: that happens where segments are made small.)
//  3. Two pages of each segment are kept: one for a fence, and the last one of the file for a frame of kind next.
//  4. A group in which Term or Vote changes has at least two frames, all with the new ones in their headers. A new
//     Commit stands in the last header of a group only: it may be of entries in the group, and a tear between them
//     and it would leave other ones in their places.
//  5. A log begins with a small segment that holds a reset marker and a fence.
//
// # Segment header
//
//	 0  magic "qkv log\n"                      64  nextSalt: the next one's    120  prevEnd: where it ends
//	 8  version = 1                 u32        72  next: index of the entry      128  prevChain: its last frame's sum, u32
//	12  compatible features         u32            that follows those before     132  zeros
//	16  read-compatible features    u32        80  lastTerm: of the one before   508  CRC of bytes 0 to 508, u32
//	20  incompatible features       u32        88  Term                          512  zeros to 4096
//	24  cluster, 32 member, 40 sequence        96  Vote
//	48  size of the file                      104  Commit
//	56  salt of this segment's frames         112  prev: the segment before, or 0            (u64 where not said)
//
// lastTerm is 0 where nothing was before, and where nothing was left of the last entry but its index, behind damage that a snapshot
// covers. Compatible feature 1: the file was all zeros when it became this segment. Feature 2: its room was only reserved. prevEnd
// makes all that lies behind it in the segment before dead.
//
// # Frame header
//
//	  0  magic "qkvf"                u32        40  Term                           68  payload length         u32
//	  4  kind                        u8         48  Vote                           72  payload CRC            u32
//	  6  number of runs              u16        56  Commit                         76  sum of the header      u32
//	  8  segment's sequence                     64  records                 u32        before this one
//	 16  own offset                             80  prevEnd, as in the segment's header
//	 24  synced: how far this segment           88  runs: term u64, entries u32; at most 35
//	     was synced when this was written      508  CRC of the salt and bytes 0 to 508, u32: the sum
//	 32  first entry's index, or the one that would follow                                    (u64 where not said)
//
//	kind 1 entries   a record for each; from first on they replace what was there
//	kind 2 reset     one record, the marker: all before is superseded, the log begins with first = marker + 1
//	kind 3 state     nothing but the header: Term and Vote a second time
//	kind 4 fence     nothing but the header: says that the group before it is synced
//	kind 5 next      nothing but the header, in the last page of the file: says that the next segment was begun and synced.
//	                 It is in no group. Its fields are those of that one's header: 24 prevEnd, 32 next, 40 to 64 Term, Vote and
//	                 Commit, 76 prevChain; and at 88, in place of runs, stands that one's sequence, u64
//
// The CRC begins with the salt and depends on nothing before the frame: a header is believed wherever it is met, and
// found at another offset or in another segment it is none. So a value may hold a copy of a log, and a recycled file
// its older life. The sum of the header before (of the segment's header, for the first frame) chains them: a frame
// that follows another one than it should is never accepted.
//
// # Record
//
//	95 ce CRC(4, big endian) index term kind data        msgpack: array of 5
//
// kind is raft's (0 normal, 1 and 2 configuration changes), or 16 for a marker, whose data is a ConfState in protobuf.
// The data is contiguous and as it was handed in. The CRC is of all that follows it. A [Position] names a record's
// first byte, its length and its CRC, so that it can be read and verified in place.
//
// # What is synced, and who says so
//
// The log waits for each sync, so that all before a group is synced when the group is written: synced is the group's
// own beginning, or that of the fence before it if that one was not synced. The last group of all is spoken of by no
// frame until a fence follows it (after 100 ms of idleness, and at the end of a process), or the next segment.
//
// That there is a newest segment at all, the one before it says, in its last page: who removes or empties that file would
// else take what was acknowledged, and nobody would know. [Maker.WriteNext] writes the page, off the way of commits, when the first
// group of the segment is synced (or its header, at a start); a start has it written again. So a crash leaves it unsaid,
// or true. It takes no room, since it was filled with the rest of the file, and a segment is released before the ones behind it.
// A segment of one that kept no such page has none.
//
// # Growth
//
// Magic, version, sequence and CRC of a segment's header keep their places in every version. Another version, unknown
// features that are not compatible, and an unknown kind of frame or record are refused with [ErrFormat]: a newer qkv
// wrote them, and nothing is damaged. Where a segment has a compatible feature that is not known, its records may have
// more than 5 fields; those behind the fifth are ignored.
//
// # Recovery
//
//  1. List the folder, read the header of each segment. A file whose header is not whole, or has another number than the
//     file, is none: a spare, or an older life. One file is open at a time.
//  2. fdatasync the newest segment and all files after it, drop them from the page cache, and read their headers again:
//     after kill -9, frames that were never synced look valid, and after a failed sync the cache shows what the disk
//     does not have. (Segments before the newest were synced before it was written.)
//  3. The newest must not say that another one follows: that one is lost, and no snapshot makes up for what was in it.
//     From the newest, follow prev to the oldest that is there; each must have a whole header and the salt that the one
//     before has chosen for it.
//  4. Read each segment but the newest to where the next one says that it ends: every frame must be whole. The disk is asked for
//     what comes next, limits.PrefetchBytes of it, before what is there is decoded: what was written past the page cache is on
//     the disk alone, and a start is as quick as that.
//  5. Read the newest to the first bad frame. In each step of the way a frame's entries must follow the log, and Term
//     and Vote must not go back.
//  6. Torn or damaged. The bad frame is damage when
//     a) no tear can make it: a whole header that makes no sense, or a right checksum over records that do not, or a
//     read that the disk refuses, or the end of a file that is shorter than its header says; or
//     b) a whole header behind it, in any page of the segment, has synced beyond the frame's offset; or
//     c) a header in a next segment, its own or a frame's, has a prevEnd beyond the frame's offset.
//     Otherwise it was never synced, nobody was told of it, and the log ends before it. Term and Vote (not
//     Commit) are taken from the newest whole header all the same: a promise that nobody heard may be kept. The files
//     behind the newest segment are searched whole, and treated alike: a next segment's frames are known by nextSalt, and
//     one that says that anything was synced proves that the segment's header is damaged, not torn.
//  7. Where the newest segment ends cleanly, has room and no damage, the log goes on in it: what is behind its end was read from
//     the disk and is no frame of it. Otherwise begin a new segment, with a header that says where the log ends, and sync
//     it; from then on what lies behind that end is dead, whatever becomes visible there. In both cases nothing old has
//     been written, so that a crash in any of these steps changes nothing, and restarts leave no files behind. (Where a full
//     disk has no room for it, it is begun by the first group that finds room; until then nothing is written.)
//  8. Remove what was being filled; files behind the newest segment that hold nothing of it are its spares; hand the
//     others to whoever takes TakeReleased.
//
// With [Options].Covered, the index of a snapshot that can be loaded, damage ends recovery only when it may be to entries
// above that index, or of a newest segment. Otherwise recovery goes on with the next whole frame, or the next segment, whose first entry is at most
// one above it: all before is superseded, by the snapshot or by that frame. A file in which something was skipped is let go of like
// any other, but never used again: it is removed (TakeDamaged), so that a start behind that does not meet the damage.
//
// The decision of step 6 is exact for all but the last group, if no fence follows it: rot in that group looks torn.
// Commit is cut to the last entry.
//
// Whether the first entry follows the newest snapshot is not this package's affair: the caller compares Recovered.First
// with its snapshot before it uses anything, and before it takes TakeReleased.
//
// # Errors
//
// A failed write or sync is final (rule 5 of package disk): Sync returns it again and again, and nothing is written. But a write
// that finds no room has lost nothing, and was not synced: [ErrNoSpace]. Room that was reserved may be missing all the same, where a
// file was copied without its zeros or the file system writes nothing in place. What such a write has left is made zeros, and
// synced, before anything else is written there: else a frame of then might follow one of later, as no tear leaves it.
// Damage is a [CorruptError]: it names the file and the byte of the frame, and nothing is cut or repaired.
//
// # Assumptions
//
// Those of package disk, and:
//
//  1. The folder's own entry, and those of its parents, were made durable by who made them; Create syncs only the
//     parent, for the log's own name.
//  2. One process has the folder: its lock is the caller's.
//  3. The salts are random and nobody who chooses values reads them. Then no value can forge a header but by luck.
//  4. Positions are used as long as their entries are not released.
package log
