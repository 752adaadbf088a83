package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"qkv/net/client"
	"qkv/net/wire"
)

// status asks all members. If no member answers, it returns an error together with the reason of each member.
func (t target) status(ctx context.Context) ([]memberStatus, error) {
	t.failFast, t.mixed = true, true
	s, err := t.open(ctx)
	if err == nil {
		defer func() { _ = s.Close() }()
		members, err := askAll(ctx, s, t)
		if err == nil {
			err = oneCluster(members)
		}
		return members, err
	}
	var unavailable *client.UnavailableError
	if !errors.As(err, &unavailable) {
		return nil, err
	}
	var members []memberStatus
	for _, e := range unavailable.Endpoints {
		members = append(members, unreachable(e.Endpoint, 0, e.Err))
	}
	return members, err
}

// oneCluster is an error when members that answered belong to different clusters.
func oneCluster(members []memberStatus) error {
	var clusters []string
	names := map[string][]string{}
	for _, m := range members {
		if m.Role == roleUnknown {
			continue
		}
		if names[m.Cluster] == nil {
			clusters = append(clusters, m.Cluster)
		}
		names[m.Cluster] = append(names[m.Cluster], m.Name)
	}
	if len(clusters) < 2 {
		return nil
	}
	var all []string
	for _, c := range clusters {
		all = append(all, fmt.Sprintf("%s has %s", c, strings.Join(names[c], " and ")))
	}
	return exitf(exitUsage, "%w: %s; was a member started without its --initial-cluster, or an old one left in the list?", client.ErrSeveralClusters, strings.Join(all, ", "))
}

// memberTimeout limits the wait for one member: a dead member must not use up the whole timeout.
const memberTimeout = 2 * time.Second

// askAll asks the members in the list of the most advanced member, at their own addresses and at the given endpoints.
func askAll(ctx context.Context, s *client.Client, t target) ([]memberStatus, error) {
	known, addresses, err := t.discover(ctx, s)
	if err != nil {
		return nil, err
	}
	answers := ask(ctx, s, addresses)
	// The first member asked may lag, or may have lost its data since the cluster was founded. Its list then has removed members and
	// lacks newer ones.
	if newer := answers.furthest(known); newer != nil {
		known = newer
		if more := t.addressesOf(known, addresses); len(more) > 0 {
			maps.Copy(answers, ask(ctx, s, more))
		}
	}
	var members []memberStatus
	named := answers.names(known)
	for _, m := range known {
		members = append(members, answers.member(m, named))
	}
	members = append(members, answers.others(known, t, named)...)
	nameRoles(members)
	slices.SortStableFunc(members, func(a, b memberStatus) int { return strings.Compare(a.Name, b.Name) })
	return members, nil
}

// discover asks for the members. It returns them with all their possible addresses: the given endpoints and, unless --no-discovery
// is given, the reported addresses.
func (t target) discover(ctx context.Context, s *client.Client) (known []wire.Member, addresses []string, err error) {
	status, err := s.Status(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	addresses = append(slices.Clone(t.endpoints), t.addressesOf(status.Members, t.endpoints)...)
	slices.Sort(addresses)
	return status.Members, slices.Compact(addresses), nil
}

// addressesOf returns the members' client addresses without the known ones; none with --no-discovery.
func (t target) addressesOf(members []wire.Member, but []string) (more []string) {
	if t.given {
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
	status client.Status
	clock  clockOffset
	err    error
}

func ask(ctx context.Context, s *client.Client, addresses []string) answers {
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout, noAnswer(memberTimeout))
	defer cancel()
	all := make([]answer, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			sent := time.Now()
			all[i].status, all[i].err = s.Status(ctx, address)
			all[i].clock = offsetOf(all[i].status.Wall, sent, time.Now())
		})
	}
	asking.Wait()
	found := answers{}
	for i, address := range addresses {
		found[address] = all[i]
	}
	return found
}

// furthest returns the list of the member with the highest applied index among the known members; nil if none of them answers.
func (a answers) furthest(known []wire.Member) (newer []wire.Member) {
	applied := uint64(0)
	for _, one := range a {
		isKnown := slices.ContainsFunc(known, func(m wire.Member) bool { return m.ID == one.status.ID })
		if one.err == nil && isKnown && one.status.Applied >= applied && len(one.status.Members) > 0 {
			applied, newer = one.status.Applied, one.status.Members
		}
	}
	return newer
}

// connected reports whether any member has a connection to this one.
func (a answers) connected(id uint64) bool {
	for _, one := range a {
		if one.err == nil && slices.ContainsFunc(one.status.Links, func(l wire.Link) bool { return l.Member == id && l.Connected }) {
			return true
		}
	}
	return false
}

// namesByID are the names of members.
type namesByID map[uint64]string

// of returns a member's name, or its id if the name is unknown.
func (n namesByID) of(id uint64) string { return cmp.Or(n[id], hex(id)) }

// names collects the names from all members: a member that has just joined, or was down meanwhile, knows some others only by id.
func (a answers) names(known []wire.Member) namesByID {
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
func (a answers) member(m wire.Member, named namesByID) memberStatus {
	for address, one := range a {
		if one.err == nil && one.status.ID == m.ID {
			answered := said(&one.status, named)
			answered.endpoint = address
			answered.known(m)
			answered.clock = one.clock
			return answered
		}
	}
	err := errors.New("it has not told the others its client address: it has never started, or no UDP packets get through between its peer port and theirs")
	if len(m.Clients) == 0 && a.connected(m.ID) {
		err = errors.New("it runs and gets the data, and reports its client address afterwards; if that takes long, its disk or network is slower than the writes: see its log")
	}
	for _, address := range m.Clients {
		if one, asked := a[address]; !asked {
			err = errors.New("its address is not among the endpoints given, and --no-discovery asks only these")
		} else if one.err != nil {
			err = one.err
		} else {
			err = fmt.Errorf("another member answers at %s: %s with the id %016x, of the cluster %016x", address, one.status.Name, one.status.ID, one.status.Cluster)
		}
	}
	away := unreachable(named.of(m.ID), m.ID, err)
	away.known(m)
	away.Version, away.FeatureLevelMost = m.Version, m.Level
	return away
}

// others returns the given endpoints that belong to no known member, perhaps to a removed one.
func (a answers) others(known []wire.Member, t target, named namesByID) (members []memberStatus) {
	isMember := func(one answer) bool {
		return one.err == nil && slices.ContainsFunc(known, func(m wire.Member) bool { return m.ID == one.status.ID })
	}
	advice := "if that was removed, take it out of " + t.source
	for _, address := range t.endpoints {
		one := a[address]
		switch {
		case isMember(one), slices.ContainsFunc(known, func(m wire.Member) bool { return slices.Contains(m.Clients, address) }):
		case one.err != nil:
			m := unreachable(address, 0, one.err)
			m.hint = "no member says that it serves clients there: " + advice
			m.stranger = true
			members = append(members, m)
		default:
			m := said(&one.status, named)
			m.endpoint = address
			for _, other := range a {
				if isMember(other) && other.status.Cluster == one.status.Cluster {
					m.hint = fmt.Sprintf("is none of the members that the others know, at %s: %s", address, advice)
					m.stranger = true
				}
			}
			members = append(members, m)
		}
	}
	return members
}
