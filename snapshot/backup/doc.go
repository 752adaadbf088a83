// Package backup stores the states of a cluster outside of it, so that any moment can be restored: to the second, or to
// the revision.
//
// The state follows from the log. A backup is therefore a base, which is a snapshot with its parts as a member has saved
// them, and the committed log entries behind it. A restore loads the base and applies the entries up to a moment. The result has the
// keys, leases, users, sessions, history, times and authors of that moment, and no second format of changes is needed.
// The package has no goroutine, lock or clock, except that a Reader reads ahead in Reader.Background, and that it waits for its store no longer
// than backupRead, or branchRead; a [Writer] and a [Reader] belong to one goroutine each. Only leaders of the cluster write.
//
// # Objects
//
// A backup is a set of immutable objects in a store (package store): a folder, or a part of a bucket.
//
//	backup                                    the marker: format, cluster, its name
//	lists/<number>                            which bases there are, and of which files
//	parts/<identity>-<sha-256>-<number>.zst   a file of bases: a snapshot, or a part, compressed. The identity is that which its saver gave it, and
//	                                          the hash is that of the stored bytes
//	parts/<mac>-<sha-256>-<number>.zst.age    the same, encrypted: an HMAC of the identity and the recipients, with a key of the cluster
//	log/<first>-<last>-<sha-256>              a slice of the log: the entries from the first to the last, named by the hash of the object, too
//
// The numbers of entries and lists are decimal with twenty digits, so these names sort. The number behind a file is that of the list for which
// it was stored.
//
// The marker and a list are a prelude (package damage) alone, whose content is a [Cluster] or a list in the encoding of package codec; a
// reader refuses unknown fields. They stay as they are: their hashes cannot be compressed. A file of a base is stored compressed, or as one age
// stream of that (age-encryption.org); the list has the SHA-256 of the stored bytes. A slice is a prelude with its header (cluster, first and
// last entry, term and time of the last one), and behind it records as in the log (package log), compressed, or an age stream of that. It is no
// segment: that has a member's salt, and entries that are not committed.
//
// # Compression
//
// Compressed content is a table and frames of zstd, which depend on nothing before them. Each frame has 1 MiB of the content, the last one less:
//
//	0x184D2A51, bytes that follow, stored size of each frame   numbers of 4 bytes, little endian: decoders of zstd skip this frame
//	frames                                                     each with a checksum of its content
//
// A branch reads the table of a part once, and for a value the frame that has it. The table is in the object and not in the list: a Writer takes
// over an encrypted object that no list names, and cannot read it; and a list stays small. It proves no less. A store that gives a false
// object can give a false list, too, so neither is believed:
//
//   - The size of the content comes from the list, or from the header of the slice, and has a limit. It says how many frames there are, how large
//     the table is, and what each frame must decompress to.
//   - A frame of the table has at most 1 MiB and 1 KiB, and all of them make up exactly the stored size.
//   - A frame is decompressed into the memory that it is due, one at a time, and is damaged if it has more or less.
//   - The content is compared with its identity afterwards, as if it had not been compressed.
//
// Versions of the compressor give different bytes for one content. So the name of a file has the hash of its stored bytes, and an object is
// stored again only if it is damaged.
//
// The Writer needs only recipients, so a host that makes backups cannot read them. Encryption hides the content; it does not prove the writer,
// since every host that knows the recipient can encrypt for it. Hashes are of the stored bytes, so damage is found without the key.
//
// # The fence
//
// A leader that was deposed may not know it, and its calls may arrive late: a deletion that a store carries out an hour after the call was
// given up must hit nothing that counts. A file that is stored late cannot replace another one: only the same bytes have its name. Slices need
// no fence. Their entries are committed, so two leaders can only repeat each other, and no two Writers give one name. A small slice is deleted
// when a larger one with its entries is durable. All else hangs on the lists:
//
//  1. List n+1 is created only if no object has its name (store.Create). Opening a backup proves that the store refuses a second create.
//  2. A Writer creates list n+1 behind a list n that was the newest one when the backup was opened, or that it has made. It lists files of list
//     n, and files with the number n+1. So a file that list n does not list, with a number of n or less, is in no later list: list n has
//     condemned it, by leaving it out. What is needed again is stored again, and has a later number in its name.
//  3. A Writer deletes what a list of its own has condemned: files by rule 2; slices up to the oldest base, since no later list has
//     an older one; lists of long ago. By rule 2 that stays right, however late the deletion arrives.
//  4. A list names the term of its leader. A Writer of an earlier term stops. A Writer whose create fails has been overtaken, and begins again
//     at the newest list. A create that arrives late either fails, or makes a list of files that are all there.
//  5. Lists are deleted, so a Writer that sleeps for listsKept lists may create one whose number was given before. After each create it
//     looks for a later list, and stops if there is one. Such a list is never the newest one, so nothing reads it.
//
// Rule 5 needs a store that lists each object which was there before the call. If the newest list is damaged, the next one goes on from the
// newest intact list. A late deletion of the damaged list's leader may then hit bases that this list has left out, which were too old to be
// kept.
//
// # Decisions
//
//   - A part is stored once, whichever bases list it. It has a few MiB, and is in memory until it is stored, so an interrupted copy begins
//     its file anew. A snapshot and its parts have checksums of their own. The next leader takes over what an interrupted copy has stored for the
//     same list, after it has compared the bytes with the name.
//   - The free space for a base is compared with the size that its parts would have if they compressed as its snapshot, and the base before,
//     did. Each file is compared with it again when its stored size is known.
//   - An entry is stored as its envelope with a flag for a change of the configuration, not as raft's bytes: a restore
//     needs nothing of raft, and the format stays if raft's changes.
//   - A file of a base is named by its own identity, the SHA-256 in its tail. A snapshot lists its parts by that identity, so the Writer knows what
//     it lacks. The copy is verified against it while it is made. A base lists the parts in the
//     snapshot's order, so a Reader needs no key to find an encrypted one.
//   - The Writer stores the changes of a second as one slice. Small slices become one of limits.BackupObjectBytes, also with each base. The
//     small ones are removed when the next ones have become one, so that a Reader which has listed them before finds them for a while. If it
//     does not find one, it lists the log again.
//   - A revision is restored as the state right behind the change that made it. The last state of a revision would depend
//     on the entry behind it, which damage may hide.
//   - Retention goes by the clock of the state, and leaves out two bases with a list at most.
//
// # Damage
//
// An object is stored as a whole, or not at all: there is no torn write. A restore never returns a state that the cluster did not have at that
// moment:
//
//   - A base of which a file is damaged is passed by: an older base without that file, and the log behind it, lead to the same states.
//   - Bases share a damaged file. Each new base reads one in backupScrub of the files that it does not copy. It stores a damaged one
//     again, for all bases, when it has read the part again from the member.
//   - The list before replaces a damaged one, as far as its files are there.
//   - A damaged slice is passed by if others have its entries. Otherwise it is refused, and so are entries that are missing,
//     if they lie before the moment. With At.AcceptLoss, the newest whole state before them is restored.
//   - Where the log passes the index of a base, the digest of the state must be that of the base.
//   - A Writer that finds the newest slice damaged appends its entries again, as long as the cluster has them.
//
// A backup whose newest objects are missing cannot be told from an older one.
//
// # Names of entries and moments
//
// The state's clock is the newest proposer's clock of all applied entries. An entry is applied while the state's clock
// after it is at or before the moment. If members' clocks differ by hours, a time refers to the clock of the state,
// and only a revision is exact.
package backup
