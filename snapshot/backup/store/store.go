package store

import (
	"context"
	"errors"
	"io"
)

// Store keeps objects. Its errors say which object and which store, and wrap fs.ErrNotExist for a missing object.
type Store interface {
	// Put stores an object: when Put returns, it is durable, and its bytes were compared on the medium or by the server. An
	// object of that name and size is left as it is. After an error the object is there as a whole, or not at all.
	Put(ctx context.Context, name string, content []byte) error
	// Get returns the bytes of an object from an offset on, at most so many.
	Get(ctx context.Context, name string, offset, most int64) ([]byte, error)
	// List returns the objects in a folder, in order of their names; none if there is no such folder. "" is the folder of names without one.
	// A folder in it has a name that ends with a slash, and no bytes.
	List(ctx context.Context, folder string) ([]Info, error)
	// Delete removes objects. One that is not there is no error. They are durably gone when Delete returns without an error.
	Delete(ctx context.Context, names ...string) error
	// Free returns how many more bytes fit; false: there is no bound.
	Free() (bytes int64, known bool)
	// Lock keeps other processes from writing, where that is possible: in a folder, which it makes if make is set. The error wraps
	// disk.ErrLocked.
	Lock(make bool) (io.Closer, error)
	// Path returns an object's name for messages; with "", the name of the store.
	Path(name string) string
}

// ErrNotHeld is the error of a call that another writer of the backup may make now, and this one may not. Nothing was changed.
var ErrNotHeld = errors.New("another runner has taken over the backup, and publishes and deletes in place of this one: let only one make it")

// Info describes an object.
type Info struct {
	Name  string // in its folder
	Bytes int64
}
