package limits

import "time"

// Limits of the audit log (package audit).
const (
	// AuditFileBytes is the default size at which a file of the audit log is rotated, and AuditFiles the default number of rotated files
	// that are kept: together a GiB, some three million lines. A flood that AuditSubjects bounds takes nine hours to fill them. The others
	// bound the settings: a file holds at least a batch, and `qkv audit` lists the rotated files at each rotation.
	AuditFileBytes      = 64 << 20
	AuditFileBytesLeast = 2 * AuditQueueBytes
	AuditFileBytesMost  = 1 << 30
	AuditFiles          = 16
	AuditFilesMost      = 1024
	// AuditQueueBytes bounds the events that wait for the disk, some three thousand; further events are counted, and a line tells their
	// number.
	AuditQueueBytes = 1 << 20
	// 1/AuditQueueShare of AuditQueueBytes is the most that refusals and logins use: a client cannot keep out an operator's changes.
	AuditQueueShare = 2
	// AuditInterval is how often waiting events are written and synced. A member that is killed loses the events of this time. The log's
	// own syncs on the same disk wait for at most ten of these a second.
	AuditInterval = 100 * time.Millisecond
	// AuditStall is the time after which a write that has not returned counts as failed.
	AuditStall = 10 * time.Second
	// AuditRetry is the pause after a failed write: a full disk costs one attempt a second.
	AuditRetry = time.Second
	// AuditRepeats is how many equal refusals or logins get a line of their own in AuditRepeatsTime; one more line tells the number of the
	// others. AuditSubjects bounds the different ones in that time: together they make at most 128 lines a second.
	AuditRepeats     = 4
	AuditRepeatsTime = 10 * time.Second
	AuditSubjects    = 256
	// AuditRanges bounds the key ranges of a line; their number is given in any case. AuditTextBytes bounds each key, name and message of
	// an event. No line has more than AuditLineBytes: every byte of a text may need six in JSON, and a key in base64 needs less.
	AuditRanges    = 8
	AuditTextBytes = 512
	AuditLineBytes = 6*AuditTextBytes*(2*AuditRanges+4) + 4<<10
)
