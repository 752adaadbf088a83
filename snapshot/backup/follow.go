package backup

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"qkv/internal/damage"
	"qkv/internal/limits"
)

// follower reads the log behind an entry, object by object.
//
// Invariant: each entry that next has returned follows the one before it. Objects may overlap, since two leaders may have written the same
// entries, and several small ones may have become one.
type follower struct {
	r     *Reader
	index uint64 // of the newest entry that was returned, or passed over
	term  uint64 // of that entry
	at    int    // position of the first object that may have later entries
	fresh bool   // the log was listed since index changed
}

// following returns the objects that have the entry behind the index, longest first.
func (l *follower) following() (all []span) {
	for l.at < len(l.r.log) && l.r.log[l.at].last <= l.index {
		l.at++
	}
	for _, of := range l.r.log[l.at:] {
		if of.first > l.index+1 {
			break
		}
		if of.last > l.index {
			all = append(all, of)
		}
	}
	slices.SortStableFunc(all, func(a, b span) int { return cmp.Compare(b.last, a.last) })
	return all
}

// next returns the next entries behind the index, and the header and the size of their object. The error is io.EOF at the end of the backup's
// log, ErrGap if the backup continues later, and damage.ErrDamaged if each object with the next entry is damaged.
func (l *follower) next() (h stretch, entries []Entry, bytes int64, err error) {
	var failed error
	for _, of := range l.following() {
		h, entries, err := l.read(of)
		switch {
		case err == nil:
			l.index, l.term, l.fresh = of.last, h.Term, false
			return h, entries, l.r.bytes[of], nil
		case !damaged(err):
			return h, nil, 0, err
		}
		failed = cmp.Or(failed, err)
	}
	switch {
	case failed == nil:
		return h, nil, 0, l.ends()
	case l.fresh:
		return h, nil, 0, failed
	}
	l.fresh, l.at = true, 0 // a Writer may have merged small objects since the log was listed
	if l.r.log, l.r.bytes, _, err = listLog(l.r.ctx, l.r.store); err != nil {
		return h, nil, 0, err
	}
	return l.next()
}

// read reads the entries behind the index from an object.
func (l *follower) read(of span) (h stretch, entries []Entry, err error) {
	h, payload, err := readLog(l.r.ctx, l.r.store, of, l.r.Cluster.ID)
	if err == nil {
		entries, err = l.r.entries(of, &h, payload)
	}
	if err != nil {
		return h, nil, err
	}
	if of.first <= l.index {
		same := entries[l.index-of.first]
		if entries = entries[l.index+1-of.first:]; l.term != 0 && same.Term != l.term {
			return h, nil, damage.At(l.r.store.Path(of.name()), 0, "it has entry %d of term %d, and another object has it of term %d: they are of two histories", l.index, same.Term, l.term)
		}
	}
	return h, entries, nil
}

// backupObjectMost bounds such an object when it is read, and the size of its entries: a full one, one entry of the largest size, the header, and
// what encryption adds, which is 16 bytes for each 64 KiB and a header of some hundred bytes for each recipient.
const backupObjectMost = limits.BackupObjectBytes + limits.RecordBytes + 1<<20

// entries reads the entries of an object of the log.
func (r *Reader) entries(of span, h *stretch, payload []byte) (entries []Entry, err error) {
	path := r.store.Path(of.name())
	if h.Encrypted {
		if payload, err = decrypt(path, payload, r.keys); err != nil {
			return nil, err
		}
	}
	content, err := decompress(path, payload, h.Bytes)
	if err != nil {
		return nil, err
	}
	entries, err = readEntries(content, h)
	return entries, damage.Of(path, 0, err)
}

// ends returns io.EOF if the backup ends with the newest entry, and ErrGap if it has more.
func (l *follower) ends() error {
	for _, of := range l.r.log {
		if of.first > l.index+1 {
			return fmt.Errorf("%w: entry %d is missing, and the log goes on with entry %d", ErrGap, l.index+1, of.first)
		}
	}
	if n := len(l.r.Bases); n > 0 && l.r.Bases[n-1].Index > l.index {
		return fmt.Errorf("%w: entry %d is missing, and the next base is of entry %d", ErrGap, l.index+1, l.r.Bases[n-1].Index)
	}
	return io.EOF
}
