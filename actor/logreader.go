package actor

import "qkv/log"

// LogReaderConfig is what the log reader is built from.
type LogReaderConfig struct {
	Reader    *log.Reader
	Inbox     *Mailbox[ReadLog]
	Consensus *Mailbox[ConsensusMessage]
}

// LogReader reads entries back that are not in memory any more, for followers that catch up and for the applier after a
// start. It owns the files that are open for that: consensus never waits for a disk.
type LogReader struct {
	// Constant after construction.
	LogReaderConfig

	// Owned by the actor.
	queue []ReadLog // in the order of arrival; consensus bounds how many there are
}

// NewLogReader builds the actor.
func NewLogReader(c LogReaderConfig) *LogReader { return &LogReader{LogReaderConfig: c} }

// Handle implements Handler: one read, which is reported before the next one begins.
func (r *LogReader) Handle(_ Time, batch []ReadLog) (again bool) {
	r.queue = append(r.queue, batch...)
	if len(r.queue) == 0 {
		return false
	}
	order := r.queue[0]
	r.queue = append(r.queue[:0], r.queue[1:]...)
	entries, err := r.Reader.Read(order.Order)
	r.Consensus.MustPost(LogRead{Order: order.Order, Entries: entries, Err: err})
	return len(r.queue) > 0
}

// Close lets the files go. The actor must have been stopped.
func (r *LogReader) Close() error { return r.Reader.Close() }
