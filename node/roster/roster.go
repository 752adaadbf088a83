// Package roster describes members by their answers: for the dashboard of a member, and for `qkv status` and `qkv doctor`. It
// stands beside package node because the client program of macOS and Windows has these commands, and cannot compile a member.
package roster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/net/client"
	"qkv/net/wire"
)

// WhyOf returns the kind of an error of asking a member.
func WhyOf(err error) checks.Why {
	switch _, untrusted := errors.AsType[*wire.TrustError](err); {
	case errors.Is(err, wire.OtherPort):
		return checks.OtherPort
	case untrusted:
		return checks.Untrusted
	case errors.Is(err, client.ErrConnectionRefused):
		return checks.Closed
	}
	return checks.Silent
}

// SetRecord sets the facts that the other members know about a member.
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
func MemberOf(s *kv.Status, named func(id uint64) string, sent, received time.Time) checks.Member {
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
