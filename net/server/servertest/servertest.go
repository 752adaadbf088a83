// Package servertest serves an in-memory store by the real native endpoint on loopback, so that programs which use
// net/client can be tested without a cluster, as can the endpoint and the client themselves.
package servertest

import (
	"crypto/rand"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"qkv/index"
	"qkv/net/server"
	"qkv/net/wire"
)

// T is what is needed of a *testing.T.
type T interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Fatal(...any)
}

// Trust is one cluster's certificates.
type Trust struct {
	Dir    string
	Member *wire.Credentials // of the member "test"
	Client *wire.Credentials // of the client "test"
}

// NewTrust makes a CA for the trust domain "test", with a member and a client.
func NewTrust(t T) Trust {
	t.Helper()
	trust := Trust{Dir: t.TempDir()}
	m := wire.Maker{Now: time.Now, Rand: rand.Reader}
	_, err := m.CreateCA(trust.Dir, "test")
	check(t, err)
	_, err = m.CreateMember(trust.Dir, "test", []string{"localhost"})
	check(t, err)
	_, err = m.CreateClient(trust.Dir, "test")
	check(t, err)
	trust.Member, err = wire.LoadMember(trust.Dir, "test", time.Now)
	check(t, err)
	trust.Client, err = wire.LoadClient(trust.Dir, "test", time.Now)
	check(t, err)
	return trust
}

func check(t T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// store is an index that several members may share, as if they were always in agreement.
type store struct {
	mu      sync.Mutex
	state   *index.State
	applied uint64
	results []index.Result
	view    atomic.Pointer[index.View]
}

// newStore returns an empty store.
func newStore() *store {
	s := &store{state: index.NewState()}
	s.view.Store(s.state.View())
	return s
}

// apply applies commands as one entry and returns their results, which are valid until the next call.
func (s *store) apply(commands [][]byte, each func([]index.Result)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied++
	entry := index.AppendEnvelope(nil, index.Envelope{Member: 1, Incarnation: 1, Wall: time.Now().UnixNano()}, commands)
	results, err := s.state.Apply(s.applied, 1, entry, s.results[:0])
	if err != nil {
		panic(err)
	}
	s.results = results
	s.view.Store(s.state.View())
	each(results)
}

// Member is a member whose every write is applied at once.
type Member struct {
	// Lose says that proposals are applied and never answered.
	Lose atomic.Bool
	// Proposals and Confirms count what came.
	Proposals, Confirms atomic.Int64

	store  *store
	status atomic.Pointer[wire.Status]
	before atomic.Pointer[Before]
}

// Before is asked before each proposal and each confirmation, with their number of requests. An error is the
// outcome of all of them. It may wait, which makes the clients wait.
type Before func(writes, reads int) *index.Error

var _ server.Member = (*Member)(nil)

// NewMember returns a member over a store of its own, or over that of other members.
func NewMember(others ...*Member) *Member {
	m := &Member{}
	if len(others) > 0 {
		m.store = others[0].store
	} else {
		m.store = newStore()
	}
	m.SetStatus(wire.Status{Name: "test", ID: 1, Role: "leader"})
	return m
}

// SetStatus sets the answer to Status, in which revision and keys are filled in.
func (m *Member) SetStatus(s wire.Status) { m.status.Store(&s) }

// SetBefore sets who is asked; nil: nobody.
func (m *Member) SetBefore(f Before) { m.before.Store(&f) }

func (m *Member) ask(writes, reads int) *index.Error {
	if f := m.before.Load(); f != nil && *f != nil {
		return (*f)(writes, reads)
	}
	return nil
}

// Propose applies the writes and answers them.
func (m *Member) Propose(p index.Proposal) {
	m.Proposals.Add(1)
	done := make([]index.Done, 0, len(p.Requests))
	if err := m.ask(len(p.Requests), 0); err != nil {
		for _, request := range p.Requests {
			done = append(done, index.Done{Request: request, Kind: index.Applied, Err: err})
		}
		p.From.Deposit(done)
		return
	}
	m.store.apply(p.Commands, func(results []index.Result) {
		for i, request := range p.Requests {
			done = append(done, index.Done{Request: request, Kind: index.Applied, Result: results[i]})
		}
	})
	if !m.Lose.Load() {
		p.From.Deposit(done)
	}
}

// Confirm confirms reads at once.
func (m *Member) Confirm(from index.Asker, requests []uint64, _ time.Duration) {
	m.Confirms.Add(1)
	err := m.ask(0, len(requests))
	done := make([]index.Done, 0, len(requests))
	for _, request := range requests {
		done = append(done, index.Done{Request: request, Kind: index.Confirmed, Err: err})
	}
	from.Deposit(done)
}

// View returns the newest state.
func (m *Member) View() *index.View { return m.store.view.Load() }

// Status returns what SetStatus set.
func (m *Member) Status() wire.Status {
	s := *m.status.Load()
	v := m.View()
	s.Revision, s.Keys, s.Digest = v.Revision(), v.Keys(), v.Digest()
	return s
}

// Start serves a member on a free port of 127.0.0.1, until the test ends. change may change the server's
// configuration.
func Start(t T, trust Trust, m server.Member, change func(*server.Config)) *server.Server {
	t.Helper()
	config := server.Config{Address: "127.0.0.1:0", Credentials: trust.Member, Member: m, ResetKey: [32]byte{1, 2, 3}}
	if change != nil {
		change(&config)
	}
	s, err := server.Start(config)
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Endpoint is where a server listens.
func Endpoint(s *server.Server) string { return s.Addr().(*net.UDPAddr).String() }
