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
	all      map[[32]byte]snapshot.Part
	bytes    int64  // their size
	older    int64  // the size of those that nothing but an older snapshot lists
	withheld bool   // some were not removed: values may be read from them, or a transfer needed them
	partial  string // the path of the incomplete file of an interrupted transfer; empty: there is none
	incoming string // that of the file that is being received

	// The parts of a newer base, and of the snapshots that are received and sent. What does this work keeps its list.
	written, received, sent []snapshot.Part
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
func (c *snapshotCore) postStored() {
	if !c.installing {
		c.Applier.MustPost(Stored{Shelf: c.shelf})
	}
}

// readElsewhere says whether values are still read from an older Shelf: the applier does not have the newest one yet.
func (c *snapshotCore) readElsewhere() bool {
	shelf := snapshot.ShelfOf(c.Status.View())
	return shelf != nil && shelf != c.shelf
}

// needed returns the parts that something besides an older snapshot needs.
func (c *snapshotCore) needed() []snapshot.Part {
	all := slices.Concat(c.shelf.Parts(), c.parts.written, c.parts.received, c.parts.sent)
	if c.parts.withheld = c.readElsewhere(); c.parts.withheld {
		all = append(all, snapshot.ShelfOf(c.Status.View()).Parts()...)
	}
	if len(c.files) > 0 {
		all = append(all, c.files[0].Parts...)
	}
	return all
}

// removeParts removes the parts that nothing needs any more, and finds out how much the older snapshots hold.
func (c *snapshotCore) removeParts() {
	needed, older := map[[32]byte]bool{}, map[[32]byte]bool{}
	for _, one := range c.needed() {
		needed[one.SHA] = true
	}
	for _, info := range slices.Concat(c.files, c.stuck) {
		for _, one := range info.Parts {
			older[one.SHA] = true
		}
	}
	if partial := c.parts.partial; partial != "" { // the transfer goes on with it, or does not go on
		if c.parts.partial = ""; partial != c.parts.incoming {
			_ = snapshot.Remove(c.FS, partial)
		}
	}
	c.parts.older = 0
	// A snapshot that was removed before its parts must not come back without them after a power loss.
	synced := false
	for _, one := range slices.SortedFunc(maps.Values(c.parts.all), func(a, b snapshot.Part) int { return bytes.Compare(a.SHA[:], b.SHA[:]) }) {
		switch {
		case needed[one.SHA]:
			continue
		case older[one.SHA]:
			c.parts.older += one.Bytes
			continue
		}
		var err error
		if !synced {
			err = c.FS.SyncDir(c.Dir)
		}
		if synced = err == nil; synced {
			err = snapshot.Remove(c.FS, c.Dir+"/"+one.Name())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.Logger.Warn("a part of older snapshots could not be removed", "file", one.Name(), "error", err)
		}
		c.parts.remove(one)
	}
}

// lists says whether the next snapshot lists a part.
func (c *snapshotCore) lists(part snapshot.Part) bool {
	return slices.ContainsFunc(c.shelf.Parts(), func(one snapshot.Part) bool { return one.SHA == part.SHA })
}

// inBackup reports whether a part is in the backup that a branch reads, and on no member's disk.
func (c *snapshotCore) inBackup(part snapshot.Part) bool {
	backup, is := c.FS.(snapshot.InBackup)
	return is && backup.Place(c.Dir+"/"+part.Name()) != ""
}
