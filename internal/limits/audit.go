package limits

import "time"

// Limits of the audit log (package audit).
const (
	// AuditFileBytes is the default size at which a file of the audit log is rotated, and AuditFiles the default number of rotated files
	// that are kept: together a GiB, some three million lines. A flood that package audit bounds takes nine hours to fill them. The others
	// bound the settings: a file holds at least a batch, and `qkv audit` lists the rotated files at each rotation.
	AuditFileBytes      = 64 << 20
	AuditFileBytesLeast = 2 * AuditQueueBytes
	AuditFileBytesMost  = 1 << 30
	AuditFiles          = 16
	AuditFilesMost      = 1024
	// AuditQueueBytes bounds the events that wait for the disk, some three thousand; further events are counted, and a line tells their
	// number.
	AuditQueueBytes = 1 << 20
	// AuditInterval is how often waiting events are written and synced. A member that is killed loses the events of this time. The log's
	// own syncs on the same disk wait for at most ten of these a second.
	AuditInterval = 100 * time.Millisecond
	// AuditStall is the time after which a write that has not returned counts as failed.
	AuditStall = 10 * time.Second
)
