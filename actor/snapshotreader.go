package actor

import "qkv/snapshot"

// SnapshotReaderMessage is a message to the snapshot reader.
type SnapshotReaderMessage interface{ snapshotReaderMessage() }

// repairPart is an order to fetch a damaged part from another member. Posted: one at a time.
type repairPart struct{ Part snapshot.Part }

func (readSnapshot) snapshotReaderMessage() {}
func (repairPart) snapshotReaderMessage()   {}

// SnapshotReader reads back a snapshot being received, and builds its state, while the snapshotter writes the rest: neither waits for the
// other. It also fetches damaged parts from other members. It owns the Readback that it was given until it has reported.
type SnapshotReader struct {
	Snapshotter *Mailbox[SnapshotterMessage]
	// Repair fetches a part from another member into the folder of snapshots. It may take long.
	Repair func(snapshot.Part) error
}

// Handle implements Handler.
func (r *SnapshotReader) Handle(_ Time, batch []SnapshotReaderMessage) bool {
	for _, m := range batch {
		switch m := m.(type) {
		case readSnapshot:
			sound, err := m.Back.Step(m.Arrived)
			r.Snapshotter.MustPost(snapshotRead{Back: m.Back, Sound: sound, Err: err})
		case repairPart:
			r.Snapshotter.MustPost(partRepaired{m.Part, r.Repair(m.Part)})
		}
	}
	return false
}
