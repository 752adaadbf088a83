package peerframe

import (
	"fmt"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Mark identifies one dial: the process that dialled, and the number of handshakes that the process had sent to all its peers,
// including this one.
type Mark struct {
	Process [16]byte
	Dial    uint64
}

// Handshake is the first frame on a connection between two members, in either direction.
type Handshake struct {
	Cluster, From, To uint64
	Dial              uint64
	Seen              Mark
	MemberIdentity
}

// MemberIdentity is a member's description of itself at the start of a connection between two members. A member that has forgotten its
// promises is recognized by it before its vote or its acknowledgement counts.
type MemberIdentity struct {
	Folder   [16]byte // random, made with the data folder
	Boot     uint64   // number of process starts on that folder
	Process  [16]byte // random, made at each start
	Past     []byte   // the processes of the last starts, the present one last: the first 8 bytes of each
	Last     uint64   // the newest entry on the disk
	LastTerm uint64   // its term
	HardTerm uint64   // the term on the disk
}

const (
	handshakeVersion = 1
	handshakeFields  = 14
)

// Mark returns the mark of the dial that the handshake begins.
func (h *Handshake) Mark() Mark { return Mark{h.Process, h.Dial} }

// Append appends the handshake's frame.
func (h *Handshake) Append(dst []byte) []byte {
	dst = pack.AppendArray(dst, handshakeFields)
	for _, n := range []uint64{handshakeVersion, h.Cluster, h.From, h.To, h.Dial} {
		dst = pack.AppendUint(dst, n)
	}
	dst = pack.AppendUint(pack.AppendBytes(dst, h.Seen.Process[:]), h.Seen.Dial)
	dst = pack.AppendUint(pack.AppendBytes(dst, h.Folder[:]), h.Boot)
	dst = pack.AppendBytes(pack.AppendBytes(dst, h.Process[:]), h.Past)
	for _, n := range []uint64{h.Last, h.LastTerm, h.HardTerm} {
		dst = pack.AppendUint(dst, n)
	}
	return dst
}

// ReadHandshake reads the frame that Append wrote. Past is part of b.
func ReadHandshake(b []byte) (h Handshake, err error) {
	r := pack.NewReader(b)
	s := r.Struct(handshakeFields)
	if v := r.Uint(); r.Err() == nil && v != handshakeVersion {
		return h, fmt.Errorf("the handshake has version %d, but this member knows only %d: update the older of the two members", v, handshakeVersion)
	}
	h.Cluster, h.From, h.To, h.Dial = r.Uint(), r.Uint(), r.Uint(), r.Uint()
	r.Fixed(h.Seen.Process[:])
	h.Seen.Dial = r.Uint()
	r.Fixed(h.Folder[:])
	h.Boot = r.Uint()
	r.Fixed(h.Process[:])
	if h.Past = r.Bytes(); len(h.Past)%8 != 0 || len(h.Past) > limits.PeerPastBytes {
		r.Fail("the boot history must have 8 bytes for each start")
	}
	h.Last, h.LastTerm, h.HardTerm = r.Uint(), r.Uint(), r.Uint()
	r.End(s)
	if err := r.Done(); err != nil {
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
			"stop the member that is in the wrong cluster, move its data folder away, add it to the other cluster (`qkv member add`), and start it with --join", theirs, own)
	}
	return nil
}

// CheckMembers refuses a handshake whose member ids differ from the expected two. The other side then knows a member by name and
// address, but with an id that is wrong or outdated.
func (h *Handshake) CheckMembers(self, peer uint64) error {
	switch {
	case h.From != peer:
		return fmt.Errorf("member ID mismatch: the sender has %016x, the receiver's member list has %016x: one of the two lags, or another member was added under the same name", h.From, peer)
	case h.To != self:
		return fmt.Errorf("member ID mismatch: the sender expects %016x, the receiver is %016x: one of the two lags, or another member was added under the same name", h.To, self)
	default:
		return nil
	}
}
