package index

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"qkv/internal/limits"
)

// Proof checks a file that was saved of a View by the checks of a load, without building a state: it needs memory for the meta data alone.
// A part is compared with the View, version by version. A snapshot that lists parts has only the open changes: each part was proven when
// it was saved, and never changes. A Proof is for one goroutine.
type Proof struct {
	v     *View      // nil: the file has all keys, and the meta data count them
	piece *BasePiece // nil: the file is no piece of a base
	b     Builder    // its state has the numbers, and the bounds of the history, but no keys
	at    Position   // of the next change
	to    int64      // the last revision of the changes
}

// Proof is for a file with all keys.
func (v *View) Proof() *Proof { return NewProof() }

// NewProof is for a file with all keys. It needs no View.
func NewProof() *Proof { return &Proof{} }

// Proof is for a piece of the base. It is called after a complete Scan.
func (b *BasePiece) Proof() *Proof {
	p := &Proof{v: b.v, piece: &BasePiece{v: b.v, from: b.from, next: b.next}}
	p.bound()
	if h := &p.b.s.history; h.slots.first < b.v.extents.kept { // a base serves a history from there on
		h.slots.first, h.sub = b.v.extents.kept, 0
	}
	return p
}

// Proof is for these changes: an extent, or the open changes of a file that lists parts.
func (c Changes) Proof() *Proof {
	p := &Proof{v: c.v, at: Position{Revision: c.extent.From}, to: c.extent.To}
	p.bound()
	return p
}

// bound takes from the View the numbers that a load takes from the meta data.
func (p *Proof) bound() {
	p.b.s = &State{replicated: p.v.replicated, history: history{slots: fifo[atomic.Uint64]{first: p.v.history.slots.first}, sub: p.v.history.sub}}
}

// Open takes the meta data of a snapshot; a part has none.
func (p *Proof) Open(meta []byte) (err error) {
	if len(meta) == 0 && p.v != nil {
		return nil
	}
	p.b.s = newState(&ledger{}, limits.Index{})
	p.b.want, err = p.b.s.readMeta(meta)
	return err
}

// Key takes the next key, as Builder.Add and AddBase do.
func (p *Proof) Key(key []byte, versions []Version) error {
	if p.piece != nil {
		if err := p.ofPiece(key, versions); err != nil {
			return err
		}
		if versions = p.b.ofBase(slices.Clone(versions)); len(versions) == 0 {
			p.b.last = append(p.b.last[:0], key...)
			return nil
		}
	}
	if err := p.b.checkKey(key, versions); err != nil {
		return err
	}
	s := p.b.s
	for i := range versions {
		v := &versions[i]
		s.history.kept++
		s.history.keptSum += v.checksum(key)
	}
	if newest := &versions[len(versions)-1]; !newest.Tombstone {
		s.totals.live++
		s.totals.liveBytes += int64(len(key) + len(newest.Value))
		if p.v == nil { // a part's state has no leases
			if err := s.checkLease(newest.Lease); err != nil {
				return fmt.Errorf("the key %q: %w", key, err)
			}
		}
	}
	return nil
}

// checksum is the version's sum in the digest.
func (v *Version) checksum(key []byte) uint64 {
	return sumOf(hashOf(key), v.Value, v.Create, v.Mod, v.Sub, v.Version, v.Lease, v.Author)
}

// ofPiece compares a key's versions with those of the View's base.
func (p *Proof) ofPiece(key []byte, versions []Version) (err error) {
	found := false
	p.piece.after(p.b.last, func(r *record, want []Version) {
		found = bytes.Equal(r.key(), key) && len(want) == len(versions)
		for i := 0; found && i < len(want); i++ {
			found = want[i].Mod == versions[i].Mod && want[i].Sub == versions[i].Sub && want[i].Tombstone == versions[i].Tombstone &&
				r.has(&want[i], versions[i].checksum(key))
		}
	})
	if !found {
		return fmt.Errorf("the versions of the key %q, behind %q, are not those of the base", key, p.b.last)
	}
	return nil
}

// after calls f with the piece's first key after another one, if there is one.
func (b *BasePiece) after(last []byte, f func(r *record, versions []Version)) {
	defer runtime.KeepAlive(b.v)
	from := b.from
	if last != nil {
		from = append(bytes.Clone(last), 0)
	}
	var p probe
	b.v.tree.Ascend(p.set(from), func(r ref) bool {
		if b.next != nil && bytes.Compare(r.record().key(), b.next) >= 0 {
			return false
		}
		versions := b.v.ofBase(r.record(), nil)
		if len(versions) > 0 {
			f(r.record(), versions)
		}
		return len(versions) == 0
	})
	runtime.KeepAlive(p.words)
}

// has says whether a version of a record has a checksum.
func (r *record) has(v *Version, sum uint64) bool {
	for at := r.newest(); at != nil; at = ref(at.prev.Load()).version() {
		if at.mod == v.Mod && int64(at.sub) == v.Sub {
			return at.sum == sum
		}
	}
	return false
}

// Changes takes the next changes, as Builder.Redo does.
func (p *Proof) Changes(all []KeyedVersion) error {
	if p.v == nil || p.piece != nil {
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
	p.turn()
	if at := p.at; one.Mod != at.Revision || one.Sub != at.Sub || at.Revision > p.to || !h.holds(at.Revision, at.Sub) {
		return fmt.Errorf("is not change %d.%d, which is the next one", at.Revision, at.Sub)
	}
	at := changed(h.change(one.Mod, one.Sub).Load())
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
	return p.b.s.checkChange(one.Key, versions, len(versions)-1, known)
}

// turn goes on to the next revision after the last change of one.
func (p *Proof) turn() {
	if p.at.Revision <= p.to && p.at.Sub >= p.v.history.changes(p.at.Revision) {
		p.at = Position{Revision: p.at.Revision + 1}
	}
}

// Finish returns an error if something is missing.
func (p *Proof) Finish() error {
	s, missing := p.b.s, false
	switch {
	case p.piece != nil:
		p.piece.after(p.b.last, func(*record, []Version) { missing = true })
	case p.v != nil:
		p.turn()
		missing = p.at.Revision <= p.to
		s.totals.live, s.totals.liveBytes, s.history.kept, s.history.keptSum = p.v.totals.live, p.v.totals.liveBytes, p.v.history.kept, p.v.history.keptSum
	}
	if missing {
		return fmt.Errorf("the end is missing: the last key is %q, and the next change %d.%d of those up to revision %d", p.b.last, p.at.Revision, p.at.Sub, p.to)
	}
	return nil
}

// FinishSnapshot is Finish for a snapshot, whose meta data count its keys. Then Applied, Revision and Digest are those of its state.
func (p *Proof) FinishSnapshot() error {
	if err := p.Finish(); err != nil {
		return err
	}
	return p.b.agrees()
}

// Applied returns index and term of the state.
func (p *Proof) Applied() (index, term uint64) { return p.b.s.applied, p.b.s.term }

// Revision returns the newest revision of the state.
func (p *Proof) Revision() int64 { return p.b.s.revision }

// Digest returns the digest of the state.
func (p *Proof) Digest() uint64 { return p.b.s.digest() }
