package peer

// choice decides which of the connections to one peer is used; doc.go numbers the rules. It is told everything
// under its link's lock, and so are the two hellos that it makes: what a hello says of "seen" is true when it is sent.
//
//  1. At most one connection is in use and at most one is pending, and never both: a hello is sent while none is in use,
//     and what comes into use ends what was pending.
//  2. seen.dial only grows for one process.
type choice struct {
	lower   bool   // my id is the lower one
	process uint64 // mine
	dials   uint64 // hellos I have sent
	seen    mark   // the newest dial of the peer that I accepted
	inUse   *conn
	pending *conn
}

// propose makes a connection that I dialled pending, unless one is in use, and returns what its hello says.
func (c *choice) propose(dialled *conn) (me, seen mark, ok bool) {
	if c.inUse != nil {
		return mark{}, mark{}, false
	}
	c.dials++
	dialled.mine, dialled.dial = true, c.dials
	c.pending = dialled
	return mark{c.process, c.dials}, c.seen, true
}

// confirm brings a pending connection into use once the peer's answer has come. It is too late when another came
// into use meanwhile.
func (c *choice) confirm(dialled *conn, process uint64) bool {
	if c.pending != dialled {
		return false
	}
	dialled.process = process
	c.inUse, c.pending = dialled, nil
	return true
}

// accept decides about a connection that the peer dialled. When it comes into use, other is the connection in whose
// place it came, or nil; that one is to be closed.
func (c *choice) accept(theirs *conn, at, seen mark) (other *conn, ok bool) {
	switch {
	case at.process == c.seen.process && at.dial <= c.seen.dial:
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
	theirs.process, theirs.dial = at.process, at.dial
	c.inUse, c.pending, c.seen = theirs, nil, at
	return other, true
}

// replaces says whether a hello, newer than all that were accepted, was sent after the peer had lost the connection in
// use.
func (c *choice) replaces(at, seen mark) bool {
	return at.process != c.inUse.process || !c.inUse.mine || c.knows(seen, c.inUse)
}

// knows says whether the peer had accepted a connection of mine before it sent a hello that says seen.
func (c *choice) knows(seen mark, mine *conn) bool {
	return seen.process == c.process && seen.dial >= mine.dial
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
