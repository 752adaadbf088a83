package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/net/client"
	"qkv/net/wire"
	"qkv/node/roster"
)

// AskMembers asks all members. If no member answers, it returns an error together with the reason of each member.
func AskMembers(ctx context.Context, t form.Target) ([]MemberStatus, error) {
	t.FailFast, t.Mixed = true, true
	s, err := t.Open(ctx)
	if err == nil {
		defer func() { _ = s.Close() }()
		members, err := askAll(ctx, s, t)
		probeSilent(ctx, t, members)
		return members, err
	}
	var unavailable *client.UnavailableError
	if !errors.As(err, &unavailable) {
		return nil, err
	}
	var members []MemberStatus
	for _, e := range unavailable.Endpoints {
		members = append(members, silent(e.Endpoint, e.Err))
	}
	probeSilent(ctx, t, members)
	return members, err
}

// probeSilent asks silent members over TCP: they run, but UDP packets do not get through, or not those of the size that QUIC needs.
func probeSilent(ctx context.Context, t form.Target, members []MemberStatus) {
	credentials, err := t.Credentials()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), MemberTimeout/2)
	defer cancel()
	web := http.Client{Transport: &http.Transport{TLSClientConfig: wire.HTTPSClientTLS(credentials), DisableKeepAlives: true}}
	var asking sync.WaitGroup
	for i := range members {
		m := &members[i]
		addresses := m.Clients
		if m.Unknown || m.ID == "" {
			addresses = []string{m.Name} // an endpoint
		}
		if !m.Answers && m.Why == checks.Silent {
			asking.Go(func() {
				for i := 0; i < len(addresses) && !m.Runs; i++ {
					m.ask(ctx, &web, "https://"+addresses[i])
				}
			})
		}
	}
	asking.Wait()
}

// ask asks a member's pages for the network of its host, and whether a leader and a quorum confirm its reads.
func (m *MemberStatus) ask(ctx context.Context, web *http.Client, at string) {
	get := func(page string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+page, nil)
		if err != nil {
			return nil, err
		}
		return web.Do(request)
	}
	version, err := get("/version")
	if err != nil {
		return
	}
	defer func() { _ = version.Body.Close() }()
	var said struct {
		Version   string `json:"qkv"`
		Interface string `json:"interface"`
		MTU       int    `json:"mtu"`
	}
	if json.NewDecoder(io.LimitReader(version.Body, limits.EtcdHeaderBytes)).Decode(&said) != nil || said.Version == "" {
		return
	}
	m.Runs, m.Version, m.Interface = true, said.Version, said.Interface
	figures.Set(&m.Values, figures.MTU, said.MTU)
	if ready, err := get("/readyz"); err == nil {
		m.Ready = ready.StatusCode == http.StatusOK
		_ = ready.Body.Close()
	}
}

// MemberTimeout limits the wait for one member: a dead member must not use up the whole timeout.
const MemberTimeout = 2 * time.Second

// askAll asks the members in the list of the most advanced member, at their own addresses and at the given endpoints.
func askAll(ctx context.Context, s *client.Client, t form.Target) ([]MemberStatus, error) {
	first, addresses, err := discover(ctx, t, s)
	if err != nil {
		return nil, err
	}
	answers, known := ask(ctx, s, addresses), first.Members
	cluster, several := answers.cluster(first)
	if cluster.Cluster != first.Cluster {
		known = cluster.Members
	}
	// The first member asked may lag, or may have lost its data since the cluster was founded. Its list then has removed members and
	// lacks newer ones.
	if newer := answers.furthest(known, cluster.Cluster); newer != nil {
		known = newer
		if more := addressesOf(t, known, addresses); len(more) > 0 {
			maps.Copy(answers, ask(ctx, s, more))
		}
	}
	// What members said of their connections is older than another one's silence, which may have ended just before.
	if heard := answers.heard(); len(heard) < len(answers) {
		maps.Copy(answers, ask(ctx, s, heard))
	}
	var members []MemberStatus
	named := answers.names(known)
	for _, m := range known {
		members = append(members, answers.member(m, cluster.Cluster, named))
	}
	members = append(members, answers.others(known, cluster.Cluster, t, named)...)
	nameRoles(members)
	slices.SortStableFunc(members, func(a, b MemberStatus) int { return strings.Compare(a.Name, b.Name) })
	return members, several
}

// discover asks a member for the others. It returns the answer with all their possible addresses: the given endpoints and, unless --no-discovery
// is given, the reported addresses.
func discover(ctx context.Context, t form.Target, s *client.Client) (first kv.Status, addresses []string, err error) {
	if first, err = s.Admin().Status(ctx, ""); err != nil {
		return first, nil, err
	}
	addresses = append(slices.Clone(t.Endpoints), addressesOf(t, first.Members, t.Endpoints)...)
	slices.Sort(addresses)
	return first, slices.Compact(addresses), nil
}

// addressesOf returns the members' client addresses without the known ones; none with --no-discovery.
func addressesOf(t form.Target, members []kv.Member, but []string) (more []string) {
	if t.Given {
		return nil
	}
	for _, m := range members {
		for _, address := range m.Clients {
			if !slices.Contains(but, address) {
				more = append(more, address)
			}
		}
	}
	return more
}

// answers holds the answer of each address.
type answers map[string]answer

type answer struct {
	status         kv.Status
	sent, received time.Time
	err            error
}

func ask(ctx context.Context, s *client.Client, addresses []string) answers {
	ctx, cancel := form.Bounded(ctx, MemberTimeout)
	defer cancel()
	all := make([]answer, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			all[i].sent = time.Now()
			all[i].status, all[i].err = s.Admin().Status(ctx, address)
			all[i].received = time.Now()
		})
	}
	asking.Wait()
	found := answers{}
	for i, address := range addresses {
		found[address] = all[i]
	}
	return found
}

// cluster returns an answer of the cluster to report: that of the first answer, unless only another one has a leader. Old members of a
// cluster that was recovered may still run. Two clusters with leaders are an error.
func (a answers) cluster(first kv.Status) (led kv.Status, err error) {
	led = first
	for _, address := range slices.Sorted(maps.Keys(a)) {
		switch one := a[address]; {
		case one.err != nil || one.status.Leader == 0:
		case led.Leader != 0 && led.Cluster != one.status.Cluster:
			err = form.Exitf(form.ExitUsage, "%w: %s is in %016x, and %s in %016x; was a member started without its --initial-cluster, or an old one left in the list?",
				client.ErrSeveralClusters, led.Name, led.Cluster, one.status.Name, one.status.Cluster)
		default:
			led = one.status
		}
	}
	return led, err
}

// furthest returns the list of the member with the highest applied index among the known members; nil if none of them answers.
func (a answers) furthest(known []kv.Member, cluster uint64) (newer []kv.Member) {
	applied := uint64(0)
	for _, one := range a {
		isKnown := one.status.Cluster == cluster && slices.ContainsFunc(known, func(m kv.Member) bool { return m.ID == one.status.ID })
		if one.err == nil && isKnown && one.status.Count(figures.Applied) >= applied && len(one.status.Members) > 0 {
			applied, newer = one.status.Count(figures.Applied), one.status.Members
		}
	}
	return newer
}

// heard returns the addresses that have answered.
func (a answers) heard() (all []string) {
	for address, one := range a {
		if one.err == nil {
			all = append(all, address)
		}
	}
	return all
}

// connected reports whether any member has a connection to this one.
func (a answers) connected(id uint64) bool {
	for _, one := range a {
		if one.err == nil && slices.ContainsFunc(one.status.Links, func(l kv.Link) bool { return l.Member == id && l.Connected }) {
			return true
		}
	}
	return false
}

// namesByID are the names of members.
type namesByID map[uint64]string

// of returns a member's name, or its id if the name is unknown.
func (n namesByID) of(id uint64) string { return cmp.Or(n[id], form.Hex(id)) }

// names collects the names from all members: a member that has just joined, or was down meanwhile, knows some others only by id.
func (a answers) names(known []kv.Member) namesByID {
	n := namesByID{}
	add := func(id uint64, name string) {
		if n[id] == "" {
			n[id] = name
		}
	}
	for _, m := range known {
		add(m.ID, m.Name)
	}
	for _, one := range a {
		if one.err != nil {
			continue
		}
		add(one.status.ID, one.status.Name)
		for _, m := range one.status.Members {
			add(m.ID, m.Name)
		}
	}
	return n
}

// member returns the status of a member from any address, or the error of its own address.
func (a answers) member(m kv.Member, cluster uint64, named namesByID) MemberStatus {
	for address, one := range a {
		if one.err == nil && one.status.ID == m.ID && one.status.Cluster == cluster {
			answered := one.member(address, named)
			roster.SetRecord(&answered.Member, &m, named.of)
			return answered
		}
	}
	why := checks.Unstarted
	err := errors.New("it has not told the others its client address: it has never started, or no UDP packets get through between its peer port and theirs")
	if len(m.Clients) == 0 && a.connected(m.ID) {
		err = errors.New("it runs and gets the data, and reports its client address afterwards; if that takes long, its disk or network is slower than the writes: see its log")
	}
	for _, address := range m.Clients {
		if one, asked := a[address]; !asked {
			why, err = checks.Silent, errors.New("its address is not among the endpoints given, and --no-discovery asks only these")
		} else if one.err != nil {
			why, err = roster.WhyOf(one.err), one.err
		} else {
			why, err = checks.Displaced, fmt.Errorf("another member answers at %s: %s with the id %016x, of the cluster %016x", address, one.status.Name, one.status.ID, one.status.Cluster)
		}
	}
	away := roster.Unreachable(&m, named.of, err)
	away.Why = why
	return MemberStatus{Member: away}
}

// member describes the member that has answered at an address.
func (a *answer) member(address string, named namesByID) MemberStatus {
	return MemberStatus{Member: roster.MemberOf(&a.status, named.of, a.sent, a.received), endpoint: address}
}

// silent describes an endpoint that does not answer, and of which no member is known.
func silent(endpoint string, err error) MemberStatus {
	return MemberStatus{Member: checks.Member{Name: endpoint, State: checks.StateUnknown, Error: form.OneLine(err.Error()), Why: roster.WhyOf(err)}}
}

// others returns the given endpoints that belong to no known member, perhaps to a removed one.
func (a answers) others(known []kv.Member, cluster uint64, t form.Target, named namesByID) (members []MemberStatus) {
	isMember := func(one answer) bool {
		return one.err == nil && one.status.Cluster == cluster && slices.ContainsFunc(known, func(m kv.Member) bool { return m.ID == one.status.ID })
	}
	advice := "if that was removed, take it out of " + t.Source
	for _, address := range t.Endpoints {
		one := a[address]
		switch {
		case isMember(one), slices.ContainsFunc(known, func(m kv.Member) bool { return slices.Contains(m.Clients, address) }):
		case one.err != nil:
			m := silent(address, one.err)
			m.hint = "no member says that it serves clients there: " + advice
			m.Unknown = true
			members = append(members, m)
		default:
			m := one.member(address, named)
			m.Foreign = one.status.Cluster != cluster
			if m.Unknown = len(known) > 0; m.Unknown {
				m.hint = fmt.Sprintf("is none of the members that the others know, at %s: %s", address, advice)
			}
			if m.Foreign {
				m.hint = fmt.Sprintf("at %s belongs to another cluster, %s: was it started without its --initial-cluster, or is it a member from before a recovery?", address, m.Cluster)
			}
			members = append(members, m)
		}
	}
	return members
}
