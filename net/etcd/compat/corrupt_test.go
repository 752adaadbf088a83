package compat

import (
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// corruptor changes an answer of a kind.
type corruptor func(kind string, response proto.Message)

// TestCorrupted changes one thing in one answer of each kind, and wants it to be found.
func TestCorrupted(t *testing.T) {
	before := timeout
	t.Cleanup(func() { timeout = before })
	timeout = 10 * time.Second // an event that is lost never comes
	for _, c := range []struct {
		what, kind string
		change     func(proto.Message) bool // false: there is nothing to change in this one
	}{
		{"a value", kindRange, func(m proto.Message) bool {
			kvs := m.(*pb.RangeResponse).Kvs
			return len(kvs) > 0 && changed(&kvs[0].Value, append(kvs[0].Value, 'x'))
		}},
		{"a count", kindRange, func(m proto.Message) bool { m.(*pb.RangeResponse).Count++; return true }},
		{"whether there is more", kindRange, func(m proto.Message) bool {
			r := m.(*pb.RangeResponse)
			return changed(&r.More, !r.More)
		}},
		{"a chunk's key", kindRangeStream, func(m proto.Message) bool {
			kvs := m.(*pb.RangeStreamResponse).GetRangeResponse().GetKvs()
			return len(kvs) > 0 && changed(&kvs[0].ModRevision, kvs[0].ModRevision+1)
		}},
		{"a put's revision", kindPut, func(m proto.Message) bool { m.(*pb.PutResponse).Header.Revision++; return true }},
		{"a previous value", kindPut, func(m proto.Message) bool {
			prev := m.(*pb.PutResponse).PrevKv
			return prev != nil && changed(&prev.Version, prev.Version+1)
		}},
		{"a number of deleted keys", kindDelete, func(m proto.Message) bool { m.(*pb.DeleteRangeResponse).Deleted++; return true }},
		{"which way a transaction went", kindTxn, func(m proto.Message) bool {
			r := m.(*pb.TxnResponse)
			return changed(&r.Succeeded, !r.Succeeded)
		}},
		{"a transaction's answers", kindTxn, func(m proto.Message) bool {
			r := m.(*pb.TxnResponse)
			return len(r.Responses) > 0 && changed(&r.Responses, r.Responses[1:])
		}},
		{"a compaction's revision", kindCompact, func(m proto.Message) bool { m.(*pb.CompactionResponse).Header.Revision++; return true }},
		{"a granted time", kindGrant, func(m proto.Message) bool { m.(*pb.LeaseGrantResponse).TTL++; return true }},
		{"a revocation's revision", kindRevoke, func(m proto.Message) bool { m.(*pb.LeaseRevokeResponse).Header.Revision++; return true }},
		{"a time left", kindTTL, func(m proto.Message) bool { m.(*pb.LeaseTimeToLiveResponse).TTL -= 500; return true }},
		{"a lease's keys", kindTTL, func(m proto.Message) bool {
			r := m.(*pb.LeaseTimeToLiveResponse)
			return len(r.Keys) > 0 && changed(&r.Keys, r.Keys[1:])
		}},
		{"a list of leases", kindLeases, func(m proto.Message) bool {
			r := m.(*pb.LeaseLeasesResponse)
			return len(r.Leases) > 0 && changed(&r.Leases, r.Leases[1:])
		}},
		{"a hash", kindHashKV, func(m proto.Message) bool { m.(*pb.HashKVResponse).Hash++; return true }},
		{"an event's value", kindWatch, func(m proto.Message) bool {
			events := m.(*pb.WatchResponse).Events
			return len(events) > 0 && changed(&events[0].Kv.Value, append(events[0].Kv.Value, 'x'))
		}},
		{"an event that is lost", kindWatch, func(m proto.Message) bool {
			r := m.(*pb.WatchResponse)
			return len(r.Events) > 1 && changed(&r.Events, r.Events[1:])
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			var done atomic.Bool
			err := fresh(t, 1, false, newCounts(), func(kind string, response proto.Message) {
				if kind == c.kind && !done.Load() {
					done.Store(c.change(response))
				}
			}, func(r *run) error {
				g := newGenerator(4, r, 1)
				g.hashes, r.hashes = true, true
				for range 3000 {
					if err := r.take(g.next()); err != nil {
						return err
					}
				}
				return r.finish()
			})
			if !done.Load() {
				t.Fatal("nothing was changed: no answer had it")
			}
			if asDifference(err) == nil {
				t.Errorf("%s was changed, and nobody saw it: %v", c.what, err)
			}
		})
	}
}

func changed[T any](at *T, to T) bool {
	*at = to
	return true
}
