package kv

import (
	"math"
	"math/bits"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// SessionWrite identifies a client's write as number Sequence of a Session. It makes the write idempotent: it is applied
// once, however often it is sent. The zero value means no session; each copy is then a separate write.
type SessionWrite struct {
	Session  uint64 // random number drawn by the client; 0: none
	Sequence uint64 // from 1 on; a retry has the same sequence
	// Window is the number of sequences, up to and including this one, that the client may still send again. All earlier
	// writes are answered, or the client no longer waits for them.
	Window uint64
	// Opened is the newest session clock that the client knew when it drew the session; a write that begins the session
	// carries it. After the first answer to a write of the session it is 0: the session then exists, or has ended.
	Opened int64
}

// SessionWriteFields is the number of fields that AppendSessionWrite appends.
const SessionWriteFields = 4

// AppendSessionWrite appends the fields of a SessionWrite.
func AppendSessionWrite(dst []byte, w *SessionWrite) []byte {
	dst = pack.AppendUint(pack.AppendUint(dst, w.Session), w.Sequence)
	return pack.AppendInt(pack.AppendUint(dst, w.Window), w.Opened)
}

// ReadSessionWrite reads the output of AppendSessionWrite.
func ReadSessionWrite(r *pack.Reader) SessionWrite {
	return SessionWrite{Session: r.Uint(), Sequence: r.Uint(), Window: r.Uint(), Opened: r.Int()}
}

// Number returns a hash of Session and Sequence, from 1 on. It does not depend on Window or Opened.
func (w *SessionWrite) Number() int64 {
	hi, lo := bits.Mul64(w.Session^0x9e3779b97f4a7c15, w.Sequence^0xd1b54a32d192ed03)
	hi, lo = bits.Mul64(hi^lo^w.Session, 0x9fb21c651e98df25)
	return 1 + int64((hi^lo)%math.MaxInt64)
}

// Check returns why a write cannot have this session and sequence, or nil.
func (w *SessionWrite) Check() *Error {
	switch {
	case *w == SessionWrite{}:
		return nil
	case w.Session == 0:
		return Errorf(BadRequest, "a write with sequence %d and no session", w.Sequence)
	case w.Window == 0 || w.Window > w.Sequence:
		return Errorf(BadRequest, "a write with sequence %d and window %d: a window is between 1 and the sequence", w.Sequence, w.Window)
	case w.Sequence > limits.SessionSequence:
		return Errorf(BadRequest, "a write with sequence %d, over the limit of %d: a session's sequences count up from 1; the write certainly did not happen", w.Sequence, int64(limits.SessionSequence))
	case w.Opened < 0:
		return Errorf(BadRequest, "a session that was opened at the negative clock %d", w.Opened)
	}
	return nil
}
