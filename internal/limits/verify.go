package limits

import "time"

// Limits of the verification of a member's files (`qkv verify`).
const (
	// VerifyRate is the default bound of the bytes that are read in a second. It is that of a backup's base, for the same reason: see
	// BackupBaseRate. VerifyRateLeast is one read each second. VerifyRateMost is more than any disk gives.
	VerifyRate      = BackupBaseRate
	VerifyRateLeast = VerifyPieceBytes
	VerifyRateMost  = 4 << 30
	// VerifyPieceBytes is the size of one read: the log's sync may wait behind it, as SnapshotPieceBytes says.
	VerifyPieceBytes = SnapshotPieceBytes
	// VerifyWait is how long a member waits for the end before it answers with the progress. VerifyIdle is how long it goes on when no client
	// asks: a client that lives asks again within VerifyWait and a round trip.
	VerifyWait = 500 * time.Millisecond
	VerifyIdle = 3 * time.Second
	// VerifyDamaged bounds the damaged files of one report, about 1 KiB each in the answer. With so many the disk is broken,
	// and more names say nothing new.
	VerifyDamaged = 64
)
