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
	suffix     = ".snap"
	partSuffix = ".part"
	temporary  = ".tmp"
	digits     = 20 // of the largest uint64
)

// Name returns the published name of a snapshot.
func Name(at, term uint64) string {
	return fmt.Sprintf("%0*d-%0*d%s", digits, at, digits, term, suffix)
}

// identity is the content of a published name.
type identity struct {
	index, term uint64 // of a part: its number
	part        bool
	sha         [32]byte // of a part
}

// parseName parses a published name. It accepts only names that Name returns, so a name from a peer cannot be a path.
func parseName(name string) (id identity, ok bool) {
	if _, _ = fmt.Sscanf(name, "%d-%d", &id.index, &id.term); Name(id.index, id.term) == name {
		return id, true
	}
	return parsePart(name)
}

func parsePart(name string) (identity, bool) {
	id, sha := identity{part: true}, []byte(nil)
	_, _ = fmt.Sscanf(name, "%d-%x", &id.index, &sha)
	copy(id.sha[:], sha)
	return id, partName(id.index, id.sha) == name
}

// saving and receiving are the temporary names of a file that will have this name.
func saving(name string) string { return name + temporary }

func receiving(name string, sha [32]byte) string {
	return name + "." + hex.EncodeToString(sha[:]) + temporary
}

// Partial is a partly received file.
type Partial struct {
	Path, Name string // Name is its future published name
	Index      uint64 // of the snapshot, or the part's number
	SHA        [32]byte
	Part       bool
}

// parseReceiving parses the temporary name of a partly received file.
func parseReceiving(name string) (p Partial, ok bool) {
	all := strings.TrimSuffix(name, temporary)
	at := strings.LastIndexByte(all, '.')
	if at < 0 {
		return p, false
	}
	p.Name = all[:at]
	if b, err := hex.DecodeString(all[at+1:]); err == nil && len(b) == len(p.SHA) {
		p.SHA = [32]byte(b)
	}
	id, known := parseName(p.Name)
	p.Index, p.Part = id.index, id.part
	return p, known && receiving(p.Name, p.SHA) == name
}

// Info describes one published snapshot. Index and Term always come from the name. If the head of the file cannot be
// read, Err gives the reason, and all other fields are unknown.
type Info struct {
	Meta
	Path  string
	Bytes int64
	Err   error
}

// Whole is the size of the file and of its part files.
func (i *Info) Whole() int64 {
	n := i.Bytes
	for _, p := range i.Parts {
		n += p.Bytes
	}
	return n
}

// PartAt describes the part with a path, as far as its name and its size do.
func PartAt(fs disk.FS, path string) (Part, error) {
	id, ok := parsePart(fileName(path))
	if !ok {
		panic(fmt.Sprintf("%s is not the name of a part", path))
	}
	f, err := fs.Open(path)
	if err != nil {
		return Part{}, fmt.Errorf("measure a part: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	return Part{Number: id.index, SHA: id.sha, Bytes: size}, err
}

// Listing is the content of a folder, newest first. Other files are not listed.
type Listing struct {
	Published []Info
	Parts     []string  // paths
	Partial   []Partial // being received, or interrupted
	Abandoned []string  // paths of partly saved files, which are never continued
}

// List lists a folder, after making it durable: every file that it returns as published survives a crash. It reads the
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
		if n, ok := parseName(name); ok && n.part {
			l.Parts = append(l.Parts, path)
		} else if ok {
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

// headOf reads only the head, and the size of the file.
func headOf(path string, f disk.File) (Meta, int64, error) {
	w, err := walk(path, f, nil, headWindow)
	if err != nil {
		return Meta{}, 0, err
	}
	r := newReading(w, w.size, ignore{})
	err = r.head()
	return r.meta, w.size, err
}

// Remove removes a file of the folder. It does not sync the folder: a crash may bring the file back, but only
// unchanged, and the sync would delay the log's syncs for nothing.
func Remove(fs disk.FS, path string) error {
	if err := fs.Remove(path); err != nil {
		return fmt.Errorf("remove a file that no snapshot needs: %w; if it stays, move it away by hand", err)
	}
	return nil
}

// SetAside moves a file to a folder of the same file system for examination, and returns the new path. It never
// replaces an existing file.
func SetAside(fs disk.FS, path, dir string) (string, error) {
	if err := fs.MkdirAll(dir); err != nil {
		return "", fmt.Errorf("set a snapshot aside: %w", err)
	}
	to := join(dir, fileName(path))
	err := checkAbsent(fs, to)
	for n := 1; errors.Is(err, iofs.ErrExist); n++ {
		to = join(dir, fileName(path)+"."+strconv.Itoa(n))
		err = checkAbsent(fs, to)
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
		return "", fmt.Errorf("set a snapshot aside: %w", err)
	}
	return to, nil
}
