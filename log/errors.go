package log

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is in every error that says that the log's files are damaged. See CorruptError.
	ErrCorrupt = errors.New("the log is corrupt")
	// ErrFormat is in the error of a log that was written in a format that this version does not know.
	ErrFormat = errors.New("the log has a format that this version of qkv does not know")
	// ErrForeign is in the error of a log that belongs to another cluster or member.
	ErrForeign = errors.New("the log belongs to another member")
	// ErrClosed is the error of a log that was closed.
	ErrClosed = errors.New("the log is closed")
)

// CorruptError says where the log is damaged. Nothing is repaired or cut: what lies there was synced, and perhaps
// acknowledged.
type CorruptError struct {
	File   string
	Offset int64 // the frame or header that is damaged
	Reason string
	Cause  error // of a read that failed
}

func (e *CorruptError) Error() string {
	s := fmt.Sprintf("corrupt log: %s at byte %d: %s", e.File, e.Offset, e.Reason)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s + "; nothing was changed: put back this member's data folder exactly as it was; the README says under \"When a member has lost its disk\" what else is left"
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }
