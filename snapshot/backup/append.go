package backup

import (
	"context"
	"fmt"

	"qkv/index"
	"qkv/internal/limits"
)

// tail is the end of the log as long as it lies in small objects. It becomes one object, and then the small ones are removed.
type tail struct {
	entries []Entry
	bytes   int64
	spans   []span
	// small objects that the newest merged object replaces: a reader may still want them until the next one
	covered []span
}

// tailMost bounds the small objects of a tail, since a list of a store has a bound. Writers that do not get there leave twice as many.
const tailMost = 1000

// Append stores committed entries, which are durable when it returns. Entries that the backup has are left
// out. Entries that do not continue the log begin it anew, if a base has everything before them; otherwise Append
// returns ErrGap and changes nothing, and the caller makes a base first. The Writer keeps the entries. Its error after a write is final.
func (w *Writer) Append(ctx context.Context, entries []Entry) error {
	if w.err != nil {
		return w.err
	}
	for len(entries) > 0 && entries[0].Index <= w.end.index {
		entries = entries[1:]
	}
	if err := w.follows(entries); err != nil {
		return err
	}
	for len(entries) > 0 {
		n, bytes := 0, int64(0)
		for n < len(entries) && (n == 0 || bytes+weight(&entries[n]) <= limits.BackupObjectBytes) {
			bytes += weight(&entries[n])
			n++
		}
		if err := w.appendObject(ctx, entries[:n], bytes); err != nil {
			w.err = fmt.Errorf("append to the backup: %w", err)
			return w.err
		}
		entries = entries[n:]
	}
	return nil
}

// backupEntryBytes is what an entry takes there beside its envelope, at most.
const backupEntryBytes = 32

// weight is the size of an entry in an object of the log, at most.
func weight(e *Entry) int64 { return int64(len(e.Envelope)) + backupEntryBytes }

// Continues compares the newest entry of a slice or a base with the entry that the cluster has there. Another entry is ErrForeign: the
// cluster has the same id and another history, because its data folders were set back, or a moment was restored twice. Its later entries
// behind those of the backup would make a state that no cluster had.
func (w *Writer) Continues(e Entry) error {
	term, known := w.end.term, w.end.wall
	if n := len(w.bases); n > 0 && w.bases[n-1].Index > w.end.index {
		term, known = w.bases[n-1].Term, w.bases[n-1].Wall
	}
	wall, err := newest([]Entry{e})
	if err == nil && (e.Term != term || wall > known) {
		err = fmt.Errorf("%w: it has entry %d of term %d, up to %s, and the cluster has entry %d of term %d, of %s: the cluster was set back "+
			"to an older state, or was restored a second time: give another place", ErrForeign, e.Index, term, timeOf(known), e.Index, e.Term, timeOf(wall))
	}
	return err
}

// follows returns why entries cannot be appended, or nil.
func (w *Writer) follows(entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	first, term := entries[0].Index, w.end.term
	if first != w.end.index+1 || w.end.index == 0 {
		if w.baseOf(first) == nil {
			return fmt.Errorf("%w: its log ends at entry %d, and entry %d is no base's next one", ErrGap, w.end.index, first)
		}
		term = 0
	}
	for i, e := range entries {
		if e.Index != first+uint64(i) || e.Term < term {
			return fmt.Errorf("entry %d of term %d cannot follow entry %d of term %d in a backup", e.Index, e.Term, first+uint64(i)-1, term)
		}
		if len(e.Envelope) > limits.EnvelopeBytes {
			return fmt.Errorf("entry %d has %d bytes, the limit is %d", e.Index, len(e.Envelope), limits.EnvelopeBytes)
		}
		term = e.Term
	}
	return nil
}

// baseOf returns the newest base that has everything before an entry; nil: there is none.
func (w *Writer) baseOf(first uint64) *Base {
	if n := len(w.bases); n > 0 && w.bases[n-1].Index+1 >= first {
		return &w.bases[n-1]
	}
	return nil
}

// appendObject stores entries as one object, and merges the tail of the log if it has become as large.
func (w *Writer) appendObject(ctx context.Context, entries []Entry, bytes int64) error {
	before := w.end
	begins := entries[0].Index != before.index+1 || before.index == 0
	if begins {
		before.wall = w.baseOf(entries[0].Index).Wall
	}
	if begins || w.tail.bytes+bytes > limits.BackupObjectBytes || len(w.tail.spans) >= tailMost {
		if err := w.mergeTail(ctx); err != nil {
			return err
		}
	}
	wall, err := newest(entries)
	if err != nil {
		return err
	}
	of, err := w.putLog(ctx, entries, max(before.wall, wall))
	if err != nil {
		return err
	}
	last := entries[len(entries)-1]
	w.end = end{last.Index, last.Term, max(before.wall, wall), len(w.to) > 0}
	w.tail.entries, w.tail.bytes, w.tail.spans = append(w.tail.entries, entries...), w.tail.bytes+bytes, append(w.tail.spans, of)
	if w.tail.bytes < limits.BackupObjectBytes/2 || len(w.tail.spans) > 1 {
		return nil
	}
	return w.mergeTail(ctx) // it is large enough alone
}

// putLog stores entries as an object of the log.
func (w *Writer) putLog(ctx context.Context, entries []Entry, wall int64) (of span, err error) {
	last, content := entries[len(entries)-1], appendEntries(nil, entries)
	h := stretch{
		Cluster: w.cluster.ID, First: entries[0].Index, Last: last.Index, Term: last.Term, Wall: wall, Writer: w.nonce, Bytes: int64(len(content)), Encrypted: len(w.to) > 0,
	}
	payload, err := encrypt(compress(content), w.to)
	if err != nil {
		return of, err
	}
	of, object := h.put(payload)
	return of, w.store.Put(ctx, of.name(), object)
}

// mergeTail stores the tail of the log as one object, unless it is one, and begins a new tail. It removes the small objects that an earlier
// merged object has replaced.
func (w *Writer) mergeTail(ctx context.Context) error {
	t := w.tail
	w.tail = tail{covered: t.covered}
	if len(t.spans) < 2 {
		return nil
	}
	if _, err := w.putLog(ctx, t.entries, w.end.wall); err != nil {
		return err
	}
	w.left = nil
	for _, of := range t.covered {
		w.left = append(w.left, of.name())
	}
	w.tail.covered = t.spans
	_ = w.RemoveLeft(ctx) // the caller tries again
	return nil
}

// Inherit takes over the small objects of the Writer before, which has failed: otherwise each failure would leave up to tailMost of them. If
// its end is not that of the backup, a lost answer hides an object behind them, or the place is an older copy. Then they become one object at
// once, and objects that an earlier one replaced stay: the copy may lack that one.
func (w *Writer) Inherit(ctx context.Context, before *Writer) error {
	w.tail = before.tail
	now := w.end
	if now == before.end {
		return nil
	}
	w.end, w.tail.covered = before.end, nil
	err := w.mergeTail(ctx)
	w.end = now
	return err
}

// RemoveLeft removes the small objects that the newest merge has left. After an error they stay until it, or retention, removes them.
func (w *Writer) RemoveLeft(ctx context.Context) error {
	err := w.store.Delete(ctx, w.left...)
	if err == nil {
		w.left = nil
	}
	return err
}

// newest returns the newest time in entries.
func newest(entries []Entry) (wall int64, err error) {
	for _, e := range entries {
		if len(e.Envelope) == 0 {
			continue
		}
		head, err := index.ReadEnvelope(e.Envelope)
		if err != nil {
			return 0, fmt.Errorf("entry %d: %w", e.Index, err)
		}
		wall = max(wall, head.Wall)
	}
	return wall, nil
}
