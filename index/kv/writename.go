package kv

import (
	"math"
	"math/bits"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// WriteName is the name of a client's write: number Sequence of a series of writes. It makes the write idempotent: it is
// applied once, however often it is sent. The zero value means no name; each copy is then a separate write.
type WriteName struct {
	Session  uint64 // the series: a random number that the client draws; 0: none
	Sequence uint64 // from 1 on; a retry has the same sequence
	// Window is the number of sequences, up to and including this one, that the client may still send again. All earlier
	// writes are answered, or the client no longer waits for them.
	Window uint64
	// Opened is the newest session clock that the client knew when it drew the series; a write that begins the series
	// carries it. After the first answer to a write of the series it is 0: the series then exists, or has ended.
	Opened int64
}

// WriteNameFields is the number of fields that AppendWriteName appends.
const WriteNameFields = 4

// AppendWriteName appends the fields of a WriteName.
func AppendWriteName(dst []byte, w *WriteName) []byte {
	dst = pack.AppendUint(pack.AppendUint(dst, w.Session), w.Sequence)
	return pack.AppendInt(pack.AppendUint(dst, w.Window), w.Opened)
}

// ReadWriteName reads the output of AppendWriteName.
func ReadWriteName(r *pack.Reader) WriteName {
	return WriteName{Session: r.Uint(), Sequence: r.Uint(), Window: r.Uint(), Opened: r.Int()}
}

// Number returns a hash of Session and Sequence, from 1 on. It does not depend on Window or Opened.
func (w *WriteName) Number() int64 {
	hi, lo := bits.Mul64(w.Session^0x9e3779b97f4a7c15, w.Sequence^0xd1b54a32d192ed03)
	hi, lo = bits.Mul64(hi^lo^w.Session, 0x9fb21c651e98df25)
	return 1 + int64((hi^lo)%math.MaxInt64)
}

// Check returns why a write cannot have this session and sequence, or nil.
func (w *WriteName) Check() *Error {
	switch {
	case *w == WriteName{}:
		return nil
	case w.Session == 0:
		return Errorf(BadRequest, "a write name with sequence %d and no series", w.Sequence)
	case w.Window == 0 || w.Window > w.Sequence:
		return Errorf(BadRequest, "a write name with sequence %d and window %d: a window is between 1 and the sequence", w.Sequence, w.Window)
	case w.Sequence > limits.SessionSequence:
		return Errorf(BadRequest, "a write name with sequence %d, over the limit of %d: the sequences of a series count up from 1; "+
			"the write certainly did not happen", w.Sequence, int64(limits.SessionSequence))
	case w.Opened < 0:
		return Errorf(BadRequest, "a write name that was opened at the negative clock %d", w.Opened)
	}
	return nil
}
