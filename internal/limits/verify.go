package limits

import "time"

// Limits of the verification of a member's files: the scrub, and `qkv verify --now`.
const (
	// ScrubEvery is the time between the beginnings of two reads of all files, and ScrubRate bounds the bytes a second: 2.4 TB take as long.
	// A read that has not ended soundly is repeated ScrubAgain after its beginning. None begins within ScrubFirst after a start.
	ScrubEvery = 7 * 24 * time.Hour
	ScrubAgain = 24 * time.Hour
	ScrubFirst = time.Hour
	ScrubRate  = 4 << 20
	// VerifyRate bounds the bytes a second of a read that a client waits for. It is that of a backup's base, for the same reason.
	VerifyRate = BackupBaseRate
	// VerifyPieceBytes is the size of one read: the log's sync may wait behind it, as SnapshotPieceBytes says.
	VerifyPieceBytes = SnapshotPieceBytes
	// VerifyPoll is how often a client asks whether all files are read.
	VerifyPoll = 500 * time.Millisecond
	// VerifyDamaged bounds the damaged files of one report, about 1 KiB each in the answer. With so many the disk is broken,
	// and more names say nothing new.
	VerifyDamaged = 64
)
