package backup

import "errors"

// SourceError is the error of a member's file that is copied: it is gone, damaged or cannot be read.
type SourceError struct {
	Name string
	Err  error
}

func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *SourceError) Unwrap() error { return e.Err }

var (
	// ErrForeign is wrapped by every error about a backup, or a file of one, that belongs to another cluster.
	ErrForeign = errors.New("backup of another cluster")

	// ErrKey is wrapped by every error about encryption: the key is missing, or is another one.
	ErrKey = errors.New("encrypted backup")

	// ErrClear is wrapped by the refusal to write without encryption behind encrypted content.
	ErrClear = errors.New("the backup is encrypted")

	// ErrGap is wrapped by every error about entries that the backup lacks. A Writer that returns it needs a new base.
	ErrGap = errors.New("gap in the backup")

	// ErrOvertaken is wrapped by the error of a Writer that another one, of a later leader perhaps, has overtaken. Nothing that counts was
	// changed. The caller opens the backup again if it still leads.
	ErrOvertaken = errors.New("another leader has gone on with the backup")

	// ErrRange is wrapped by every error about a time or revision that the backup does not reach.
	ErrRange = errors.New("not in the backup")

	// errMemory is wrapped by the refusal to load a state for which this process lacks memory.
	errMemory = errors.New("not enough memory")

	// ErrNone is wrapped by every error about a folder or file that is no backup.
	ErrNone = errors.New("no backup")
)
