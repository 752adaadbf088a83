package peer

import "qkv/net/wire/peerframe"

// choice decides which of the connections to one peer is used; doc.go numbers the rules. It is told everything
// under its link's lock, and so are the two handshakes that it makes: what one says of "seen" is true when it is sent.
//
//  1. At most one connection is in use and at most one is pending, and never both: a handshake is sent while none is in use,
//     and what comes into use ends what was pending.
//  2. seen.dial only grows for one process, until the choice is forgotten with its link.
type choice struct {
	lower   bool           // my id is the lower one
	process [16]byte       // mine
	seen    peerframe.Mark // the newest dial of the peer that I accepted
	inUse   *conn
	pending *conn
}

// propose makes a connection that I dialled pending, unless one is in use, and returns what its handshake says of the peer.
// The number of the dial is above that of any before.
func (c *choice) propose(dialled *conn, dial uint64) (seen peerframe.Mark, ok bool) {
	if c.inUse != nil {
		return peerframe.Mark{}, false
	}
	dialled.mine, dialled.dial = true, dial
	c.pending = dialled
	return c.seen, true
}

// confirm brings a pending connection into use once the peer's answer has come. It is too late when another came
// into use meanwhile.
func (c *choice) confirm(dialled *conn, process [16]byte) bool {
	if c.pending != dialled {
		return false
	}
	dialled.process = process
	c.inUse, c.pending = dialled, nil
	return true
}

// accept decides about a connection that the peer dialled. When it comes into use, other is the connection in whose
// place it came, or nil; that one is to be closed.
func (c *choice) accept(theirs *conn, at, seen peerframe.Mark) (other *conn, ok bool) {
	switch {
	case at.Process == c.seen.Process && at.Dial <= c.seen.Dial:
		ok = false
	case c.inUse != nil:
		other, ok = c.inUse, c.replaces(at, seen)
	case c.pending != nil:
		other, ok = c.pending, !c.lower || c.knows(seen, c.pending)
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

// replaces says whether a handshake, newer than all that were accepted, was sent after the peer had lost the connection in
// use.
func (c *choice) replaces(at, seen peerframe.Mark) bool {
	return at.Process != c.inUse.process || !c.inUse.mine || c.knows(seen, c.inUse)
}

// knows says whether the peer had accepted a connection of mine before it sent a handshake that says seen.
func (c *choice) knows(seen peerframe.Mark, mine *conn) bool {
	return seen.Process == c.process && seen.Dial >= mine.dial
}

// end forgets a connection that has ended.
func (c *choice) end(ended *conn) {
	if c.inUse == ended {
		c.inUse = nil
	}
	if c.pending == ended {
		c.pending = nil
	}
}
