package compat

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

var protoText = prototext.MarshalOptions{}

// difference is where the two sides do not agree.
type difference struct {
	at        int // which step
	op        op
	what      string
	etcd, qkv string
}

func (d *difference) Error() string {
	return fmt.Sprintf("step %d: %s\n%s\netcd:\t%s\nqkv:\t%s", d.at, d.op.abbreviated(), d.what, d.etcd, d.qkv)
}

// compare says in what the answers to one request differ; nothing if they agree but for the known differences.
func compare(o op, etcd, qkv answer) string {
	if etcd.code != "OK" && proto.Size(o.request) > requestBytes && strings.HasSuffix(qkv.text, "request is too large") {
		return "" // whatever else is wrong with it
	}
	if knownOfUsers(o, etcd, qkv) {
		return ""
	}
	if etcd.code != qkv.code || withoutSize(etcd.text) != withoutSize(qkv.text) {
		return "the outcomes differ"
	}
	if etcd.code != "OK" {
		return ""
	}
	a, b := comparable(o, etcd), comparable(o, qkv)
	if len(a) != len(b) {
		return fmt.Sprintf("%d messages and %d", len(a), len(b))
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			return "the answers differ"
		}
	}
	return ""
}

// comparable is an answer without what may differ (doc.go, known differences), and streams as one message.
func comparable(o op, a answer) []proto.Message {
	if o.kind == kindRangeStream {
		merged := new(pb.RangeResponse)
		for _, chunk := range a.responses {
			proto.Merge(merged, chunk.(*pb.RangeStreamResponse).GetRangeResponse())
		}
		dropOfRange(o.request.(*pb.RangeRequest), merged)
		return []proto.Message{merged}
	}
	var all []proto.Message
	for _, response := range a.responses {
		response = proto.Clone(response)
		switch r := response.(type) {
		case *pb.RangeResponse:
			dropOfRange(o.request.(*pb.RangeRequest), r)
		case *pb.TxnResponse:
			dropOfTxn(o.request.(*pb.TxnRequest), r)
		case *pb.LeaseTimeToLiveResponse:
			if r.TTL > 0 {
				r.TTL = 1
			}
			slices.SortFunc(r.Keys, bytes.Compare)
		case *pb.MemberListResponse:
			r.Members = nil // names and addresses
		case *pb.StatusResponse:
			response = &pb.StatusResponse{Header: r.Header} // sizes, indexes and versions
		case *pb.LeaseLeasesResponse:
			slices.SortFunc(r.Leases, func(a, b *pb.LeaseStatus) int { return cmp.Compare(a.ID, b.ID) })
		}
		all = append(all, response)
	}
	return all
}

func dropOfTxn(request *pb.TxnRequest, response *pb.TxnResponse) {
	branch := request.Failure
	if response.Succeeded {
		branch = request.Success
	}
	for i, answered := range response.Responses {
		if i >= len(branch) {
			return
		}
		if asked := branch[i].GetRequestRange(); asked != nil && answered.GetResponseRange() != nil {
			dropOfRange(asked, answered.GetResponseRange())
		}
		if asked := branch[i].GetRequestTxn(); asked != nil && answered.GetResponseTxn() != nil {
			dropOfTxn(asked, answered.GetResponseTxn())
		}
	}
}

// dropOfRange forgets the order of ties of a sort, which of the last tie a limit has left, and the lease of keys_only.
func dropOfRange(request *pb.RangeRequest, response *pb.RangeResponse) {
	if request.KeysOnly {
		for _, kv := range response.Kvs {
			kv.Lease = 0
		}
	}
	if request.SortTarget == pb.RangeRequest_KEY {
		return
	}
	by := func(kv *mvccpb.KeyValue) string { return "" }
	switch request.SortTarget {
	case pb.RangeRequest_VERSION:
		by = func(kv *mvccpb.KeyValue) string { return fmt.Sprint(kv.Version) }
	case pb.RangeRequest_CREATE:
		by = func(kv *mvccpb.KeyValue) string { return fmt.Sprint(kv.CreateRevision) }
	case pb.RangeRequest_MOD:
		by = func(kv *mvccpb.KeyValue) string { return fmt.Sprint(kv.ModRevision) }
	case pb.RangeRequest_VALUE:
		by = func(kv *mvccpb.KeyValue) string { return string(kv.Value) }
	}
	for first := 0; first < len(response.Kvs); {
		last := first
		for last < len(response.Kvs) && by(response.Kvs[last]) == by(response.Kvs[first]) {
			last++
		}
		tie := response.Kvs[first:last]
		slices.SortFunc(tie, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
		if last == len(response.Kvs) && response.More {
			for i := range tie {
				tie[i] = &mvccpb.KeyValue{Value: []byte(by(tie[i]))}
			}
		}
		first = last
	}
}

// checkAlone is what must hold of one side's answer by itself.
func (s *side) checkAlone(o op, a answer, renewed map[int64]time.Time) {
	if a.code != "OK" {
		return
	}
	for i, response := range a.responses {
		switch r := response.(type) {
		case *pb.RangeStreamResponse:
			last := i == len(a.responses)-1
			chunk := r.GetRangeResponse()
			if (chunk.GetHeader() != nil) != last || !last && (chunk.GetMore() || chunk.GetCount() != 0) {
				s.odd("chunk %d of %d of a stream: %v", i+1, len(a.responses), oneLine(r))
			}
		case *pb.LeaseTimeToLiveResponse:
			since, known := renewed[r.ID]
			if passed := int64(time.Since(since)/time.Second) + 2; known && r.TTL > 0 && (r.TTL > r.GrantedTTL || r.TTL < r.GrantedTTL-passed) {
				s.odd("TTL %d of %d after at most %d s", r.TTL, r.GrantedTTL, passed)
			}
		}
	}
}

// withoutSize takes the size of a message that is larger than gRPC's limit out of an error's text: a lease's id, which each side has
// chosen itself, has more bytes or less.
func withoutSize(text string) string {
	before, after, found := strings.Cut(text, "larger than max (")
	if !found {
		return text
	}
	_, after, _ = strings.Cut(after, " ")
	return before + after
}

// sentence is an error's text with its numbers taken out, for counting.
func sentence(code, text string) string {
	return code + " " + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}
