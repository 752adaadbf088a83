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
)

// overview asks all members for their states, for the dashboard. It does so only while there are viewers. One state serves all of them for
// limits.ClusterAge, and the connections are closed limits.ClusterIdle after the last viewer.
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

// cluster returns the state of all members.
func (o *overview) cluster(ctx context.Context) *web.Cluster {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.newest != nil && time.Since(o.at) < limits.ClusterAge || o.closed {
		return cmp.Or(o.newest, &web.Cluster{Self: o.member.config.Name, Recent: o.recent.Since})
	}
	own := o.member.Status()
	o.newest = clusterOf(o.ask(context.WithoutCancel(ctx), &own), &own)
	o.newest.Recent, o.at = o.recent.Since, time.Now()
	if o.idle == nil {
		o.idle = time.AfterFunc(limits.ClusterIdle, o.forget)
	}
	o.idle.Reset(limits.ClusterIdle)
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
	status wire.Status
	sent   time.Time
	took   time.Duration
	err    error
}

// ask asks all members but this one, each at its first address, in parallel.
func (o *overview) ask(ctx context.Context, own *wire.Status) map[uint64]reply {
	ctx, cancel := context.WithTimeout(ctx, limits.ClusterTimeout)
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
			if c, err = native.Open(ctx, native.Config{Endpoints: []string{address}, Credentials: o.credentials, NoDiscovery: true, NoSessions: true, FailFast: true, AnyCluster: true}); err != nil {
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

// WhyOf returns the kind of an error of asking a member.
func WhyOf(err error) checks.Why {
	switch _, untrusted := errors.AsType[*wire.TrustError](err); {
	case untrusted:
		return checks.Untrusted
	case errors.Is(err, native.ErrConnectionRefused):
		return checks.Closed
	}
	return checks.Silent
}

// clusterOf converts the answers for package web.
func clusterOf(answers map[uint64]reply, own *wire.Status) *web.Cluster {
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
		return Unreachable(m, named, r.err)
	}
	one := MemberOf(&r.status, named, r.sent, r.sent.Add(r.took))
	SetRecord(&one, m, named)
	return one
}

// SetRecord sets what the other members know of a member.
func SetRecord(one *checks.Member, m *kv.Member, named func(id uint64) string) {
	if one.Role, one.Clients = m.Role, m.Clients; m.Replaces != 0 {
		one.Replaces = named(m.Replaces)
	}
}

// Unreachable describes a member that does not answer.
func Unreachable(m *kv.Member, named func(id uint64) string, err error) checks.Member {
	one := checks.Member{
		Name: named(m.ID), ID: fmt.Sprintf("%016x", m.ID), Version: m.Version,
		State: checks.StateUnknown, Error: checks.OneLine(err.Error()), Why: WhyOf(err),
	}
	SetRecord(&one, m, named)
	figures.Set(&one.Values, figures.LevelMost, m.Level)
	return one
}

// MemberOf describes a member by its status, which was asked and received at these times of this host's clock.
func MemberOf(s *wire.Status, named func(id uint64) string, sent, received time.Time) checks.Member {
	one := checks.Member{
		Name: s.Name, ID: fmt.Sprintf("%016x", s.ID), Cluster: fmt.Sprintf("%016x", s.Cluster), Answers: true, Stage: s.Stage, State: s.Role,
		Digest: fmt.Sprintf("%016x", s.Digest), Version: s.Version, Values: s.Values, Interface: s.Interface, Backup: s.Backup,
	}
	if s.Leader != 0 {
		one.Leader = named(s.Leader)
	}
	if wall := s.Get(figures.Wall); wall != 0 {
		one.ClockWithin = max(received.Sub(sent)/2, time.Microsecond)
		one.Clock = time.UnixMicro(wall).Sub(sent.Add(one.ClockWithin))
	}
	for _, l := range s.Links {
		one.Links = append(one.Links, checks.Link{Member: named(l.Member), Connected: l.Connected, RTT: figures.RTT(l.RTT), Error: checks.OneLine(l.Error), Untrusted: l.Untrusted})
	}
	slices.SortFunc(one.Links, func(a, b checks.Link) int { return strings.Compare(a.Member, b.Member) })
	for _, a := range s.Alarms {
		one.Alarms = append(one.Alarms, checks.Raised{Name: a.Name, Member: named(a.Member), Text: checks.OneLine(strings.TrimPrefix(a.Text, string(a.Name)+": "))})
	}
	return one
}

// clients returns the clients of both endpoints: those with the most unread bytes first, then those with the most requests.
func (n *Node) clients() (all []wire.ClientLoad) {
	if n.etcd != nil {
		all = n.etcd.Clients()
	}
	if n.server != nil {
		all = append(all, n.server.Clients()...)
	}
	slices.SortFunc(all, func(a, b wire.ClientLoad) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), limits.DashboardClients)]
}

// load adds the memory, the network, the files and the load of this process to a status.
func (n *Node) load(s *wire.Status) {
	n.routes.to(s)
	n.backups.report(&s.Values)
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

func (w *routes) to(s *wire.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) >= limits.ClusterAge {
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
