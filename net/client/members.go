package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

// ReadOptions are the options of reads without options of their own. The zero value means a linearizable read.
type ReadOptions struct {
	// Serializable makes this client's member answer from its own state, which may lag. It needs no quorum.
	Serializable bool
}

// Members returns the records of all members, in ascending order of their ids. It needs no permission. Whether a member is healthy, and
// which one leads, is in [Admin.Status].
func (c *Client) Members(ctx context.Context, o ReadOptions) ([]kv.Member, error) {
	answer, err := asked[wire.List[kv.Member]](ctx, c, wire.OpMembers, wire.Ask{Serializable: o.Serializable})
	return answer.All, err
}

// changeMember makes a change of the membership.
func (a *Admin) changeMember(ctx context.Context, change kv.MemberChange) error {
	return a.c.change(ctx, wire.OpChangeMember, wire.Ask{Change: change})
}

// AddOptions are the options of [Admin.AddMember].
type AddOptions struct {
	// Manual keeps the member a learner until PromoteMember makes it a voter.
	Manual bool
	// Instead is the id of a voter that the learner replaces; 0: none. The leader promotes the learner in that voter's place when it has
	// caught up, and the voter leaves. If the voter's addresses are among peers, they are the learner's from now on. With an empty name the
	// learner takes over the name of a lost voter: the leader removes that voter first, when it has had no connection to it for some seconds.
	Instead uint64
}

// AddMember adds a learner, and returns its id, even if the outcome is unknown. Then start the learner with that name; it becomes a voter
// by itself when it has caught up. peers are the addresses, host:port, at which the other members reach it.
//
// The code of the error is MemberExists for a used name, AddressExists for a used address, TooManyMembers, or BadRequest. It is
// MemberNotFound if o.Instead is no member, and MemberRuns if the voter to replace under its own name or address answers the leader.
//
// A change of the members has no name: it is never repeated after it may have happened. After an unknown outcome read [Client.Members].
func (a *Admin) AddMember(ctx context.Context, name string, peers []string, o AddOptions) (id uint64, err error) {
	id = newMemberID()
	return id, a.changeMember(ctx, kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: name, Peers: peers, Manual: o.Manual, Instead: o.Instead})
}

// PromoteMember makes a learner a voter. If instead is not 0, the learner replaces the voter with that id, which leaves. The code of the
// error is NotLearner, LearnerBehind if the learner has not caught up (try again later), TooManyMembers, QuorumAtRisk or MemberNotFound.
// The outcome can be unknown as that of [Admin.AddMember].
func (a *Admin) PromoteMember(ctx context.Context, id, instead uint64) error {
	return a.changeMember(ctx, kv.MemberChange{Kind: kv.PromoteMember, ID: id, Instead: instead})
}

// RemoveMember removes a member. Its id is never used again. The code of the error is QuorumAtRisk if too few healthy voters would be left,
// or MemberNotFound, also for a member that was removed before. A removed member stops, and its last answer can be lost with it. So after
// an unknown outcome RemoveMember reads the list of members: if the id is absent, the removal has happened.
func (a *Admin) RemoveMember(ctx context.Context, id uint64) error {
	err := a.changeMember(ctx, kv.MemberChange{Kind: kv.RemoveMember, ID: id})
	if !errors.Is(err, ErrOutcomeUnknown) {
		return err
	}
	members, unread := a.c.Members(ctx, ReadOptions{})
	if unread == nil && !slices.ContainsFunc(members, func(m kv.Member) bool { return m.ID == id }) {
		return nil
	}
	return err
}

// UpdateMember sets the addresses, host:port, at which the other members reach a member. The member itself listens where its flags say. The
// code of the error is AddressExists, MemberNotFound, or BadRequest for an address of another form.
func (a *Admin) UpdateMember(ctx context.Context, id uint64, peers []string) error {
	return a.changeMember(ctx, kv.MemberChange{Kind: kv.UpdateMember, ID: id, Peers: peers})
}

// MoveLeader moves the leadership to the voter with the id to, or, with 0, to the follower with the most of the log. It returns when
// another member leads. If that takes longer than two election timeouts, the outcome is unknown. Only the leader can do that: the client
// sends the request to the leader itself, if its address is known and may be used. The request is retried only if it certainly did nothing.
// The code of the error is MemberNotFound, or BadRequest for a learner.
func (a *Admin) MoveLeader(ctx context.Context, to uint64) error {
	ctx, cancel := context.WithDeadline(ctx, a.c.until(ctx, time.Now()))
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := a.c.moveLeader(ctx, to)
		answer, ok := errors.AsType[*kv.Error](err)
		if !ok || !answer.Retryable() || !answer.Certain() {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff(attempt, err)):
		}
	}
}

func (c *Client) moveLeader(ctx context.Context, to uint64) error {
	status, err := c.Admin().Status(ctx, "")
	if err != nil {
		return err
	}
	x := c.newCall(ctx, wire.OpMoveLeader)
	x.body = wire.AppendAsk(x.body[:0], &wire.Ask{Member: to})
	i := slices.IndexFunc(status.Members, func(m kv.Member) bool { return m.ID == status.Leader })
	if c.config.NoDiscovery || status.ID == status.Leader || i < 0 || len(status.Members[i].Clients) == 0 {
		if err := c.do(ctx, x); err != nil {
			return err
		}
		x.recycle()
		return nil
	}
	return c.askAt(ctx, status.Members[i].Clients[0], x, func(*wire.Response) error { return nil })
}

// newMemberID returns a random id that no member ever had. Neither 0 nor the two largest numbers are ids.
func newMemberID() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		if id := binary.BigEndian.Uint64(b[:]); id != 0 && id < math.MaxUint64-1 {
			return id
		}
	}
}
