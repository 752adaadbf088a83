package log

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt is in every error that says that the log's files are damaged. See CorruptError.
	ErrCorrupt = errors.New("the log is corrupt")
	// ErrFormat is in the error of a log that holds something whole that this version does not know: a newer qkv wrote
	// it, and nothing is damaged.
	ErrFormat = errors.New("the log was written by a newer qkv: start that one")
	// ErrForeign is in the error of a log that belongs to another cluster or member.
	ErrForeign = errors.New("the log belongs to another member")
	// ErrNoSpace is in the error of a Sync that found no room, for a segment or in one. Nothing is lost and nothing is final: what
	// was written is synced, and the next Sync goes on with the rest, when there is a spare or room.
	ErrNoSpace = errors.New("the disk has no room for the log")
	// ErrReserve is in the error of who would take what Options.Reserve keeps. It is syscall.ENOSPC, too.
	ErrReserve = errors.New("kept for the next snapshot")
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

// wrong is the error of something whole that makes no sense: damage, unless it is of a format that is not known.
func wrong(file string, offset int64, err error) error {
	if errors.Is(err, ErrFormat) {
		return fmt.Errorf("%s at byte %d: %w", file, offset, err)
	}
	return &CorruptError{File: file, Offset: offset, Reason: err.Error()}
}
