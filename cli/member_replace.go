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
		Description: "1. Adds a learner and prints the command for its host. 2. Waits until it is started and has caught up. 3. Makes it a " +
			"voter and removes NAME, in one step, or in two where NAME is the only voter. An interrupted replacement continues " +
			"when the command is run again.\n\n" +
			"Two members cannot have the same name or address. Without --name the new member is called NAME-2, and its replacement " +
			"NAME-3; its certificate needs that name. If --peer is the address of the lost member, as it is without --peer, or --name its name, the learner " +
			"is added first, without a name; then the lost member is removed. The new member takes over its name, address and " +
			"certificate: its host needs only an empty data folder. For this the lost member must be down: it must not answer " +
			"this command or the other members for some seconds, and the leader or two members must confirm that.",
		Flags: clientFlags(peerFlag("QKV_MEMBER_REPLACE_PEER"),
			&cli.StringFlag{Name: "name", EnvVars: []string{"QKV_MEMBER_REPLACE_NAME"}, Usage: "`NAME` of the new member"},
		),
		Action: memberReplace,
	}
}

// replaceInterval is the interval at which the progress of a replacement is checked.
const replaceInterval = 200 * time.Millisecond

// replacement is one run of the command. The list of members alone decides the next step.
type replacement struct {
	c     *cli.Context
	w     io.Writer
	s     *client.Client
	old   string // name or id
	name  string // of the new member
	peers []string
	said  string // the last printed line
	// For a new member with the same name or address:
	target     target
	added      uint64        // id of the new member
	waited     time.Duration // time spent waiting for the silence of the lost member
	quiet      time.Time     // since when the lost member is silent
	quietLooks int           // number of consecutive checks with silence
}

func memberReplace(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	var peers []string // those of the lost member
	var err error
	if c.IsSet("peer") {
		if peers, err = peersOf(c); err != nil {
			return err
		}
	}
	r := replacement{c: c, w: c.App.Writer, old: c.Args().First(), name: c.String("name"), peers: peers}
	if r.target, err = targetOf(c); err != nil {
		return err
	}
	return interruptible(c, func(ctx context.Context) error {
		err := open(ctx, c, func(s *client.Client) error {
			r.s = s
			return r.run(ctx)
		})
		if ended, ok := errors.AsType[*interruption](context.Cause(ctx)); ok && err != nil {
			return fmt.Errorf("%w; nothing is lost: the same command goes on from here", ended)
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

// step does the next step, if one is possible now. An unknown outcome is not an error: the next step reads it from the list.
func (r *replacement) step(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.c.Duration("timeout"), noAnswer(r.c.Duration("timeout")))
	defer cancel()
	members, err := r.s.Members(ctx, false)
	if err != nil {
		return false, r.later(err)
	}
	old, missing := named(members, r.old)
	if len(r.peers) == 0 {
		r.peers = peersBefore(members, old)
	}
	unnamed := r.unnamed(members)
	if err := r.chooseName(old, unnamed); err != nil {
		return false, err
	}
	var next *client.Member
	if i := slices.IndexFunc(members, func(m client.Member) bool { return m.Name == r.name }); i >= 0 {
		next = &members[i]
	}
	switch {
	case unnamed != nil && old != nil:
		return r.takePlace(ctx, members, old, unnamed)
	case unnamed != nil:
		return r.awaitVoter(ctx, members, unnamed), nil
	case r.inPlace(old, next):
		return r.stepInPlace(ctx, members, old, next, missing)
	case old == nil && next != nil && next.Role == kv.Voter:
		r.say("3 of 3: %s votes, and %s is no member any more", r.name, r.old)
		noteSecret(r.c)
		return true, nil
	case next != nil && next.Role == kv.Incoming:
		return false, nil // the joint configuration ends by itself
	case old == nil:
		return false, missing
	case old.Role == kv.Learner:
		return false, exitf(exitCondition, "%s is a learner, and has no vote to hand over: `qkv member remove %s`, then `qkv member add`; nothing was changed", old.Name, old.Name)
	case next == nil:
		return false, r.later(r.add(ctx, members, old))
	case next.Role == kv.Learner && !next.Started() && !r.at(next):
		return false, exitf(exitCondition, "%s was added before, at %s: give that as --peer, or say by `qkv member update %s --peer %s` that it is elsewhere; nothing was changed",
			r.name, strings.Join(next.Peers, ","), r.name, strings.Join(r.peers, ","))
	case next.Role == kv.Voter && r.at(next) && voters(members) == 2:
		return false, r.later(r.s.RemoveMember(ctx, old.ID))
	case next.Role != kv.Learner:
		return false, exitf(exitCondition, "%s is a voter beside %s: if it is the new one, `qkv member remove %s` ends the replacement; otherwise --name says what the new one is called", r.name, old.Name, old.Name)
	}
	instead := old.ID
	if voters(members) == 1 { // a single voter leads and cannot hand over: for a moment both vote
		instead = 0
	}
	return false, r.later(r.promote(ctx, members, instead, next))
}

// peersBefore returns the addresses of a new member without --peer: those of the lost member, or of the member that an interrupted run has added.
func peersBefore(members []client.Member, old *client.Member) []string {
	i := slices.IndexFunc(members, func(m client.Member) bool { return m.Name == "" && m.Role == kv.Learner })
	switch {
	case old != nil:
		return old.Peers
	case i >= 0:
		return members[i].Peers
	}
	return nil
}

func voters(members []client.Member) (n int) {
	for _, m := range members {
		if m.Role.Votes() {
			n++
		}
	}
	return n
}

// chooseName names the new member if the user did not. The name then stays.
func (r *replacement) chooseName(old, unnamed *client.Member) error {
	if r.name == "" {
		switch {
		case old == nil && unnamed != nil:
			r.name = r.old
		case old == nil:
			r.name = nextName(r.old)
		case unnamed != nil, r.at(old):
			r.name = old.Name
		default:
			r.name = nextName(old.Name)
		}
	}
	if err := kv.CheckName(r.name); err != nil {
		return usagef("the new member's name: %w; --name gives another", err)
	}
	return nil
}

// at reports whether the new member gets an address of another member.
func (r *replacement) at(old *client.Member) bool {
	return slices.ContainsFunc(r.peers, func(address string) bool { return slices.Contains(old.Peers, address) })
}

// unnamed returns the new member that was added for the same name or address, until it is started.
func (r *replacement) unnamed(members []client.Member) *client.Member {
	i := slices.IndexFunc(members, func(m client.Member) bool { return m.Name == "" && m.Role == kv.Learner && r.at(&m) })
	if i < 0 {
		return nil
	}
	return &members[i]
}

// inPlace reports whether the new member has the name or an address of the old one, which is removed before the new one starts.
func (r *replacement) inPlace(old, next *client.Member) bool {
	switch {
	case r.added != 0:
		return true
	case old == nil:
		return next != nil && next.Role == kv.Learner && r.at(next)
	}
	return r.name == old.Name || r.at(old)
}

const (
	// heardFor is how long a dead member can still seem alive. The others notice its death by its connection, which ends
	// PeerIdleTimeout after the first unanswered packet. A busy member reports that later.
	heardFor = 2*limits.PeerIdleTimeout + limits.PeerKeepAlive
	// silence and silentLooks are the time and the number of checks without an answer after which a member counts as lost.
	silence         = 3 * time.Second
	silentLooks     = 3
	silentWitnesses = 2
)

// stepInPlace does the next step if the old member must be removed before the new one can have its name. The new member is added
// without a name first, and takes over the address: each later run finds it in the list and continues. After the new member has
// reported its name, old is the new member.
func (r *replacement) stepInPlace(ctx context.Context, members []client.Member, old, next *client.Member, missing error) (done bool, err error) {
	switch {
	case next != nil && next.Manual && old == nil: // the lost member, whose vote the new one should take over, was removed meanwhile
		return false, r.later(r.promote(ctx, members, 0, next))
	case next != nil && (next.ID == r.added || next.Role == kv.Learner && r.at(next)):
		return r.awaitVoter(ctx, members, next), nil
	case r.added != 0:
		return false, exitf(exitNotFound, "%s (%s) was removed from the cluster meanwhile", r.name, hex(r.added))
	case old == nil:
		return false, missing
	case old.Role == kv.Learner:
		return false, exitf(exitCondition, "%s is a learner, and has no vote to hand over: `qkv member remove %s`, then `qkv member add`; nothing was changed", old.Name, old.Name)
	}
	if silent, err := r.silent(ctx, old); !silent || err != nil {
		return false, r.later(err)
	}
	id, err := r.s.AddMemberInstead(ctx, r.peers, old.ID)
	if err == nil {
		r.added = id
		r.say("1 of 3: a learner (%s) is added at %s, in the place of %s (%s)", hex(id), strings.Join(r.peers, ", "), old.Name, hex(old.ID))
	}
	return false, r.later(err)
}

// takePlace removes the old member, after the new one was added.
func (r *replacement) takePlace(ctx context.Context, members []client.Member, old, unnamed *client.Member) (done bool, err error) {
	if r.said == "" {
		r.say("1 of 3: a learner (%s) was added before", hex(unnamed.ID))
	}
	r.added = unnamed.ID
	if silent, err := r.silent(ctx, old); !silent || err != nil {
		return false, r.later(err)
	}
	if err := r.s.RemoveMember(ctx, old.ID); err != nil {
		return false, r.later(err)
	}
	r.say("1 of 3: the lost one (%s) is removed", hex(old.ID))
	writeHostCommand(r.w, r.c, r.name, r.peers, joinAddresses(members, old.ID))
	return false, nil
}

// silent reports whether a member is lost. A single check can fall between two connections of a living member, or come from a member
// that is itself isolated. Therefore the lost member must have answered neither this command nor the other members for several
// checks, and the leader or two members must confirm that.
func (r *replacement) silent(ctx context.Context, old *client.Member) (bool, error) {
	_, addresses, err := r.target.discover(ctx, r.s)
	if err != nil {
		return false, err
	}
	var answers, asked []string // members that the lost one answers, and members that were asked
	witnesses := 0
	for _, one := range ask(ctx, r.s, addresses) {
		switch {
		case one.err != nil:
		case one.status.ID == old.ID:
			answers = append(answers, "this command")
		case !slices.Contains(asked, one.status.Name): // a member may have two addresses
			asked = append(asked, one.status.Name)
			if witnesses++; one.status.Role == "leader" {
				witnesses = silentWitnesses
			}
			if slices.ContainsFunc(one.status.Links, func(l wire.Link) bool { return l.Member == old.ID && l.Connected }) {
				answers = append(answers, one.status.Name)
			}
		}
	}
	if len(answers) == 0 && witnesses >= silentWitnesses {
		if r.quietLooks++; r.quietLooks == 1 {
			r.quiet = time.Now()
		}
		return r.quietLooks >= silentLooks && time.Since(r.quiet) >= silence, nil
	}
	r.quietLooks = 0
	if r.waited += replaceInterval; r.waited <= heardFor {
		return false, nil
	}
	if len(answers) > 0 {
		slices.Sort(answers)
		return false, exitf(exitCondition, "%s runs, and answers %s: it is not lost; to replace it, stop it first; nothing was changed", old.Name, strings.Join(slices.Compact(answers), " and "))
	}
	slices.Sort(asked)
	return false, exitf(exitUnavailable, "it is not known whether %s is lost: the leader or two members have to say so, and of them only %s answered; --endpoints says where the others are; nothing was changed",
		old.Name, cmp.Or(strings.Join(asked, ", "), "none"))
}

// awaitVoter reports the progress of the new member, and whether it is done.
func (r *replacement) awaitVoter(ctx context.Context, members []client.Member, next *client.Member) (done bool) {
	if r.said == "" {
		r.say("1 of 3: %s (%s) was added before", r.name, hex(next.ID))
		if !next.Started() {
			writeHostCommand(r.w, r.c, r.name, next.Peers, joinAddresses(members, next.ID))
		}
	}
	r.added = next.ID
	if next.Role != kv.Voter {
		r.sayWaits(ctx, next)
		return false
	}
	r.say("3 of 3: %s votes, in the place of the lost one", r.name)
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

func (r *replacement) add(ctx context.Context, members []client.Member, old *client.Member) error {
	id, err := r.s.AddMember(ctx, r.name, r.peers, true)
	if err == nil {
		r.say("1 of 3: %s (%s) is added as a learner", r.name, hex(id))
		writeHostCommand(r.w, r.c, r.name, r.peers, joinAddresses(members, old.ID))
	}
	return err
}

// promote makes the new member a voter when it has caught up. It replaces the old one if that still exists.
func (r *replacement) promote(ctx context.Context, members []client.Member, old uint64, next *client.Member) error {
	if r.said == "" {
		r.say("1 of 3: %s (%s) was added before", r.name, hex(next.ID))
		if !next.Started() {
			writeHostCommand(r.w, r.c, r.name, next.Peers, joinAddresses(members, cmp.Or(old, next.ID)))
		}
	}
	if !next.Started() {
		r.sayWaits(ctx, next)
		return nil
	}
	err := r.s.PromoteMember(ctx, next.ID, old)
	if answer, ok := errors.AsType[*kv.Error](err); ok && answer.Code == kv.LearnerBehind {
		r.sayWaits(ctx, next)
		return nil
	}
	return err
}

// sayWaits prints why the new member has no vote yet. The list of members does not show that: a member announces itself when it has
// part of the data, and a dead member stays in the list as started.
func (r *replacement) sayWaits(ctx context.Context, next *client.Member) {
	connected := next.Started()
	var away string // the asked member, if it knows the new one
	if status, err := r.s.Status(ctx, ""); err == nil {
		for _, l := range status.Links {
			if l.Member == next.ID {
				connected, away = l.Connected, status.Name
			}
		}
	}
	switch {
	case connected:
		r.say("2 of 3: %s runs, and gets the data", r.name)
	case next.Started():
		r.say("2 of 3: %s was started, and does not answer %s now", r.name, away)
	default:
		r.say("2 of 3: waiting until %s is started", r.name)
	}
}

// later hides errors that the next step can resolve: a cluster without a leader for a moment, and a change whose outcome the list of
// members will show.
func (r *replacement) later(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		if code := exitCode(err); code == exitUnavailable || code == exitUnknown {
			r.say("trying again: %v", err)
			return nil
		}
	}
	if answer, ok := errors.AsType[*kv.Error](err); ok && answer.Retryable() {
		r.say("trying again: %v", err)
		return nil
	}
	return err
}

// say prints a line, unless it equals the last one.
func (r *replacement) say(format string, values ...any) {
	if text := fmt.Sprintf(format, values...); text != r.said {
		r.said = text
		fmt.Fprintln(r.w, text)
	}
}
