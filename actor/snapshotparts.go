package actor

import (
	"slices"

	"qkv/index"
	"qkv/snapshot"
)

// parts are the files with the base and the extents. The snapshots list those that they need.
type parts struct {
	base    []snapshot.Part // the pieces of the base that the next snapshot lists
	extents []snapshot.Part // behind it, in order
	gone    int64           // the last revision of the extents that this member cannot make: its state was loaded without their changes
	newer   []snapshot.Part // the complete pieces of a newer base, which a snapshot may list once it serves
	all     []snapshot.Part // all that are on the disk
}

// partsOf returns the parts that snapshots list, newest first.
func partsOf(kept []snapshot.Info) (p parts) {
	for _, one := range kept[0].Parts {
		if one.Number == 0 {
			p.base = append(p.base, one)
		} else {
			p.extents = append(p.extents, one)
		}
	}
	for _, info := range kept {
		for _, one := range info.Parts {
			p.add(one)
		}
	}
	return p
}

// add notes a file. Pieces of two bases may be the same file.
func (p *parts) add(one snapshot.Part) {
	if !slices.ContainsFunc(p.all, func(known snapshot.Part) bool { return known.Name() == one.Name() }) {
		p.all = append(p.all, one)
	}
}

// drop forgets a damaged part. The changes of the extents stay dropped from memory: the state is not to keep them again.
func (p *parts) drop(one snapshot.Part) {
	has := func(list []snapshot.Part) bool {
		return slices.ContainsFunc(list, func(other snapshot.Part) bool { return other.Name() == one.Name() })
	}
	p.gone = max(p.gone, p.stored().To)
	if has(p.base) {
		p.base = nil
	}
	if has(p.newer) {
		p.newer = nil
	}
	for _, list := range []*[]snapshot.Part{&p.extents, &p.all} {
		*list = slices.DeleteFunc(*list, func(other snapshot.Part) bool { return other.Name() == one.Name() })
	}
}

// StoredIn returns which revisions are in the parts of a snapshot: of the base, and up to which one.
func StoredIn(all []snapshot.Part) Stored {
	p := partsOf([]snapshot.Info{{Meta: snapshot.Meta{Parts: all}}})
	return p.stored()
}

func (p *parts) stored() (s Stored) {
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
	base, from := p.base, int64(0)
	if len(p.newer) > 0 && p.newer[0].To == v.Base() && v.BaseServes() {
		base, from = p.newer, v.Base()
	}
	for _, one := range p.extents {
		if one.To > from && one.To < v.OpenExtent().From {
			extents = append(extents, one)
		}
	}
	last := v.OpenExtent().Number - 1
	for i, one := range extents {
		if one.Number != last-uint64(len(extents)-1-i) {
			return nil, nil
		}
	}
	switch {
	case len(base) == 0:
		return nil, nil
	case len(extents) == 0 && base[0].To != v.OpenExtent().From-1, len(extents) > 0 && !follows(v, base[0].To, extents[0]):
		return nil, nil
	}
	return base, extents
}

// follows says whether an extent is the first one behind a base.
func follows(v *index.View, base int64, first snapshot.Part) bool {
	for _, e := range v.Extents() {
		if e.Number == first.Number {
			return e.From == base+1
		}
	}
	return true // it is before the View's base, and the extents behind it are complete
}

// removeParts removes the parts that nothing lists any more.
func (s *Snapshotter) removeParts() {
	needed := map[string]bool{}
	need := func(list []snapshot.Part) {
		for _, one := range list {
			needed[one.Name()] = true
		}
	}
	need(s.parts.base)
	need(s.parts.extents)
	need(s.parts.newer)
	if s.order != nil {
		need(s.order.base)
	}
	for _, info := range s.files {
		need(info.Parts)
	}
	if s.receive != nil {
		for _, one := range s.receive.offer.Parts {
			needed[snapshot.Part(one).Name()] = true
		}
	}
	for _, one := range s.sends {
		if one.whole != nil {
			need(one.whole.Meta().Parts)
		}
	}
	s.parts.all = slices.DeleteFunc(s.parts.all, func(one snapshot.Part) bool {
		if needed[one.Name()] {
			return false
		}
		if err := snapshot.Remove(s.FS, s.Dir+"/"+one.Name()); err != nil {
			s.Logger.Warn("a part of older snapshots could not be removed", "file", one.Name(), "error", err)
		}
		return true
	})
}
