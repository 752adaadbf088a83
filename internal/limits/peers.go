package limits

import "time"

// Limits between members.
const (
	// PeerFrameBytes bounds one frame between members: a full append message, a forwarded batch, or a chunk.
	PeerFrameBytes = MessageEntriesBytes + EnvelopeBytes + 64<<10
	// PeerValueBytes bounds the value of package codec that is a frame: the offer of a snapshot lists the parts that its head lists.
	PeerValueBytes = SnapshotHeadBytes + 4<<10
	// PeerQueueBytes bounds the frames queued for one peer on one stream; further ones are dropped.
	PeerQueueBytes = 2*InflightBytes + PeerFrameBytes
	// ForwardBytesInflight bounds the batches that a follower has sent to the leader and not yet seen in its log. It thereby bounds the
	// batches that a leader keeps for each follower while raft refuses proposals. The queue to the leader fits twice as much.
	ForwardBytesInflight = InflightBytes / 2
	// PeerStreamBytes is QUIC's initial receive window of one stream between members. Measured on loopback: 256 KiB loses no packets to
	// QUIC's bound of 256 unread ones but is 20 % slower in bulk; 1 MiB and more lose many. If a window is filled in less than four
	// measured round trips, it doubles, up to PeerStreamBytesMost: raft has no more in flight to one peer. A connection's window is the
	// sum of its streams' largest windows, to avoid head-of-line blocking by bulk data that is read slowly.
	PeerStreamBytes     = 512 << 10
	PeerStreamBytesMost = InflightBytes
	// PeerHandshakes bounds unidentified connections to the peers' port. From PeerHandshakesTrusted on, a new connection must first prove
	// its source address (QUIC's Retry).
	PeerHandshakes        = 256
	PeerHandshakesTrusted = 16
	// PeerHandshakesAddress bounds the handshakes of one source address, to leave slots for others. From a quarter of that on the address
	// must be proved, too.
	PeerHandshakesAddress = PeerHandshakes / 16
	// PeerHandshakeBytes bounds the handshake messages of two members.
	PeerHandshakeBytes = 16 << 10
	// JoinRequestBytes and JoinAnswerBytes bound a joiner's request and its answer: all members with all their addresses fit.
	JoinRequestBytes = 1 << 10
	JoinAnswerBytes  = 256 << 10
	// PartRequestBytes and PartAnswerBytes bound the frames before the bytes of a part of a snapshot.
	PartRequestBytes = 1 << 10
	PartAnswerBytes  = 64
	// PartTransfers is how many parts a member sends at a time. Members rarely lose parts, and each fetches one at a time. A transfer
	// takes from the disk and the network that clients wait for.
	PartTransfers = 2
	// PartPieceBytes is how much of a part is in memory on each side of a transfer. Each piece must pass within PartStall: at less than
	// 26 KB/s a transfer would hold its slot for more than ten minutes.
	PartPieceBytes = 256 << 10
	PartStall      = 10 * time.Second
	// PartTimeout is how long a starting member goes on without a further piece of a part that it has lost. Other members that start at
	// the same time serve within seconds. Then the start fails with a reason, and a service manager starts the member again.
	PartTimeout = time.Minute
	// PeerPastBytes bounds the boot history in a handshake, the processes of the last starts: 256 of 8 bytes. A folder restored from a
	// copy, and started more often than that before it meets another member, could not be detected.
	PeerPastBytes = 256 * 8
	// PeerReadBytes is the buffer that the reader of a peer's stream allocates at a time and cuts frames from; a large frame gets memory
	// of its own.
	PeerReadBytes = 64 << 10
	// PeerWriteBytes is how much the writer of a stream hands to QUIC at a time; a frame over PeerCopyBytes is sent without a copy.
	PeerWriteBytes = 64 << 10
	PeerCopyBytes  = 16 << 10
	// PeerFramesReused bounds the list of frames that is reused after a burst.
	PeerFramesReused = 4096
	// PeerReasonBytes bounds the text with which a member refuses another: it must fit one packet.
	PeerReasonBytes = 512
	// PeerLazyWait is how long a lazy frame between members waits to be coalesced with others.
	PeerLazyWait = time.Millisecond
	// PeerHandshakeTimeout ends a silent connection of a peer before it is in use. PeerDialTimeout ends a dial attempt with all its steps.
	PeerHandshakeTimeout = 2 * time.Second
	PeerDialTimeout      = 5 * time.Second
	// PeerDialPause is the initial backoff before a peer is dialled again. Each consecutive failure doubles it, up to PeerDialPauseMost: a
	// returning peer is connected within a second. A connection that lasted PeerStable resets the backoff.
	PeerDialPause     = 50 * time.Millisecond
	PeerDialPauseMost = time.Second
	PeerStable        = time.Second
	// PeerRefusedPause and PeerRefusedPauseMost bound the backoff of both sides after a refusal: its cause rarely ends quickly.
	PeerRefusedPause     = 2 * time.Second
	PeerRefusedPauseMost = 4 * time.Second
	// JoinRefusedTimeout is how long a refused joiner retries: the member that refused it may lag.
	JoinRefusedTimeout = 5 * time.Second
	// TurnedAwayLooks is for how many checks a member lists a refused joiner, ten seconds. A waiting joiner asks each of its given members
	// within PeerDialPauseMost of the previous attempt, and after a refusal within PeerRefusedPauseMost.
	TurnedAwayLooks = 50
	// PeerAliveTimeout is how long a member asks a peer's host for a process of that peer. A live host answers within a round trip, and an
	// election that waits longer starts without an answer.
	PeerAliveTimeout = time.Second / 2
	// PeerIdleTimeout is the silence after which a peer counts as lost; each side sends a packet every PeerKeepAlive.
	PeerIdleTimeout = 3 * time.Second
	PeerKeepAlive   = time.Second
	// ReplaceSilence is how long a member must have had no connection to the leader until a replacement under its name removes it: longer
	// than a living member needs to connect again. A dead one's connection ends PeerIdleTimeout after the first unanswered packet.
	ReplaceSilence = 3 * time.Second
	// PacketMost is the largest packet that quic-go sends.
	PacketMost = 1452
	// PathProbe is how often a connection with traffic checks that large packets pass. PathLost lost ones in a row, while small ones
	// pass, end it: within an election timeout of a second, and with 5 % of random losses once in 10^10 checks. PathMoved is how many
	// bytes make a check due: more than a check itself takes. A connection without traffic looks for bytes PathIdle times between checks.
	PathProbe = 100 * time.Millisecond
	PathLost  = 8
	PathMoved = 8 << 10
	PathIdle  = 5
)
