package actor

import "qkv/snapshot"

// SnapshotReaderMessage is a message to the snapshot reader.
type SnapshotReaderMessage interface{ snapshotReaderMessage() }

// repairPart is an order to fetch a damaged part from another member. Posted: one at a time.
type repairPart struct{ Part snapshot.Part }

func (pull) snapshotReaderMessage()       {}
func (repairPart) snapshotReaderMessage() {}

// SnapshotReader gets the files of a snapshot from the member that has offered it, piece by piece. With the pieces of the snapshot itself
// it builds the state. It also fetches damaged parts from other members. It owns the file that it was given until it has reported.
type SnapshotReader struct {
	Snapshotter *Mailbox[SnapshotterMessage]
	// Pull returns the next piece of a file from the member at an address, from an offset on. With an error the piece may be shorter
	// or empty. It waits for it, up to a bound.
	Pull func(address, name string, size, offset int64) (piece []byte, err error)
	// Repair fetches a part from another member into the folder of snapshots. It may take long.
	Repair func(snapshot.Part) error
}

// Handle implements Handler.
func (r *SnapshotReader) Handle(_ Time, batch []SnapshotReaderMessage) bool {
	for _, m := range batch {
		switch m := m.(type) {
		case pull:
			r.pull(m)
		case repairPart:
			r.Snapshotter.MustPost(partRepaired{m.Part, r.Repair(m.Part)})
		}
	}
	return false
}

func (r *SnapshotReader) pull(m pull) {
	var piece []byte
	if m.File.Offset() < m.File.Size() { // otherwise an earlier process has received all of it
		var away error
		if piece, away = r.Pull(m.From, m.File.Name(), m.File.Size(), m.File.Offset()); len(piece) == 0 {
			r.Snapshotter.MustPost(pulled{File: m.File, Away: away})
			return
		}
	}
	r.Snapshotter.MustPost(pieceCame{m.File})
	r.Snapshotter.MustPost(pulled{File: m.File, Err: m.File.Write(piece)})
}
