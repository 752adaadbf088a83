package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/meter"
	native "qkv/net/client"
	"qkv/net/web"
	"qkv/net/wire"
	"qkv/node/roster"
)

// overview asks all members for their states, for the dashboard. It does so only while there are viewers. One state serves all of them for
// clusterAge, and the connections are closed clusterIdle after the last viewer.
type overview struct {
	// Constant.
	member      *member
	recent      *meter.Recent
	credentials *wire.Credentials // nil: other members cannot be asked

	mu      sync.Mutex
	newest  *web.Cluster
	at      time.Time
	clients map[string]*native.Client // by address
	idle    *time.Timer
	closed  bool
}

const (
	// clusterAge is how long one state of all members serves all viewers, and clusterIdle is the time without a viewer after which the
	// connections to the members are closed. clusterTimeout is for the members' answers: a member that is down delays no page by more.
	clusterAge     = time.Second
	clusterIdle    = 15 * time.Second
	clusterTimeout = time.Second
)

// cluster returns the state of all members.
func (o *overview) cluster(ctx context.Context) *web.Cluster {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.newest != nil && time.Since(o.at) < clusterAge || o.closed {
		return cmp.Or(o.newest, &web.Cluster{Self: o.member.config.Name, Recent: o.recent.Since})
	}
	own := o.member.Status()
	o.newest = clusterOf(o.ask(context.WithoutCancel(ctx), &own), &own)
	o.newest.Recent, o.at = o.recent.Since, time.Now()
	if o.idle == nil {
		o.idle = time.AfterFunc(clusterIdle, o.forget)
	}
	o.idle.Reset(clusterIdle)
	return o.newest
}

// forget closes the connections to the members, and frees the last state.
func (o *overview) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.clients {
		_ = c.Close()
	}
	o.clients, o.newest = nil, nil
}

// close ends the questions for good.
func (o *overview) close() {
	o.forget()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.idle != nil {
		o.idle.Stop()
	}
}

// reply is the answer of one member.
type reply struct {
	status kv.Status
	sent   time.Time
	took   time.Duration
	err    error
}

// ask asks all members but this one, each at its first address, in parallel.
func (o *overview) ask(ctx context.Context, own *kv.Status) map[uint64]reply {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	all := make([]reply, len(own.Members))
	clients := map[string]*native.Client{}
	var asking sync.WaitGroup
	for i := range own.Members {
		m := &own.Members[i]
		switch {
		case m.ID == own.ID:
			all[i] = reply{status: *own, sent: time.Now(), took: time.Microsecond}
			continue
		case len(m.Clients) == 0 || o.credentials == nil:
			all[i].err = errors.New("it has not told the others its client address")
			continue
		}
		address := m.Clients[0]
		c := o.clients[address]
		if c == nil {
			var err error
			if c, err = native.Open(ctx, native.Config{Endpoints: []string{address}, Credentials: o.credentials, NoDiscovery: true, NoNames: true, FailFast: true, AnyCluster: true}); err != nil {
				all[i].err = err
				continue
			}
		}
		clients[address] = c
		asking.Go(func() {
			sent := time.Now()
			s, err := c.Admin().Status(ctx, "")
			all[i] = reply{s, sent, time.Since(sent), err}
			if err == nil && s.ID != m.ID {
				all[i].err = fmt.Errorf("another member answers at %s: %s", address, s.Name)
			}
		})
	}
	asking.Wait()
	for address, c := range o.clients {
		if clients[address] != c {
			_ = c.Close()
		}
	}
	o.clients = clients
	found := map[uint64]reply{}
	for i := range own.Members {
		found[own.Members[i].ID] = all[i]
	}
	return found
}

// clusterOf converts the answers for package web.
func clusterOf(answers map[uint64]reply, own *kv.Status) *web.Cluster {
	names := map[uint64]string{}
	for _, m := range own.Members {
		names[m.ID] = m.Name
	}
	c := &web.Cluster{Self: own.Name}
	named := func(id uint64) string { return cmp.Or(names[id], fmt.Sprintf("%016x", id)) }
	for _, m := range own.Members {
		c.Members = append(c.Members, memberOf(&m, answers[m.ID], named))
	}
	slices.SortFunc(c.Members, func(a, b checks.Member) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// memberOf describes the member of a record by its answer.
func memberOf(m *kv.Member, r reply, named func(id uint64) string) checks.Member {
	if r.err != nil {
		return roster.Unreachable(m, named, r.err)
	}
	one := roster.MemberOf(&r.status, named, r.sent, r.sent.Add(r.took))
	roster.SetRecord(&one, m, named)
	return one
}

// clients returns the clients of both endpoints: those with the most unread bytes first, then those with the most requests.
func (n *Node) clients() (all []kv.ClientLoad) {
	if n.etcd != nil {
		all = n.etcd.Clients()
	}
	if n.server != nil {
		all = append(all, n.server.Clients()...)
	}
	slices.SortFunc(all, func(a, b kv.ClientLoad) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), limits.DashboardClients)]
}

// load adds the memory, the network, the files and the load of this process to a status.
func (n *Node) load(s *kv.Status) {
	n.routes.to(s)
	n.scrubber.report(&s.Values)
	figures.Set(&s.Values, figures.Memory, residentBytes())
	newest := n.recent.Newest()
	for kind, to := range [meter.Kinds][2]figures.ID{
		meter.Puts: {figures.PutRate, figures.PutP99}, meter.Gets: {figures.GetRate, figures.GetP99}, meter.Events: {figures.EventRate, figures.EventP99},
	} {
		figures.Set(&s.Values, to[0], int64(newest.Rates[kind]+0.5))
		figures.Set(&s.Values, to[1], newest.P99[kind])
	}
}

// residentBytes returns the resident memory of this process; 0 is not known.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if n, _ := fmt.Sscan(string(text), &size, &resident); n < 2 {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// routes caches the interface with the smallest MTU towards the other members.
type routes struct {
	mu            sync.Mutex
	at            time.Time
	interfaceName string
	mtu           int
}

func (w *routes) to(s *kv.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) >= clusterAge {
		w.at, w.interfaceName, w.mtu = time.Now(), "", 0
		for _, m := range s.Members {
			for _, address := range m.Clients {
				if name, mtu, err := wire.RouteTo(address); err == nil && m.ID != s.ID && (w.mtu == 0 || mtu < w.mtu) {
					w.interfaceName, w.mtu = name, mtu
				}
			}
		}
	}
	s.Interface = w.interfaceName
	figures.Set(&s.Values, figures.MTU, w.mtu)
}
