// Package store keeps the objects of a backup, in a folder or in an object store.
//
// An object is immutable. It has some tens of MiB at most, and is read and written as a whole; its content is in memory meanwhile. Of the store,
// one thing is needed that not all have: to create an object only if no object has its name ([Store.Create]).
//
// Names have the form folder/name, or name alone. A Store may be used by many goroutines.
package store
