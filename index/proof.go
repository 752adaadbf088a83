package index

import (
	"bytes"
	"fmt"
	"runtime"
	"sync/atomic"

	"qkv/internal/limits"
)

// Proof checks a file that was saved of a View by the checks of a load, without building a state: it needs memory for the meta data alone.
// The changes of an extent are compared with those of the View, one by one. A range of a base has the versions that Scan found: as many,
// and their checksums have the same sum, as in a digest. A snapshot has only the open changes: each part file was proven when it was saved,
// and never changes. A Proof is for one goroutine.
type Proof struct {
	v         *View
	baseRange *BaseRange // nil: the file has changes
	read      versionSum // the versions so far
	b         Builder    // its state has the numbers, and the bounds of the history, but no keys
	at        Position   // of the next change
	to        int64      // the last revision of the changes
}

// Proof is for a range of the base. It is called after a complete Scan.
func (b *BaseRange) Proof() *Proof {
	p := &Proof{v: b.v, baseRange: b}
	p.takeBounds()
	if h := &p.b.s.history; h.first() < b.v.extents.historyFrom { // a base serves a history from there on
		h.slots.first, h.sub = h.gaps.slot(h.gaps.skip(b.v.extents.historyFrom)), 0
	}
	return p
}

// Proof is for these changes: an extent, or the open changes of a file that lists parts.
func (c Changes) Proof() *Proof {
	p := &Proof{v: c.v, at: Position{Revision: c.v.gaps.skip(c.extent.From)}, to: c.extent.To}
	p.takeBounds()
	return p
}

// takeBounds takes from the View the numbers that a load takes from the meta data.
func (p *Proof) takeBounds() {
	h := &p.v.history
	p.b.s = &State{replicated: p.v.replicated, store: store{history: history{slots: fifo[atomic.Uint64]{first: h.slots.first}, gaps: h.gaps, sub: h.sub}}}
}

// Open takes the meta data of a snapshot; a part has none.
func (p *Proof) Open(meta []byte) (err error) {
	if len(meta) == 0 {
		return nil
	}
	m := metaReader{s: newState(&ledger{}, limits.Index{})}
	err = m.read(meta)
	p.b.s, p.b.want = m.s, m.want
	return err
}

// Key takes the next key, as AddBase does.
func (p *Proof) Key(key []byte, versions []Version) error {
	for i := range versions {
		p.read.add(1, versions[i].checksum(key))
	}
	if versions = p.b.ofBase(versions); len(versions) == 0 {
		p.b.last = append(p.b.last[:0], key...)
		return nil
	}
	return p.b.checkKey(key, versions)
}

// checksum is the version's sum in the digest.
func (v *Version) checksum(key []byte) uint64 {
	return sumOf(hashOf(key), v.Value, v.Create, v.Mod, v.Sub, v.Version, v.Lease, v.Author)
}

// Changes takes the next changes, as Builder.Replay does.
func (p *Proof) Changes(all []KeyedVersion) error {
	if p.baseRange != nil {
		return fmt.Errorf("changes, where keys are expected")
	}
	defer runtime.KeepAlive(p.v)
	for i := range all {
		if err := p.change(&all[i]); err != nil {
			return fmt.Errorf("change %d.%d of the key %q %w", all[i].Mod, all[i].Sub, all[i].Key, err)
		}
	}
	return nil
}

func (p *Proof) change(one *KeyedVersion) error {
	h := &p.v.history
	p.skipRevisionEnd()
	if at := p.at; one.Mod != at.Revision || one.Sub != at.Sub || at.Revision > p.to || !h.holds(at.Revision, at.Sub) {
		return fmt.Errorf("is not change %d.%d, which is the next one", at.Revision, at.Sub)
	}
	at := refOfChange(h.change(one.Mod, one.Sub).Load())
	made := at.version()
	if !bytes.Equal(keyOf(at), one.Key) || made.sum != one.checksum(one.Key) || made.has(tombstone) != one.Tombstone {
		return fmt.Errorf("is not the one of the state")
	}
	p.at.Sub++
	pair := [2]Version{1: one.Version}
	versions, known := pair[1:], made.has(created)
	if before := made.older(); before != 0 {
		pair[0].set(nil, nil, before.version())
		versions, known = pair[:], true
	}
	if !known && one.Tombstone {
		return nil // what it deletes is dropped
	}
	return p.b.checkChange(one.Key, versions, len(versions)-1, known)
}

// skipRevisionEnd goes on to the next revision after the last change of one.
func (p *Proof) skipRevisionEnd() {
	if p.at.Revision <= p.to && p.at.Sub >= p.v.history.changes(p.at.Revision) {
		p.at = Position{Revision: p.v.history.next(p.at.Revision)}
	}
}

// versionSum is a number of versions, and the sum of their checksums.
type versionSum struct {
	count int64
	sum   uint64
}

func (s *versionSum) add(count int64, sum uint64) {
	s.count += count
	s.sum += sum
}

// Finish returns an error if something is missing.
func (p *Proof) Finish() error {
	s := p.b.s
	switch {
	case p.baseRange != nil && p.read != p.baseRange.found:
		return fmt.Errorf("it has %d versions, with the sum %016x, and the base has %d there, with the sum %016x",
			p.read.count, p.read.sum, p.baseRange.found.count, p.baseRange.found.sum)
	case p.baseRange != nil:
	default:
		if p.skipRevisionEnd(); p.at.Revision <= p.to {
			return fmt.Errorf("the end is missing: the next change is %d.%d of those up to revision %d", p.at.Revision, p.at.Sub, p.to)
		}
		s.totals.live, s.totals.liveBytes, s.history.kept, s.history.keptSum = p.v.totals.live, p.v.totals.liveBytes, p.v.history.kept, p.v.history.keptSum
	}
	return nil
}

// FinishSnapshot is Finish for a snapshot, whose meta data count its keys. Then Applied, Revision and Digest are those of its state.
func (p *Proof) FinishSnapshot() error {
	if err := p.Finish(); err != nil {
		return err
	}
	return p.b.checkTotals()
}

// Applied returns index and term of the state.
func (p *Proof) Applied() (index, term uint64) { return p.b.s.applied, p.b.s.term }

// Revision returns the newest revision of the state.
func (p *Proof) Revision() int64 { return p.b.s.revision }

// Digest returns the digest of the state.
func (p *Proof) Digest() uint64 { return p.b.s.Digest() }
