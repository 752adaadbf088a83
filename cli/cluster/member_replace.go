package cluster

// This file is `qkv member replace`: replace a lost member by a new one.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
)

const (
	// replaceInterval is the interval at which the progress of a replacement is checked.
	replaceInterval = 200 * time.Millisecond
	// aliveFor is how long a member that has just died can seem to answer the leader.
	aliveFor = 2*limits.PeerIdleTimeout + limits.PeerKeepAlive
)

// replacement is one run of the command. It adds the learner, unless the list of members has it; the leader does the rest.
type replacement struct {
	c     *cli.Context
	s     *client.Client
	old   string   // name or id
	name  string   // of the new member
	peers []string // of the new member
	begun time.Time
	said  string // the last printed line
	added uint64 // id of the new member
}

func memberReplace(ctx context.Context, c *cli.Context) (err error) {
	r := replacement{c: c, old: c.Args().First(), name: c.String("name"), begun: time.Now()}
	if c.IsSet("peer") {
		if r.peers, err = peersOf(c); err != nil {
			return err
		}
	}
	err = form.Open(ctx, c, func(s *client.Client) error {
		for r.s = s; ; {
			if done, err := r.step(ctx); done || err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(replaceInterval):
			}
		}
	})
	if ended, ok := errors.AsType[*form.Interruption](context.Cause(ctx)); ok && err != nil {
		return fmt.Errorf("%w; a replacement that has begun goes on by itself: the same command shows it", ended)
	}
	return err
}

// step adds the new member, or reports its progress. An unknown outcome is not an error: the next step reads it from the list.
func (r *replacement) step(ctx context.Context) (done bool, err error) {
	ctx, cancel := form.Bounded(ctx, r.c.Duration("timeout"))
	defer cancel()
	members, err := r.s.Members(ctx, client.ReadOptions{})
	if err != nil {
		return false, r.later(err)
	}
	old, missing := Named(members, r.old)
	switch next := slices.IndexFunc(members, func(m kv.Member) bool { return r.isNew(&m, old) }); {
	case next >= 0:
		return r.report(ctx, members, &members[next]), nil
	case r.added != 0:
		return false, form.Exitf(form.ExitNotFound, "the new member (%s) was removed from the cluster meanwhile: the replacement has ended", form.Hex(r.added))
	case old == nil:
		return false, missing
	case old.Role == kv.Learner:
		return false, form.Exitf(form.ExitCondition, "%s is a learner, and has no vote to hand over: `qkv member remove %s`, then `qkv member add`; nothing was changed", old.Name, old.Name)
	}
	return false, r.later(r.add(ctx, old))
}

// isNew reports whether a member is the new one. After the lost one was removed, the new one may have its name.
func (r *replacement) isNew(m, old *kv.Member) bool {
	switch {
	case r.added != 0:
		return m.ID == r.added
	case old == nil:
		return m.Name == cmp.Or(r.name, NextName(r.old))
	case old.Role == kv.Learner:
		return m.ID == old.ID && r.at(m)
	}
	return m.Replaces == old.ID && r.at(m) && (r.name == "" || r.name == cmp.Or(m.Name, old.Name))
}

// at reports whether a member has an address that the new one gets.
func (r *replacement) at(m *kv.Member) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(address string) bool { return slices.Contains(m.Peers, address) })
}

// add adds the new member. If it takes over the name of the lost one, it has none yet.
func (r *replacement) add(ctx context.Context, old *kv.Member) error {
	name, peers := r.name, r.peers
	if name == "" && !r.at(old) {
		name = NextName(old.Name)
	}
	if err := kv.CheckName(cmp.Or(name, old.Name)); err != nil {
		return form.Usagef("the new member's name: %w; --name gives another", err)
	}
	if len(peers) == 0 {
		peers = old.Peers
	}
	if name == old.Name {
		name = ""
	}
	id, err := r.s.Admin().AddMember(ctx, name, peers, client.AddOptions{Instead: old.ID})
	if err == nil {
		r.added = id
		r.say("1 of 3: %s (%s) is added at %s, in the place of %s (%s)", cmp.Or(name, "a learner"), form.Hex(id), strings.Join(peers, ", "), old.Name, form.Hex(old.ID))
	}
	return err
}

// report prints how far the new member is, and returns whether it has replaced the lost one. The list of members does not show whether it
// runs: a member announces itself when it has part of the data, and a dead member stays in the list as started.
func (r *replacement) report(ctx context.Context, members []kv.Member, next *kv.Member) (done bool) {
	old := slices.IndexFunc(members, func(m kv.Member) bool { return m.ID == next.Replaces })
	if r.added == 0 && next.Role == kv.Learner {
		r.say("1 of 3: %s (%s) was added before", cmp.Or(next.Name, "a learner"), form.Hex(next.ID))
	}
	r.added = next.ID
	status, err := r.s.Admin().Status(ctx, "")
	link := slices.IndexFunc(status.Links, func(l kv.Link) bool { return l.Member == next.ID })
	connected, known := link >= 0 && status.Links[link].Connected, err == nil && link >= 0
	switch {
	case old >= 0 && next.Name == "":
		r.say("1 of 3: %s (%s) is removed once it has had no connection to the leader for %v: stop it if it runs", members[old].Name, form.Hex(next.Replaces), limits.ReplaceSilence)
	case next.Role == kv.Learner && (connected || !known && next.Started()):
		r.say("2 of 3: %s runs, and gets the data", next.Name)
	case next.Role == kv.Learner && next.Started():
		r.say("2 of 3: %s was started, and does not answer %s now", next.Name, status.Name)
	case next.Role == kv.Learner:
		if r.say("2 of 3: waiting until %s is started", next.Name) {
			writeHostCommand(r.c.App.Writer, r.c, next.Name, next.Peers, joinAddresses(members, cmp.Or(next.Replaces, next.ID)))
		}
	case old >= 0 || next.Role != kv.Voter:
		r.say("2 of 3: %s votes, and %s is removed next", next.Name, r.old)
	default:
		then := "and " + r.old + " is no member any more"
		if next.Name == r.old {
			then = "in the place of the lost one"
		}
		r.say("3 of 3: %s votes, %s", next.Name, then)
		noteSecret(r.c)
		return true
	}
	return false
}

// NextName returns the name of a member's replacement: n3-2, then n3-3.
func NextName(name string) string {
	i := strings.LastIndex(name, "-")
	if n, err := strconv.ParseUint(name[i+1:], 10, 31); err == nil && i > 0 && n >= 2 {
		return name[:i+1] + strconv.FormatUint(n+1, 10)
	}
	return name + "-2"
}

// later hides errors that the next step can resolve: a change whose outcome the list of members will show, and a lost member that has
// answered the leader a moment ago. A cluster without a leader for --timeout ends the command.
func (r *replacement) later(err error) error {
	answer, _ := errors.AsType[*kv.Error](err)
	alive := answer != nil && answer.Code == kv.MemberRuns && time.Since(r.begun) < aliveFor
	if code := form.ExitCode(err); code == form.ExitUnavailable || code != form.ExitUnknown && !alive {
		return err
	}
	r.say("trying again: %v", err)
	return nil
}

// say prints a line, unless it equals the last one, and reports whether it did.
func (r *replacement) say(format string, values ...any) bool {
	text := fmt.Sprintf(format, values...)
	news := text != r.said
	if r.said = text; news {
		fmt.Fprintln(r.c.App.Writer, text)
	}
	return news
}
