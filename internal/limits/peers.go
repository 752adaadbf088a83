package limits

import "time"

// Between members.
const (
	// PeerFrameBytes bounds one frame between members: a full append message, or a forwarded batch, or a chunk.
	PeerFrameBytes = MessageEntriesBytes + EnvelopeBytes + 64<<10
	// PeerFrameReuse is from which size on the memory of a frame that was written is used again: a piece of a snapshot, or some of
	// the log. Smaller ones cost little.
	PeerFrameReuse = 128 << 10
	// TermsAhead is how far another member's term may be ahead: an election a second for a century.
	TermsAhead = 1 << 32
	// PeerQueueBytes bounds what waits to be sent to one peer on one stream; what is past it is dropped.
	PeerQueueBytes = 2*InflightBytes + PeerFrameBytes
	// ForwardBytesInflight bounds the batches that a follower has sent to the leader and not seen in its log, and so what
	// a leader keeps for each follower when raft has no room for it. Twice as much fits the queue to the leader.
	ForwardBytesInflight = InflightBytes / 2
	// PeerStreamBytes is QUIC's receive window of one stream between members at first. Measured on loopback: 256 KiB
	// loses no packets to QUIC's bound of 256 that are not read yet but is 20 % slower in bulk, 1 MiB and more lose many.
	// While what comes takes less than four measured round trips for a window, it doubles, up to PeerStreamBytesMost: raft
	// has no more on its way to one peer. A connection's window is that of its streams together at their largest, so that
	// bulk data that is taken slowly holds up nothing else.
	PeerStreamBytes     = 512 << 10
	PeerStreamBytesMost = InflightBytes
	// PeerHandshakes bounds connections to the peers' port that did not say who they are yet; from PeerHandshakesTrusted
	// on, a new one must first show that it can be reached at the address it claims (QUIC's Retry).
	PeerHandshakes        = 256
	PeerHandshakesTrusted = 16
	// PeerHandshakesAddress is how many of them one source address may have, so that it keeps nobody else out. From a
	// quarter of that on it must be shown, too.
	PeerHandshakesAddress = PeerHandshakes / 16
	// PeerHandshakeBytes bounds what two members tell each other before anything else.
	PeerHandshakeBytes = 16 << 10
	// JoinRequestBytes and JoinAnswerBytes bound a joiner's question and what it is told: all members with all their
	// addresses fit.
	JoinRequestBytes = 1 << 10
	JoinAnswerBytes  = 256 << 10
	// PeerPastBytes bounds what a handshake tells of the last starts' processes: 256 of 8 bytes. A folder that was
	// restored from a copy and started more often than that before it met another member could not be told from one
	// that was not.
	PeerPastBytes = 256 * 8
	// PeerReadBytes is what the reader of a peer's stream allocates at a time and carves frames from; a frame that is
	// large beside it has memory of its own.
	PeerReadBytes = 64 << 10
	// PeerWriteBytes is what the writer of a stream hands to QUIC at a time; a frame over PeerCopyBytes goes without being
	// copied.
	PeerWriteBytes = 64 << 10
	PeerCopyBytes  = 16 << 10
	// PeerFramesReused bounds the list of frames that is used again after a burst.
	PeerFramesReused = 4096
	// PeerReasonBytes bounds the text with which a member refuses another: it must fit one packet.
	PeerReasonBytes = 512
	// PeerLazyWait is how long a lazy frame between members waits for company.
	PeerLazyWait = time.Millisecond
	// PeerHandshakeTimeout ends a peer's connection on which nothing comes before it is in use, PeerDialTimeout an own
	// attempt with everything that belongs to it.
	PeerHandshakeTimeout = 2 * time.Second
	PeerDialTimeout      = 5 * time.Second
	// PeerDialPause is the pause before a peer is dialled again; each attempt in a row that comes to nothing doubles it, up to
	// PeerDialPauseMost: who comes back is connected within a second. A connection that lasted PeerStable begins anew.
	PeerDialPause     = 50 * time.Millisecond
	PeerDialPauseMost = time.Second
	PeerStable        = time.Second
	// PeerRefusedPause and PeerRefusedPauseMost are between which both sides wait after one refused the other: what is
	// wrong is not going to be right in a moment.
	PeerRefusedPause     = 2 * time.Second
	PeerRefusedPauseMost = 4 * time.Second
	// JoinRefusedTimeout is for how long a joiner that was refused asks again: the one that it asked may be behind.
	JoinRefusedTimeout = 5 * time.Second
	// TurnedAwayLooks is for how many looks a member shows who was turned away, ten seconds: who waits to join asks each of those that
	// it was given within PeerDialPauseMost of the time before, and who was refused comes again within PeerRefusedPauseMost.
	TurnedAwayLooks = 50
	// PeerAliveTimeout is for how long a peer's host is asked whether a process of that member is there: a host that is there
	// says so within a round trip, and an election that waits longer begins by itself.
	PeerAliveTimeout = time.Second / 2
	// PeerIdleTimeout is when a peer that says nothing is given up; something is said each PeerKeepAlive.
	PeerIdleTimeout = 3 * time.Second
	PeerKeepAlive   = time.Second
)
