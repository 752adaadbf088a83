package election

import (
	"context"
	"errors"
	"fmt"

	"qkv/index/kv"
)

// Store is the recipe's interface to a store. Both calls retry until ctx ends, as long as retries can help.
type Store interface {
	// Txn executes a transaction, linearizable even if it only reads. It may execute it twice.
	Txn(ctx context.Context, t kv.Txn) (kv.TxnResult, error)
	// Await returns after the first event of any of the watches, or when it cannot be known whether there was one.
	Await(ctx context.Context, watches ...kv.Watch) error
}

// ErrLost means that the candidate's key is gone or belongs to another candidate: its lease ended, or a client deleted
// it.
var ErrLost = errors.New("the lock or leadership is lost: its lease ended, or its key was deleted")

// Candidate is a place in the queue for a name.
type Candidate struct {
	Name  string
	Key   []byte
	Lease int64
	// Revision is the create revision of Key: the place in the queue, and the fencing token.
	Revision int64
}

// Key is the key of a lease in the queue for a name.
func Key(name string, lease int64) []byte { return fmt.Appendf(nil, "%s/%x", name, lease) }

// line is the range of all keys for a name.
func line(name string) (key, end []byte) {
	key = []byte(name + "/")
	return key, append([]byte(name), '/'+1)
}

// first reads the first key of the queue.
func first(name string) kv.Op {
	key, end := line(name)
	return kv.Op{Range: &kv.Range{Key: key, End: end, Sort: kv.SortByCreate, Order: kv.SortAscend, Limit: 1}}
}

// Enter takes a place in the queue, or returns the place that the lease already has.
func Enter(ctx context.Context, s Store, name string, lease int64, value []byte) (Candidate, error) {
	c := Candidate{Name: name, Key: Key(name, lease), Lease: lease}
	result, err := s.Txn(ctx, kv.Txn{
		Compares: []kv.Compare{{Key: c.Key, Target: kv.CompareCreate}},
		Success:  []kv.Op{{Put: &kv.Put{Key: c.Key, Value: value, Lease: lease}}},
		Failure:  []kv.Op{{Range: &kv.Range{Key: c.Key}}},
	})
	switch {
	case err != nil:
		return c, err
	case result.Succeeded:
		c.Revision = result.Revision
	case len(result.Answers) != 1 || result.Answers[0].Range == nil || len(result.Answers[0].Range.KVs) != 1:
		return c, ErrLost
	default:
		c.Revision = result.Answers[0].Range.KVs[0].CreateRevision
	}
	return c, nil
}

// Guard holds while the candidate's key is the one with its token. It is a comparison for transactions that only the
// owner of the name may make.
func (c Candidate) Guard() kv.Compare {
	return kv.Compare{Key: c.Key, Target: kv.CompareCreate, Number: c.Revision}
}

// Owns reports whether the candidate owns the name now. If it does not, before is the key just before its own, as of
// revision.
func (c Candidate) Owns(ctx context.Context, s Store) (owns bool, before []byte, revision int64, err error) {
	key, end := line(c.Name)
	result, err := s.Txn(ctx, kv.Txn{
		Compares: []kv.Compare{
			c.Guard(),
			{Key: c.Key, Target: kv.CompareLease, Number: c.Lease},
			{Key: key, End: end, Target: kv.CompareCreate, Result: kv.Greater, Number: c.Revision - 1},
		},
		Success: []kv.Op{{Range: &kv.Range{Key: c.Key, KeysOnly: true}}},
		Failure: []kv.Op{
			{Range: &kv.Range{Key: c.Key, KeysOnly: true}},
			{Range: &kv.Range{Key: key, End: end, MaxCreate: c.Revision - 1, Sort: kv.SortByCreate, Order: kv.SortDescend, Limit: 1, KeysOnly: true}},
		},
	})
	if err != nil || result.Succeeded {
		return err == nil, nil, result.Revision, err
	}
	own, others := result.Answers[0].Range.KVs, result.Answers[1].Range.KVs
	if len(own) == 0 || own[0].CreateRevision != c.Revision || own[0].Lease != c.Lease || len(others) == 0 {
		return false, nil, result.Revision, ErrLost
	}
	return false, others[0].Key, result.Revision, nil
}

// Wait waits until the candidate owns the name, or has lost its own key.
func (c Candidate) Wait(ctx context.Context, s Store) error {
	for {
		owns, before, revision, err := c.Owns(ctx, s)
		if owns || err != nil {
			return err
		}
		if err := s.Await(ctx, kv.Watch{Key: before, Revision: revision + 1, NoPut: true}, kv.Watch{Key: c.Key, Revision: revision + 1, NoPut: true}); err != nil {
			return err
		}
	}
}

// Proclaim changes the value of a candidate's key.
func (c Candidate) Proclaim(ctx context.Context, s Store, value []byte) error {
	result, err := s.Txn(ctx, kv.Txn{
		Compares: []kv.Compare{c.Guard()},
		Success:  []kv.Op{{Put: &kv.Put{Key: c.Key, Value: value, Lease: c.Lease}}},
	})
	if err == nil && !result.Succeeded {
		err = ErrLost
	}
	return err
}

// Withdraw gives up the place, or the one that an Enter without an outcome may have taken. A place that is already lost is not an error.
func (c Candidate) Withdraw(ctx context.Context, s Store) error {
	own := c.Guard()
	if c.Revision == 0 {
		own = kv.Compare{Key: c.Key, Target: kv.CompareLease, Number: c.Lease}
	}
	_, err := s.Txn(ctx, kv.Txn{
		Compares: []kv.Compare{own},
		Success:  []kv.Op{{Delete: &kv.Delete{Key: c.Key}}},
	})
	return err
}

// Leader returns the key that owns the name, if there is one, and the revision at which it was read.
func Leader(ctx context.Context, s Store, name string) (leader kv.KeyValue, found bool, revision int64, err error) {
	result, err := s.Txn(ctx, kv.Txn{Success: []kv.Op{first(name)}})
	if err != nil || len(result.Answers) != 1 || result.Answers[0].Range == nil {
		return leader, false, result.Revision, err
	}
	if all := result.Answers[0].Range.KVs; len(all) > 0 {
		return all[0], true, result.Revision, nil
	}
	return leader, false, result.Revision, nil
}

// Observe calls f with the leader's key, and again for each new leader and each new value, until f returns false. It
// may skip short-lived states, but never the newest one.
func Observe(ctx context.Context, s Store, name string, f func(leader kv.KeyValue) bool) error {
	key, end := line(name)
	told := int64(0)
	for {
		leader, found, revision, err := Leader(ctx, s, name)
		if err != nil {
			return err
		}
		// Later keys have a larger revision. A new leader may also be a key that waited in the queue, with a smaller
		// one.
		if found && leader.ModRevision != told {
			if told = leader.ModRevision; !f(leader) {
				return nil
			}
		}
		if err := s.Await(ctx, kv.Watch{Key: key, End: end, Revision: revision + 1}); err != nil {
			return err
		}
	}
}
