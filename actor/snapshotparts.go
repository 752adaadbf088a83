package actor

import (
	"qkv/net/wire/peerframe"
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

	// Those of a newer base, and of the snapshots that are received and sent. Saving, receiving and sending list theirs.
	written, received, sent []snapshot.Part
	offered                 []string // paths of the snapshots that are sent
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

// missing returns the size of the files of a snapshot that are not here.
func (p *parts) missing(o *peerframe.SnapshotOffer) int64 {
	n := o.Size
	for _, one := range o.Parts {
		if !p.has(snapshot.Part(one)) {
			n += one.Bytes
		}
	}
	return n
}
