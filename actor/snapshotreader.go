package actor

// SnapshotReaderConfig is the configuration of the snapshot reader.
type SnapshotReaderConfig struct {
	Inbox       *Mailbox[ReadSnapshot]
	Snapshotter *Mailbox[SnapshotterMessage]
}

// SnapshotReader reads back a snapshot being received, and builds its state, while the snapshotter writes the rest: neither waits for the
// other. It owns the Readback that it was given until it has reported.
type SnapshotReader struct{ SnapshotReaderConfig }

// NewSnapshotReader builds the actor.
func NewSnapshotReader(c SnapshotReaderConfig) *SnapshotReader { return &SnapshotReader{c} }

// Handle implements Handler.
func (r *SnapshotReader) Handle(_ Time, batch []ReadSnapshot) bool {
	for _, m := range batch {
		sound, err := m.Back.Step(m.Arrived)
		r.Snapshotter.MustPost(SnapshotRead{Back: m.Back, Sound: sound, Err: err})
	}
	return false
}
