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

// pushInterval is how often the endpoint checks for a change of the members: clients learn of a new member before the last member that
// they know can be gone.
const pushInterval = 100 * time.Millisecond

// pushMembers pushes the members to clients whenever they have changed since the client came. It pushes once more when a member
// that had no leader has one again: only then is the list the decision of the cluster. It also pushes when the clock of sessions has
// advanced, which lets an idle client begin a session at once. A push that a client does not take is repeated until it does.
func (s *Server) pushMembers(ctx context.Context) {
	tick := time.NewTicker(pushInterval)
	defer tick.Stop()
	for {
		s.pushChange()
		s.endLogins()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// membersPushed reports whether all clients have the newest members. It is called ten times a second, and a status costs more.
func (s *Server) membersPushed() bool {
	view := s.config.Member.View()
	s.mu.Lock()
	defer s.mu.Unlock()
	if said := &s.pushed; said.Leader == 0 || s.changedLocked(view) {
		return false
	}
	told := true
	s.eachLocked(func(c *conn) { told = told && c.pushedAt.Load() >= s.changes })
	return told
}

// changedLocked reports whether the members or the clock of sessions have moved on since the newest push.
func (s *Server) changedLocked(view *index.View) bool {
	return !slices.EqualFunc(s.pushed.Members, view.Members().All(), sameMember) || view.SessionClock()-s.pushed.Get(figures.SessionClock) > int64(limits.SessionTTL/4)
}

// pushChange begins to push the members to the clients that do not have the newest ones, and reports whether there are any.
func (s *Server) pushChange() bool {
	if s.membersPushed() {
		return false
	}
	view := s.config.Member.View()
	now := s.config.Member.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pushed.Leader == 0 && now.Leader != 0 || s.changedLocked(view) {
		s.pushed = now
		s.changes++
	}
	at, untold := s.changes, false
	frame := sync.OnceValue(func() []byte { return wire.AppendAnswer(nil, 0, &now) })
	s.eachLocked(func(c *conn) {
		if c.pushedAt.Load() < at && c.pushing.CompareAndSwap(false, true) {
			untold = true
			s.running.Go(func() { c.pushStatus(frame(), at) })
		}
	})
	return untold
}

func sameMember(a, b kv.Member) bool {
	return a.ID == b.ID && a.Name == b.Name && slices.Equal(a.Clients, b.Clients)
}

// pushStatus sends a status on a stream of its own, unless the client allows no such stream.
func (c *conn) pushStatus(status []byte, at uint64) {
	defer c.pushing.Store(false)
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
	c.pushedAt.Store(at)
}
