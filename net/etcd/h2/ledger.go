package h2

// Ledger counts the memory of a connection's streams, and the cost of its client. A connection with a method Ledger brings its own. The
// reader calls Data, Reset and Idle; the other methods are called by several goroutines, with the connection's lock: they wait for nothing.
type Ledger interface {
	Begin(c *Charge, head int) // a stream, with the bytes of its header block
	Data(c *Charge, n int)     // of a request
	Asked(c *Charge, last int) // the client has ended its side, with the last data
	Answered(c *Charge)        // an answer of several frames has begun
	Over(c *Charge)

	Charge(n int64) // bytes of a header block that is not whole; negative when it is
	Reset()         // a stream, by the client or by its error
	Idle()          // a frame that asks for nothing
}

// Charge is the part of one stream in a ledger, which owns the fields.
type Charge struct {
	Open, Asked, Answered bool
	Head, Data            int64
}

// noLedger counts nothing.
type noLedger struct{}

func (noLedger) Begin(*Charge, int) {}
func (noLedger) Data(*Charge, int)  {}
func (noLedger) Asked(*Charge, int) {}
func (noLedger) Answered(*Charge)   {}
func (noLedger) Over(*Charge)       {}
func (noLedger) Charge(int64)       {}
func (noLedger) Reset()             {}
func (noLedger) Idle()              {}
