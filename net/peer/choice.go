package peer

import "qkv/net/wire/peerframe"

// choice decides which of the connections to one peer is used; doc.go numbers the rules. All its methods are called under its
// link's lock, and so is the construction of its handshakes' seen: seen is true when it is sent.
//
//  1. At most one connection is in use and at most one is pending, and never both: a handshake is sent only while none is in use, and a
//     connection that comes into use ends the pending one.
//  2. seen.dial only grows for one process, until the choice is discarded with its link.
type choice struct {
	lower   bool           // my id is the lower one
	process [16]byte       // mine
	seen    peerframe.Mark // the newest dial of the peer that this member accepted
	inUse   *conn
	pending *conn
}

// propose makes a connection that this member dialled pending, unless one is in use. It returns the seen field of its handshake.
// Dial numbers only grow.
func (c *choice) propose(dialled *conn, dial uint64) (seen peerframe.Mark, ok bool) {
	if c.inUse != nil {
		return peerframe.Mark{}, false
	}
	dialled.mine, dialled.dial = true, dial
	c.pending = dialled
	return c.seen, true
}

// confirm brings a pending connection into use after the peer's answer. It returns false if another connection came into use
// meanwhile.
func (c *choice) confirm(dialled *conn, process [16]byte) bool {
	if c.pending != dialled {
		return false
	}
	dialled.process = process
	c.inUse, c.pending = dialled, nil
	return true
}

// accept decides about a connection that the peer dialled. If it comes into use, other is the connection that it replaces, or nil;
// the caller closes other.
func (c *choice) accept(theirs *conn, at, seen peerframe.Mark) (other *conn, ok bool) {
	switch {
	case at.Process == c.seen.Process && at.Dial <= c.seen.Dial:
		ok = false
	case c.inUse != nil:
		other, ok = c.inUse, c.replaces(at, seen)
	case c.pending != nil:
		other, ok = c.pending, !c.lower || c.acceptedBefore(seen, c.pending)
	default:
		ok = true
	}
	if !ok {
		return nil, false
	}
	theirs.process, theirs.dial = at.Process, at.Dial
	c.inUse, c.pending, c.seen = theirs, nil, at
	return other, true
}

// replaces reports whether the peer sent a handshake after it had lost the connection in use. The handshake is newer than all
// accepted ones.
func (c *choice) replaces(at, seen peerframe.Mark) bool {
	return at.Process != c.inUse.process || !c.inUse.mine || c.acceptedBefore(seen, c.inUse)
}

// acceptedBefore reports whether the peer had accepted a connection of mine before it sent a handshake with this seen.
func (c *choice) acceptedBefore(seen peerframe.Mark, mine *conn) bool {
	return seen.Process == c.process && seen.Dial >= mine.dial
}

// end removes a connection that has ended.
func (c *choice) end(ended *conn) {
	if c.inUse == ended {
		c.inUse = nil
	}
	if c.pending == ended {
		c.pending = nil
	}
}
