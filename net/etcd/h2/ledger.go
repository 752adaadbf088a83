package h2

// Ledger counts the memory of a connection's streams, and the cost of its client. A connection brings its own, by a method Ledger. The
// reader calls all methods; other goroutines call Answered and Over, too. Charge is called without the connection's lock, and may end a
// connection. The other methods may be called with the lock, and wait for nothing.
type Ledger interface {
	Begin(c *StreamCharge, head int) // a stream, with the bytes of its header block
	Data(c *StreamCharge, n int)     // of a request; negative when the handler of a stream takes a message
	HalfClosed(c *StreamCharge)      // the request is complete. The first call counts
	Answered(c *StreamCharge)        // an answer of several frames has begun
	Over(c *StreamCharge)

	Charge(n int64) // bytes of an incomplete header block; negative when it is complete
	Reset()         // a stream, by the client or by its error
	Idle(n int)     // frames that ask for nothing, or what costs as much as so many
}

// StreamCharge is the part of one stream in a ledger, which owns the fields.
type StreamCharge struct {
	Fixed    int64 // for the stream and its metadata; 0: it is over
	Data     int64 // bytes of its request, until that is complete
	Served   int64 // then
	Complete bool
	Serving  bool // complete, and not answered
}
