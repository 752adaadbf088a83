package migrate

import (
	"fmt"
	"math"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// unknownTTL is the TTL, in seconds, of a lease that appears in a record but no longer at the source: it was revoked there since. No clock
// runs for it until its keys are deleted here, too.
const unknownTTL = 3600

// leasesAtOnce bounds the leases of one command.
const leasesAtOnce = 8192

// Feed is a buffer that packs the source's records, in order, into commands and sends them.
type Feed struct {
	source uint64
	send   func(command []byte) error

	at      index.Position // position of the newest sent record
	last    index.Position // position of the newest record
	event   index.Position // position of the newest watch event
	records [][]byte
	bytes   int
}

// NewFeed returns a feed that continues after a position. send must return without an error only if the command was accepted.
func NewFeed(source uint64, at index.Position, send func(command []byte) error) *Feed {
	return &Feed{source: source, at: at, last: at, send: send}
}

// Add adds a record, and sends the previous ones if they fill a command.
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

// End sends the rest: the last revision is complete.
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

// SendLeases sends the list of the source's leases, by ascending id.
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
