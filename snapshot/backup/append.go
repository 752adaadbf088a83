package backup

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

func sha256Of(b []byte) [32]byte { return sha256.Sum256(b) }

// Append appends committed entries, which are durable in a folder when it returns. Entries that the backup has are left
// out. Entries that do not continue the log begin it anew, if a base has everything before them; otherwise Append
// returns ErrGap and changes nothing, and the caller makes a base first. Its error after a write is final.
func (w *Writer) Append(entries []Entry) error {
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
		n, bytes := 0, 0
		for n < len(entries) && (n == 0 || bytes+len(entries[n].Envelope) <= limits.BackupChunkBytes) {
			bytes += len(entries[n].Envelope)
			n++
		}
		if err := w.appendChunk(entries[:n]); err != nil {
			w.err = fmt.Errorf("append to the backup: %w", err)
			return w.err
		}
		entries = entries[n:]
	}
	return nil
}

// Continues compares the newest entry of the backup with the entry that the cluster has there. Another entry is ErrForeign: the cluster
// has the same id and another history, because its data folders were set back, or a moment was restored twice. Its later entries behind
// those of the backup would make a state that no cluster had.
func (w *Writer) Continues(e Entry) error {
	term, known := w.end.term, w.end.wall
	if n := len(w.bases); w.end.segment == 0 && n > 0 {
		term, known = w.bases[n-1].Term, w.bases[n-1].Wall
	}
	wall, err := newest([]Entry{e})
	if err == nil && (e.Term != term || wall > known) {
		err = fmt.Errorf("%w: it has entry %d of term %d, up to %s, and the cluster has entry %d of term %d, of %s: the cluster was set back "+
			"to an older state, or was restored a second time: give another folder", ErrForeign, e.Index, term, timeOf(known), e.Index, e.Term, timeOf(wall))
	}
	return err
}

// follows returns why entries cannot be appended, or nil.
func (w *Writer) follows(entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	first, term := entries[0].Index, w.end.term
	if first != w.end.index+1 || w.end.segment == 0 {
		covered := func(b Base) bool { return b.Index+1 >= first }
		if !slices.ContainsFunc(w.bases, covered) {
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

// appendChunk appends one chunk, to a new segment if the newest one is full or does not end right before it.
func (w *Writer) appendChunk(entries []Entry) error {
	first, last := entries[0].Index, entries[len(entries)-1]
	wall, err := newest(entries)
	if err != nil {
		return err
	}
	before := w.end
	if continues := first == before.index+1 && before.segment != 0; !continues {
		before = end{}
	}
	if w.segment != nil && (before.segment == 0 || w.bytes >= limits.BackupSegmentBytes) {
		if err := w.closeSegment(); err != nil {
			return err
		}
	}
	stored, flags, err := encrypt(kv.AppendLogEntries(nil, entries), w.to)
	if err != nil {
		return err
	}
	var h []byte
	c := chunk{flags: flags, bytes: uint32(len(stored)), first: first, last: last.Index, term: last.Term, wall: max(before.wall, wall)}
	w.end.segment = before.segment
	begins := w.segment == nil
	if begins {
		head := header{cluster: w.cluster.ID, first: first, before: before.segment, link: before.sum}
		h = head.put()
		c.previous, w.end.segment = sha256Of(h), first
		if w.segment, err = w.target.create(segmentName(first)); err != nil {
			return err
		}
		w.bytes = 0
	} else {
		c.number, c.previous = before.number, before.sum
	}
	b := slices.Concat(h, c.put(stored), stored)
	if err := w.segment.append(b); err != nil {
		return err
	}
	if begins {
		if err := w.segment.publish(); err != nil {
			return err
		}
	}
	w.bytes += int64(len(b))
	w.end = end{segment: w.end.segment, index: last.Index, term: last.Term, wall: c.wall, sum: c.sum, number: c.number + 1, encrypted: flags&flagEncrypted != 0}
	return nil
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
