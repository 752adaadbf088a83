package client

import (
	"context"
	"errors"
	"iter"

	"qkv/index/kv"
	"qkv/internal/election"
)

// Election is one candidate of a leader election by name. The leader publishes a value. It is for one goroutine.
type Election struct {
	session *LockSession
	name    string
	place   election.Candidate // Revision is 0 while this candidate does not lead
}

// NewElection returns the election of a name. Observers do not need it: see Leader and Observe.
func NewElection(s *LockSession, name string) *Election { return &Election{session: s, name: name} }

// Campaign waits until this candidate leads; Leader and Observe return its value. After an error it neither leads nor waits in the
// queue.
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

// Proclaim changes the value of this candidate, which leads.
func (e *Election) Proclaim(ctx context.Context, value []byte) error {
	if e.place.Revision == 0 {
		return ErrNotHeld
	}
	return e.session.within(ctx, func(ctx context.Context) error {
		return e.place.Proclaim(ctx, store{e.session.client}, value)
	})
}

// Resign gives the leadership up.
func (e *Election) Resign(ctx context.Context) error {
	place := e.place
	e.place = election.Candidate{}
	return giveUp(ctx, e.session, place)
}

// Key returns the key of this candidate's leadership.
func (e *Election) Key() []byte { return e.place.Key }

// Token returns the fencing token of this candidate's leadership: larger than those of all earlier leaders. It is 0 while the
// candidate does not lead.
func (e *Election) Token() int64 { return e.place.Revision }

// Guard returns a comparison that holds while this candidate leads, for transactions that only the leader may make.
func (e *Election) Guard() kv.Compare { return e.place.Guard() }

// Leader returns the leader's key, if there is a leader. Its create revision is the token.
func Leader(ctx context.Context, c *Client, name string) (leader kv.KeyValue, found bool, err error) {
	leader, found, _, err = election.Leader(ctx, store{c}, name)
	return leader, found, err
}

// Observe yields the leader, and again after each change of the leader or of its value, until ctx ends; ctx's error is then the
// last element.
func Observe(ctx context.Context, c *Client, name string) iter.Seq2[kv.KeyValue, error] {
	return func(yield func(kv.KeyValue, error) bool) {
		err := election.Observe(ctx, store{c}, name, func(leader kv.KeyValue) bool { return yield(leader, nil) })
		if err != nil {
			yield(kv.KeyValue{}, err)
		}
	}
}
