package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index"
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
	for {
		s.tellChange()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// told reports whether all clients have the newest members. It is asked ten times a second, and a status costs more.
func (s *Server) told() bool {
	view := s.config.Member.View()
	s.mu.Lock()
	defer s.mu.Unlock()
	if said := &s.said; said.Leader == 0 || s.isNewLocked(view) {
		return false
	}
	told := true
	s.eachLocked(func(c *conn) { told = told && c.toldAt.Load() >= s.membersAt })
	return told
}

// isNewLocked reports whether the members or the clock of sessions have moved on since the newest push.
func (s *Server) isNewLocked(view *index.View) bool {
	return !slices.EqualFunc(s.said.Members, view.Members().All(), sameMember) || view.SessionClock()-s.said.Get(figures.SessionClock) > int64(limits.SessionTTL/4)
}

// tellChange begins to push the members to the clients that do not have the newest ones, and reports whether there are any.
func (s *Server) tellChange() bool {
	if s.told() {
		return false
	}
	view := s.config.Member.View()
	now := s.config.Member.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said.Leader == 0 && now.Leader != 0 || s.isNewLocked(view) {
		s.said = now
		s.membersAt++
	}
	at, untold := s.membersAt, false
	frame := sync.OnceValue(func() []byte { return wire.AppendAnswer(nil, 0, &now) })
	s.eachLocked(func(c *conn) {
		if c.toldAt.Load() < at && c.telling.CompareAndSwap(false, true) {
			untold = true
			s.running.Go(func() { c.tell(frame(), at) })
		}
	})
	return untold
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
