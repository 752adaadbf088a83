// Package snapshot stores the whole replicated state at one applied index as files.
//
// A snapshot is saved from an immutable View, in steps of bounded size, while writes continue ([Saver]). It is published by one
// rename, and only a complete, synced file ever gets a published name. Another member gets it in pieces ([Incoming]), and
// publishes it in the same way. After an interruption the transfer continues at the end of the last intact block. The
// package has no goroutine, lock or clock, except for the reads of a [Shelf]. One actor, the snapshotter, owns the folder,
// and lends the snapshot reader the one file that comes.
//
// # Names
//
//	<index>-<term>.snap                   published: complete, synced, and unchanged until it is removed
//	<index>-<term>.snap.tmp               being saved; after a restart it is a leftover to be removed
//	<index>-<term>.snap.<sha-256>.tmp     being received; after a restart it can be continued
//	<number>-<sha-256>.part               a part file, which snapshots list; .tmp and .<sha-256>.tmp as above
//
// Index, term and number are decimal with twenty digits, so names sort by index. The SHA-256 is that of the finished file, in
// hexadecimal.
//
// # Parts
//
// A snapshot's own file has only the newest changes: those behind the last extent (package index, "Extents"). Its
// head lists its part files with all others: the range files of the base, in key order, and then the extents, in order. A small new state
// has none. A part file has the format of a snapshot without a state. A range file has all versions of a range of the base's keys. An
// extent has all its changes, in the order of their revisions. The content of a part file decides its bytes, and its
// bytes decide its name: equal part files of two members, or of two bases, are one file, which is written and transferred once.
//
//	00000000000000005000-00000000000000000003.snap      lists the part files, and has the changes of the open extent
//	00000000000000000000-1f83...part                    a range file of the base
//	00000000000000000000-7a02...part                    the next range file
//	00000000000000000007-c4de...part                    extent 7
//	00000000000000000008-03b1...part                    extent 8
//
// Load adds the versions of the base (index.Builder.AddBase), and then replays the changes of the extents and of the snapshot (Replay). A
// version is kept if the history of the state still has the change that superseded it; so a version that was dropped, or a tombstone, stays
// gone without a mark in its file.
//
// A part file is published before the snapshot that lists it, and removed after the last one. A snapshot without one of its part files is
// damaged. Only a start that takes another member's snapshot publishes that before its part files. [Salvage] reads the sound blocks of a
// damaged one.
//
// # Values
//
// A [Shelf] reads values from part files: those that are not in memory (package index, "Values in files").
// For each file it has an index of the chunks, of about chunkBytes or changeChunkBytes each: where a chunk begins, 24 bytes, and in a range
// file its first key. The saver of a part file makes this index, and so does a load. To read a value, the Shelf reads one chunk and looks for
// the version in it. Many values are read in the order of files and offsets (Shelf.ReadTogether): a chunk once for all its values,
// adjacent chunks with one call, and the next chunks ahead. The Shelf does not check the block: package index compares the
// checksum of the version. At most limits.ValueReads goroutines read at a time.
//
// A Shelf reads up to the last revision before which no extent is missing. Extents behind that wait on the Shelf for a newer base. A part
// file with a wrong value, or without a version that it must have, is reported once as damaged ([Shelf.Damaged]).
//
// # Bytes
//
// Integers outside of msgpack are little-endian; checksums are CRC-32C. A file is a prelude, then blocks:
//
//	prelude, head, state... and changes... of a snapshot, or keys... or changes... of a part file, tail
//
//	prelude, 32 bytes: that of package damage without content; feature 1 = a part file
//
//	block, 32 bytes and its payload
//	 0  4  kind: "head", "stat", "keys", "chgs" or "tail"
//	 4  4  number, from 0
//	 8  4  bytes of the payload
//	12  4  records in the payload (0 unless "keys" or "chgs")
//	16  4  chain: bytes 28 to 32 of the previous block, or of the prelude
//	20  4  flags: 1 = the last key's versions continue in the next block
//	24  4  checksum of the payload
//	28  4  checksum of bytes 0 to 28
//	32     payload
//
//	head   of a snapshot a [Meta] and the bytes of state, in the encoding of package codec, of which a reader refuses unknown fields; of
//	       a part file its number, as msgpack
//	stat   bytes of the output of index.View.AppendMeta: the whole state except keys
//	keys   records, in key order, each msgpack [key, [version...]], the versions oldest first;
//	       version = [mod, sub, create, version, lease, value, author], value nil for a tombstone; without author: no seventh
//	       element
//	chgs   changes, in the order of (mod, sub), each a record with one version: of an extent, or of a snapshot
//	tail   64 bytes: file bytes u64, blocks u64, keys u64, versions u64, SHA-256 of the prelude and the headers of all blocks
//	       before this one
//
// A keys block is closed when it holds 256 KiB, so only its last version can exceed that size. If a key's versions do
// not fit, the key continues as the first record of the next block. Keys and values are contiguous and not compressed,
// so a value can be read in place from a mapped file.
//
// # Checks and their reasons
//
// Every byte of a file is covered by a CRC-32C, and the chain binds each block to the whole prefix before it. A block
// of another snapshot or position is rejected even if its own checksums are right (lost and misdirected writes). Header
// and payload have separate checksums: a rotted value neither hides the position of the next block nor breaks the
// chain, and [Dump] continues behind it.
//
// Load checks all of that. It also checks that index, term, revision and digest of the state that it built equal those
// in the head. It does not compute the SHA-256, which identifies a file between members and for backups. The saver
// computes it; [Verifier] and [Incoming] check it. The SHA-256 covers only the headers, each of which holds the
// checksum of its payload. A SHA-256 of the payloads would take a quarter of a save's CPU time, and would find no bit
// rot beyond what a CRC-32C for each 256 KiB and a 64-bit digest of the state find. Neither variant protects against
// forgery, since a forger computes the SHA-256 as well; files come from members, which prove their identity by
// certificates. When the saver checks its own file, it skips the SHA-256 and the records: it compares the chain on the
// medium with the chain that it wrote.
//
// A length is trusted only if its checksum is right, the file has that many bytes left, and the limits table allows it.
// Unknown format versions, features, kinds and fields are refused
// with [damage.ErrFormat] and not [damage.ErrDamaged]: the file may be intact for a newer qkv and must not be moved aside.
//
// # Publication
//
//  1. Write under a temporary name in the same folder. Sync every 1 MiB (of a received file, only start the
//     write-back), so that the final sync does not delay the log's syncs. Then fsync the file.
//  2. Check the file. The saver reads it back from the medium, past the page cache, verifies every block's checksums, and proves
//     that a load accepts the content (index.Proof). A part file is compared with the state once, by the sum of its checksums or
//     change by change. The list of a snapshot's part files must have no gap. A
//     received file is read back and verified while it arrives, and the same pass builds the state ([Incoming]). That pass drops the
//     pages that it has read from the page cache, because the file is not read again soon. A damaged file is removed.
//  3. Close it and rename it to its published name, which must be free unless a part is written again; fsync the folder.
//  4. Only then may other packages rely on the snapshot: release the log, remove older snapshots, answer "installed".
//
// Invariants:
//
//  1. A published name always belongs to a complete, synced file that was intact when it was published.
//  2. A rename replaces only a file with the same content: a part file. If the last step of
//     another publication fails, removing the name therefore undoes the publication.
//  3. A file whose write or sync has failed is never written or synced again: it is removed, and the error stays.
//  4. Every file that List returns is durable: List syncs the folder first. Otherwise, after a kill -9 between rename
//     and folder sync, the name would be visible but not durable, and log entries would be released because of it.
//  5. A partial file is continued only from data on the disk, not from a page cache that a failed sync of an earlier
//     process has marked clean: it is synced, dropped from the cache, and walked block by block.
//
// Assumptions about the disk: a rename is atomic; a file whose fsync returned stays unchanged unless the medium rots;
// unsynced writes may be lost, torn, or arrive in any order; a folder entry is durable after the folder's fsync.
package snapshot
