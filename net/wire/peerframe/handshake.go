package peerframe

import (
	"errors"
	"fmt"

	"qkv/internal/codec"
	"qkv/internal/limits"
)

// Mark identifies one dial: the process that dialled, and the number of handshakes that the process had sent to all its peers,
// including this one.
type Mark struct {
	Process [16]byte `msgpack:"p"`
	Dial    uint64   `msgpack:"d"`
}

// Handshake is the first frame on a connection between two members, in either direction.
type Handshake struct {
	Cluster        uint64 `msgpack:"c"`
	From           uint64 `msgpack:"f"` // the ids of the two members, as the sender knows them
	To             uint64 `msgpack:"t"`
	Dial           uint64 `msgpack:"d"` // grows with each handshake that this process sends; 0 in an answer
	Seen           Mark   `msgpack:"s"` // of the newest connection from this peer that was accepted; zeros for none
	MemberIdentity `msgpack:"i,noinline"`
}

// MemberIdentity is a member's description of itself at the start of a connection between two members. A member that has forgotten its
// promises is recognized by it before its vote or its acknowledgement counts.
type MemberIdentity struct {
	Folder   [16]byte `msgpack:"f"` // random, made with the data folder
	Boot     uint64   `msgpack:"b"` // number of process starts on that folder, this one included
	Process  [16]byte `msgpack:"p"` // random, made at each start
	Past     []byte   `msgpack:"h"` // the processes of the last starts, the present one last: the first 8 bytes of each
	Last     uint64   `msgpack:"l"` // the newest entry on the disk
	LastTerm uint64   `msgpack:"t"` // its term
	HardTerm uint64   `msgpack:"v"` // the term on the disk
}

// Mark returns the mark of the dial that the handshake begins.
func (h *Handshake) Mark() Mark { return Mark{h.Process, h.Dial} }

// AppendFirst appends the first frame of a connection: a Handshake, JoinRequest, Welcome, PartRequest or PartAnswer.
func AppendFirst(dst []byte, value any) []byte { return codec.Append(dst, value) }

// ReadHandshake reads the frame of a Handshake.
func ReadHandshake(b []byte) (h Handshake, err error) {
	err = codec.Read(b, &h)
	if err == nil && (len(h.Past)%8 != 0 || len(h.Past) > limits.PeerPastBytes) {
		err = errors.New("the boot history must have 8 bytes for each start")
	}
	if err != nil {
		return Handshake{}, fmt.Errorf("the handshake cannot be read: %w", err)
	}
	return h, nil
}

// CheckCluster refuses a handshake from another cluster.
func (h *Handshake) CheckCluster(cluster uint64) error { return checkCluster(h.Cluster, cluster) }

// checkCluster refuses a sender of another cluster than the receiver's.
func checkCluster(theirs, own uint64) error {
	if theirs != own {
		return fmt.Errorf("cluster ID mismatch: the sender belongs to %016x, the receiver to %016x: one of the two was founded with another --initial-cluster or --initial-cluster-token, or with --found, or was recovered (`qkv recover` makes a new cluster): "+
			"stop the member that is in the wrong cluster, move its data folder away, run `qkv member replace NAME` in the other cluster (`qkv member add` if that does not know it), and start it with --join", theirs, own)
	}
	return nil
}

// CheckMembers refuses a handshake whose member ids differ from the expected two. The other side then knows a member by name and
// address, but with an id that is wrong or outdated. An outdated one is what a member has while it lags behind the log, so the refused
// side asks again.
func (h *Handshake) CheckMembers(self, peer uint64) error {
	switch {
	case h.From != peer:
		return &Refusal{Behind, fmt.Sprintf("member ID mismatch: the sender has %016x, the receiver's member list has %016x: one of the two lags, or another member was added under the same name", h.From, peer)}
	case h.To != self:
		return &Refusal{Behind, fmt.Sprintf("member ID mismatch: the sender expects %016x, the receiver is %016x: one of the two lags, or another member was added under the same name", h.To, self)}
	default:
		return nil
	}
}
