package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// newSpare is a host that a member may be added on.
func newSpare(w *world, number int) *host {
	h := makeHost(w, number, Founder{Name: fmt.Sprintf("n%d", number+1), Address: fmt.Sprintf("10.0.0.%d:2380", number+1)})
	h.spare = true
	return h
}

// listed returns the hosts of the members that the newest records name: all, unless the membership changes.
func (w *world) listed() []*host {
	if w.shape.spares == 0 || w.watch.at == 0 {
		return w.members()
	}
	return slices.DeleteFunc(w.members(), func(h *host) bool { return h.twin || w.watch.members.Get(h.id()) == nil })
}

// quiet is how long after a change whose outcome is unknown it has happened or never will.
const quiet = 6 * time.Second

var errNotJoined = errors.New("no member tells this one who it is")

// join asks the members at addresses, as peer.Ask does.
func (h *host) join(addresses []string, id uint64, folder [16]byte) (welcome peerframe.Welcome, err error) {
	w := h.w
	h.asked, err = folder, errNotJoined
	for _, i := range w.random.Perm(len(w.hosts)) {
		o := w.hosts[i]
		if o == h || !o.alive() || o.paused() || !slices.Contains(addresses, o.config.AdvertisePeer) ||
			w.net.lane(h, o).blocked+w.net.lane(o, h).blocked+w.net.lane(h, o).clogged+w.net.lane(o, h).clogged > 0 {
			continue
		}
		welcome, no := o.handler.Join(peerframe.JoinRequest{Name: h.config.Name, Addresses: []string{h.config.AdvertisePeer}, ID: id, Folder: folder})
		if no == nil {
			return welcome, nil
		}
		w.trace("%s refuses to let %s join: %v", o.name(), h.name(), no)
		err = fmt.Errorf("%w: %w", errNotJoined, no)
	}
	return welcome, err
}

// askWhere says whom a member asks that is to join.
func (h *host) askWhere() {
	h.config.Join = nil
	for _, o := range h.w.listed() {
		if o != h {
			h.config.Join = append(h.config.Join, o.config.AdvertisePeer)
		}
	}
}

// kept tells whether a member cannot start because of what became of its membership.
func (h *host) kept(life *simLife, err error) bool {
	w := h.w
	switch {
	case w.shape.spares == 0:
		return false
	case h.removedFor(err):
		w.trace("%s stays down: %v", h.name(), err)
		h.learned()
	case errors.Is(err, errNotJoined):
		w.trace("%s does not join: %v", h.name(), err)
		// One that asks by the cluster secret is added again, even if what it was added as was given up and removed.
		if !w.watch.members.Removed(h.id()) || w.shape.secret && h.boot == 0 {
			w.sim.After(w.between(200*time.Millisecond, time.Second), h.start)
		}
	default:
		return false
	}
	life.End()
	h.disk.Kill()
	return true
}

// removedFor tells whether a member ends because it was removed, which it was.
func (h *host) removedFor(err error) bool {
	return errors.Is(err, actor.ErrRemoved) && h.w.watch.members.Removed(h.id())
}

// learned notes that a member knows that it was removed.
func (h *host) learned() {
	if h.removed = true; h.woken {
		h.woken = false
		h.w.totals.Woken++
	}
}

// administrator changes the membership, as people do: now and then, several at once, and without looking twice.
type administrator struct {
	w       *world
	stopped bool
	open    int           // changes without an answer
	unsure  time.Duration // when the outcome of a change became unknown last
	moving  *host         // the last one that got another address
	packing bool          // it is still at the old one
}

func (a *administrator) begin() {
	a.w.sim.After(a.w.between(500*time.Millisecond, 1500*time.Millisecond), a.turn)
}

func (a *administrator) turn() {
	if a.stopped || a.w.healed != 0 {
		return
	}
	if a.w.probably(0.7) {
		a.attend()
	}
	a.act()
	a.w.sim.After(a.w.between(50*time.Millisecond, a.w.shape.faulty/12), a.turn)
}

// attend starts the members that were added. One without a name has that of the member that it replaces.
func (a *administrator) attend() {
	members := a.w.watch.members
	for _, one := range members.All() {
		if h := a.w.byID[one.ID]; h != nil && h.spare { // a joiner that lost its folder has no host
			h.spare, h.memberID = false, one.ID
			if old := members.Get(one.Replaces); one.Name == "" && old != nil {
				h.config.Name = old.Name
			} else if one.Name != "" {
				h.config.Name = one.Name
			}
			a.w.sim.After(a.w.between(0, time.Second), h.start)
		}
	}
}

// introduce says where a member is that has never announced itself. Members that joined later know of no founder's flags; and of two hosts of
// one name, the one that was added may be another than the one whose folder is bound. When a leader has moved, nobody else can reach either.
func (a *administrator) introduce() {
	for _, one := range a.w.watch.members.All() {
		a.abandon(one)
		a.keep(one)
		if h := a.w.byID[one.ID]; a.open == 0 && h != nil && !one.Started() && !slices.Contains(one.Peers, h.config.AdvertisePeer) {
			a.propose(kv.MemberChange{Kind: kv.UpdateMember, ID: one.ID, Peers: []string{h.config.AdvertisePeer}}, nil)
		}
	}
}

// keep ends the replacement of a member by one that waits for its name, if the replaced one runs after all.
func (a *administrator) keep(one kv.Member) {
	old := a.w.byID[one.Replaces]
	connected := func(h *host) bool {
		p, mine := a.w.net.pair(h, old)
		return h == old || p.ends[mine].up
	}
	if a.open == 0 && one.Name == "" && old != nil && slices.ContainsFunc(a.w.listed(), func(h *host) bool { return h.leads && connected(h) }) {
		a.propose(kv.MemberChange{Kind: kv.RemoveMember, ID: one.ID}, nil)
	}
}

// act draws a change.
func (a *administrator) act() {
	w := a.w
	if len(w.watch.members.All()) == 0 {
		return
	}
	switch n := w.random.IntN(100); {
	case n < 28:
		a.add()
	case n < 42:
		a.remove()
	case n < 60:
		a.replace()
	case n < 66:
		a.promote()
	case n < 76:
		a.move()
	case n < 81:
		for range 2 + w.random.IntN(2) {
			pick(w.random, a.add, a.remove, a.replace, a.promote, a.update)()
		}
	case n < 84:
		a.addAgain()
	case n < 88:
		a.wake()
	case n < 91:
		a.copy()
	default:
		a.lose()
	}
}

// member draws one of the members that the records name.
func (a *administrator) member() kv.Member {
	all := a.w.watch.members.All()
	return all[a.w.random.IntN(len(all))]
}

// free returns a host that nobody was added on, or nil.
func (a *administrator) free() *host {
	for _, h := range a.w.hosts {
		if h.spare {
			return h
		}
	}
	return nil
}

func (a *administrator) add() { a.addOne(a.w.probably(0.4), kv.Member{}) }

// addOne adds a member, or one that replaces another: under its name, if that is lost.
func (a *administrator) addOne(manual bool, old kv.Member) {
	h := a.free()
	if h == nil || len(a.w.watch.members.All()) >= limits.Members {
		return
	}
	if a.w.shape.rivals && a.rival(h) {
		return
	}
	id := a.w.random.Uint64()>>1 | 1
	a.w.byID[id] = h
	change := kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: h.config.Name, Peers: []string{h.config.AdvertisePeer}, Manual: manual, Instead: old.ID}
	if host := a.w.byID[old.ID]; host != nil && (host.lost() || a.w.probably(0.2)) {
		change.Name = ""
	}
	a.propose(change, nil)
}

// addAgain tries to add a member under an id that was used.
func (a *administrator) addAgain() {
	h, id := a.free(), a.member().ID
	for _, one := range a.w.hosts {
		if a.w.watch.members.Removed(one.id()) && a.w.probably(0.5) {
			id = one.id()
		}
	}
	if h == nil {
		return
	}
	a.propose(kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: h.config.Name, Peers: []string{h.config.AdvertisePeer}}, func(r kv.Result) {
		if r.Err == nil {
			a.w.failf("the id %x is used again", id)
		}
	})
}

func (a *administrator) remove() {
	one := a.member()
	if a.w.probably(0.3) {
		for _, h := range a.w.listed() {
			if h.leads {
				one = *a.w.watch.members.Get(h.id())
			}
		}
	}
	h := a.w.byID[one.ID]
	change := kv.MemberChange{Kind: kv.RemoveMember, ID: one.ID}
	a.propose(change, func(r kv.Result) {
		if r.Err != nil && h != nil && h.leads { // it hands over first
			h.leaving = true
			a.w.sim.After(a.w.between(10*time.Millisecond, 2*a.w.shape.election), func() {
				if !a.stopped && a.w.healed == 0 {
					a.propose(change, nil)
				}
			})
		}
	})
}

func (a *administrator) promote() {
	for _, one := range a.w.watch.members.All() {
		if one.Role == kv.Learner {
			a.propose(kv.MemberChange{Kind: kv.PromoteMember, ID: one.ID}, nil)
			return
		}
	}
}

// replace has the leader replace a voter, most likely a lost one, or promotes a learner in the place of one.
func (a *administrator) replace() {
	voters := slices.DeleteFunc(slices.Clone(a.w.watch.members.All()), func(one kv.Member) bool { return one.Role != kv.Voter })
	if len(voters) == 0 {
		return
	}
	voter := voters[a.w.random.IntN(len(voters))]
	if i := slices.IndexFunc(voters, func(one kv.Member) bool { h := a.w.byID[one.ID]; return h != nil && h.lost() }); i >= 0 && a.w.probably(0.7) {
		voter = voters[i]
	}
	for _, one := range a.w.watch.members.All() {
		if one.Role == kv.Learner && a.w.probably(0.5) {
			a.propose(kv.MemberChange{Kind: kv.PromoteMember, ID: one.ID, Instead: voter.ID}, nil)
			return
		}
	}
	a.addOne(false, voter)
}

// update says another address of a member than its own, or its own.
func (a *administrator) update() {
	if one := a.member(); a.w.byID[one.ID].boot == 0 || len(one.Peers) > 0 {
		a.propose(kv.MemberChange{Kind: kv.UpdateMember, ID: one.ID, Peers: []string{a.w.byID[one.ID].config.AdvertisePeer, fmt.Sprintf("10.9.9.%d:2380", a.w.random.IntN(200))}}, nil)
	}
}

// move gives members other addresses: one, which the others must find again before the next one moves, or all, with the
// list of all as a hint.
func (a *administrator) move() {
	w := a.w
	before := a.moving
	if a.packing {
		return
	}
	if !a.found(before) {
		a.tellAddresses()
		return
	}
	h := w.byID[a.member().ID]
	if h.boot == 0 || h.lost() || h.unnamed() {
		return
	}
	a.moving = h
	address := fmt.Sprintf("10.1.%d.%d:2380", w.random.IntN(250), h.number+1)
	there := func() {
		a.packing = false
		h.kill()
		h.config.AdvertisePeer = address
		w.trace("%s moves to %s", h.name(), address)
		w.lasting(w.between(10*time.Millisecond, 2*time.Second), h.start)
	}
	switch {
	case w.probably(0.3):
		// While it waits for its answer, one may have lost power with the commit that said where the last one is.
		var when func()
		when = func() {
			switch {
			case w.healed != 0:
			case a.found(before):
				there()
			default:
				w.sim.After(50*time.Millisecond, when)
			}
		}
		a.packing = a.propose(kv.MemberChange{Kind: kv.UpdateMember, ID: h.id(), Peers: []string{address}}, func(kv.Result) { when() })
	case w.probably(0.3) && !slices.ContainsFunc(w.members(), (*host).lost) && !slices.ContainsFunc(w.listed(), unstarted) && !slices.ContainsFunc(w.listed(), (*host).unnamed):
		a.moveAll()
	default:
		there()
	}
}

// found tells whether all others know by the log where a member is that has moved, and it has been among them since: one that ends may
// forget that the log's newest entries are committed, and of two members neither would find the other (docs/hosts.md, Changing addresses).
func (a *administrator) found(moved *host) bool {
	if moved == nil || a.w.watch.members.Get(moved.id()) == nil {
		return true
	}
	return moved.alive() && moved.member.status.Raft().Leader != 0 && !slices.ContainsFunc(a.w.listed(), func(o *host) bool {
		return o != moved && !o.lost() && !o.finds(moved)
	})
}

// tellAddresses has the log say where the members are that have moved, as docs/hosts.md advises when the list does not show it by itself: a
// leader that was added meanwhile and a moved member may know no address of each other.
func (a *administrator) tellAddresses() {
	for _, one := range a.w.watch.members.All() {
		h := a.w.byID[one.ID]
		if a.open == 0 && h != nil && one.Started() && !slices.Contains(one.Peers, h.config.AdvertisePeer) {
			a.propose(kv.MemberChange{Kind: kv.UpdateMember, ID: one.ID, Peers: []string{h.config.AdvertisePeer}}, nil)
		}
	}
}

// unnamed tells whether a host's member is known by its address only: it was added without a name, and has not said its own.
func (h *host) unnamed() bool {
	one := h.w.watch.members.Get(h.id())
	return one != nil && one.Name == ""
}

// unstarted tells whether a host's member has not begun: it is told the founders only, and where they are at that time.
func unstarted(h *host) bool { return h.boot == 0 }

func (a *administrator) moveAll() {
	w := a.w
	w.trace("all members move")
	var hints []Founder
	movers := w.listed()
	for _, h := range movers {
		h.kill()
		h.config.AdvertisePeer = fmt.Sprintf("10.2.%d.%d:2380", w.random.IntN(250), h.number+1)
		hints = append(hints, Founder{Name: h.config.Name, Address: h.config.AdvertisePeer})
	}
	for _, h := range movers {
		h.config.InitialCluster, h.hinted = hints, true
		w.lasting(w.between(10*time.Millisecond, 2*time.Second), h.start)
	}
}

// hint gives a member flags that say where all are.
func (h *host) hint() {
	h.config.InitialCluster, h.hinted = nil, true
	for _, o := range h.w.listed() {
		h.config.InitialCluster = append(h.config.InitialCluster, Founder{Name: o.config.Name, Address: o.config.AdvertisePeer})
	}
}

// wake starts a member again that knows that it was removed.
func (a *administrator) wake() {
	for _, h := range a.w.hosts {
		if h.removed && !h.alive() && !h.twin && !h.lost() {
			h.woken = true
			h.start()
			return
		}
	}
}

// copy runs a copy of a member's folder beside the member, as soon as all know of a later start than the copy's next one.
func (a *administrator) copy() {
	w := a.w
	h, twin := w.byID[a.member().ID], a.free()
	if twin == nil || !h.alive() || h.lost() || h.hinted || len(h.view.Members().Configuration().Voters) < 2 { // alone it would lead
		return
	}
	twin.copyOf(h)
	boot := h.boot
	h.kill()
	w.lasting(w.between(0, time.Second), h.start)
	var begin func()
	begin = func() {
		switch {
		case w.healed != 0 || w.watch.members.Get(h.id()) == nil: // not any more
			return
		case !w.quorumBeside(h): // the others may meet the copy first, and refuse the member
			return
		case h.boot <= boot || !w.known(h):
			w.sim.After(50*time.Millisecond, begin)
			return
		}
		twin.startAs(h)
	}
	begin()
}

// copyOf gives a free host a copy of a member's disk.
func (h *host) copyOf(original *host) {
	h.spare, h.twin = false, true
	h.disk = original.disk.Clone(h.w.random.Uint64())
	h.disk.Kill()
	h.rotted, h.rottedLog, h.harmed = original.rotted, original.rottedLog, maps.Clone(original.harmed) // with all that is on it
	h.removed = true                                                                                   // until it begins
}

// startAs starts it with that, as the member.
func (h *host) startAs(original *host) {
	h.label, h.memberID = original.name()+"'", original.id()
	h.config.Name, h.config.InitialCluster, h.config.Join = original.config.Name, original.config.InitialCluster, original.config.Join
	h.removed = false
	h.forgot, h.fresh = "is a copy of "+original.name(), true
	h.equip()
	original.copied = true
	h.w.totals.Copied++
	h.w.trace("a copy of the folder of %s runs as %s", original.name(), h.name())
	h.start()
}

// quorumBeside tells whether the others are a quorum, also when each member whose folder was copied is refused.
func (w *world) quorumBeside(h *host) bool {
	return hasQuorum(w.watch.members, func(id uint64) bool { return id != h.id() && w.byID[id].helps() })
}

// helps tells whether a member is of help to a quorum: one that runs nowhere is not, and the others may have met the copy of one first.
func (h *host) helps() bool { return h != nil && !h.away() && !h.copied }

// hasQuorum tells whether those that help are a quorum, also when the leader has removed the member whose name another one is to take over.
func hasQuorum(members index.Members, helps func(uint64) bool) bool {
	now := members.Configuration()
	for _, one := range members.All() {
		next, err := members.Change(&kv.MemberChange{Kind: kv.RemoveMember, ID: one.Replaces}, 0)
		if c := next.Configuration(); one.Name == "" && err == nil && !quorum(&c, helps) {
			return false
		}
	}
	return quorum(&now, helps)
}

// lose lets a founder lose its folder, when the others are a quorum. One that was alone would found another cluster.
func (a *administrator) lose() {
	w := a.w
	h := w.byID[a.member().ID]
	if a.open > 0 || w.sim.Now()-a.unsure < quiet || h.number >= w.shape.members || w.shape.members == 1 || h.hinted || h.away() || !w.known(h) {
		return
	}
	if !w.quorumBeside(h) {
		return
	}
	h.crash()
	h.forgot, h.disk = "has lost its folder", simdisk.New(w.random.Uint64())
	h.fresh, h.once, h.saved = true, h.proven, 0
	h.equip()
	w.totals.Lost++
	w.trace("%s %s", h.name(), h.forgot)
	if h.removed = w.shape.members == 1; h.removed {
		return // in its place it would found another cluster, of which nobody here hears
	}
	w.sim.After(w.between(10*time.Millisecond, time.Second), h.start)
}

// safe tells whether a change leaves a quorum, whatever becomes of others that may have been made.
func (a *administrator) safe(change *kv.MemberChange) bool {
	w := a.w
	if !slices.ContainsFunc(w.members(), func(h *host) bool { return !h.helps() && !h.twin }) {
		return true
	}
	next, err := w.watch.members.Change(change, 0)
	return err == nil && a.open == 0 && w.sim.Now()-a.unsure > quiet && hasQuorum(next, func(id uint64) bool { return w.byID[id].helps() })
}

// away tells whether a member is of no help to a quorum, now or as soon as what was done to it is noticed.
func (h *host) away() bool { return h.lost() || h.rottedLog }

// propose lets any member propose a change, and tells whether there is one that can.
func (a *administrator) propose(change kv.MemberChange, answered func(kv.Result)) bool {
	w := a.w
	at := w.any()
	if !at.alive() {
		return false
	}
	command := (&index.Head{By: at.member.status.View().By(kv.Root)}).AppendMemberChange(nil, &change)
	if !a.safe(&change) || !at.member.actors.consensus.Fits(int64(len(command.Bytes))) {
		return false
	}
	w.trace("%s is to %v", at.name(), &change)
	timeout := w.between(200*time.Millisecond, clientTimeout)
	r := &changeReply{a: a, answered: answered, change: change}
	a.open++
	w.sim.After(timeout*5/4+overdue, func() { r.end(kv.Result{Err: kv.Errorf(kv.Unknown, "no answer")}) })
	endpoint{at.member}.Propose(kv.Proposal{ReplyTo: r, Requests: []uint64{1}, Commands: []kv.Command{command}, Timeout: timeout})
	return true
}

// changeReply waits for what became of a change.
type changeReply struct {
	a        *administrator
	change   kv.MemberChange
	answered func(kv.Result)
	over     bool
}

// Complete implements kv.ReplyTo.
func (r *changeReply) Complete(done []kv.Completion) {
	done = slices.Clone(done) // it is read later
	r.a.w.sim.Post(func() { r.end(done[0].Result) })
}

func (r *changeReply) end(result kv.Result) {
	if r.over {
		return
	}
	r.over = true
	r.a.open--
	w := r.a.w
	switch {
	case result.Err == nil:
	case result.Err.Certain():
		w.totals.RefusedChanges++
	default:
		r.a.unsure = w.sim.Now()
	}
	w.trace("%v: %v", &r.change, result.Err)
	if r.answered != nil {
		r.answered(result)
	}
}

// complete waits until all that was begun has ended: every member that is listed is level, none is between two
// configurations, and those that were removed know it.
func (a *administrator) complete() {
	w := a.w
	a.stopped = true
	w.giveUp()
	quietAt := time.Duration(0)
	if w.shape.rivals && w.shape.secret { // members still add those that have asked them
		quietAt = w.sim.Now() + quiet
	}
	rests := func() bool {
		a.attend()
		a.introduce()
		now := w.sim.Now()
		return a.unfinished() == "" && now >= quietAt && (a.unsure == 0 || now-a.unsure >= quiet) // what got no answer may still come
	}
	if !w.until(2*elections*w.shape.election+30*time.Second, rests) {
		w.failf("the membership does not come to rest: %s; %v", a.unfinished(), w.places())
	}
	if w.probably(0.5) {
		a.renew()
	}
}

// renew loses a member for good when all is at rest, and replaces it under its name. The administrator only adds the new member.
func (a *administrator) renew() {
	w := a.w
	old := w.byID[a.member().ID]
	h := a.free()
	if h == nil || w.failure != "" || w.shape.rivals || old == nil || !old.alive() || old.copied || old.twin || w.watch.members.Get(old.id()).Role != kv.Voter ||
		len(w.watch.members.Configuration().Voters) < 2 || len(w.watch.members.Configuration().Learners) >= limits.Learners || !w.quorumBeside(old) {
		return
	}
	name := w.watch.members.NameOf(old.id())
	w.trace("%s is lost for good, and replaced", old.name())
	old.kill()
	old.removed = true
	change := kv.MemberChange{Kind: kv.AddLearner, Peers: []string{h.config.AdvertisePeer}, Instead: old.id()}
	replaced := func() bool {
		if a.attend(); h.spare && a.open == 0 {
			change.ID = w.random.Uint64()>>1 | 1
			w.byID[change.ID] = h
			a.propose(change, nil)
		}
		one := w.watch.members.Named(name)
		return one != nil && one.ID == h.id() && a.unfinished() == ""
	}
	if !w.untilTransferred(2*elections*w.shape.election+30*time.Second, replaced) && w.failure == "" {
		w.failf("%s is not replaced under its name: %s; %v", name, a.unfinished(), w.places())
	}
}

func (a *administrator) unfinished() string {
	w := a.w
	now := w.watch.members.Configuration()
	if now.Joint() || a.open > 0 {
		return "a change is under way"
	}
	var leader *host
	for _, h := range w.listed() {
		one := w.watch.members.Get(h.id())
		switch {
		case h.lost(), h.ruined():
			continue
		case !h.alive():
			return h.name() + " is down"
		case one.Role == kv.Learner && !one.Manual && len(now.Voters) < limits.Members:
			return h.name() + " is not promoted"
		case !one.Started():
			return h.name() + " has not announced itself"
		}
		if h.leads {
			leader = h
		}
	}
	if leader == nil {
		return "nobody leads"
	}
	if _, term := leader.view.Applied(); term != leader.member.status.Raft().Term {
		return leader.name() + " has not applied yet what others have left it, a change may be among it"
	}
	for _, h := range w.members() {
		if h.removed || !w.watch.members.Removed(h.id()) || !h.alive() {
			continue
		}
		if h.finds(leader) || h.meets(h.view.Members(), kv.Voter) > 1 {
			return h.name() + " does not know that it was removed"
		}
	}
	return ""
}

// meets counts the members with one of some roles that a host's member can dial.
func (h *host) meets(members index.Members, roles ...kv.Role) (n int) {
	for _, o := range h.w.listed() {
		one := members.Get(o.id())
		if o != h && h.finds(o) && !o.lost() && one != nil && slices.Contains(roles, one.Role) {
			n++
		}
	}
	return n
}
