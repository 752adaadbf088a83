package server

import (
	"context"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// tellEvery is how often the endpoint checks for a change of the members: clients learn of a new member before the last member that
// they know can be gone.
const tellEvery = 100 * time.Millisecond

// tellMembers pushes the members to clients whenever they have changed since the client came. It pushes once more when a member
// that had no leader has one again: only then is the list the cluster's decision. It also pushes when the clock of sessions has
// advanced, which lets an idle client begin a session at once. A push that a client does not take is repeated until it does.
func (s *Server) tellMembers(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	var said wire.Status // the contents of a push that is sent now
	for {
		now := s.config.Member.Status()
		s.mu.Lock()
		if !slices.EqualFunc(said.Members, now.Members, sameMember) || said.Leader == 0 && now.Leader != 0 || now.Get(figures.SessionClock)-said.Get(figures.SessionClock) > int64(limits.SessionTTL/4) {
			said = now
			s.membersAt++
		}
		var untold []*conn
		s.eachLocked(func(c *conn) {
			if c.toldAt.Load() < s.membersAt && c.telling.CompareAndSwap(false, true) {
				untold = append(untold, c)
			}
		})
		at := s.membersAt
		s.mu.Unlock()
		if len(untold) > 0 {
			frame := wire.AppendAnswer(nil, 0, &now)
			for _, c := range untold {
				s.running.Go(func() { c.tell(frame, at) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func sameMember(a, b kv.Member) bool {
	return a.ID == b.ID && a.Name == b.Name && slices.Equal(a.Clients, b.Clients)
}

// tell sends a status on a stream of its own, unless the client allows no such stream.
func (c *conn) tell(status []byte, at uint64) {
	defer c.telling.Store(false)
	out, err := c.qc.OpenUniStream()
	if err != nil {
		return
	}
	_ = out.SetWriteDeadline(time.Now().Add(c.server.config.Limits.WriteTimeout)) // cannot fail
	if _, err := out.Write(status); err != nil {
		out.CancelWrite(quic.StreamErrorCode(wire.StreamSlow))
		return
	}
	_ = out.Close() // an error belongs to the connection
	c.toldAt.Store(at)
}
