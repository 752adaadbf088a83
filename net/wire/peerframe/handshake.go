package peerframe

import (
	"fmt"

	"qkv/internal/limits"
	"qkv/internal/pack"
)

// Mark names one dial: the process that dialled, and how many handshakes it had sent with that one, to all its peers.
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

// MemberIdentity is what a member says of itself; package actor explains the fields.
type MemberIdentity struct {
	Folder         [16]byte
	Boot           uint64
	Process        [16]byte
	Past           []byte
	Last, LastTerm uint64
	HardTerm       uint64
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

// ReadHandshake reads what Append wrote. Past is part of b.
func ReadHandshake(b []byte) (h Handshake, err error) {
	r := pack.NewReader(b)
	fields := r.Array()
	if v := r.Uint(); r.Err() == nil && v != handshakeVersion {
		return h, fmt.Errorf("its handshake has version %d, and this member knows %d: update the older of the two", v, handshakeVersion)
	}
	h.Cluster, h.From, h.To, h.Dial = r.Uint(), r.Uint(), r.Uint(), r.Uint()
	readID(&r, &h.Seen.Process)
	h.Seen.Dial = r.Uint()
	readID(&r, &h.Folder)
	h.Boot = r.Uint()
	readID(&r, &h.Process)
	if h.Past = r.Bytes(); len(h.Past)%8 != 0 || len(h.Past) > limits.PeerPastBytes {
		r.Fail("the past has 8 bytes for each start")
	}
	h.Last, h.LastTerm, h.HardTerm = r.Uint(), r.Uint(), r.Uint()
	for range fields - handshakeFields {
		r.Skip()
	}
	if err := r.Done(); err != nil {
		return Handshake{}, fmt.Errorf("its handshake cannot be read: %w", err)
	}
	return h, nil
}

func readID(r *pack.Reader, id *[16]byte) {
	b := r.Bytes()
	if r.Err() == nil && len(b) != len(id) {
		r.Fail("an id has 16 bytes")
		return
	}
	copy(id[:], b)
}

// CheckCluster refuses a handshake of another cluster.
func (h *Handshake) CheckCluster(cluster uint64) error {
	if h.Cluster != cluster {
		return fmt.Errorf("it is of the cluster %016x, and this member of %016x: one of the two was founded with another --initial-cluster or --initial-cluster-token, or with --found, or was recovered (`qkv recover` makes a new cluster): "+
			"stop the one that is in the wrong cluster, move its data folder away, add it to the other cluster (`qkv member add`), and start it with --join", h.Cluster, cluster)
	}
	return nil
}

// CheckMembers refuses a handshake between other members than the two that are meant: one of them is not, or no more,
// the one that the other knows by its name and address.
func (h *Handshake) CheckMembers(self, peer uint64) error {
	switch {
	case h.From != peer:
		return fmt.Errorf("its member id is %016x, and by this member's list it is %016x: one of the two is behind, or another member was added under its name", h.From, peer)
	case h.To != self:
		return fmt.Errorf("it looks for the member id %016x here, and this is %016x: one of the two is behind, or another member was added under this one's name", h.To, self)
	default:
		return nil
	}
}
