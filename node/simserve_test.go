package node

import (
	"fmt"
	"math"
	"slices"
	"time"

	"qkv/actor/space"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// probe asks one member for a put, a linearizable read and a serializable one, each until it is done.
type probe struct {
	h       *host
	c       *client
	o       *operation // the newest; nil before the first
	wrote   int64      // revision of the put
	done    int        // of the three
	refused *operation // the last one that was
	full    bool       // one was refused because there was no room
}

var probed = []operationKind{opPut, opRead, opSerializable}

// probeTimeout is longer than the clients' timeouts. A seed with tight limits may commit only 40 entries a second, and the clients fill
// its queue: each write is then applied, but after its client has given up. A probe that gives up as early would not see this service.
const probeTimeout = 2 * clientTimeout

// untilTransferred is until, with more time for a member that needs a snapshot: for each part that there is, or comes meanwhile, a message
// that may be lost and come again after half a second, and as long again for the log that is written during the transfer.
func (w *world) untilTransferred(within time.Duration, done func() bool) bool {
	each := 2 * (50*time.Millisecond + time.Duration(w.shape.loss*float64(2*time.Second)))
	begun, most := w.sim.Now(), time.Duration(0)
	look := func() bool {
		for _, h := range w.listed() {
			if h.alive() {
				p := h.member.status.Parts()
				most = max(most, time.Duration(p.BaseFiles+p.Extents)*each)
			}
		}
		return done()
	}
	for w.sim.Now()-begun < within+most && w.failure == "" {
		if w.until(within+most-(w.sim.Now()-begun), look) {
			return true
		}
	}
	return false
}

// serve lets every member be asked for everything, and fails when one has not answered all of it within a time.
func (w *world) serve(within time.Duration) {
	var probes []*probe
	for _, h := range w.listed() {
		probes = append(probes, &probe{h: h, c: &client{w: w, number: 1000 + h.number, at: h, user: user{name: kv.Root}, open: math.MaxInt}})
	}
	begun := w.sim.Now()
	var waits *probe
	answered := func() bool {
		waits = nil
		if w.admin.w != nil {
			w.admin.tellAddresses()
		}
		for _, p := range probes {
			gone := w.watch.members.Removed(p.h.id()) // by what an administrator asked for before, and was not told of
			if !p.h.lost() && !p.h.ruined() && !gone && !p.step() {
				waits = p
			}
		}
		return waits == nil
	}
	served := w.untilTransferred(within, answered)
	if !served && waits.h.alive() && slices.ContainsFunc(probes, func(p *probe) bool { return p.full }) {
		served = w.untilTransferred(within, answered) // it took until now that there is room again
	}
	w.totals.SlowestService = max(w.totals.SlowestService, w.sim.Now()-begun)
	if !served && w.failure == "" {
		w.failf("%s serves no %v %v after everything healed; it refused %v; %v", waits.h.name(), probed[waits.done], w.sim.Now()-begun, waits.refused, w.places())
	}
}

// step begins what comes next when nothing is under way, and reports whether all is done.
func (p *probe) step() bool {
	if p.done == len(probed) {
		return true
	}
	if !p.h.alive() || p.o != nil && p.o.returned == 0 {
		return false
	}
	switch {
	case p.o == nil:
	case p.o.outcome != outcomeDone:
		p.refused, p.full = p.o, p.full || p.o.code == kv.NoSpace
	case p.o.kind == opDelete: // which makes room
		p.refused = nil
	case p.o.kind == opPut:
		p.wrote = p.o.revision
		p.done++
	case p.o.revision >= p.wrote: // a serializable read may be older for a while
		p.done++
	}
	p.o = nil
	if p.done == len(probed) {
		return true
	}
	if p.c.session == nil || p.c.session.life != p.h.life {
		p.c.session = newSession(p.c, p.h)
	}
	if kind := probed[p.done]; kind == opPut && p.refused != nil && p.refused.code == kv.NoSpace {
		p.ask(opDelete)
	} else {
		p.ask(kind)
	}
	return false
}

func (p *probe) ask(kind operationKind) {
	w := p.c.w
	p.o = &operation{kind: kind, client: p.c.number, member: p.h.name(), key: w.key(), invoked: w.history.moment()}
	w.history.operations = append(w.history.operations, p.o)
	w.totals.Probes++
	switch kind {
	case opDelete:
		p.o.key, p.o.end = "k", "l"
		p.c.session.propose([]*operation{p.o}, probeTimeout)
	case opPut:
		p.o.value = fmt.Sprintf("%d.%d", p.c.number, w.history.clock)
		p.c.session.propose([]*operation{p.o}, probeTimeout)
	case opRead:
		p.c.session.confirm(p.o, probeTimeout)
	default:
		p.c.session.serializable(p.o)
	}
}

// steady tells whether the network and the disks of a seed are such that no heartbeat is late and no request slow, once
// there are no faults: then nothing is refused, and nobody else begins to lead.
func (s *shape) steady() bool {
	const rare = 4.5 // standard deviations: about one in 300,000
	hop := float64(s.delay) * math.Exp(rare*s.spread)
	sync := float64(s.sync) * math.Exp(rare*syncSpread)
	return s.loss == 0 && !s.tight && 3*(hop+sync) < float64(min(s.election/2, 100*time.Millisecond))
}

// expectService makes every refusal from now on a failure, where a seed's network and disks give no reason for one.
func (w *world) expectService() {
	for _, h := range w.hosts {
		if h.rottedLog && !h.ruined() { // it will end when the damage is found
			return
		}
	}
	w.noticeRoom()
	if w.shape.steady() && w.shape.liar == nil { // a false report of a full disk counts until the next report
		w.totals.StrictRuns++
		w.strict = w.history.moment()
	}
}

// noticeRoom gives members whose disks were full the time to look, and the leader's word the time to go round.
func (w *world) noticeRoom() {
	full := func() bool {
		return slices.ContainsFunc(w.hosts, func(h *host) bool {
			return h.alive() && (h.member.status.Disk().Accepts() != space.Left || w.shape.quota == 0 && h.member.status.View().NoSpace())
		})
	}
	if full() {
		w.until(5*time.Second, func() bool { return !full() })
		w.run(limits.SpaceCheck)
	}
}

// unserved holds it against the members that they have not done something, when nothing went wrong.
func (c *client) unserved(o *operation) {
	w := c.w
	if w.shape.auth && refuses(&kv.Error{Code: o.code}) { // the judge has decided that already
		return
	}
	if w.strict == 0 || o.invoked < w.strict || o.kind == opSerializable || o.code == kv.Compacted || o.code == kv.NoSpace && w.shape.quota > 0 || c.at.lost() || c.at.ruined() {
		return
	}
	if !c.at.member.startup.Current() { // a newcomer, which no quorum has confirmed yet
		return
	}
	if w.watch.members.Get(c.at.id()) == nil { // it was removed while it was away, and all have moved since: nobody can tell it
		return
	}
	w.failf("nothing is wrong, and %s refuses: %v", o.member, o)
}
