package limits

import "time"

// Limits of backups.
const (
	// BackupObjectBytes is the content of one object of a backup's log: a restore holds one in memory, and retention removes whole ones.
	// Smaller ones are merged.
	BackupObjectBytes = 8 << 20
	// BackupListMost bounds the marker, and a list of bases: 120 bytes for each file of 8 MiB, and 3 for each base that has it.
	BackupListMost = 32 << 20
	// BackupFileMost bounds a file of a base, which is in memory until it is stored. The largest piece has 32 MiB, and one key more. A list
	// that says more is damaged.
	BackupFileMost = 1 << 30
	// BackupStepBytes is how much of a file of a base is read between two looks at the log.
	BackupStepBytes = 1 << 20
	// BackupPieceBytes is the most of a base that a member reads at once, and that a folder writes, or reads back, in one turn. A disk of
	// 100 MB/s is busy with it for 2.6 ms, for which the log's sync may wait.
	BackupPieceBytes = 256 << 10
	// BackupBaseRate bounds the bytes of a base that a backup reads in a second. At full speed, about 100 MB/s, the 99th percentile of others'
	// puts was 12 to 24 ms beside a base, where three members and the backup share two processors; at this rate it was 7 to 10 ms, and 3 to
	// 10 ms without a base. The default quota, 2 GiB, takes one minute.
	BackupBaseRate = 32 << 20
	// BackupFailing is the time without a complete backup after which a failure is an alarm. A restart of a file server, or a change of the
	// leader, may take seconds.
	BackupFailing = 10 * time.Second
	// BackupOld is the same without a failure: a base of the default quota, 2 GiB, takes half of it at 14 MB/s, and the log waits meanwhile.
	BackupOld = 5 * time.Minute
	// BackupStuck is the time for which objects that no kept moment needs may stay, until that is an alarm.
	BackupStuck = time.Minute
	// BackupStop bounds the wait of a member that stops for its backup's disk. The stop of all parts may take 15 s.
	BackupStop = time.Second
)
