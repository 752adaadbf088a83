// Package damage says in one way that a file is damaged or of another format, and has the prelude by which files of qkv show it.
package damage

import (
	"errors"
	"fmt"

	"qkv/internal/pack"
)

var (
	// ErrDamaged is in every error about bytes that differ from those that were written. Such a file is useful only for an investigation.
	ErrDamaged = errors.New("corrupt")
	// ErrFormat is in every error about an intact file of another version of qkv. Such a file stays where it is.
	ErrFormat = errors.New("unknown format")
	// ErrOtherBytes is in every error about bytes from elsewhere that are not those of the file that they were to be.
	ErrOtherBytes = errors.New("the bytes are not those of the file")
	// ErrNewer is the ErrFormat of a file of a newer qkv.
	ErrNewer = fmt.Errorf("%w: it was written by a newer qkv: use that version, or a newer one", ErrFormat)
	// ErrOlder is the ErrFormat of a file of a format before 0.3.0.
	ErrOlder = fmt.Errorf("%w: it was written by qkv 0.2 or older; this qkv cannot read it. To move the data, start the older qkv, run `etcdctl snapshot save FILE` with its endpoint, and `qkv migrate from-etcd --snapshot FILE` with this qkv: see docs/upgrading.md", ErrFormat)
)

// PutBack is what to do about a damaged file that a member cannot replace.
const PutBack = "put back this member's data folder exactly as it was; docs/emergencies.md says under \"A lost member\" what to do without it"

// Error is damage of a file.
type Error struct {
	File   string
	Offset int64 // of the damaged structure
	Reason error
}

func (e *Error) Error() string { return "corrupt: " + e.File + " " + e.Place() }

// Place returns the place in the file and the reason.
func (e *Error) Place() string { return fmt.Sprintf("at byte %d: %v", e.Offset, e.Reason) }

// Unwrap makes errors.Is(err, ErrDamaged) true.
func (e *Error) Unwrap() []error { return []error{ErrDamaged, e.Reason} }

// At returns an Error.
func At(file string, offset int64, format string, args ...any) *Error {
	return &Error{file, offset, fmt.Errorf(format, args...)}
}

// Newer returns an ErrNewer.
func Newer(file, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", file, fmt.Sprintf(format, args...), ErrNewer)
}

// Of returns the error of content whose checksum is right and that makes no sense: damage, unless its format is unknown. nil stays nil.
func Of(file string, offset int64, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFormat):
		return fmt.Errorf("%s at byte %d: %w", file, offset, err)
	case errors.Is(err, pack.ErrNewer):
		return fmt.Errorf("%w: %s at byte %d: %w; use that version, or a newer one", ErrFormat, file, offset, err)
	}
	return &Error{file, offset, err}
}
