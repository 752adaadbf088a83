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
		Name: "replace", Usage: "put a new member in the place of one that is lost", ArgsUsage: "NAME",
		Description: "1. Adds a learner and prints the command for its host. 2. Waits until it is started and level. 3. Makes it a voter " +
			"and removes NAME, in one step, or, where NAME is the only voter, in two. It can be interrupted, and run again: it goes on where it was.\n" +
			"\nTwo members cannot have one name or one address. Without --name the new one is called NAME-2, and that one's " +
			"replacement NAME-3; its certificate needs that name. But when --peer is the address of the lost one, or --name its name, " +
			"that one is removed, and the new one takes its place with name, address and certificate as they were: all that is " +
			"needed on its host is an empty data folder. A member that still answers is not removed so: for some seconds it has to be " +
			"silent to this command and to the others, and the leader or two of them to say so.",
		Flags: clientFlags(peerFlag("QKV_MEMBER_REPLACE_PEER"),
			&cli.StringFlag{Name: "name", EnvVars: []string{"QKV_MEMBER_REPLACE_NAME"}, Usage: "`NAME` of the new member"},
		),
		Action: memberReplace,
	}
}

// replaceInterval is how often the progress of a replacement is looked at.
const replaceInterval = 200 * time.Millisecond

// replacement is one run of the command. What is to be done next follows from the list of the members alone.
type replacement struct {
	c     *cli.Context
	w     io.Writer
	s     *client.Client
	old   string // name or id
	name  string // of the new one
	peers []string
	said  string // the last thing that was printed
	// In the place of one with the same name or address:
	target     target
	added      uint64        // the new one's id
	waited     time.Duration // for the lost one to be silent
	quiet      time.Time     // since when it is
	quietLooks int           // at how many looks in a row it was
}

func memberReplace(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	peers, err := peersOf(c)
	if err != nil {
		return err
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

// step does what is next, if anything can be done now. An outcome that is not known is no error: the next step sees.
func (r *replacement) step(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.c.Duration("timeout"), noAnswer(r.c.Duration("timeout")))
	defer cancel()
	members, err := r.s.Members(ctx, false)
	if err != nil {
		return false, r.later(err)
	}
	old, missing := named(members, r.old)
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
		return true, nil
	case next != nil && next.Role == kv.Incoming:
		return false, nil // the exchange ends by itself
	case old == nil:
		return false, missing
	case old.Role == kv.Learner:
		return false, exitf(exitCondition, "%s is a learner, and has no vote to give away: `qkv member remove %s`, then `qkv member add`; nothing was changed", old.Name, old.Name)
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
	if voters(members) == 1 { // it leads, and there is nobody else to lead: both vote for a moment
		instead = 0
	}
	return false, r.later(r.promote(ctx, members, instead, next))
}

func voters(members []client.Member) (n int) {
	for _, m := range members {
		if m.Role.Votes() {
			n++
		}
	}
	return n
}

// chooseName gives the new member a name when the user did not. Once it is chosen it stays.
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
	if err := wire.CheckName(r.name); err != nil {
		return usagef("the new member's name: %w; --name gives another", err)
	}
	return nil
}

// at tells whether the new member is to have an address of another one.
func (r *replacement) at(old *client.Member) bool {
	return slices.ContainsFunc(r.peers, func(address string) bool { return slices.Contains(old.Peers, address) })
}

// unnamed returns the new one that was added in the place of one with the same name or address, until it is started.
func (r *replacement) unnamed(members []client.Member) *client.Member {
	i := slices.IndexFunc(members, func(m client.Member) bool { return m.Name == "" && m.Role == kv.Learner && r.at(&m) })
	if i < 0 {
		return nil
	}
	return &members[i]
}

// inPlace tells whether the new member has the name or an address of the old one, which has to go first, or has gone.
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
	// heardFor is how long a member may seem to be there that has died with its host: others notice it by its connection, which ends
	// PeerIdleTimeout after the first packet that was not answered, and a busy member tells so later.
	heardFor = 2*limits.PeerIdleTimeout + limits.PeerKeepAlive
	// silence is for how long one is not heard of, at so many looks, when it is taken for lost.
	silence         = 3 * time.Second
	silentLooks     = 3
	silentWitnesses = 2
)

// stepInPlace does what is next where the old one has to go before the new one can have its name: the new one is added without
// a name first, and takes the address over, so that each later run knows what there is to go on with. old is the new one, once
// that has said its name.
func (r *replacement) stepInPlace(ctx context.Context, members []client.Member, old, next *client.Member, missing error) (done bool, err error) {
	switch {
	case next != nil && next.Manual && old == nil: // somebody has removed the lost one, whose vote it was to have
		return false, r.later(r.promote(ctx, members, 0, next))
	case next != nil && (next.ID == r.added || next.Role == kv.Learner && r.at(next)):
		return r.awaitVoter(ctx, members, next), nil
	case r.added != 0:
		return false, exitf(exitNotFound, "%s (%s) is no member any more: somebody has removed it", r.name, hex(r.added))
	case old == nil:
		return false, missing
	case old.Role == kv.Learner:
		return false, exitf(exitCondition, "%s is a learner, and has no vote to give away: `qkv member remove %s`, then `qkv member add`; nothing was changed", old.Name, old.Name)
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

// takePlace removes the old one, now that the new one is there.
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

// silent tells whether a member is lost. One look may come between two connections of one that lives, or be of a member that is
// cut off itself: so the lost one has answered neither this command nor the others for some looks, and among those who say so is
// the leader, or are two of them.
func (r *replacement) silent(ctx context.Context, old *client.Member) (bool, error) {
	_, addresses, err := r.target.discover(ctx, r.s)
	if err != nil {
		return false, err
	}
	var answers, asked []string // whom the lost one answers, and who was asked
	witnesses := 0
	for _, one := range ask(ctx, r.s, addresses) {
		switch {
		case one.err != nil:
		case one.status.ID == old.ID:
			answers = append(answers, "this command")
		case !slices.Contains(asked, one.status.Name): // it may have two addresses
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
		return false, exitf(exitCondition, "%s runs, and answers %s: it is not lost; to replace it all the same, stop it first; nothing was changed", old.Name, strings.Join(slices.Compact(answers), " and "))
	}
	slices.Sort(asked)
	return false, exitf(exitUnavailable, "it is not known whether %s is lost: the leader or two members have to say so, and of them only %s answered; --endpoints says where the others are; nothing was changed",
		old.Name, cmp.Or(strings.Join(asked, ", "), "none"))
}

// awaitVoter tells how far the new member is, and whether that is all.
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

// nextName is the name of who comes after a member: n3-2, and then n3-3.
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

// promote makes the new one a voter when it is level, in the place of the old one if that is still there.
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

// sayWaits tells what keeps the new member from a vote. The list of the members alone does not know: a member announces itself when
// it has a part of the data, and stays in the list as one that was started when it has died.
func (r *replacement) sayWaits(ctx context.Context, next *client.Member) {
	connected := next.Started()
	var away string // who has no connection to it
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

// later tells which errors the next step may not have: those of a cluster that is without a leader for a moment, and of
// a change whose outcome the list of the members will tell.
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

// say prints a line, but not what was printed last.
func (r *replacement) say(format string, values ...any) {
	if text := fmt.Sprintf(format, values...); text != r.said {
		r.said = text
		fmt.Fprintln(r.w, text)
	}
}
