// Package backup stores the states of a cluster outside of it, so that any moment can be restored: to the second, or to
// the revision.
//
// The state follows from the log. A backup is therefore a base, which is a snapshot with its parts as a member has saved
// them, and the committed log entries behind it. A restore loads the base and applies the entries up to a moment. The result has the
// keys, leases, users, sessions, history, times and authors of that moment, and no second format of changes is needed.
// The package has no goroutine, lock or clock; a [Writer] and a [Reader] belong to one goroutine each.
//
// # Files
//
//	backup                         the marker: format, cluster, its name
//	LOCK                           locked by the Writer
//	base/<index>-<term>            the manifest of a base: which state it is, and its files
//	files/<sha-256>                a file of bases: a snapshot, or a part, named by the identity that its saver gave it
//	files/<sha-256>.age            the same, encrypted
//	log/<first entry>              a segment of the log
//	*.tmp                          being written; leftovers are removed
//	log/<first entry>.damaged      a segment without any intact chunk, moved aside by the Writer
//
// Numbers are decimal with twenty digits, so names sort. A single file holds the same files as a tar archive, in the
// order in which they were written: marker, files, base, log. [Open] reads both forms.
//
// # Bytes
//
// Integers outside of msgpack are little-endian; checksums are CRC-32C. The marker and a manifest are a prelude (package damage) alone, whose
// content is a [Cluster] or a [Base] in the encoding of package codec; a reader refuses unknown fields. A file of a base is stored byte for byte,
// or as one age stream of its bytes; manifests have the SHA-256 of the stored bytes. A segment is a header and chunks:
//
//	header, 128 bytes: a prelude with the cluster as its number, and this content
//	  0   8  index of the first entry
//	  8   8  first entry of the segment that this one continues, 0 if none
//	 16  32  sum of the chunk that this one continues
//	 48  48  zero
//
//	chunk, 128 bytes and its payload
//	  0   4  magic "qkvc"
//	  4   4  flags: 1 = encrypted
//	  8   4  bytes of the payload
//	 12   4  number, from 0
//	 16   8  index of the first entry
//	 24   8  index of the last entry
//	 32   8  term of the last entry
//	 40   8  newest time of the log up to the last entry, in nanoseconds since 1970
//	 48  32  sum of the chunk before; in chunk 0 the SHA-256 of the segment's header
//	 80  32  sum: SHA-256 of bytes 0 to 80 and of the payload
//	112  12  zero
//	124   4  checksum of bytes 0 to 124
//	128      payload, at most limits.BackupChunkMost: the output of kv.AppendLogEntries
//
// An encrypted payload is an age stream of its own (age-encryption.org); headers, markers and manifests are not encrypted.
// The Writer needs only recipients, so a host that makes backups cannot read them. Encryption hides the content; it does
// not prove the writer, since every host that knows the recipient can encrypt for it. The sum of a chunk is of the payload as it
// is stored, so damage is found without the key.
//
// # Decisions
//
//   - A part is copied once, whichever bases list it. It has a few MiB, so an interrupted copy begins its file anew. A snapshot and its parts
//     have checksums of their own. The SHA-256 in the manifest finds damage of an encrypted file without a key.
//   - An entry is stored as its envelope with a flag for a change of the configuration, not as raft's bytes: a restore
//     needs nothing of raft, and the format stays if raft's changes.
//   - A file of a base is named by its own identity, the SHA-256 in its tail, not by a hash of its bytes. A snapshot lists its parts by that
//     identity, so the Writer knows what it lacks. The copy is verified against it while it is made.
//   - A torn end is never cut. The next Writer begins a new segment, which names the last intact chunk by its sum; the
//     bytes behind that chunk are dead. The Writer therefore never has to tell a torn write from damage.
//   - A revision is restored as the state right behind the change that made it. The last state of a revision would depend
//     on the entry behind it, which damage may hide.
//
// # Order of writing
//
// A segment gets its name when its first chunk is in it, synced. Each chunk is synced before the next one is written.
// The file of a base is synced and read back from the medium before it gets its name, and the manifest is written after
// it. Retention removes in the opposite order: manifests, then files, then segments, oldest first. A segment ends after
// 16 MiB, and with each base.
//
// # Damage
//
// A restore never returns a state that the cluster did not have at that moment:
//
//   - A base of which a file is damaged is passed by: an older base without that file, and the log behind it, lead to the same states.
//   - The log ends at the first chunk that is not intact if that may be a torn write, which is the last thing in the
//     newest segment, and nothing intact follows. Restored.Notes names it.
//   - Any other damage, and entries that are missing, are refused if they lie before the moment. With At.AcceptLoss, the
//     newest whole state before them is restored.
//   - Where the log passes the index of a base, the digest of the state must be that of the base's manifest.
//
// A cut between two chunks at the end of the newest segment cannot be told from an older backup.
//
// # Names of entries and moments
//
// The state's clock is the newest proposer's clock of all applied entries. An entry is applied while the state's clock
// after it is at or before the moment. If members' clocks differ by hours, a time refers to the clock of the state,
// and only a revision is exact.
package backup
