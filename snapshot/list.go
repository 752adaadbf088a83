package snapshot

import (
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strconv"
	"strings"

	"qkv/log/disk"
)

const (
	suffix    = ".snap"
	temporary = ".tmp"
	digits    = 20 // of the largest uint64
)

// Name returns the published name of a snapshot.
func Name(at, term uint64) string {
	return fmt.Sprintf("%0*d-%0*d%s", digits, at, digits, term, suffix)
}

// identity is what a published name says.
type identity struct{ index, term uint64 }

// parseName reads a published name. It accepts nothing that Name does not return, so that a name from a peer can
// be no path.
func parseName(name string) (identity, bool) {
	first, second, ok := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	if !ok {
		return identity{}, false
	}
	at, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return identity{}, false
	}
	term, err := strconv.ParseUint(second, 10, 64)
	return identity{at, term}, err == nil && Name(at, term) == name
}

// saving and receiving are the temporary names of a file that will have this name.
func saving(name string) string { return name + temporary }

func receiving(name string, sha [32]byte) string {
	return name + "." + hex.EncodeToString(sha[:]) + temporary
}

// Partial is a file that was being received.
type Partial struct {
	Path, Name string // Name is the one that it will be published by
	Index      uint64 // of the snapshot
	SHA        [32]byte
}

// parseReceiving reads the temporary name of a file that was being received.
func parseReceiving(name string) (p Partial, ok bool) {
	var sum string
	p.Name, sum, ok = strings.Cut(strings.TrimSuffix(name, temporary), suffix+".")
	p.Name += suffix
	if b, err := hex.DecodeString(sum); err == nil && len(b) == len(p.SHA) {
		p.SHA = [32]byte(b)
	}
	id, known := parseName(p.Name)
	p.Index = id.index
	return p, ok && known && receiving(p.Name, p.SHA) == name
}

// Info is one published snapshot. Index and Term are always set, from the name; when the head of the file cannot
// be read, Err says why, and nothing else is known of it.
type Info struct {
	Meta
	Path  string
	Bytes int64
	Err   error
}

// Listing is what a folder holds, newest first. Other files are not listed.
type Listing struct {
	Published []Info
	Partial   []Partial // being received, or interrupted
	Abandoned []string  // paths of files that were being saved: nothing will continue them
}

// List lists a folder, and makes it durable first: whatever it returns as published survives a crash. It reads the
// heads of the files, not their content.
func List(fs disk.FS, dir string) (Listing, error) {
	var l Listing
	if err := fs.SyncDir(dir); err != nil {
		return l, fmt.Errorf("list snapshots: %w", err)
	}
	names, err := fs.List(dir)
	if err != nil {
		return l, fmt.Errorf("list snapshots: %w", err)
	}
	slices.Sort(names)
	slices.Reverse(names)
	for _, name := range names {
		path := join(dir, name)
		if n, ok := parseName(name); ok {
			l.Published = append(l.Published, inspect(fs, path, n))
		} else if p, ok := parseReceiving(name); ok {
			p.Path = path
			l.Partial = append(l.Partial, p)
		} else if _, ok := parseName(strings.TrimSuffix(name, temporary)); ok {
			l.Abandoned = append(l.Abandoned, path)
		}
	}
	return l, nil
}

// inspect reads the head of a published file.
func inspect(fs disk.FS, path string, n identity) Info {
	info := Info{Path: path, Meta: Meta{Index: n.index, Term: n.term}}
	f, err := fs.Open(path)
	if err != nil {
		info.Err = err
		return info
	}
	defer f.Close()
	m, size, err := headOf(path, f)
	info.Bytes = size
	if info.Err = err; err == nil {
		info.Meta = m
	}
	return info
}

// headOf reads the head alone, and the size of the file.
func headOf(path string, f disk.File) (Meta, int64, error) {
	w, err := walk(path, f, nil, headWindow)
	if err != nil {
		return Meta{}, 0, err
	}
	r := newReading(w, w.size, ignore{})
	err = r.head()
	return r.meta, w.size, err
}

// Remove removes a file of the folder. It does not sync the folder: a file that a crash brings back is as it was,
// and the sync would stall the log's for nothing.
func Remove(fs disk.FS, path string) error {
	if err := fs.Remove(path); err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	return nil
}

// Quarantine moves a file out of the way, to a folder of the same file system, where it can be examined; it returns
// the new path. Nothing that is there already is replaced.
func Quarantine(fs disk.FS, path, dir string) (string, error) {
	if err := fs.MkdirAll(dir); err != nil {
		return "", fmt.Errorf("quarantine snapshot: %w", err)
	}
	to := join(dir, base(path))
	err := free(fs, to)
	for n := 1; errors.Is(err, iofs.ErrExist); n++ {
		to = join(dir, base(path)+"."+strconv.Itoa(n))
		err = free(fs, to)
	}
	if err == nil {
		err = fs.Rename(path, to)
	}
	for _, changed := range []string{dir, parent(dir), parent(path)} { // dir may be new
		if err == nil {
			err = fs.SyncDir(changed)
		}
	}
	if err != nil {
		return "", fmt.Errorf("quarantine snapshot: %w", err)
	}
	return to, nil
}
