package index

import (
	"bytes"
	"runtime"

	"github.com/cespare/xxhash/v2"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// authorNames bounds the authors of changes. Beyond it, changes of new names have no author. A name takes about 100 bytes of memory, and
// stays for ever. It is part of feature level 1.
const authorNames = 1 << 18

// authors are the names of the authors of changes: a version refers to the name at its number minus one. Names are only ever added, so a
// copy is a view of them.
type authors struct {
	names []string
	sum   uint64 // the sum of the names' checksums, each with its number
}

// authorship finds the number of the author of the current command.
type authorship struct {
	numbers map[string]uint32
	number  uint32 // of the current author; 0: none, or none yet
	name    []byte // of the current author, if it has no number yet; valid until the command ends

	last       string // the last name that was looked up: commands of one author often come in a row
	lastNumber uint32
}

// setAuthor makes a name the author of the changes that follow; an empty name is a member's own change, or an unknown author.
func (w *authorship) setAuthor(name []byte) {
	w.name = nil
	switch {
	case len(name) == 0:
		w.number = 0
	case string(name) == w.last:
		w.number = w.lastNumber
	default:
		number, known := w.numbers[string(name)]
		if w.number = number; !known {
			w.name = name
			return
		}
		w.last, w.lastNumber = string(name), number
	}
}

// authorOfChange returns the number of the current author. The first change, lease or session of an author gives it one, unless there are
// too many.
func (l *accounts) authorOfChange() uint32 {
	w := &l.author
	if w.name != nil && l.authors.admit(string(w.name)) {
		l.addAuthor(string(w.name))
		w.number, w.name = uint32(len(l.authors.names)), nil
	}
	return w.number
}

// admit reports whether a new name can become an author.
func (a *authors) admit(name string) bool {
	return len(a.names) < authorNames && name != "" && len(name) <= limits.AuthNameBytes
}

func (l *accounts) addAuthor(name string) {
	l.authors.names = append(l.authors.names, name)
	number := uint32(len(l.authors.names))
	l.author.numbers[name] = number
	l.authors.sum += mixHash(xxhash.Sum64String(name), uint64(number))
}

// name returns the name of an author; "": none.
func (a *authors) name(number uint32) string {
	if number == 0 || int(number) > len(a.names) {
		return ""
	}
	return a.names[number-1]
}

// AuthorOf returns the user who made the change of a key at a revision, or "" if no user did, or it is not known, or the change is not kept.
// The newest change of an existing key is kept for ever.
func (v *View) AuthorOf(key []byte, revision int64) string {
	defer runtime.KeepAlive(v)
	var wanted probe
	r, found := v.tree.Get(wanted.set(key))
	runtime.KeepAlive(wanted.words)
	if !found || revision > v.revision {
		return ""
	}
	if at := v.versionMadeAt(r.record().newest(), key, revision); at != nil {
		return v.authors.name(at.author())
	}
	return ""
}

// versionMadeAt returns the version that a revision made of a key, or nil. It searches from the key's newest version and among the changes
// of the revision at the same time, because either search alone can be long.
func (v *View) versionMadeAt(newest *version, key []byte, revision int64) *version {
	sub, changes := int64(0), int64(0)
	switch first := v.history.first(); {
	case revision == first:
		sub, changes = v.history.sub, v.history.changes(revision)
	case revision > first && revision <= v.revision && v.gaps.skip(revision) == revision:
		changes = v.history.changes(revision)
	}
	for at := newest; ; at = ref(at.prev.Load()).version() {
		switch {
		case at.mod == revision:
			return at
		case at.mod < revision, at.mod <= v.revision && !v.history.keepsBefore(at):
			return nil
		}
		if sub < changes {
			one := refOfChange(v.history.change(revision, sub).Load()).version()
			if bytes.Equal(ref(one.record.Load()).record().key(), key) {
				return one
			}
			if sub++; sub == changes && revision > v.history.first() {
				return nil
			}
		}
	}
}

func (l *accounts) readAuthors(r *pack.Reader) {
	for _, name := range r.Strings() {
		if _, twice := l.author.numbers[name]; twice || !l.authors.admit(name) {
			r.Fail("an author twice, without a name, or beyond the limit")
			return
		}
		l.addAuthor(name)
	}
}
