package node

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"qkv/index"
	"qkv/index/kv"
)

// elections is how many election timeouts it may take to find a leader, and to agree.
const elections = 15

// callsOver tells whether each disk is done with the calls that were under way when it was made: a stall that began
// before the healing may outlast it, and move leadership.
func (w *world) callsOver() func() bool {
	over := map[*host]bool{}
	return func() bool {
		for _, h := range w.hosts {
			over[h] = over[h] || h.life == nil || !h.life.Busy()
			if !over[h] {
				return false
			}
		}
		return true
	}
}

// awaitService lets the healed cluster come to rest, and checks that it is alive and that nothing was lost.
func (w *world) awaitService() {
	if !w.until(time.Minute, w.callsOver()) {
		w.failf("disk calls of before the healing are still under way")
		return
	}
	serves := func() bool {
		w.serve(elections*w.shape.election + 5*time.Second)
		return w.failure == ""
	}
	if !serves() {
		return
	}
	w.expectService()
	if !w.until(time.Minute, func() bool { return w.totals.Operations >= w.shape.operations }) {
		w.failf("clients get only %d of %d operations done", w.totals.Operations, w.shape.operations)
		return
	}
	w.stopping = true
	if !w.until(20*time.Second, w.answered) {
		w.failf("a request has no answer after %v: %v", w.sim.Now()-w.healed, w.unanswered())
		return
	}
	if w.agree(); w.failure != "" {
		return
	}
	if w.serve(elections * w.shape.election); w.failure != "" { // also out of rest
		return
	}
	if w.awaitWatchers(); w.failure != "" {
		return
	}
	if w.awaitLeases(); w.failure != "" {
		return
	}
	if w.keepsHistory(); w.failure != "" {
		return
	}
	if w.agree(); w.failure != "" {
		return
	}
	w.judge()
}

// agree waits until all members have applied the same.
func (w *world) agree() {
	if !w.until(elections*w.shape.election+5*time.Second, w.agreed) {
		w.failf("members do not come to agree: %v", w.places())
	}
}

// answered tells whether every request has its answer.
func (w *world) answered() bool { return w.unanswered() == nil }

func (w *world) unanswered() *operation {
	for _, h := range w.hosts {
		for _, s := range h.sessions {
			for number := uint64(1); number <= s.next; number++ {
				if a := s.open[number]; a != nil {
					return a.o
				}
			}
		}
	}
	for _, c := range w.clients {
		if c.open > 0 {
			return &operation{client: c.number, problem: "a turn that has not ended"}
		}
	}
	return nil
}

// sound returns the members that forgot nothing, and whose logs are whole.
func (w *world) sound() []*host {
	var sound []*host
	for _, h := range w.listed() {
		if !h.lost() && !h.ruined() {
			sound = append(sound, h)
		}
	}
	return sound
}

// agreed tells whether all members have applied the same, and all that is committed.
func (w *world) agreed() bool {
	for _, h := range w.sound() {
		if !h.alive() {
			return false
		}
		at, _ := h.member.status.View().Applied()
		if s := h.member.status.Raft(); at < w.watch.commit || s.Commit != at || s.Leader == 0 {
			return false
		}
	}
	return true
}

func (w *world) places() (all []string) {
	for _, h := range w.members() {
		if !h.alive() {
			all = append(all, h.name()+" is down")
			continue
		}
		all = append(all, h.name()+" "+h.place())
	}
	return all
}

// place says where a member stands.
func (h *host) place() string {
	at, term := h.member.status.View().Applied()
	durable := prove(h.member)
	return fmt.Sprintf("has applied entry %d of term %d, %+v, on its disk %v, alarms %+v", at, term, h.member.status.Raft(), durable, h.member.Status().Alarms)
}

// judge holds what clients saw against what the members have.
func (w *world) judge() {
	w.watch.finish()
	if w.failure != "" {
		return
	}
	sound := w.sound()
	if w.watch.checkOnce(); w.failure != "" {
		return
	}
	for _, h := range sound {
		if w.watch.verdicts != nil {
			w.watch.verdicts.checkAuthors(h)
		}
		if w.failure != "" {
			return
		}
	}
	view := sound[0].member.status.View()
	t, err := newTruth(w.watch.changes, view.Revision(), w.watch.visible)
	if err != nil {
		w.failf("the history of %s is broken: %v", sound[0].name(), err)
		return
	}
	if err := checkHistory(t, w.history.operations); err != nil {
		w.failf("what clients saw is not linearizable: %v", err)
	}
	if w.shape.porcupine {
		w.crossCheck(t, w.failure == "")
	}
	w.note("end", view.Digest())
}

// finish checks the members against each other, and that the forgetful were found out.
func (k *checker) finish() {
	w := k.w
	w.totals.LeaderChanges = max(w.totals.Leaders-1, 0)
	for _, h := range w.hosts {
		if h.alive() {
			w.totals.FalseClaims += int(h.member.status.Observer.Counters.FalseClaims.Load())
			k.checkState(h)
			k.checkTime(h)
		}
		if h.lost() && (w.shape.spares == 0 || h.alive() && h.meets(w.watch.members, kv.Voter, kv.Learner, kv.Leaving) > 1) && (!h.wasRefused || !hasAlarm(h.member, kv.AmnesiaAlarm)) {
			w.failf("%s %s, and its alarms are %+v", h.name(), h.forgot, h.member.Status().Alarms)
		}
	}
	sound := w.sound()
	first := sound[0].member.status.View()
	k.checkRemembered(sound[0])
	for _, h := range sound[1:] {
		k.checkRemembered(h) // a digest says nothing of values that are in files only
		if v := h.member.status.View(); v.Digest() != first.Digest() || v.Revision() != first.Revision() || v.Keys() != first.Keys() {
			w.failf("%s and %s differ at the same entry: digest %x and %x", sound[0].name(), h.name(), first.Digest(), v.Digest())
		}
	}
}

// eventsOf lists the changes that a state remembers of the revisions behind one. No other change is copied: this is called for each new
// state, and a state may remember many megabytes.
func eventsOf(v *index.View, behind int64) []event {
	var events []event
	v.Scan(nil, func(key []byte, versions []index.Version) bool {
		for _, one := range versions {
			if one.Mod <= behind {
				continue
			}
			err := one.Read()
			for range 3 { // the fault of a read is for the member
				if err != nil && strings.Contains(err.Error(), syscall.EIO.Error()) {
					err = one.Read()
				}
			}
			if err != nil {
				one.Value = []byte(err.Error())
			}
			events = append(events, event{
				revision: one.Mod, sub: one.Sub, key: string(key), value: string(one.Value), deleted: one.Tombstone,
				create: one.Create, version: one.Version,
			})
		}
		return true
	})
	return events
}
