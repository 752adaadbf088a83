package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
	"qkv/net/wire"
)

func memberReplaceCommand() *cli.Command {
	return &cli.Command{
		Name: "replace", Usage: "replace a lost member by a new one", ArgsUsage: "NAME",
		Description: "1. Adds a learner and prints the command for its host. 2. Waits until it is started and has caught up. 3. Waits until it " +
			"votes and NAME is removed, in one step, or in two where NAME is the only voter. The leader does these steps by itself, also " +
			"after this command has ended; run again, the command shows how far they are. `qkv member list` shows what the new member " +
			"replaces; `qkv member remove` of the new member ends the replacement.\n\n" +
			"Two members cannot have the same name or address. Without --name the new member is called NAME-2, and its replacement " +
			"NAME-3; its certificate needs that name. If --peer is an address of the lost member, as it is without --peer, the new member " +
			"takes that over, and without --name its name, too: then its host needs only an empty data folder, and the certificate " +
			"of NAME. For this the lost member must be down. While it answers the leader, such a replacement is refused; and NAME is " +
			"removed only when it has had no connection to the leader for some seconds.",
		Flags: clientFlags(peerFlag("QKV_MEMBER_REPLACE_PEER"),
			&cli.StringFlag{Name: "name", EnvVars: []string{"QKV_MEMBER_REPLACE_NAME"}, Usage: "`NAME` of the new member"},
		),
		Action: memberReplace,
	}
}

const (
	// replaceInterval is the interval at which the progress of a replacement is checked.
	replaceInterval = 200 * time.Millisecond
	// aliveFor is how long a member that has just died can seem to answer the leader.
	aliveFor = 2*limits.PeerIdleTimeout + limits.PeerKeepAlive
)

// replacement is one run of the command. It adds the learner, unless the list of members has it; the leader does the rest.
type replacement struct {
	c     *cli.Context
	w     io.Writer
	s     *client.Client
	old   string   // name or id
	name  string   // of the new member
	peers []string // of the new member
	begun time.Time
	said  string // the last printed line
	added uint64 // id of the new member
	lost  uint64 // id of the member that is removed before the new one starts
	told  bool   // the command for the host is printed
}

func memberReplace(c *cli.Context) (err error) {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	r := replacement{c: c, w: c.App.Writer, old: c.Args().First(), name: c.String("name"), begun: time.Now()}
	if c.IsSet("peer") {
		if r.peers, err = peersOf(c); err != nil {
			return err
		}
	}
	return interruptible(c, func(ctx context.Context) error {
		err := open(ctx, c, func(s *client.Client) error {
			r.s = s
			return r.run(ctx)
		})
		if ended, ok := errors.AsType[*interruption](context.Cause(ctx)); ok && err != nil {
			return fmt.Errorf("%w; a replacement that has begun goes on by itself: the same command shows it", ended)
		}
		return err
	})
}

func (r *replacement) run(ctx context.Context) error {
	for {
		done, err := r.step(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(replaceInterval):
		}
	}
}

// step adds the new member, or reports its progress. An unknown outcome is not an error: the next step reads it from the list.
func (r *replacement) step(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.c.Duration("timeout"), noAnswer(r.c.Duration("timeout")))
	defer cancel()
	members, err := r.s.Members(ctx, false)
	if err != nil {
		return false, r.later(err)
	}
	old, missing := named(members, r.old)
	switch next := slices.IndexFunc(members, func(m client.Member) bool { return r.isNew(&m, old) }); {
	case next >= 0:
		return r.report(ctx, members, &members[next]), nil
	case r.added != 0:
		return false, exitf(exitNotFound, "the new member (%s) was removed from the cluster meanwhile: the replacement has ended", hex(r.added))
	case old == nil:
		return false, missing
	case old.Role == kv.Learner:
		return false, exitf(exitCondition, "%s is a learner, and has no vote to hand over: `qkv member remove %s`, then `qkv member add`; nothing was changed", old.Name, old.Name)
	}
	return false, r.later(r.add(ctx, members, old))
}

// isNew reports whether a member is the new one. After the lost one was removed, the new one may have its name.
func (r *replacement) isNew(m, old *client.Member) bool {
	switch {
	case r.added != 0:
		return m.ID == r.added
	case old == nil && r.name == "":
		return m.Name == nextName(r.old)
	case old == nil:
		return m.Name == r.name
	case old.Role == kv.Learner:
		return m.ID == old.ID && r.at(m)
	}
	return m.Replaces == old.ID && r.at(m) && (r.name == "" || r.name == m.Name || m.Name == "" && r.name == old.Name)
}

// at reports whether a member has an address that the new one gets.
func (r *replacement) at(m *client.Member) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(address string) bool { return slices.Contains(m.Peers, address) })
}

// add adds the new member. If it takes over the name of the lost one, it has none yet.
func (r *replacement) add(ctx context.Context, members []client.Member, old *client.Member) error {
	name, peers := r.name, r.peers
	if name == "" && r.at(old) {
		name = old.Name
	} else if name == "" {
		name = nextName(old.Name)
	}
	if err := kv.CheckName(name); err != nil {
		return usagef("the new member's name: %w; --name gives another", err)
	}
	if len(peers) == 0 {
		peers = old.Peers
	}
	if name == old.Name {
		name = ""
	}
	id, err := r.s.AddMemberInstead(ctx, name, peers, old.ID)
	switch {
	case err != nil:
		return err
	case name == "":
		r.say("1 of 3: a learner (%s) is added at %s, in the place of %s (%s)", hex(id), strings.Join(peers, ", "), old.Name, hex(old.ID))
	default:
		r.say("1 of 3: %s (%s) is added as a learner", name, hex(id))
		r.tellHost(members, name, peers, old.ID)
	}
	r.added = id
	return nil
}

// tellHost prints the command for the new member's host, once.
func (r *replacement) tellHost(members []client.Member, name string, peers []string, but uint64) {
	if !r.told {
		r.told = true
		writeHostCommand(r.w, r.c, name, peers, joinAddresses(members, but))
	}
}

// report prints how far the new member is, and returns whether it has replaced the lost one.
func (r *replacement) report(ctx context.Context, members []client.Member, next *client.Member) (done bool) {
	i := slices.IndexFunc(members, func(m client.Member) bool { return m.ID == next.Replaces })
	if r.added == 0 {
		if r.added = next.ID; next.Role == kv.Learner {
			r.say("1 of 3: %s (%s) was added before", cmp.Or(next.Name, "a learner"), hex(next.ID))
		}
	}
	switch {
	case i >= 0 && next.Name == "":
		r.lost = next.Replaces
		if connected, asked := r.linked(ctx, r.lost); connected {
			r.say("1 of 3: %s (%s) runs, and answers %s: stop it, or end the replacement by `qkv member remove %s`", members[i].Name, hex(r.lost), asked, hex(next.ID))
		} else {
			r.say("1 of 3: %s (%s) is removed once it has had no connection to the leader for %v", members[i].Name, hex(r.lost), limits.ReplaceSilence)
		}
		return false
	case r.lost != 0:
		r.say("1 of 3: the lost one (%s) is removed", hex(r.lost))
		r.lost = 0
	}
	switch {
	case next.Role == kv.Voter && i < 0 && next.Name == r.old:
		r.say("3 of 3: %s votes, in the place of the lost one", next.Name)
	case next.Role == kv.Voter && i < 0:
		r.say("3 of 3: %s votes, and %s is no member any more", next.Name, r.old)
	case next.Role != kv.Learner:
		r.say("2 of 3: %s votes, and %s is removed next", next.Name, r.old)
		return false
	default:
		if !next.Started() {
			r.tellHost(members, next.Name, next.Peers, cmp.Or(next.Replaces, next.ID))
		}
		r.sayWaits(ctx, next)
		return false
	}
	noteSecret(r.c)
	return true
}

// nextName returns the name of a member's replacement: n3-2, then n3-3.
func nextName(name string) string {
	base, number, found := cutLast(name, "-")
	if n, err := strconv.ParseUint(number, 10, 31); found && err == nil && base != "" && n >= 2 {
		return base + "-" + strconv.FormatUint(n+1, 10)
	}
	return name + "-2"
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// sayWaits prints why the new member has no vote yet. The list of members does not show that: a member announces itself when it has
// part of the data, and a dead member stays in the list as started.
func (r *replacement) sayWaits(ctx context.Context, next *client.Member) {
	connected, asked := r.linked(ctx, next.ID)
	switch {
	case connected || asked == "" && next.Started():
		r.say("2 of 3: %s runs, and gets the data", next.Name)
	case next.Started():
		r.say("2 of 3: %s was started, and does not answer %s now", next.Name, asked)
	default:
		r.say("2 of 3: waiting until %s is started", next.Name)
	}
}

// linked reports whether the asked member, if it knows the other one, is connected to it.
func (r *replacement) linked(ctx context.Context, id uint64) (connected bool, asked string) {
	status, err := r.s.Status(ctx, "")
	if i := slices.IndexFunc(status.Links, func(l wire.Link) bool { return l.Member == id }); err == nil && i >= 0 {
		return status.Links[i].Connected, status.Name
	}
	return false, ""
}

// later hides errors that the next step can resolve: a cluster without a leader for a moment, a change whose outcome the list of members
// will show, and a lost member that has answered the leader a moment ago.
func (r *replacement) later(err error) error {
	answer, _ := errors.AsType[*kv.Error](err)
	code := exitCode(err)
	switch {
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		if code != exitUnavailable && code != exitUnknown {
			return err
		}
	case answer != nil && (answer.Retryable() || answer.Code == kv.MemberRuns && time.Since(r.begun) < aliveFor):
	default:
		return err
	}
	r.say("trying again: %v", err)
	return nil
}

// say prints a line, unless it equals the last one.
func (r *replacement) say(format string, values ...any) {
	if text := fmt.Sprintf(format, values...); text != r.said {
		r.said = text
		fmt.Fprintln(r.w, text)
	}
}
