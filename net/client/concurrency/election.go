package concurrency

import (
	"context"
	"iter"

	"qkv/internal/election"
	"qkv/net/client"
)

// Election is a name that one of many has, with a value that says what the others should know of it. It is for one goroutine.
type Election struct {
	session *Session
	name    string
	place   election.Candidate // Revision is 0 while this one does not lead
}

// NewElection returns the election of a name. Who only looks on needs none: Leader and Observe.
func NewElection(s *Session, name string) *Election { return &Election{session: s, name: name} }

// Campaign waits until this one leads, with a value that Leader and Observe show. After an error it does not, nor does it wait.
func (e *Election) Campaign(ctx context.Context, value []byte) (err error) {
	if e.place.Revision != 0 {
		return e.Proclaim(ctx, value)
	}
	e.place, err = acquire(ctx, e.session, e.name, value, election.Candidate.Wait)
	return err
}

// Proclaim changes the value of this one, which leads.
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

// Key is the key that stands for this one's leadership.
func (e *Election) Key() []byte { return e.place.Key }

// Token is the fencing token of this one's leadership: larger than that of everybody who led before. It is 0 when it does not
// lead.
func (e *Election) Token() int64 { return e.place.Revision }

// Guard holds while this one leads: a comparison for transactions that only the leader may make.
func (e *Election) Guard() client.Compare { return e.place.Guard() }

// Leader returns the key of who leads, if anybody does. Its create revision is the token.
func Leader(ctx context.Context, c *client.Client, name string) (leader client.KeyValue, found bool, err error) {
	leader, found, _, err = election.Leader(ctx, store{c}, name)
	return leader, found, err
}

// Observe is who leads, and again each time that another one does or the value is another one, until ctx ends: then comes its
// error, as the last.
func Observe(ctx context.Context, c *client.Client, name string) iter.Seq2[client.KeyValue, error] {
	return func(yield func(client.KeyValue, error) bool) {
		err := election.Observe(ctx, store{c}, name, func(leader client.KeyValue) bool { return yield(leader, nil) })
		if err != nil {
			yield(client.KeyValue{}, err)
		}
	}
}
