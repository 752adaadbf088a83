// Package backup stores the states of a cluster outside of it, so that any moment can be restored: to the second, or to
// the revision.
//
// The state follows from the log. A backup is therefore a base, which is a snapshot with its parts as a member has saved
// them, and the committed log entries behind it. A restore loads the base and applies the entries up to a moment. The result has the
// keys, leases, users, sessions, history, times and authors of that moment, and no second format of changes is needed.
// The package has no goroutine, lock or clock, except that a Reader reads ahead in Reader.Background, and that it waits for its store no longer
// than backupRead, or branchRead; a [Writer] and a [Reader] belong to one goroutine each.
//
// # Objects
//
// A backup is a set of immutable objects in a store (package store): a folder, or a part of a bucket.
//
//	backup                               the marker: format, cluster, its name
//	moments/<index>-<term>               the manifest of a base: which state it is, and its files
//	parts/<sha-256>                      a file of bases: a snapshot, or a part, named by the identity that its saver gave it
//	parts/<hash>.age                     the same, encrypted: an HMAC of the identity and the recipients, with a key of the cluster
//	log/<first>-<last>-<sha-256>         the entries from the first to the last, named by the hash of the object, too
//
// Numbers are decimal with twenty digits, so names sort.
//
// The marker and a manifest are a prelude (package damage) alone, whose content is a [Cluster] or a [Base] in the encoding of package codec; a
// reader refuses unknown fields. A file of a base is stored byte for byte, or as one age stream of its bytes (age-encryption.org); the
// manifest has the SHA-256 of the stored bytes. An object of the log is a prelude with its header (cluster, first and last entry, term and
// time of the last one), and behind it the output of kv.AppendLogEntries, or an age stream of that.
//
// The Writer needs only recipients, so a host that makes backups cannot read them. Encryption hides the content; it does not prove the writer,
// since every host that knows the recipient can encrypt for it. Hashes are of the stored bytes, so damage is found without the key.
//
// # Several writers
//
// All members of a cluster have the same parts and the same log. Two writers of one cluster, such as a leader and its predecessor, can therefore
// only repeat each other: the same part has the same name, and two objects of the log with the same entry have it alike. So what they add
// needs no lock. A folder has one all the same, since it saves work. The caller's store decides which Writer publishes manifests and deletes:
// it refuses the others with store.ErrNotHeld (package backuprun).
//
//   - A manifest is stored when all files of its base are there, and their sizes were compared at last. A file that no manifest lists stays for
//     backupGrace.
//   - A cluster that was set back, or was restored a second time, has another history under the same id. [Writer.Continues] refuses it.
//
// # Decisions
//
//   - A part is copied once, whichever bases list it. It has a few MiB, and is in memory until it is stored, so an interrupted copy begins
//     its file anew. A snapshot and its parts have checksums of their own.
//   - An entry is stored as its envelope with a flag for a change of the configuration, not as raft's bytes: a restore
//     needs nothing of raft, and the format stays if raft's changes.
//   - A file of a base is named by its own identity, the SHA-256 in its tail, not by a hash of its bytes. A snapshot lists its parts by that
//     identity, so the Writer knows what it lacks. The copy is verified against it while it is made. A manifest lists the parts in the
//     snapshot's order, so a Reader needs no key to find an encrypted one.
//   - The Writer stores the changes of a second as one object. Small objects become one of limits.BackupObjectBytes, also with each base. The
//     small ones are removed when the next ones have become one, so that a Reader which has listed them before finds them for a while. If it
//     does not find one, it lists the log again.
//   - A revision is restored as the state right behind the change that made it. The last state of a revision would depend
//     on the entry behind it, which damage may hide.
//   - Retention removes manifests first, then files, then the log.
//
// # Damage
//
// An object is stored as a whole, or not at all: there is no torn write. A restore never returns a state that the cluster did not have at that
// moment:
//
//   - A base of which a file is damaged is passed by: an older base without that file, and the log behind it, lead to the same states.
//   - Bases share a damaged file. Each new base reads one in backupScrub of the files that it does not copy, and replaces a damaged one
//     when it has read the part again from a member.
//   - A damaged object of the log is passed by if other objects have its entries. Otherwise it is refused, and so are entries that are missing,
//     if they lie before the moment. With At.AcceptLoss, the newest whole state before them is restored.
//   - Where the log passes the index of a base, the digest of the state must be that of the base's manifest.
//   - A Writer that finds the newest object damaged appends its entries again, as long as the cluster has them.
//
// A backup whose newest objects are missing cannot be told from an older one.
//
// # Names of entries and moments
//
// The state's clock is the newest proposer's clock of all applied entries. An entry is applied while the state's clock
// after it is at or before the moment. If members' clocks differ by hours, a time refers to the clock of the state,
// and only a revision is exact.
package backup
