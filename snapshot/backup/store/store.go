package store

import (
	"context"
	"errors"
)

// Marker is the object that is stored first, and that is there as long as the place holds a backup.
const Marker = "backup"

// Store keeps objects. Its errors say which object and which store, and wrap fs.ErrNotExist for a missing object.
type Store interface {
	// Put stores an object: when Put returns, it is durable, and its bytes were compared on the medium or by the server. An
	// object with these bytes is left as it is, and one with others is replaced. After an error the object is there as a whole, or not at all.
	Put(ctx context.Context, name string, content []byte) error
	// Create is Put of an object that must not be there: fs.ErrExist if it is, with other bytes. Of two calls, whoever makes them, one succeeds.
	// Nothing is stored without the Marker, except the Marker itself.
	Create(ctx context.Context, name string, content []byte) error
	// Get returns the bytes of an object from an offset on, at most so many.
	Get(ctx context.Context, name string, offset, most int64) ([]byte, error)
	// List returns the objects in a folder, in order of their names; none if there is no such folder. "" is the folder of names without one.
	// A folder in it has a name that ends with a slash, and no bytes.
	List(ctx context.Context, folder string) ([]Info, error)
	// Delete removes objects. One that is not there is no error. They are durably gone when Delete returns without an error.
	Delete(ctx context.Context, names ...string) error
	// Free returns how many more bytes fit; false: there is no bound.
	Free() (bytes int64, known bool)
	// Prepare makes all names durable that are there, and removes the remains of interrupted calls: for a process that begins to write.
	Prepare() error
	// Path returns an object's name for messages; with "", the name of the store.
	Path(name string) string
}

// ErrUnfenced is wrapped by the refusal of a store that cannot create an object only if it is absent.
var ErrUnfenced = errors.New("the store cannot create an object only if it is absent, so two leaders could write at once: use another place")

// Info describes an object.
type Info struct {
	Name  string // in its folder
	Bytes int64
}
