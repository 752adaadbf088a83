// Package store keeps the objects of a backup, in a folder or in an object store.
//
// An object is immutable, and its name follows from its content, or from the moment that it describes. So two writers can only repeat each other: an
// object that is there is left as it is. An object has some tens of MiB at most, and is read and written as a whole; its content is in memory
// meanwhile. Nothing here depends on conditional writes or on fresh lists, in which object stores differ.
//
// Names have the form folder/name, or name alone. A Store may be used by many goroutines.
package store
