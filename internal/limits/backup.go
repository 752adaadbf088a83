package limits

import "time"

// Limits of backups.
const (
	// BackupChunkBytes is the content of one chunk of a backup's log, and of one write of a base's file. Each chunk is encrypted alone: the 128
	// bytes of its header and the 200 of age do not count beside 1 MiB. The reader holds one chunk.
	BackupChunkBytes = 1 << 20
	// BackupChunkMost bounds a chunk when it is read: a full chunk, one more entry of the largest size, and what encryption adds, which is
	// 16 bytes for each 64 KiB and a header of some hundred bytes for each recipient.
	BackupChunkMost = BackupChunkBytes + RecordBytes + 64<<10
	// BackupSegmentBytes is the size at which a segment of a backup's log ends. Retention removes whole segments, and a segment whose end is
	// damaged is read to find out whether anything follows.
	BackupSegmentBytes = 16 << 20
	// BackupProgress is how much a restore reads between two reports of its progress.
	BackupProgress = 1 << 20
	// BackupPieceBytes is the most of a base that a member reads for one answer. A disk that reads 100 MB/s is busy with it for 2.6 ms, for
	// which the log's sync may wait.
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
