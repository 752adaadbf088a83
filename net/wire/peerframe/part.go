package peerframe

import (
	"encoding/binary"
	"errors"
	"fmt"

	"qkv/index/kv"
	"qkv/internal/codec"
)

// PartRequest asks for a file with a part of the state's older changes, or for a snapshot without its parts, from an offset on.
type PartRequest struct {
	Cluster uint64 `msgpack:"c"`
	From    uint64 `msgpack:"f"` // the asking member's id
	Name    string `msgpack:"n"` // and name, as in its certificate
	Part    string `msgpack:"p"` // the name of the file, which decides its content
	Offset  int64  `msgpack:"o"` // the first byte that the asking member lacks
}

// PartAnswer comes before the file's bytes.
type PartAnswer struct {
	Size int64 `msgpack:"s"` // of the whole file
}

// NewestSnapshot is the name of no file: a member that asks for it gets a [Newest], and then asks for that snapshot by its name.
const NewestSnapshot = "newest.snap"

// Newest describes a member's newest snapshot.
type Newest struct {
	Index, Term, Size uint64 // Size is that of the file, without the parts
	SHA               [32]byte
}

// NewestBytes is the size of a Newest.
const NewestBytes = 3*8 + 32

// Append appends a Newest.
func (n *Newest) Append(dst []byte) []byte {
	dst, _ = binary.Append(dst, binary.LittleEndian, n) // cannot fail: its size is fixed
	return dst
}

// ReadNewest reads a Newest, which has NewestBytes.
func ReadNewest(b []byte) (n Newest) {
	_, _ = binary.Decode(b, binary.LittleEndian, &n) // cannot fail
	return n
}

// CheckCluster refuses a request from another cluster.
func (p *PartRequest) CheckCluster(cluster uint64) error { return checkCluster(p.Cluster, cluster) }

// ReadPartRequest reads the frame of a PartRequest.
func ReadPartRequest(b []byte) (p PartRequest, err error) {
	if err = codec.Read(b, &p); err == nil {
		err = kv.CheckName(p.Name)
	}
	if err == nil && p.Offset < 0 {
		err = errors.New("the offset must not be negative")
	}
	if err != nil {
		return PartRequest{}, fmt.Errorf("the request for a part cannot be read: %w", err)
	}
	return p, nil
}

// ReadPartAnswer reads the frame of a PartAnswer.
func ReadPartAnswer(b []byte) (p PartAnswer, err error) {
	if err := codec.Read(b, &p); err != nil {
		return PartAnswer{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return p, nil
}
