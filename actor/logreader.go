package actor

import "qkv/log"

// LogReader reads back entries that are no longer in memory, for followers that catch up and for the applier after a start. It owns the
// files opened for that: consensus never waits for a disk.
type LogReader struct {
	// Constant after construction.
	Reader    *log.Reader
	Consensus *Mailbox[ConsensusMessage]

	// Owned by the actor.
	queue []ReadLog // in the order of arrival; consensus bounds their number
}

// Handle implements Handler: one read, which is reported before the next one begins.
func (r *LogReader) Handle(_ Time, batch []ReadLog) (again bool) {
	r.queue = append(r.queue, batch...)
	if len(r.queue) == 0 {
		return false
	}
	order := r.queue[0]
	r.queue = append(r.queue[:0], r.queue[1:]...)
	entries, err := r.Reader.Read(order.Order)
	r.Consensus.MustPost(logRead{Order: order.Order, Entries: entries, Err: err})
	return len(r.queue) > 0
}

// Close closes the files. The actor must have been stopped.
func (r *LogReader) Close() error { return r.Reader.Close() }
