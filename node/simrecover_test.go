package node

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"qkv/index/kv"
	"qkv/log/disk/simdisk"
)

// recover loses all members but one for good, and makes a new cluster of what that one has, which must be all that was
// acknowledged: all had come to agree. The power fails meanwhile, too. Then the new cluster serves, and grows.
func (w *world) recover() {
	sound := w.sound()
	h := sound[w.random.IntN(len(sound))]
	for _, one := range w.members() {
		if one.crash(); one != h {
			one.removed = true
		}
	}
	w.trace("all are lost but the folder of %s", h.name())
	before := w.watch
	w.strict = 0
	w.shape.rivals = false // nobody adds the two of a name, and no host would be left
	for !w.refound(h) {
		if w.failure != "" {
			return
		}
	}
	w.watch = newChecker(w)
	w.sim.Observe(w.watch.turn)
	// A recovery takes all that its log has, also what was on its disk, or on its way there, and not yet known to be on a quorum's.
	w.watch.commit = max(before.commit, h.proven.last, h.intended.last)
	w.watch.changes, w.watch.visible = before.changes, before.visible
	w.byID, h.fresh, h.rottedLog = map[uint64]*host{}, true, false // the log is another one
	h.copied = false                                               // and so is the member
	h.start()
	if !h.alive() {
		w.failf("%s does not start as a cluster of its own", h.name())
		return
	}
	if voters := h.view.Members().Configuration().Voters; len(voters) != 1 || voters[0] != h.id() || before.members.Get(h.id()) != nil || before.members.Removed(h.id()) {
		w.failf("%s, %x, is alone, and the voters are %x", h.name(), h.id(), voters)
		return
	}
	w.watch.checkRemembered(h)
	if w.serve(elections * w.shape.election); w.failure != "" {
		return
	}
	w.totals.Recoveries++
	if w.admin.free() == nil {
		return
	}
	if !w.until(30*time.Second, func() bool {
		if w.admin.attend(); len(w.watch.members.All()) < 2 && w.admin.open == 0 {
			w.admin.addOne(false, kv.Member{})
		}
		return len(w.watch.members.Configuration().Voters) == 2
	}) {
		w.failf("the cluster that was recovered does not grow: %+v; %v", w.watch.members.All(), w.places())
		return
	}
	if w.serve(elections * w.shape.election); w.failure == "" {
		w.agree()
	}
	if one := w.watch.members.Get(h.id()); w.failure == "" && (one == nil || one.Role != kv.Voter) { // a rival that has joined may still learn
		w.failf("%s was recovered, and is %+v", h.name(), one)
	}
}

// refound is `qkv recover` on a host's disk, and what its user does when the power failed meanwhile; it tells whether there
// is a new cluster.
func (w *world) refound(h *host) (done bool) {
	random := rand.NewChaCha8([32]byte{byte(w.random.Uint32())})
	h.disk.SetHook(nil)
	if w.probably(0.7) {
		left := 1 + w.random.IntN(120)
		h.disk.SetHook(func(simdisk.Op, string) {
			if left--; left == 0 {
				panic(errDied)
			}
		})
	}
	defer func() {
		h.equip()
		switch p := recover(); p {
		case nil:
			h.disk.Kill()
		case error(errDied):
			w.totals.RecoveryCrashes++
			w.trace("the power fails during the recovery")
			h.disk.Crash(w.variant())
		default:
			panic(p)
		}
	}()
	logger := slog.New(&simLogger{w: w, host: h})
	made, err := recoverOn(context.Background(), RecoverConfig{DataDir: "data", Name: h.config.Name, Logger: logger, Version: "sim", keepsRevisions: true}, h.disk, random, w.shape.limits)
	if _, gone := h.disk.List("data" + beforeSuffix); err != nil && gone == nil { // it was done already, and refuses to be done again
		return true
	}
	if err != nil {
		w.failf("%s cannot be recovered: %v", h.name(), err)
		return false
	}
	w.trace("%s is the cluster %x now, at revision %d", h.name(), made.Cluster, made.Revision)
	return true
}
