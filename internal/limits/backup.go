package limits

import "time"

// Limits of backups.
const (
	// BackupObjectBytes is the content of one object of a backup's log: a restore holds one in memory, and retention removes whole ones.
	// Smaller ones are merged.
	BackupObjectBytes = 8 << 20
	// BackupEntryBytes is what an entry takes there beside its envelope, at most.
	BackupEntryBytes = 32
	// BackupObjectMost bounds such an object when it is read: a full one, one entry of the largest size, the header, and what encryption adds,
	// which is 16 bytes for each 64 KiB and a header of some hundred bytes for each recipient.
	BackupObjectMost = BackupObjectBytes + RecordBytes + 1<<20
	// BackupHeaderMost bounds the header of such an object.
	BackupHeaderMost = 1 << 10
	// BackupManifestMost bounds the marker, and the manifest of a base: 100 bytes for each part of 8 MiB.
	BackupManifestMost = 64 << 20
	// BackupPrefixMost bounds the prefix in a bucket: with the name of an object behind it, a key may have 1,024 bytes.
	BackupPrefixMost = 800
	// BackupFileMost bounds a file of a base, which is in memory until it is stored. The largest piece has 32 MiB, and one key more.
	BackupFileMost = 1 << 30
	// BackupStepBytes is how much of a file of a base is read between two looks at the log.
	BackupStepBytes = 1 << 20
	// BackupEvery is the time in which changes are gathered for one object of the log, unless they fill one before.
	BackupEvery = time.Second
	// BackupGrace is the time for which a file stays that no base lists: another runner may be about to list it, and its upload takes less.
	BackupGrace = time.Hour
	// BackupCall bounds a call that publishes or deletes, from the moment when its runner was known to hold the backups. BackupDrain is how
	// long the next holder waits before it lists what is there: then no such call is under way, also in a store's server.
	BackupCall  = 10 * time.Second
	BackupDrain = 3 * BackupCall
	// BackupDeletes is how many objects one such call deletes.
	BackupDeletes = 100
	// BackupRead is how long a restore, a seed or a read of the history waits for BackupReadBytes of an object of the backup: 140 KB/s. A full
	// extent is one request. An object store that sends nothing is given up after 30 s; a folder in a network's file system may hang without an end.
	BackupRead      = 3 * time.Minute
	BackupReadBytes = 24 << 20
	// BranchRead is how long a branch waits for a value in the backup, or for each BackupStepBytes of an encrypted part. Clients wait for 5 s by
	// default, and are to be told why there is none.
	BranchRead = 3 * time.Second
	// BackupScrub is how many files of earlier bases a new base lists for each one of them that it reads again and compares. With a base an
	// hour, a file is read about each three days.
	BackupScrub = 64
	// BackupProgress is how much a restore reads between two reports of its progress.
	BackupProgress = 1 << 20
	// BackupPieceBytes is the most of a base that a member reads for one answer, and that a folder writes, or reads back, in one turn. A disk of
	// 100 MB/s is busy with it for 2.6 ms, for which the log's sync may wait.
	BackupPieceBytes = 256 << 10
	// BackupBaseRate bounds the bytes of a base that a backup reads in a second. At full speed, about 100 MB/s, the 99th percentile of others'
	// puts was 12 to 24 ms beside a base, where three members and the backup share two processors; at this rate it was 7 to 10 ms, and 3 to
	// 10 ms without a base. The default quota, 2 GiB, takes one minute.
	BackupBaseRate = 32 << 20
	// BackupLogBytes is the most of the log that a member puts into one answer, unless one entry is larger.
	BackupLogBytes = 512 << 10
	// BackupLogWait bounds the wait of an answer for a new entry of the log. The client's request may end earlier.
	BackupLogWait = 2 * time.Second
	// BackupBasesRemoved is how many bases one retention removes. It runs with each new base, so the number of bases falls even if too many
	// are there. A leader whose clock is years ahead makes all bases old at once: few are gone before an operator looks.
	BackupBasesRemoved = 2
	// BackupReads bounds the requests of backups that a member works on at once, including those that wait for an entry or a snapshot. A
	// backup has one, or two while it waits for a snapshot. Others are answered Overloaded.
	BackupReads = 32
	// BackupFailing is the time without a complete backup after which a failure is an alarm. A restart of a file server, or a change of the
	// leader, may take seconds.
	BackupFailing = 10 * time.Second
	// BackupOld is the same without a failure: a base of the default quota, 2 GiB, takes half of it at 14 MB/s, and the log waits meanwhile.
	BackupOld = 5 * time.Minute
	// DoctorBackup is the same for a warning of `qkv doctor`: most bases take less time.
	DoctorBackup = time.Minute
	// BackupRefused is the pause of a member after a refusal of the folder, which ends by an operator's work.
	BackupRefused = 5 * time.Second
	// BackupStop bounds the wait of a member that stops for its backup's disk. The stop of all parts may take 15 s.
	BackupStop = time.Second
)
