// Package servertest serves an in-memory store through the real native endpoint on loopback. Programs that use net/client can be
// tested without a cluster, and so can the endpoint and the client themselves.
package servertest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/index/watch"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testport"
	"qkv/net/auth"
	"qkv/net/server"
	"qkv/net/wire"
)

// T is the part of *testing.T that this package uses.
type T interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Fatal(...any)
}

// Frame puts a frame around a body that no message would encode.
func Frame(body []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(body))), body...) }

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

// store is an index that several members may share, as if they always agreed.
type store struct {
	mu      sync.Mutex
	state   *index.State
	applied uint64
	results []kv.Result
	later   time.Duration // of the clock, guarded by mu
	view    atomic.Pointer[index.View]

	watching sync.Mutex
	hub      *watch.Hub // guarded by watching
}

// newStore returns an empty store with these voters.
func newStore(voters map[string]uint64, bounds limits.Index) *store {
	s := &store{state: index.NewState(bounds), hub: watch.NewHub(limits.Defaults().Watches, 1)}
	s.state.Found(index.Founders(voters))
	s.applyEntry([]kv.Command{index.AppendFeatureLevel(nil, index.MaxLevel)}, nil)
	s.view.Store(s.state.View())
	return s
}

// apply applies commands as one entry and returns their results, which are valid until the next call.
func (s *store) apply(commands []kv.Command, each func([]kv.Result)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = s.applyEntry(commands, s.results[:0])
	if c := s.state.Members().Configuration(); c.Joint() {
		s.applyEntry([]kv.Command{index.AppendEndExchange(nil)}, nil)
	}
	s.view.Store(s.state.View())
	each(s.results)
	s.watch(func() {})
	if !s.view.Load().Dropped() {
		for s.state.Reclaim() {
		}
		s.view.Store(s.state.View())
	}
}

// watch runs a change of the watches, and then delivers pending events.
func (s *store) watch(what func()) {
	s.watching.Lock()
	defer s.watching.Unlock()
	what()
	for s.hub.Step(0, s.view.Load(), false) {
	}
}

func (s *store) applyEntry(commands []kv.Command, results []kv.Result) []kv.Result {
	s.applied++
	var encoded [][]byte
	for _, c := range commands {
		encoded = append(encoded, c.Bytes)
	}
	entry := index.AppendEnvelope(nil, index.Envelope{Member: 1, Incarnation: 1, Wall: time.Now().Add(s.later).UnixNano()}, encoded)
	results, err := s.state.ApplyChange(s.applied, 1, entry, results)
	if err != nil {
		panic(err)
	}
	return results
}

// Member is a member that applies every write at once.
type Member struct {
	// Lose makes proposals be applied and never answered.
	Lose atomic.Bool
	// Sessions adds the clock of sessions to the status; without it clients have no sessions.
	Sessions atomic.Bool
	// Proposals, ReadIndexes and Moves count the calls.
	Proposals, ReadIndexes, Moves atomic.Int64

	store  *store
	status atomic.Pointer[kv.Status]
	before atomic.Pointer[Before]
	refuse atomic.Pointer[kv.Error]
	leases leaseClock
}

// Evict says that files have all values, and evicts the superseded ones from memory.
func (m *Member) Evict(files index.Values) {
	s := m.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Stored(files.To(), files.To(), files)
	for s.state.Reclaim() {
	}
	s.view.Store(s.state.View())
}

// Before is called before each proposal, each batch of reads and each move of the leader, with their number of requests. An error
// is the outcome of all of them. It may wait, which makes the clients wait.
type Before func(writes, reads int) *kv.Error

var _ server.Member = (*Member)(nil)

// NewMember returns a member with a store of its own, or with the store of other members.
func NewMember(others ...*Member) *Member {
	m := &Member{}
	if len(others) > 0 {
		m.store = others[0].store
	} else {
		m.store = newStore(map[string]uint64{"test": 1}, limits.Defaults().Index)
	}
	m.SetStatus(kv.Status{Name: "test", ID: 1, Role: "leader", Leader: 1})
	return m
}

// NewCold returns a member of which Evict evicts the values of live keys, too, but for the newest ones.
func NewCold() *Member {
	m, bounds := NewMember(), limits.Defaults().Index
	bounds.MemoryBytes, bounds.SlabBytes = 1, 4<<10
	m.store = newStore(map[string]uint64{"test": 1}, bounds)
	return m
}

// NewCluster returns one member that answers for a cluster of these voters.
func NewCluster(voters map[string]uint64) *Member {
	m := NewMember()
	m.store = newStore(voters, limits.Defaults().Index)
	return m
}

// Announce applies a member's description of itself.
func (m *Member) Announce(one kv.Member) {
	m.store.apply([]kv.Command{index.AppendAnnounce(nil, &one)}, func(results []kv.Result) {
		if err := results[0].Err; err != nil {
			panic(err)
		}
	})
}

// ChangeMembers applies a change of the membership, as if a leader had proposed it by itself.
func (m *Member) ChangeMembers(c *kv.MemberChange) {
	m.store.apply([]kv.Command{index.Own().AppendMemberChange(nil, c)}, func(results []kv.Result) {
		if err := results[0].Err; err != nil {
			panic(err)
		}
	})
}

// ChangeAuth applies changes of users and roles, as if a member had proposed them by itself.
func (m *Member) ChangeAuth(changes ...kv.AuthChange) {
	for i := range changes {
		c := changes[i]
		if c.Kind == kv.AuthEnable {
			c.Secret = make([]byte, limits.AuthSecretBytes)
		}
		own := index.Own()
		m.store.apply([]kv.Command{own.AppendAuthChange(nil, &c)}, func(results []kv.Result) {
			if err := results[0].Err; err != nil {
				panic(err)
			}
		})
	}
}

// Pass advances the clock of sessions.
func (m *Member) Pass(d time.Duration) {
	for range d / limits.SessionPause {
		m.store.mu.Lock()
		m.store.later += limits.SessionPause
		m.store.mu.Unlock()
		m.store.apply(nil, func([]kv.Result) {})
	}
}

// SetStatus sets the answer to Status; revision and keys are filled in.
func (m *Member) SetStatus(s kv.Status) { m.status.Store(&s) }

// SetBefore sets the function to call; nil: none.
func (m *Member) SetBefore(f Before) { m.before.Store(&f) }

func (m *Member) ask(writes, reads int) *kv.Error {
	if f := m.before.Load(); f != nil && *f != nil {
		return (*f)(writes, reads)
	}
	return nil
}

// SetRefuse sets the answer to all requests but a status; nil: none.
func (m *Member) SetRefuse(err *kv.Error) { m.refuse.Store(err) }

// Refuse returns the error that SetRefuse set.
func (m *Member) Refuse() *kv.Error { return m.refuse.Load() }

// Readmit clears the error that SetRefuse set, if the id is that of the status.
func (m *Member) Readmit(member uint64) *kv.Error {
	if m.status.Load().ID != member {
		return kv.Errorf(kv.BadRequest, "this is another member")
	}
	m.refuse.Store(nil)
	return nil
}

// MoveLeader makes a voter the leader in the status; 0 stands for the first voter that does not lead.
func (m *Member) MoveLeader(_ context.Context, to uint64) *kv.Error {
	m.Moves.Add(1)
	if err := m.ask(1, 0); err != nil {
		return err
	}
	s := *m.status.Load()
	for _, one := range m.View().Members().All() {
		if one.Role.Votes() && (one.ID == to || to == 0 && one.ID != s.Leader) {
			s.Leader = one.ID
			m.status.Store(&s)
			return nil
		}
	}
	return kv.Errorf(kv.MemberNotFound, "there is no voter %016x", to)
}

// Propose applies the writes and answers them.
func (m *Member) Propose(p kv.Proposal) {
	m.Proposals.Add(1)
	if err := m.ask(len(p.Requests), 0); err != nil {
		kv.Refuse(p.ReplyTo, p.Requests, kv.CommandDone, err)
		return
	}
	done := make([]kv.Completion, 0, len(p.Requests))
	m.store.apply(p.Commands, func(results []kv.Result) {
		for i, request := range p.Requests {
			done = append(done, kv.Completion{Request: request, Kind: kv.CommandDone, Result: results[i]})
		}
		if !m.Lose.Load() {
			p.ReplyTo.Complete(done) // before a newer View is published, as a member does
		}
	})
}

// ReadIndex confirms reads at once.
func (m *Member) ReadIndex(to kv.ReplyTo, requests []uint64, _ time.Duration) {
	m.ReadIndexes.Add(1)
	err := m.ask(0, len(requests))
	done := make([]kv.Completion, 0, len(requests))
	for _, request := range requests {
		done = append(done, kv.Completion{Request: request, Kind: kv.ReadReady, Result: kv.Result{Err: err}})
	}
	to.Complete(done)
}

// Watch passes on a request of a stream of watches.
func (m *Member) Watch(to kv.WatchStream, r kv.WatchRequest) {
	m.store.watch(func() { m.store.hub.Request(m.View(), to, &r) })
}

// EndWatches ends all watches of the store.
func (m *Member) EndWatches(why *kv.Error) {
	m.store.watch(func() { m.store.hub.EndAll(why) })
}

// Watches returns the number of watches.
func (m *Member) Watches() (n int) {
	m.store.watch(func() { n = m.store.hub.Watches() })
	return n
}

// AskLeases answers how long a lease has left: without ExpireLeases always its full TTL.
func (m *Member) AskLeases(to kv.ReplyTo, requests []uint64, asks []kv.LeaseAsk, _ time.Duration) {
	err := m.ask(0, len(requests))
	done := make([]kv.Completion, 0, len(requests))
	for i, request := range requests {
		left := kv.LeaseTime{TTL: -1}
		if l, ok := m.View().Lease(asks[i].Lease); ok {
			left = kv.LeaseTime{TTL: m.leases.left(l, asks[i].Renew), Granted: l.TTL}
		} else if asks[i].Renew {
			left.TTL = 0
		}
		done = append(done, kv.Completion{Request: request, Kind: kv.LeaseTold, Lease: &left, Result: kv.Result{Err: err}})
	}
	to.Complete(done)
}

// View returns the newest state.
func (m *Member) View() *index.View { return m.store.view.Load() }

// Status returns the status that SetStatus set.
func (m *Member) Status() kv.Status {
	s := *m.status.Load()
	v := m.View()
	s.Digest, s.Values = v.Digest(), slices.Clone(s.Values)
	figures.Set(&s.Values, figures.Revision, v.Revision())
	figures.Set(&s.Values, figures.Keys, v.Keys())
	figures.Set(&s.Values, figures.Oldest, v.Compacted())
	if v.Dropped() {
		figures.Set(&s.Values, figures.Dropped, 1)
	}
	figures.Set(&s.Values, figures.WriteSessions, v.Sessions())
	if m.Sessions.Load() {
		figures.Set(&s.Values, figures.SessionClock, v.SessionClock())
	}
	return s
}

// Start serves a member on a free port of 127.0.0.1, until the test ends. change may change the server's
// configuration.
func Start(t T, trust Trust, m server.Member, change func(*server.Config)) *server.Server {
	t.Helper()
	config := server.Config{
		Credentials: trust.Member, Member: m, ResetKey: [32]byte{1, 2, 3},
		MaxRequestBytes: limits.RequestBytesWritten, Limits: limits.Defaults().Clients,
	}
	if change != nil {
		change(&config)
	}
	Proofs(t, &config)
	begin := func(address string) (*server.Server, error) {
		config.Address = address
		return server.Start(config)
	}
	s, err := (*server.Server)(nil), error(nil)
	if config.Conn != nil {
		s, err = server.Start(config)
	} else {
		s, err = testport.Listen(config.Address, begin)
	}
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Proofs sets the proofs of users: the cheapest hashes, and simple tokens.
func Proofs(t T, config *server.Config) {
	hasher, err := auth.NewHasher(limits.PasswordCostLeast)
	check(t, err)
	scheme, err := auth.ParseScheme("simple", 0, nil)
	check(t, err)
	member := config.Member
	if config.Hasher == nil {
		config.Hasher = hasher
	}
	if config.Tokens == nil {
		config.Tokens = scheme.Tokens(func() *auth.Key { return member.View().Auth().Secret() })
	}
}

// Endpoint returns the address on which a server listens.
func Endpoint(s *server.Server) string { return s.Addr().(*net.UDPAddr).String() }
