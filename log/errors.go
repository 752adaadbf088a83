package log

import (
	"errors"
	"fmt"

	"qkv/internal/damage"
)

var (
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

// advised adds to damage what to do about it: nothing is repaired or cut, because the damaged bytes were synced, and perhaps acknowledged.
func advised(err error) error {
	if errors.Is(err, damage.ErrDamaged) {
		return fmt.Errorf("%w; nothing was changed: %s", err, damage.PutBack)
	}
	return err
}
