package index

import (
	"fmt"
	"sync/atomic"

	"qkv/internal/limits"
)

// Proof checks a file that was saved of a View by the checks of a load, without building a state: it needs memory for the meta data alone.
// The file must have the versions that Scan handed out: as many, and their checksums have the same sum, as in a digest. So it reads no
// memory of the View. A snapshot has only the open changes: each part file was proven when it was saved, and never changes. A Proof is for
// one goroutine.
type Proof struct {
	found  versionSum // the versions that Scan handed out
	extent Extent     // of changes; zero: the file has a range of a base
	totals metaNumbers
	read   versionSum // the versions so far
	b      Builder    // its state has the numbers, and the bounds of the history, but no keys
}

// Proof is for a range of the base. It is called after a complete Scan.
func (b *BaseRange) Proof() *Proof {
	p := proofOf(b.v, b.found)
	if h := &p.b.s.history; h.first() < b.v.extents.historyFrom { // a base serves a history from there on
		h.slots.first, h.sub = h.gaps.slot(h.gaps.skip(b.v.extents.historyFrom)), 0
	}
	return p
}

// Proof is for these changes: an extent, or the open changes of a file that lists parts. It is called after a complete Scan.
func (c *Changes) Proof() *Proof {
	p := proofOf(c.v, c.found)
	p.extent = c.extent
	return p
}

// proofOf takes from the View the numbers that a load takes from the meta data.
func proofOf(v *View, found versionSum) *Proof {
	p := &Proof{found: found, totals: metaNumbers{v.totals.live, v.totals.liveBytes, v.history.kept, v.history.keptSum}}
	h := &v.history
	p.b.s = &State{replicated: v.replicated, store: store{history: history{slots: fifo[atomic.Uint64]{first: h.slots.first}, gaps: h.gaps, sub: h.sub}}}
	return p
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
	for i := range all {
		if err := p.change(&all[i]); err != nil {
			return fmt.Errorf("change %d.%d of the key %q %w", all[i].Mod, all[i].Sub, all[i].Key, err)
		}
	}
	return nil
}

// change takes the next change. The sum compares it with the state's, so only its form is checked here: the change before it of the same
// key is in another place.
func (p *Proof) change(one *KeyedVersion) error {
	p.read.add(1, one.checksum(one.Key))
	switch {
	case one.Mod < p.extent.From || one.Mod > p.extent.To || p.extent.From == 0:
		return fmt.Errorf("is none of the revisions %d to %d", p.extent.From, p.extent.To)
	case !one.Tombstone:
		return p.b.checkChange(one.Key, []Version{one.Version}, 0, false)
	case one.Create != 0 || one.Version.Version != 0 || one.Lease != 0 || len(one.Value) != 0:
		return fmt.Errorf("is a tombstone that has data")
	}
	return nil
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

// Finish returns an error if something is missing, or is not what Scan handed out.
func (p *Proof) Finish() error {
	if p.read != p.found {
		return fmt.Errorf("it has %d versions, with the sum %016x, and the state has %d there, with the sum %016x", p.read.count, p.read.sum, p.found.count, p.found.sum)
	}
	return nil
}

// FinishSnapshot is Finish for a snapshot, whose meta data count its keys. Then Applied, Revision and Digest are those of its state.
func (p *Proof) FinishSnapshot() error {
	if err := p.Finish(); err != nil {
		return err
	}
	s := p.b.s
	s.totals.live, s.totals.liveBytes, s.history.kept, s.history.keptSum = p.totals.live, p.totals.liveBytes, p.totals.kept, p.totals.keptSum
	return p.b.checkTotals()
}

// Applied returns index and term of the state.
func (p *Proof) Applied() (index, term uint64) { return p.b.s.applied, p.b.s.term }

// Revision returns the newest revision of the state.
func (p *Proof) Revision() int64 { return p.b.s.revision }

// Digest returns the digest of the state.
func (p *Proof) Digest() uint64 { return p.b.s.Digest() }
