package actor

import (
	"errors"
	"io/fs"
	"slices"

	"qkv/index"
	"qkv/snapshot"
)

// parts are the files with the base and the extents. The snapshots list those that they need.
type parts struct {
	base    []snapshot.Part // the pieces of the base that the next snapshot lists
	extents []snapshot.Part // behind it, in order
	lost    int64           // the base that this member cannot make: it was damaged, or the state was loaded without its versions
	gone    int64           // the last revision of the extents that this member cannot make, for the same reasons
	newer   []snapshot.Part // the complete pieces of a newer base, which a snapshot may list once it serves
	all     []snapshot.Part // all that are on the disk
	known   map[partID]bool // the same; false: it is damaged, was given up, and goes when nothing needs its sound values
	bytes   int64           // their size
	older   int64           // the size of those that nothing but an older snapshot lists
}

// partID is the name of a part. Pieces of two bases may be the same file.
type partID struct {
	number uint64
	sha    [32]byte
}

func partIDOf(one snapshot.Part) partID { return partID{one.Number, one.SHA} }

// partsOf returns the parts that snapshots list, newest first.
func partsOf(kept []snapshot.Info) parts {
	p := parts{known: map[partID]bool{}}
	for i, info := range kept {
		for _, one := range info.Parts {
			switch p.add(one); {
			case i > 0:
			case one.Number == 0:
				p.base = append(p.base, one)
			default:
				p.extents = append(p.extents, one)
			}
		}
	}
	return p
}

// published returns what an operator sees of them.
func (p *parts) published(shelf *snapshot.Shelf) (s Parts) {
	s.Reads, s.ReadsFailed = shelf.Reads()
	base := p.base
	if len(p.newer) > 0 {
		base = p.newer
	}
	for i := range base {
		s.Base, s.BaseFiles, s.BaseBytes = base[i].To, s.BaseFiles+1, s.BaseBytes+base[i].Bytes
	}
	for i := range p.extents {
		if p.extents[i].To > s.Base {
			s.Extents, s.ExtentBytes = s.Extents+1, s.ExtentBytes+p.extents[i].Bytes
		}
	}
	return s
}

// has says whether a part is on the disk, and was not given up.
func (p *parts) has(one snapshot.Part) bool { return p.known[partIDOf(one)] }

// add notes a file.
func (p *parts) add(one snapshot.Part) {
	if _, there := p.known[partIDOf(one)]; !there {
		p.all, p.bytes = append(p.all, one), p.bytes+one.Bytes
	}
	p.known[partIDOf(one)] = true
}

// remove forgets the files that are gone.
func (p *parts) remove(gone func(snapshot.Part) bool) {
	p.all = slices.DeleteFunc(p.all, func(one snapshot.Part) bool {
		if !gone(one) {
			return false
		}
		p.bytes -= one.Bytes
		delete(p.known, partIDOf(one))
		return true
	})
}

// drop gives up a damaged part. The changes of the extents stay dropped from memory: the state is not to keep them again.
func (p *parts) drop(one snapshot.Part) {
	same := func(other snapshot.Part) bool { return partIDOf(other) == partIDOf(one) }
	p.gone = max(p.gone, p.stored().To)
	if slices.ContainsFunc(p.base, same) {
		p.base = nil
	}
	if slices.ContainsFunc(p.newer, same) {
		p.newer = nil
	}
	p.extents = slices.DeleteFunc(p.extents, same)
	if p.has(one) {
		p.known[partIDOf(one)] = false
	}
}

// StoredIn returns which revisions are in the parts of a snapshot: of the base, and up to which one.
func StoredIn(all []snapshot.Part) Stored {
	p := partsOf([]snapshot.Info{{Meta: snapshot.Meta{Parts: all}}})
	return p.stored()
}

func (p *parts) stored() (s Stored) {
	s.Base = p.lost
	for _, pieces := range [][]snapshot.Part{p.base, p.newer} {
		if len(pieces) > 0 {
			s.Base = max(s.Base, pieces[0].To)
		}
	}
	s.To = max(s.Base, p.gone)
	if n := len(p.extents); n > 0 {
		s.To = max(s.To, p.extents[n-1].To)
	}
	return s
}

// listed returns the parts that a snapshot of a View lists, and the newer base if it takes the place of the older one; nil if the
// snapshot must have all keys itself: a member that was late may lack an extent before a newer base, which does not serve yet.
func (p *parts) listed(v *index.View) (base, extents []snapshot.Part) {
	if base = p.base; len(p.newer) > 0 && p.newer[0].To == v.Base() && v.BaseServes() {
		base = p.newer
	}
	if len(base) == 0 {
		return nil, nil
	}
	next := base[0].To + 1
	for _, one := range p.extents {
		if one.From == next && one.To < v.OpenExtent().From {
			extents, next = append(extents, one), one.To+1
		}
	}
	if next != v.OpenExtent().From {
		return nil, nil
	}
	return base, extents
}

// readElsewhere says whether values are still read from an older Shelf: the applier does not have the newest one yet.
func (s *Snapshotter) readElsewhere() bool {
	shelf := snapshot.ShelfOf(s.Status.View())
	return shelf != nil && shelf != s.shelf
}

// removeParts removes the parts that nothing lists any more, and finds out how much the older snapshots hold.
func (s *Snapshotter) removeParts() {
	needed, older := map[partID]bool{}, map[partID]bool{}
	need := func(list []snapshot.Part) {
		for _, one := range list {
			needed[partIDOf(one)] = true
		}
	}
	need(s.parts.base)
	need(s.parts.extents)
	need(s.parts.newer)
	need(s.shelf.Parts())
	if s.withheld = s.readElsewhere(); s.withheld {
		need(snapshot.ShelfOf(s.Status.View()).Parts())
	}
	if s.order != nil {
		need(s.order.base)
	}
	for i, info := range slices.Concat(s.files, s.stuck) {
		if i == 0 {
			need(info.Parts)
			continue
		}
		for _, one := range info.Parts {
			older[partIDOf(one)] = true
		}
	}
	if s.receive != nil {
		for _, one := range s.receive.offer.Parts {
			needed[partIDOf(snapshot.Part(one))] = true
		}
	}
	for _, one := range s.sends {
		if one.whole != nil {
			need(one.whole.Meta().Parts)
		}
	}
	if partial := s.Interrupted.Partial; partial != "" { // the transfer goes on with it, or does not go on
		if s.Interrupted.Partial = ""; s.receive == nil || s.receive.file.Path() != partial {
			_ = snapshot.Remove(s.FS, partial)
		}
	}
	s.parts.older = 0
	// A snapshot that was removed before its parts must not come back without them after a power loss.
	synced := false
	s.parts.remove(func(one snapshot.Part) bool {
		switch id := partIDOf(one); {
		case needed[id]:
			return false
		case older[id]:
			s.parts.older += one.Bytes
			return false
		}
		var err error
		if !synced {
			err = s.FS.SyncDir(s.Dir)
		}
		if synced = err == nil; synced {
			err = snapshot.Remove(s.FS, s.Dir+"/"+one.Name())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Logger.Warn("a part of older snapshots could not be removed", "file", one.Name(), "error", err)
		}
		return true
	})
}
