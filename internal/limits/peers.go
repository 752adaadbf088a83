package limits

import "time"

// Limits between members.
const (
	// PeerFrameBytes bounds one frame between members: a full append message, a forwarded batch, or a chunk.
	PeerFrameBytes = messageEntriesBytes + EnvelopeBytes + 64<<10
	// forwardBytesInflight bounds the batches that a follower has sent to the leader and not yet seen in its log. It thereby bounds the
	// batches that a leader keeps for each follower while raft refuses proposals. The queue to the leader fits twice as much.
	forwardBytesInflight = InflightBytes / 2
	// PartRequestBytes and PartAnswerBytes bound the frames before the bytes of a part of a snapshot.
	PartRequestBytes = 1 << 10
	PartAnswerBytes  = 64
	// PeerPastBytes bounds the boot history in a handshake, the processes of the last starts: 256 of 8 bytes. A folder restored from a
	// copy, and started more often than that before it meets another member, could not be detected.
	PeerPastBytes = 256 * 8
	// PeerReasonBytes bounds the text with which a member refuses another: it must fit one packet.
	PeerReasonBytes = 512
	// PeerIdleTimeout is the silence after which a peer counts as lost; each side sends a packet every PeerKeepAlive.
	PeerIdleTimeout = 3 * time.Second
	PeerKeepAlive   = time.Second
	// ReplaceSilence is how long a member must have had no connection to the leader until a replacement under its name removes it: longer
	// than a living member needs to connect again. A dead one's connection ends PeerIdleTimeout after the first unanswered packet.
	ReplaceSilence = 3 * time.Second
)
