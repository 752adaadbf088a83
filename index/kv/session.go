package kv

import (
	"math"
	"math/bits"

	"qkv/internal/pack"
)

// SessionWrite names a write of a client, so that it is applied once however often it is sent: the Sequence-th of a Session.
// Without a session it is all zero, and each copy that is sent is a write of its own.
type SessionWrite struct {
	Session  uint64 // drawn at random by the client; 0: none
	Sequence uint64 // from 1 on; sent again it has the same one
	// Window is how many sequences up to this one the client may send again, this one among them: the answers to all before
	// them have come, or nobody waits for them any more.
	Window uint64
	// Opened is the newest session clock that the client has been told of when it drew the session: what begins the session has
	// it. It is 0 once a write of the session was answered: then the session is there, or has ended.
	Opened int64
}

// SessionWriteFields is how many elements AppendSessionWrite appends.
const SessionWriteFields = 4

// AppendSessionWrite appends the fields of the name of a write.
func AppendSessionWrite(dst []byte, w *SessionWrite) []byte {
	dst = pack.AppendUint(pack.AppendUint(dst, w.Session), w.Sequence)
	return pack.AppendInt(pack.AppendUint(dst, w.Window), w.Opened)
}

// ReadSessionWrite reads what AppendSessionWrite has appended.
func ReadSessionWrite(r *pack.Reader) SessionWrite {
	return SessionWrite{Session: r.Uint(), Sequence: r.Uint(), Window: r.Uint(), Opened: r.Int()}
}

// Number is a number from 1 on that looks like one at random, the same for the same name whatever Window and Opened are.
func (w *SessionWrite) Number() int64 {
	hi, lo := bits.Mul64(w.Session^0x9e3779b97f4a7c15, w.Sequence^0xd1b54a32d192ed03)
	hi, lo = bits.Mul64(hi^lo^w.Session, 0x9fb21c651e98df25)
	return 1 + int64((hi^lo)%math.MaxInt64)
}

// Check says why a write cannot have this name, or nil.
func (w *SessionWrite) Check() *Error {
	switch {
	case *w == SessionWrite{}:
		return nil
	case w.Session == 0:
		return Errorf(BadRequest, "a write with sequence %d, and without a session", w.Sequence)
	case w.Window == 0 || w.Window > w.Sequence:
		return Errorf(BadRequest, "a write with sequence %d, of the last %d", w.Sequence, w.Window)
	case w.Opened < 0:
		return Errorf(BadRequest, "a session that was opened at %d", w.Opened)
	}
	return nil
}
