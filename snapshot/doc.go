// Package snapshot keeps the whole replicated state at one applied index as a file.
//
// A snapshot is taken from an immutable View, in steps of bounded size, while writes go on; it is published by one
// rename, and only what is whole and synced ever gets a published name. Another member receives it piece by piece,
// goes on after an interruption where the last whole block ends, and publishes it in the same way. The package has
// no goroutine, no lock and no clock: one actor, the snapshotter, owns the folder.
//
// # Names
//
//	<index>-<term>.snap                   published: whole, synced, and not changed until it is removed
//	<index>-<term>.snap.tmp               being saved; after a restart it is a leftover to be removed
//	<index>-<term>.snap.<sha-256>.tmp     being received; after a restart it can be continued
//
// Index and term are decimal, twenty digits, so that the order of the names is the order of the indexes; the
// SHA-256 is that of the finished file, in hexadecimal.
//
// # Bytes
//
// Integers outside of msgpack are little-endian; checksums are CRC-32C. A file is a prelude, then blocks:
//
//	prelude, head, state..., keys..., tail
//
//	prelude, 32 bytes, the same in every version of the format
//	 0  8  magic "qkvsnap\n"
//	 8  4  format version, 1
//	12  4  incompatible features: a reader that does not know one refuses the file; none yet
//	16  4  compatible features: a reader may ignore them; none yet. With one that it does not know, arrays may be longer
//	       than it knows: it ignores what is behind
//	20  8  zero
//	28  4  checksum of bytes 0 to 28
//
//	block, 32 bytes and its payload
//	 0  4  kind: "head", "stat", "keys" or "tail"
//	 4  4  number, from 0
//	 8  4  bytes of the payload
//	12  4  records in the payload (0 unless "keys")
//	16  4  chain: bytes 28 to 32 of the previous block, or of the prelude
//	20  4  flags: 1 = the last key's versions go on in the next block
//	24  4  checksum of the payload
//	28  4  checksum of bytes 0 to 28
//	32     payload
//
//	head   msgpack [cluster, member, index, term, configuration, digest, revision, product version, state bytes]
//	stat   a piece of what index.View.AppendMeta wrote: all of the state that is not a key
//	keys   records, in key order, each msgpack [key, [version...]], the versions oldest first;
//	       version = [mod, sub, create, version, lease, value], value nil for a tombstone
//	tail   64 bytes: file bytes u64, blocks u64, keys u64, versions u64, SHA-256 of all bytes before this block
//
// A keys block is closed when it holds 256 KiB, so it is larger only by its last version. A key whose versions do
// not fit goes on as the first record of the next block. Keys and values are contiguous and not compressed, so that
// a value can be read in place from a mapped file.
//
// Member is the one that saved the file: a received snapshot stays as it was, byte for byte.
//
// # What is checked, where, and why
//
// Every byte of a file is under a CRC-32C, and the chain binds each block to the whole prefix before it: a block
// of another snapshot, or of another place, is no block here even when its own checksums are right (lost and
// misdirected writes). The header's checksum is apart from the payload's, so that a rotted value neither hides
// where the next block is nor breaks the chain; [Dump] goes on behind it.
//
// Load checks all of that, and that index, term, revision and the digest of the state that it has built are the
// ones in the head. It does not compute the SHA-256: that would add no detection of rot to a CRC-32C for each
// 256 KiB and a 64-bit digest of the state, but 0.16 s to the 0.11 s that reading and checking 290 MB takes. The
// SHA-256 is a file's identity between members and for backups: the saver computes it, [Verifier] and
// [Readback] check it. The saver's own look at its file is without it, too, and does not read the records: the
// chain of what is on the medium is that of what was written, or is not.
//
// A length is believed only when its checksum is right, the file has that many bytes left and the limits table
// allows it. Unknown format versions, features and kinds, and longer arrays that no feature announces, are refused with
// [ErrFormat], not [ErrCorrupt]: the file may be perfectly good for a newer qkv and must not be moved aside.
//
// # Publication
//
//  1. Write under a temporary name in the same folder, with a sync every 1 MiB (of one that is received, a
//     write-back) so that the last one does not hold up the log's; fsync the file.
//  2. Check it: the saver reads it back from the medium, past the page cache, and looks at every block's checksums; what is
//     received is read back and verified while it comes, and the state is built in the same pass ([Readback]), which lets go
//     of the page cache behind it: nobody reads the file again soon. A file that is not sound is removed.
//  3. Close it, rename it to its published name, which must be free; fsync the folder.
//  4. Only after that may anybody rely on it: release the log, remove older snapshots, answer "installed".
//
// Invariants:
//
//  1. A published name always names a whole, synced file that was sound when it was published.
//  2. A rename never replaces a file. So a publication that failed at its last step is undone by removing the name.
//  3. A file whose write or sync has failed is never written or synced again: it is removed, and the error stays.
//  4. What List returns is durable: it syncs the folder first. After a kill -9 between rename and folder sync the
//     name is visible but could still be lost, while the log before it is released on its account.
//  5. A partial file that is continued has been read from the disk, not from a page cache that a failed sync of an
//     earlier process has marked clean: it is synced, dropped from the cache, and walked block by block.
//
// Assumptions about the disk: a rename is atomic; a file whose fsync returned stays as it was unless the medium
// rots; unsynced writes may be lost, torn, or arrive in any order; a folder entry is durable after the folder's
// fsync.
package snapshot
