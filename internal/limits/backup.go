package limits

// Limits of backups.
const (
	// BackupChunkBytes is the content of one chunk of a backup's file. An interrupted copy continues at a chunk, and each chunk is encrypted
	// alone: the 128 bytes of its header and the 200 of age do not count beside 1 MiB. The reader holds one chunk.
	BackupChunkBytes = 1 << 20
	// BackupChunkMost bounds a chunk when it is read: a full chunk, one more entry of the largest size, and what encryption adds, which is
	// 16 bytes for each 64 KiB and a header of some hundred bytes for each recipient.
	BackupChunkMost = BackupChunkBytes + RecordBytes + 64<<10
	// BackupSegmentBytes is the size at which a segment of a backup's log ends. Retention removes whole segments, and a segment whose end is
	// damaged is read to find out whether anything follows.
	BackupSegmentBytes = 16 << 20
	// BackupFiles bounds the files of one base: one today. A reader allocates by it.
	BackupFiles = 1 << 16
	// BackupProgress is how much a restore reads between two reports of its progress.
	BackupProgress = 1 << 20
)
