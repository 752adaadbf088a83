package cluster

// This file is `qkv member`: list, add, remove and replace members, and choose the leader.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/net/client"
	"qkv/net/wire"
)

// peersOf returns the addresses of --peer.
func peersOf(c *cli.Context) ([]string, error) {
	peers := c.StringSlice("peer")
	if len(peers) == 0 {
		return nil, form.Usagef("--peer HOST:PORT is missing: the address at which the others reach the member")
	}
	for _, address := range peers {
		if err := wire.CheckAddress(address); err != nil {
			return nil, form.Usagef("--peer: %w", err)
		}
	}
	return peers, nil
}

// Named returns the member with a name, or else with an id.
func Named(members []kv.Member, word string) (*kv.Member, error) {
	var names []string
	for i := range members {
		if members[i].Name == word {
			return &members[i], nil
		}
		names = append(names, members[i].Name)
	}
	if i := slices.IndexFunc(members, func(m kv.Member) bool { return form.Hex(m.ID) == word }); i >= 0 {
		return &members[i], nil
	}
	return nil, noMember(word, names)
}

func noMember(word string, names []string) error {
	slices.Sort(names)
	return form.Exitf(form.ExitNotFound, "no member is called %s: they are %s; nothing was changed", word, strings.Join(names, ", "))
}

// changeMember changes the member named by the only argument, and prints the text of change and the change in one word.
func changeMember(c *cli.Context, word string, change func(ctx context.Context, a *client.Admin, m *kv.Member) (text string, err error)) error {
	return form.OrNothing(form.Within(c, func(ctx context.Context, s *client.Client) error {
		members, err := s.Members(ctx, client.ReadOptions{})
		if err != nil {
			return err
		}
		m, err := Named(members, c.Args().First())
		if err != nil {
			return err
		}
		text, err := change(ctx, s.Admin(), m)
		if err != nil {
			return form.WriteFailed(err)
		}
		return form.WriteChanged(c, text, m.Name, form.Hex(m.ID), word)
	}))
}

func memberRemove(c *cli.Context) error {
	err := changeMember(c, "removed", func(ctx context.Context, a *client.Admin, m *kv.Member) (string, error) {
		return fmt.Sprintf("%s (%s) is no member any more", cmp.Or(m.Name, "a learner"), form.Hex(m.ID)), a.RemoveMember(ctx, m.ID)
	})
	if err == nil {
		noteSecret(c)
	}
	return err
}

// noteSecret reminds, after a member was removed, of the secret that its host still has.
func noteSecret(c *cli.Context) {
	if form.SignedBySecret(c) {
		fmt.Fprintf(c.App.ErrWriter, "note: its host has the cluster secret, and can join again with an empty data folder: rotate the secret with `qkv cert secret --output FILE --rotate`, as docs/hosts.md says\n")
	}
}

func memberPromote(c *cli.Context) error {
	return changeMember(c, "promoted", func(ctx context.Context, a *client.Admin, m *kv.Member) (string, error) {
		return fmt.Sprintf("%s (%s) is a voter", m.Name, form.Hex(m.ID)), a.PromoteMember(ctx, m.ID, 0)
	})
}

func memberUpdate(c *cli.Context) error {
	peers, err := peersOf(c)
	if err != nil {
		return err
	}
	return changeMember(c, "updated", func(ctx context.Context, a *client.Admin, m *kv.Member) (string, error) {
		return fmt.Sprintf("%s (%s) is reached at %s", m.Name, form.Hex(m.ID), strings.Join(peers, ", ")), a.UpdateMember(ctx, m.ID, peers)
	})
}

func memberAdd(c *cli.Context) error {
	name := c.Args().First()
	if err := kv.CheckName(name); err != nil {
		return form.Usagef("%w", err)
	}
	peers, err := peersOf(c)
	if err != nil {
		return err
	}
	return form.OrNothing(form.Within(c, func(ctx context.Context, s *client.Client) error {
		members, err := s.Members(ctx, client.ReadOptions{})
		if err != nil {
			return err
		}
		if err := reachable(c, members, name, peers); err != nil {
			return err
		}
		manual, join := c.Bool("learner"), joinAddresses(members, 0)
		var text strings.Builder
		id, before := uint64(0), false
		if m, err := Named(members, name); err == nil && m.Name == name && waiting(m, peers) && m.Manual == manual {
			id, before = m.ID, true
			fmt.Fprintf(&text, "%s (%s) was added before, and has not been started\n", name, form.Hex(id))
		} else {
			if id, err = s.Admin().AddMember(ctx, name, peers, client.AddOptions{Manual: manual}); err != nil {
				return form.WriteFailed(err)
			}
			then := "a voter automatically when it has caught up"
			if manual {
				then = fmt.Sprintf("a voter by `qkv member promote %s`", name)
			}
			fmt.Fprintf(&text, "%s (%s) is added: a learner now, and %s\n", name, form.Hex(id), then)
		}
		writeHostCommand(&text, c, name, peers, join)
		_ = form.WriteOne(c, text.String(), form.Document{
			{"name", name}, {"id", form.Hex(id)}, {"manual", manual}, {"added_before", before}, {"peers", peers}, {"command", hostCommand(c, name, peers, join)},
		})
		return nil
	}))
}

// reachable refuses a new member on another host while all voters listen for members on loopback only: it could never connect.
func reachable(c *cli.Context, members []kv.Member, name string, peers []string) error {
	elsewhere := func(address string) bool {
		host, _, _ := net.SplitHostPort(address)
		return !form.LoopbackHost(host)
	}
	voters := joinAddresses(members, 0)
	if len(voters) == 0 || slices.ContainsFunc(voters, elsewhere) || !slices.ContainsFunc(peers, elsewhere) {
		return nil
	}
	then := "restart each member with the address of its host as --listen-peer HOST:PORT, and add " + name + " then"
	if c.String("certs-dir") == "" {
		then = "a cluster with the certificates of the local CA stays on one host: begin another one with a cluster secret or --certs-dir, and move the keys with `qkv export` and `qkv import`"
	}
	return form.Exitf(form.ExitCondition, "%s, at %s, could not reach the members, which listen for members on loopback, at %s: %s; nothing was changed",
		name, strings.Join(peers, ", "), strings.Join(voters, ", "), then)
}

// waiting reports whether a member is a learner that was added with these addresses and never started.
func waiting(m *kv.Member, peers []string) bool {
	return m.Role == kv.Learner && !m.Started() && slices.Equal(m.Peers, peers)
}

// joinAddresses returns the voters' addresses for a new member to join. It leaves out the voter `but`, which is lost or new, unless
// there is no other.
func joinAddresses(members []kv.Member, but uint64) (addresses []string) {
	for _, m := range members {
		if m.Role.Votes() && m.ID != but && len(m.Peers) > 0 {
			addresses = append(addresses, m.Peers[0])
		}
	}
	if len(addresses) == 0 && but != 0 {
		return joinAddresses(members, 0)
	}
	return addresses
}

// writeHostCommand prints the requirements of a new member's host, and the command for it.
func writeHostCommand(w io.Writer, c *cli.Context, name string, peers, join []string) {
	if form.SignedBySecret(c) {
		fmt.Fprintf(w, "on its host, with an empty data folder, and the cluster secret in the file %s:\n", form.SecretFileName)
	} else if c.String("certs-dir") != "" {
		file := wire.Identity{Class: wire.ClassMember, Name: name}.FileName()
		fmt.Fprintf(w, "on its host, with an empty data folder, and ca.crt, %s.crt and %s.key in the folder certs:\n", file, file)
	} else {
		fmt.Fprintln(w, "on this host, since the local CA's certificates are for loopback only:")
	}
	fmt.Fprintln(w, hostCommand(c, name, peers, join))
}

// hostCommand returns the command that starts a new member.
func hostCommand(c *cli.Context, name string, peers, join []string) string {
	folder, certs := "qkv-data/"+wire.FileName(name), "" // the default of serve
	if c.String("certs-dir") != "" {
		folder, certs = "/var/lib/qkv", " --certs-dir certs"
	}
	if form.SignedBySecret(c) {
		certs = " --cluster-secret-file " + form.SecretFileName
	}
	if len(join) == 0 {
		join = []string{"HOST:PORT"} // no voter has reported its address
	}
	return fmt.Sprintf("qkv serve --name %s --data-dir %s --listen %s --listen-peer %s%s --join %s", form.ShellWord(name), form.ShellWord(folder), clientAddress(peers[0]), peers[0], certs, strings.Join(join, ","))
}

// clientAddress guesses the client address of a member from its peer address: the port before it.
func clientAddress(peer string) string {
	host, service, _ := net.SplitHostPort(peer)
	port, err := strconv.Atoi(service)
	if err != nil || port < 2 {
		port = 2380
	}
	return net.JoinHostPort(host, strconv.Itoa(port-1))
}

func moveLeader(ctx context.Context, c *cli.Context, s *client.Client) error {
	members, err := s.Members(ctx, client.ReadOptions{})
	if err != nil {
		return err
	}
	before, err := s.Admin().Status(ctx, "")
	if err != nil {
		return err
	}
	to := uint64(0)
	if c.NArg() == 1 {
		m, err := Named(members, c.Args().First())
		if err != nil {
			return err
		}
		if !m.Role.Votes() {
			return form.Exitf(form.ExitCondition, "%s is a learner: only a voter can lead; `qkv member promote %s` makes it one when it has caught up", m.Name, m.Name)
		}
		to = m.ID
	}
	another := func(m kv.Member) bool { return m.Role.Votes() && m.ID != before.Leader }
	if to == 0 && !slices.ContainsFunc(members, another) {
		return form.Exitf(form.ExitCondition, "there is only one voter, so no other member can lead; nothing was changed")
	}
	if before.Leader == 0 || before.Leader != to {
		if err := s.Admin().MoveLeader(ctx, to); err != nil {
			return form.WriteFailed(err)
		}
	}
	leader, err := newLeader(ctx, s, to, before.Leader)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(members, func(m kv.Member) bool { return m.ID == leader })
	if i < 0 {
		return fmt.Errorf("%s leads, which was added since", form.Hex(leader))
	}
	return form.WriteChanged(c, members[i].Name+" leads", members[i].Name, form.Hex(leader), "leads")
}

// newLeader waits until a leader is known: the wanted one, or, without one, any other than before.
func newLeader(ctx context.Context, s *client.Client, wanted, before uint64) (uint64, error) {
	for {
		status, err := s.Admin().Status(ctx, "")
		if err != nil {
			return 0, err
		}
		if l := status.Leader; l != 0 && (l == wanted || wanted == 0 && l != before) {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return 0, form.Exitf(form.ExitUnavailable, "the leader is handing over, but the new one is not known yet: `qkv status` shows it")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
