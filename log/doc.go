// Package log stores the replicated log on disk: framed msgpack records in segment files, synced before they are
// acknowledged.
//
// Each type is owned by one actor of package actor: [Log] by the log writer, [Maker] by the segment maker, [Window] by
// consensus, and [Reader] by the log reader. None of the types has a goroutine, a lock, a clock or randomness of its
// own. This page specifies format version 2.
//
// # Files
//
// The log's folder holds segments, named by their sequence number in decimal, for example 0000000000000042.wal. A spare
// is a file prepared ahead for a later segment; it already has a segment's name. While a file is being filled, it is
// called log.tmp (by the log) or maker.tmp (by the maker). When it is complete and synced, it gets its segment's name
// by a rename and a sync of the folder. A number is never used twice. Beginning a segment on a spare therefore costs
// only the write and the sync of its first group.
//
// Most spares are released segments: while the log is written quickly, more of them wait for reuse, within its budget
// of disk space, and they give way to all other needs. New spares are filled with zeros: a sync of a filled file never
// has to commit the file system's journal. Above limits.ReserveRate new spares are only reserved ([Maker].Reserve says
// why that is safe). If no spare is ready, the log creates a file itself and only reserves its space. Syncs of a
// reserved file commit the journal, but zeros would double the bytes that an already slow disk has to write. As soon as
// all spares are ready, the log ends a reserved segment early and begins the next one on a spare. If a start needs a
// new segment and there is no spare, the log fills a file of 1 MiB, which is quick on any disk.
//
// # Pages, groups, frames
//
// A group holds all frames that one sync makes durable. A frame is a checksummed header with a payload of records. A
// record is an entry, or a marker: the entry after which the log begins. A fence is a frame without records; it states
// that the group before it is synced. A page is 4096 bytes. Integers of headers are little endian; all checksums are
// CRC32C.
//
//	segment = header page, group, group, ... , then older contents of the file
//	group   = frame, frame, ...                  one write and one fdatasync
//	frame   = header (512 bytes), payload, zeros to the end of the page
//	payload = record, record, ...
//
//	0           4096        8192        12288       16384       20480
//	┌───────────┬───────────┬───────────┬───────────┬───────────┬─ ─ ─
//	│ segment   │ frame     │ frame                 │ frame     │ zeros, or
//	│ header    │ state     │ entries 7..9          │ fence     │ older frames
//	└───────────┴───────────┴───────────┴───────────┴───────────┴─ ─ ─
//	└── first group: one write, one sync ───────────┘
//
// The rules of writing:
//
//  1. Each frame begins on a page boundary, and so does each group. A synced page is never written again. A crash can
//     tear only frames that were never acknowledged.
//  2. A group does not continue in the next segment. If the frames of one Sync do not fit, they become two groups, with
//     two writes and two syncs: the first group is synced before the next segment is written. Frames are not split; a
//     frame that is longer than a segment gets a larger segment of its own. (An entry is at most limits.EnvelopeBytes
//     and a segment 64 MiB, so this happens only where segments are set smaller.)
//  3. Two pages of each segment are set aside: one for a fence, and the last page of the file for a frame of kind next,
//     which states that another segment follows.
//  4. A group in which Term or Vote changes has at least two frames, and all their headers hold the new values. Only
//     the last header of a group holds a new Commit, because Commit may cover entries of the same group. If a torn
//     write kept an earlier header with that Commit and lost the entries, recovery would find older entries at their
//     indexes and treat them as committed.
//  5. A log begins with a small segment that holds a marker (a frame of kind reset) and a fence.
//
// # Segment header
//
//	 0  magic "qkv log\n"                      64  nextSalt: next segment's    120  prevEnd: where prev ends
//	 8  version = 2                 u32        72  next: index that follows    128  prevChain: sum of prev's last frame, u32
//	12  compatible features         u32            the last entry before       132  zeros
//	16  read-compatible features    u32        80  lastTerm: that entry's      508  CRC of bytes 0 to 508, u32
//	20  incompatible features       u32        88  Term                        512  zeros to 4096
//	24  cluster, 32 member, 40 sequence        96  Vote
//	48  size of the file                      104  Commit
//	56  salt of this segment's frames         112  prev: segment before, or 0           (u64 where not said)
//
// lastTerm is 0 in two cases: no entry came before, or damage that a snapshot covers left only the last entry's index.
// Bits of the compatible features: 1, the file was all zeros when it became this segment; 2, the file's space was only
// reserved. In segment prev, the bytes behind prevEnd are dead: recovery never reads frames there.
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
//	 32  first entry's index; without entries, the index of the next one              (u64 where not said)
//
//	kind 1 entries   one record per entry; from first on they replace older entries
//	kind 2 reset     one record, the marker: it supersedes everything before, and the log begins with first = marker + 1
//	kind 3 state     header only: Term and Vote a second time
//	kind 4 fence     header only: says that the group before it is synced
//	kind 5 next      header only, in the last page of the file: says that the next segment was begun and synced.
//	                 It belongs to no group. Its fields come from the next segment's header: 24 prevEnd, 32 next, 40 to 64 Term,
//	                 Vote and Commit, 76 prevChain. At 88, in place of runs, is the next segment's sequence, u64
//
// A run is a range of consecutive entries of one term.
//
// The CRC is seeded with the segment's salt and covers only the header itself, so each header can be verified alone,
// without the frames before it. A header found at another offset or in another segment is invalid. A copy of a log
// inside a client's value, and old frames in a recycled file, are therefore never taken for frames of this segment.
// Each header also stores the sum of the header before it (for the first frame, of the segment's header). This chain
// rejects a frame that follows the wrong predecessor.
//
// # Record
//
//	95 ce CRC(4, big endian) index term kind data        msgpack: array of 5
//
// kind is raft's (0 normal, 1 and 2 configuration changes), or 16 for a marker, whose data is a ConfState in protobuf.
// The data is the entry's, contiguous and unchanged. The CRC covers the fields after it. A [Position] holds a record's
// offset, its length and its CRC, so the record can be read and verified in place.
//
// # How frames prove what is synced
//
// The log waits for each sync, so everything before a group is synced when the group is written. The field synced is
// the offset where the group begins, or where the fence before it begins if that fence was not synced. The last group
// is proved synced only when another group, a fence or the next segment follows. The log writes a fence after 100 ms of
// idleness, and at the end of a process.
//
// The last page of each segment (kind next) says that the next segment exists. Without that page, removing or emptying
// the newest file would lose acknowledged entries undetected. [Maker.WriteNext] writes the page, outside the commit
// path, when the first group of the next segment is synced (at a start: its header). Each start writes the page again.
// After a crash the page is either missing or true. The page needs no extra space, because the whole file was allocated
// before. Releasing segments never makes the page false, because segments are released oldest first.
//
// # Growth
//
// Magic, version, sequence and CRC of a segment's header keep their offsets in every version. Another version, unknown
// features that are not compatible, and an unknown kind of frame or record are refused with [damage.ErrFormat]: a newer qkv
// wrote them, and nothing is damaged. If a segment has an unknown compatible feature, its records may have more than 5
// fields; fields behind the fifth are ignored.
//
// # Recovery
//
//  1. List the folder and read the header of each segment. A file without an intact header of its own number is not a
//     segment: it is a spare, or holds frames of its previous use. Only one file is open at a time.
//  2. fdatasync the newest segment and all files after it, drop them from the page cache, and read their headers again.
//     After kill -9, frames that were never synced look valid; after a failed sync, the cache shows data that the disk
//     does not have. (Older segments were synced before the newest one was written.)
//  3. If the last page of the newest segment names a next segment, that segment is lost. Recovery fails, because no
//     snapshot replaces the lost entries, terms and votes. Otherwise follow prev from the newest segment to the oldest
//     that still exists. Each must have an intact header and the salt that the segment before it chose (nextSalt).
//  4. Read each segment except the newest up to the end that the next segment's header gives. Every frame must be
//     intact. The scanner requests the next limits.PrefetchBytes from the disk before it decodes the bytes already
//     read. The log writes with direct I/O, so these bytes are not in the page cache, and a start is as quick as the
//     disk.
//  5. Read the newest segment to the first bad frame. In every segment, a frame's entries must follow the log, and Term
//     and Vote must not go back.
//  6. Decide whether the bad frame of step 5 is torn or damaged. It is damaged if
//     a) no torn write can produce it: an intact header with contradictory fields, a correct checksum over invalid records, a
//     read that the disk refuses, or a file that is shorter than its header says; or
//     b) an intact header behind it, in any page of the segment, has a synced beyond the frame's offset; or
//     c) a header in a next segment (the segment's own or a frame's) has a prevEnd beyond the frame's offset. Otherwise
//     the frame was never synced or acknowledged, and the log ends before it. Term and Vote (but not Commit) are
//     still taken from the newest intact header: keeping a vote that was never sent is harmless. The files behind
//     the newest segment are searched page by page in the same way. nextSalt identifies frames of a next segment. If
//     the field synced of one of these frames is not 0, the header of its segment is damaged, not torn.
//  7. If the newest segment ends cleanly, has free space and no damage, the log continues in it: the bytes behind its
//     end were read from the disk and hold none of its frames. Otherwise begin a new segment, whose header says where
//     the log ends, and sync it. From then on, the bytes behind that end are dead, even if old frames become visible
//     there. In both cases no old data is overwritten, so a crash in any of these steps changes nothing, and restarts
//     leave no files behind. (If a full disk has no space for the new segment, the first group that finds space begins
//     it. Until then nothing is written.)
//  8. Remove the .tmp files. A file behind the newest segment that holds nothing of the log is a spare. All other files
//     go to the caller of TakeReleased.
//
// [Options].Covered is the index of a snapshot that can be loaded. If it is set, damage ends recovery only if the
// damage may affect entries above that index, or if the newest segment is lost. Otherwise recovery continues with the
// next intact frame or segment whose first entry is at most Covered + 1. The snapshot or that frame supersedes
// everything before it. A file with skipped damage is released like any other, but never recycled. It is removed
// (TakeDamaged), so a later start does not meet the damage again.
//
// Step 6 tells bit rot from a torn write in every group except the last one, and in the last one if a fence follows it.
// Without a fence, bit rot in the last group looks like a torn write. If Commit is above the last entry, it is reduced
// to that entry's index.
//
// This package does not check that the first entry follows the newest snapshot. The caller compares Recovered.First
// with its snapshot before it uses the log, and before it calls TakeReleased.
//
// # Errors
//
// A failed write or sync is final (rule 5 of package disk): Sync returns the same error from then on and writes
// nothing. The exception is a write that finds no space, [ErrNoSpace]: its frames stay in memory, and the next Sync
// retries. Space can be missing even in an allocated file, if the file was copied without its zeros or the file system
// never writes in place. Before the log writes there again, it overwrites the remains of the failed write with zeros
// and syncs them. Otherwise a frame of the failed write could stand behind a later frame, which no torn write produces.
// Damage is a [damage.Error] with the file and the offset of the frame; nothing is cut or repaired.
//
// # Assumptions
//
// Those of package disk, and:
//
//  1. The creator of the folder's parents made their directory entries durable; Create syncs only the parent, for the
//     log's own name.
//  2. Only one process uses the folder; the caller holds its lock.
//  3. The salts are random, and clients cannot read them. A client's value can therefore forge a frame header only by
//     chance.
//  4. A [Position] is used only until its entry is released.
package log
