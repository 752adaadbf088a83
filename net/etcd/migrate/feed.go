package migrate

import (
	"fmt"
	"math"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// unknownTTL is the TTL, in seconds, of a lease that a record has and nobody knows: it was revoked at the source since. Until its keys are
// deleted here, too, no clock counts.
const unknownTTL = 3600

// leasesAtOnce is how many leases one command has.
const leasesAtOnce = 8192

// Feed makes commands of records, which come in their order.
type Feed struct {
	source uint64
	send   func(command []byte) error

	at      index.Position // the newest record that was sent
	last    index.Position // the newest record
	event   index.Position // of the newest event of a watch
	records [][]byte
	bytes   int
}

// NewFeed returns a feed that goes on behind a place. What is sent was taken when send returns without an error.
func NewFeed(source uint64, at index.Position, send func(command []byte) error) *Feed {
	return &Feed{source: source, at: at, last: at, send: send}
}

// Add adds a record, and sends those before it when there is enough of them.
func (f *Feed) Add(r *index.FollowedRecord) error {
	one := index.AppendRecord(nil, r)
	if len(f.records) > 0 && f.bytes+len(one) > limits.FollowBytes {
		if err := f.flush(r.Mod != f.last.Revision); err != nil {
			return err
		}
	}
	f.records = append(f.records, one)
	f.bytes += len(one) + 8
	f.last = index.Position{Revision: r.Mod, Sub: r.Sub}
	return nil
}

// End sends what is left: the last revision is complete.
func (f *Feed) End() error {
	if len(f.records) == 0 {
		return nil
	}
	return f.flush(true)
}

func (f *Feed) flush(complete bool) error {
	if err := f.send(index.AppendFollowRecords(nil, f.source, f.at, complete, unknownTTL, f.records)); err != nil {
		return fmt.Errorf("records up to revision %d: %w", f.last.Revision, err)
	}
	f.at, f.records, f.bytes = f.last, nil, 0
	return nil
}

// SendLeases sends which leases the source has, by rising id.
func SendLeases(source uint64, all []kv.Lease, send func(command []byte) error) error {
	from := int64(math.MinInt64)
	for {
		some, to := all, int64(math.MaxInt64)
		if len(some) > leasesAtOnce {
			some = some[:leasesAtOnce]
			to = some[leasesAtOnce-1].ID
		}
		if err := send(index.AppendFollowLeases(nil, source, from, to, some)); err != nil {
			return fmt.Errorf("leases: %w", err)
		}
		if all = all[len(some):]; to == math.MaxInt64 {
			return nil
		}
		from = to + 1
	}
}
