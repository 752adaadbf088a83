package actor

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"qkv/snapshot"
)

// parts are the files with pieces of a base and extents that are on the disk, by their SHA: pieces of two bases may be the same file. The
// Shelf has those of the present state.
type parts struct {
	all   map[[32]byte]snapshot.Part
	bytes int64 // their size
	older int64 // the size of those that nothing but an older snapshot lists
}

// has says whether a part is on the disk.
func (p *parts) has(one snapshot.Part) bool {
	_, has := p.all[one.SHA]
	return has
}

// add notes files.
func (p *parts) add(all ...snapshot.Part) {
	for _, one := range all {
		if !p.has(one) {
			p.all[one.SHA], p.bytes = one, p.bytes+one.Bytes
		}
	}
}

// remove forgets a file that is gone.
func (p *parts) remove(one snapshot.Part) {
	if p.has(one) {
		p.bytes -= one.Bytes
		delete(p.all, one.SHA)
	}
}

// partsFigures returns what an operator sees of the parts of the present state.
func (s *Snapshotter) partsFigures() (p Parts) {
	p.Reads, p.ReadsFailed = s.shelf.Reads()
	p.Base = s.shelf.Base()
	p.BaseFiles, p.BaseBytes, p.Extents, p.ExtentBytes = s.shelf.Sizes()
	for _, one := range s.repair.damaged {
		if one.lost && s.lists(one.Part) {
			p.Lost = max(p.Lost, one.To)
		}
	}
	return p
}

// postStored tells the applier which changes are in parts. While a received state is being installed it does not: that state has other
// parts, and its end is followed by a report.
func (s *Snapshotter) postStored() {
	if !s.installs() {
		s.Applier.MustPost(Stored{Shelf: s.shelf})
	}
}

// readElsewhere says whether values are still read from an older Shelf: the applier does not have the newest one yet.
func (s *Snapshotter) readElsewhere() bool {
	shelf := snapshot.ShelfOf(s.Status.View())
	return shelf != nil && shelf != s.shelf
}

// needed calls need with each part that something besides an older snapshot needs.
func (s *Snapshotter) needed(need func(...snapshot.Part)) {
	need(s.shelf.Parts()...)
	if s.withheld = s.readElsewhere(); s.withheld {
		need(snapshot.ShelfOf(s.Status.View()).Parts()...)
	}
	if s.out.base != nil {
		for _, one := range s.out.base.volumes {
			need(one.Part)
		}
	}
	if len(s.files) > 0 {
		need(s.files[0].Parts...)
	}
	if s.receive != nil {
		for _, one := range s.receive.offer.Parts {
			need(snapshot.Part(one))
		}
	}
	for _, one := range s.sends {
		if one.whole != nil {
			need(one.whole.Meta().Parts...)
		}
	}
}

// removeParts removes the parts that nothing needs any more, and finds out how much the older snapshots hold.
func (s *Snapshotter) removeParts() {
	needed, older := map[[32]byte]bool{}, map[[32]byte]bool{}
	s.needed(func(all ...snapshot.Part) {
		for _, one := range all {
			needed[one.SHA] = true
		}
	})
	for _, info := range slices.Concat(s.files, s.stuck) {
		for _, one := range info.Parts {
			older[one.SHA] = true
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
	for _, one := range slices.SortedFunc(maps.Values(s.parts.all), func(a, b snapshot.Part) int { return bytes.Compare(a.SHA[:], b.SHA[:]) }) {
		switch {
		case needed[one.SHA]:
			continue
		case older[one.SHA]:
			s.parts.older += one.Bytes
			continue
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
		s.parts.remove(one)
	}
}
