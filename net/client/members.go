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

type (
	// Member is one member of the cluster, as all of them know it.
	Member = kv.Member
	// MemberChange is one change of the membership.
	MemberChange = kv.MemberChange
)

// Members returns the members' records; serializable ones as the member knows them that serves this client, also without
// a quorum.
func (c *Client) Members(ctx context.Context, serializable bool) ([]Member, error) {
	return replicated(ctx, c, wire.OpMembers, serializable, (*wire.Response).Members)
}

// replicated asks for records of the replicated state, and reads them from the answer.
func replicated[T any](ctx context.Context, c *Client, op wire.Op, serializable bool, read func(*wire.Response) ([]T, error)) ([]T, error) {
	x := c.newCall(ctx, op)
	x.body = wire.AppendMembersBody(x.body[:0], serializable)
	if err := c.do(ctx, x); err != nil {
		return nil, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return nil, err
	}
	return read(&p)
}

// ChangeMember changes the membership. An error says the same of it as of any other write.
func (c *Client) ChangeMember(ctx context.Context, change MemberChange) error {
	x := c.newCall(ctx, wire.OpChangeMember)
	x.body = wire.AppendChangeMemberBody(x.body[:0], &change)
	_, err := c.written(ctx, x)
	return err
}

// AddMember adds a learner, and returns its id, also when it is not known whether it was added. It becomes a voter by
// itself when it has caught up, unless it is manual: then PromoteMember makes it one.
func (c *Client) AddMember(ctx context.Context, name string, peers []string, manual bool) (id uint64, err error) {
	id = newMemberID()
	return id, c.ChangeMember(ctx, MemberChange{Kind: kv.AddLearner, ID: id, Name: name, Peers: peers, Manual: manual})
}

// AddMemberInstead adds a learner that is to take the place of a member that is lost, and will be removed: that one's addresses
// are the learner's from now on, where they are among peers. It says its own name when it starts, which may be that one's by then.
func (c *Client) AddMemberInstead(ctx context.Context, peers []string, instead uint64) (id uint64, err error) {
	id = newMemberID()
	return id, c.ChangeMember(ctx, MemberChange{Kind: kv.AddLearner, ID: id, Peers: peers, Instead: instead})
}

// PromoteMember makes a learner a voter, in the place of another voter, which leaves, where instead is not 0.
func (c *Client) PromoteMember(ctx context.Context, id, instead uint64) error {
	return c.ChangeMember(ctx, MemberChange{Kind: kv.PromoteMember, ID: id, Instead: instead})
}

// RemoveMember removes a member. Its id is never used again.
func (c *Client) RemoveMember(ctx context.Context, id uint64) error {
	return c.ChangeMember(ctx, MemberChange{Kind: kv.RemoveMember, ID: id})
}

// UpdateMember sets the addresses at which the others reach a member.
func (c *Client) UpdateMember(ctx context.Context, id uint64, peers []string) error {
	return c.ChangeMember(ctx, MemberChange{Kind: kv.UpdateMember, ID: id, Peers: peers})
}

// MoveLeader makes the voter with an id the leader, or, with 0, the follower that has most of the log. Only the leader
// can do that, so it is asked itself, where its address is known and may be used. It is asked again only when it
// certainly did nothing.
func (c *Client) MoveLeader(ctx context.Context, to uint64) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := c.moveLeader(ctx, to)
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
	status, err := c.Status(ctx, "")
	if err != nil {
		return err
	}
	x := c.newCall(ctx, wire.OpMoveLeader)
	x.body = wire.AppendMoveLeaderBody(x.body[:0], to)
	i := slices.IndexFunc(status.Members, func(m wire.Member) bool { return m.ID == status.Leader })
	if c.config.NoDiscovery || status.ID == status.Leader || i < 0 || len(status.Members[i].Clients) == 0 {
		if err := c.do(ctx, x); err != nil {
			return err
		}
		x.recycle()
		return nil
	}
	return c.askAt(ctx, status.Members[i].Clients[0], x)
}

// newMemberID returns an id that no member ever had. Neither 0 nor the two largest numbers are ids.
func newMemberID() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		if id := binary.BigEndian.Uint64(b[:]); id != 0 && id < math.MaxUint64-1 {
			return id
		}
	}
}
