package peerframe

import (
	"fmt"

	"qkv/internal/pack"
)

// PartRequest asks for a file with a part of the state's older changes, from an offset on.
type PartRequest struct {
	Cluster, From uint64 // the ids of the cluster, and of the asking member
	Name          string // the asking member's, as in its certificate
	Part          string // the name of the file
	Offset        int64
}

// PartAnswer comes before the file's bytes.
type PartAnswer struct{ Size int64 } // of the whole file

const (
	partVersion       = 1
	partRequestFields = 6
	partAnswerFields  = 2
)

// Append appends the request's frame.
func (p *PartRequest) Append(dst []byte) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, partRequestFields), partVersion)
	dst = pack.AppendUint(pack.AppendUint(dst, p.Cluster), p.From)
	return pack.AppendInt(pack.AppendString(pack.AppendString(dst, p.Name), p.Part), p.Offset)
}

// CheckCluster refuses a request from another cluster.
func (p *PartRequest) CheckCluster(cluster uint64) error { return checkCluster(p.Cluster, cluster) }

// ReadPartRequest reads the frame that Append wrote.
func ReadPartRequest(b []byte) (p PartRequest, err error) {
	r := pack.NewReader(b)
	s := r.Struct(partRequestFields)
	if v := r.Uint(); r.Err() == nil && v != partVersion {
		return p, fmt.Errorf("the request for a part has version %d, but this member knows only %d: update the older of the two members", v, partVersion)
	}
	p.Cluster, p.From, p.Name = r.Uint(), r.Uint(), r.String()
	checkName(&r, p.Name)
	p.Part, p.Offset = r.String(), r.Int()
	if r.Err() == nil && p.Offset < 0 {
		r.Fail("the offset must not be negative")
	}
	r.End(s)
	if err := r.Done(); err != nil {
		return PartRequest{}, fmt.Errorf("the request for a part cannot be read: %w", err)
	}
	return p, nil
}

// Append appends the answer's frame.
func (p *PartAnswer) Append(dst []byte) []byte {
	return pack.AppendInt(pack.AppendUint(pack.AppendArray(dst, partAnswerFields), partVersion), p.Size)
}

// ReadPartAnswer reads the frame that Append wrote.
func ReadPartAnswer(b []byte) (p PartAnswer, err error) {
	r := pack.NewReader(b)
	s := r.Struct(partAnswerFields)
	if v := r.Uint(); r.Err() == nil && v != partVersion {
		return p, fmt.Errorf("the answer has version %d, but this member knows only %d: update the older of the two members", v, partVersion)
	}
	p.Size = r.Int()
	r.End(s)
	if err := r.Done(); err != nil {
		return PartAnswer{}, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return p, nil
}
