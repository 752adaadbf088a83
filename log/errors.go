package log

import (
	"errors"
	"fmt"

	"qkv/internal/pack"
)

var (
	// ErrCorrupt is in every error that reports damaged files of the log. See CorruptError.
	ErrCorrupt = errors.New("the log is corrupt")
	// ErrFormat is in the error for intact content of another version of qkv: nothing is damaged.
	ErrFormat = errors.New("unknown format of the log")
	errNewer  = fmt.Errorf("%w: it was written by a newer qkv: start that version", ErrFormat)
	errOlder  = fmt.Errorf("%w: it was %w", ErrFormat, pack.ErrOlder)
	// ErrForeign is in the error for a log that belongs to another cluster or member.
	ErrForeign = errors.New("the log belongs to another member")
	// ErrNoSpace is in the error of a Sync that found no disk space, for a new segment or within one. Nothing is lost
	// and the log is not finished. The frames that were written are synced. The next Sync continues with the rest when
	// there is a spare or free space.
	ErrNoSpace = errors.New("the disk has no space for the log")
	// ErrReserve is in the error of a caller that would use the space that Options.Reserve keeps. It also wraps
	// syscall.ENOSPC.
	ErrReserve = errors.New("reserved for the next snapshot")
	// ErrClosed is the error of a closed log.
	ErrClosed = errors.New("the log is closed")
)

// CorruptError is damage of the log: the file, the offset and the reason. Nothing is repaired or cut: the damaged bytes
// were synced, and perhaps acknowledged.
type CorruptError struct {
	File   string
	Offset int64 // the frame or header that is damaged
	Reason string
	Cause  error // the error of a failed read
}

func (e *CorruptError) Error() string {
	return "corrupt log: " + e.File + " " + e.Place() + "; nothing was changed: put back this member's data folder exactly as it was; docs/emergencies.md says under \"A lost member\" what to do without it"
}

// Place returns the place in the file and the reason.
func (e *CorruptError) Place() string {
	s := fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }

// wrong is the error for intact content that makes no sense: damage, unless its format is unknown.
func wrong(file string, offset int64, err error) error {
	if errors.Is(err, ErrFormat) {
		return fmt.Errorf("%s at byte %d: %w", file, offset, err)
	}
	return &CorruptError{File: file, Offset: offset, Reason: err.Error()}
}
