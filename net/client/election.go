package client

import (
	"context"
	"errors"
	"iter"

	"qkv/index/kv"
	"qkv/internal/election"
)

// Election is one candidate of a leader election by name. The leader publishes a value, for example its address. An Election is for one
// goroutine. The leader loses the leadership without a call when its lock session ends: wait for [LockSession.Done].
type Election struct {
	session *LockSession
	name    string
	place   election.Candidate // Revision is 0 while this candidate does not lead
}

// NewElection returns a candidate of the election of a name, and sends nothing. Observers do not need it: see [Leader] and [Observe].
func NewElection(s *LockSession, name string) *Election { return &Election{session: s, name: name} }

// Campaign waits until this candidate leads; [Leader] and [Observe] then return its value. It waits, and fails, as [Mutex.Lock] does: after
// an error the candidate neither leads nor waits in the queue.
//
// A candidate that leads already only changes its value, as [Election.Proclaim] does, and leads on after an error. If its key was deleted,
// it enters the queue again, and gets another token.
func (e *Election) Campaign(ctx context.Context, value []byte) (err error) {
	if e.place.Revision != 0 {
		if err := e.Proclaim(ctx, value); !errors.Is(err, ErrLost) {
			return err
		}
		e.session.release(e.name) // the key is gone: the candidate enters the queue again
		e.place = election.Candidate{}
	}
	e.place, err = acquire(ctx, e.session, e.name, value, election.Candidate.Wait)
	return err
}

// Proclaim changes the value of this candidate, which leads. The error is [ErrNotHeld] if it does not lead, [ErrLost] if its key is gone,
// the [LockSession.Err] of a lock session that is over, or that of a write. Without a deadline it waits until a member serves.
func (e *Election) Proclaim(ctx context.Context, value []byte) error {
	if e.place.Revision == 0 {
		return ErrNotHeld
	}
	return e.session.within(ctx, func(ctx context.Context) error {
		return e.place.Proclaim(ctx, store{e.session.client}, value)
	})
}

// Resign gives the leadership up; the next candidate in the queue then leads. Its errors are those of [Mutex.Unlock].
func (e *Election) Resign(ctx context.Context) error {
	place := e.place
	e.place = election.Candidate{}
	return giveUp(ctx, e.session, place)
}

// Key returns the key of this candidate's leadership; nil while the candidate does not lead.
func (e *Election) Key() []byte { return e.place.Key }

// Token returns the fencing token of this candidate's leadership: larger than those of all earlier leaders. It is 0 before Campaign and
// after Resign, and does not change when the leadership is lost.
func (e *Election) Token() int64 { return e.place.Revision }

// Guard returns a comparison that holds while this candidate leads, for transactions that only the leader may make; see [Mutex.Guard].
func (e *Election) Guard() kv.Compare { return e.place.Guard() }

// Leader returns the key of an election's leader: its Value is the leader's value, and its CreateRevision the fencing token. Without a
// leader, found is false, and that is no error. The read is linearizable. Without a deadline it waits until a member serves.
func Leader(ctx context.Context, c *Client, name string) (leader kv.KeyValue, found bool, err error) {
	leader, found, _, err = election.Leader(ctx, store{c}, name)
	return leader, found, err
}

// Observe yields the leader as [Leader] does, and again after each change of the leader or of its value. It may skip leaders and values
// that were replaced soon, but never the newest. While there is no leader, it yields nothing. It goes on through failovers until ctx or the
// client ends, or a member refuses it: the error is then the last element.
func Observe(ctx context.Context, c *Client, name string) iter.Seq2[kv.KeyValue, error] {
	return func(yield func(kv.KeyValue, error) bool) {
		err := election.Observe(ctx, store{c}, name, func(leader kv.KeyValue) bool { return yield(leader, nil) })
		if err != nil {
			yield(kv.KeyValue{}, err)
		}
	}
}
