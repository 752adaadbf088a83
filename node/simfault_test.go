package node

import (
	"math/rand/v2"
	"syscall"
	"time"

	"qkv/actor"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

// fault is one thing that goes wrong: data, drawn before the run.
type fault struct {
	at, lasts time.Duration
	kind      faultKind
	member    int     // by number, unless the leader is meant
	leader    bool    // whoever leads then
	strength  float64 // 0 to 1
}

type faultKind uint8

const (
	crashOne faultKind = iota
	crashAll
	killOne
	crashInside // between two effects of one turn of an actor
	stopOne
	pauseOne
	isolate     // one member, both directions
	deafen      // one member hears nothing
	mute        // nobody hears one member
	split       // the members into two groups
	cutLink     // one direction between two members
	loseSome    // all frames, at random
	slowNet     // one member's paths
	clog        // one member's frames wait
	resetAll    // a member's connections
	slowDisk    // a hundred times
	trickleDisk // few bytes a second
	stallDisk   // nothing is finished until it ends
	failSync    // the disk fails one sync, and the process ends
	failAny     // the disk fails one call
	jumpClock
	rotSnapshot // one bit of one snapshot of a member that is down
	rotLog      // one bit of one member's log, behind its end
	fillDisk    // no space is left, or little
	interrupt   // the next snapshot on its way: its receiver, its sender, their connection or a disk; or both save another one
	tear        // power is lost, or a sync fails, when entries are replaced by those of another leader
	copyFolder  // a backup that may be restored later
	wipeFolder
	restoreFolder
	occupyDisk // files of another program leave little
	rotPart    // one bit of parts of a running member
	failRead   // the disk fails one read of a part
	faultKinds
)

func (k faultKind) String() string {
	return [faultKinds]string{
		"crash", "power loss of all", "kill", "crash between effects", "stop", "pause", "isolate", "deafen", "mute", "split", "cut a link", "lose frames",
		"slow network", "clog", "reset connections", "slow disk", "trickling disk", "stall disk", "fail a sync", "fail a disk call", "jump the clock",
		"rot a snapshot", "rot the log", "fill the disk", "interrupt a snapshot", "tear a replacement", "copy the folder", "wipe the folder", "restore the folder", "occupy the disk",
		"rot parts", "fail a read of a part",
	}[k]
}

// weights says how often each kind is drawn.
var weights = [faultKinds]int{
	crashOne: 12, crashAll: 5, killOne: 6, crashInside: 8, stopOne: 3, pauseOne: 6, isolate: 6, deafen: 3, mute: 3, split: 4, cutLink: 4, loseSome: 3,
	slowNet: 3, clog: 4, resetAll: 4, slowDisk: 6, trickleDisk: 4, stallDisk: 8, failSync: 3, failAny: 3, jumpClock: 2, rotSnapshot: 2, copyFolder: 2, rotLog: 1, fillDisk: 3, interrupt: 6, tear: 6,
}

// drawFaults draws at least five faults, several of them at once.
func drawFaults(r *rand.Rand, s *shape) []fault {
	total := 0
	for _, w := range weights {
		total += w
	}
	faults := make([]fault, 5+r.IntN(14))
	for i := range faults {
		n, kind := r.IntN(total), faultKind(0)
		for n >= weights[kind] {
			n -= weights[kind]
			kind++
		}
		faults[i] = fault{
			kind: kind, member: r.IntN(s.members + s.spares), leader: r.IntN(2) == 0, strength: r.Float64(),
			at:    time.Second/2 + time.Duration(r.Int64N(int64(s.faulty-time.Second))),
			lasts: logUniform(r, 30*time.Millisecond, 6*time.Second),
		}
		if f := &faults[i]; f.deadly() {
			f.at = time.Second
			s.faulty = f.at + limits.DiskStall + 5*time.Second
		}
	}
	if s.members > 1 && s.spares == 0 && r.IntN(8) == 0 { // an amnesiac: on a minority only
		s.amnesiacs = 1 + r.IntN((s.members-1)/2)
		for i := range s.amnesiacs {
			kind := wipeFolder
			if r.IntN(2) == 0 {
				kind = restoreFolder
				faults = append(faults, fault{kind: copyFolder, member: i, at: time.Second + time.Duration(r.Int64N(int64(s.faulty/3)))})
			}
			faults = append(faults, fault{
				kind: kind, member: i, strength: r.Float64(),
				at: s.faulty/3 + time.Duration(r.Int64N(int64(s.faulty/2))),
			})
		}
	}
	return faults
}

// deadly tells whether a stall lasts until the member ends itself.
func (f *fault) deadly() bool { return f.kind == stallDisk && f.strength > 0.98 }

// target is the member that a fault meets.
func (w *world) target(f fault) *host {
	if f.leader {
		for _, h := range w.hosts {
			if h.leads && h.alive() {
				return h
			}
		}
	}
	all := w.members()
	return all[f.member%len(all)]
}

// inject lets a fault begin.
func (w *world) inject(f fault) {
	if w.healed != 0 {
		return
	}
	h := w.target(f)
	w.totals.Faults++
	w.trace("fault: %v of %s for %v, strength %.2f", f.kind, h.name(), f.lasts, f.strength)
	w.note(f.kind.String(), uint64(h.number))
	switch f.kind {
	case crashOne, crashAll, killOne, crashInside, stopOne, pauseOne:
		w.injectProcessFault(f, h)
	case slowDisk, trickleDisk, stallDisk, failSync, failAny, rotSnapshot, rotLog, rotPart, failRead, fillDisk, occupyDisk:
		w.injectDiskFault(f, h)
	case copyFolder, wipeFolder, restoreFolder:
		w.injectFolderFault(f, h)
	case tear: // a leader that is alone for a while has entries that are replaced later
		w.tears++
		f.kind, f.lasts = isolate, max(f.lasts, 3*w.shape.election)
		w.injectNetworkFault(f, h)
	case interrupt:
		w.interrupt = func(from, to *host) { w.injectSnapshotFault(f, from, to) }
	case jumpClock:
		if h.alive() {
			h.life.JumpWall(time.Duration((f.strength - 0.5) * float64(4*time.Hour)))
		}
	default:
		w.injectNetworkFault(f, h)
	}
}

func (w *world) injectProcessFault(f fault, h *host) {
	switch f.kind {
	case crashAll:
		w.totals.PowerLosses++
		for _, one := range w.members() {
			one.crash()
			w.sim.After(time.Duration(float64(f.lasts)*w.random.Float64()), one.start)
		}
		return
	case crashOne:
		h.crash()
	case crashInside:
		h.cutIn = 1 + int(f.strength*300)
		return
	case killOne:
		h.kill()
	case stopOne:
		h.stop()
	case pauseOne:
		h.pause(f.lasts)
		return
	}
	w.lasting(f.lasts, h.start)
}

// injectSnapshotFault ends what moves a snapshot.
func (w *world) injectSnapshotFault(f fault, from, to *host) {
	if w.healed != 0 {
		return
	}
	w.trace("the snapshot from %s to %s is interrupted", from.name(), to.name())
	w.totals.Interrupted++
	switch w.random.IntN(7) {
	case 5: // both save a second one meanwhile
		for _, h := range []*host{from, to} {
			if h.alive() && h.member.actors.applier.Offer(actor.SnapshotWanted{Saves: 1}) {
				w.totals.SavedMeanwhile++
			}
		}
		return
	case 6:
		w.injectDiskFault(fault{kind: fillDisk, strength: w.random.Float64() / 4}, to)
		return
	case 0:
		to.crash()
	case 1:
		to.kill()
	case 2:
		from.kill()
	case 3:
		p, _ := w.net.pair(from, to)
		p.reset()
	default:
		f.kind = isolate
		w.blockPaths(f, func(a, b *host) bool { return a == from && b == to })
	}
	w.lasting(min(f.lasts, time.Second), from.start)
	w.lasting(min(f.lasts, time.Second), to.start)
}

// injectReplacementFault lets the disk that is about to replace entries fail, or its power.
func (w *world) injectReplacementFault(to *host) {
	w.tears--
	w.totals.Replacements++
	w.trace("%s is to replace entries", to.name())
	if w.probably(0.3) {
		to.disk.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpSync, Name: "wal", Err: syscall.EIO})
		return
	}
	life := to.life
	w.sim.After(w.between(0, 3*to.drive.median), func() {
		if to.life == life && w.healed == 0 {
			to.crash()
			w.lasting(w.between(0, time.Second), to.start)
		}
	})
}

// blockPaths blocks or clogs some paths for a time.
func (w *world) blockPaths(f fault, which func(from, to *host) bool) {
	for _, row := range w.net.lanes {
		for _, p := range row {
			if p.from == p.to || !which(p.from, p.to) {
				continue
			}
			if f.kind == clog {
				p.clogged++
				w.lasting(f.lasts, func() {
					if p.clogged--; p.clogged == 0 {
						w.net.unclog(p)
					}
				})
				continue
			}
			p.blocked++
			w.lasting(f.lasts, func() { p.blocked-- })
		}
	}
}

func (w *world) injectNetworkFault(f fault, h *host) {
	side := make([]bool, len(w.hosts)) // of a split
	for i := range side {
		side[i] = w.probably(0.5)
	}
	other := w.any()
	switch f.kind {
	case isolate:
		w.blockPaths(f, func(from, to *host) bool { return from == h || to == h })
	case deafen, clog:
		w.blockPaths(f, func(_, to *host) bool { return to == h })
	case mute:
		w.blockPaths(f, func(from, _ *host) bool { return from == h })
	case split:
		w.blockPaths(f, func(from, to *host) bool { return side[from.number] != side[to.number] })
	case cutLink:
		w.blockPaths(f, func(from, to *host) bool { return from == h && to == other })
	case resetAll:
		for _, one := range w.members() {
			if one != h {
				p, _ := w.net.pair(h, one)
				p.reset()
			}
		}
	case loseSome:
		w.changePaths(f, func(p *lane, sign float64) {
			p.loss += sign * f.strength * 0.3
			p.dup += sign * (1 - f.strength) * 0.5
		})
	case slowNet:
		w.changePaths(f, func(p *lane, sign float64) {
			if p.from == h || p.to == h {
				p.slow += sign * f.strength * 100
			}
		})
	}
}

// changePaths changes paths for a time.
func (w *world) changePaths(f fault, change func(p *lane, sign float64)) {
	each := func(sign float64) {
		for _, row := range w.net.lanes {
			for _, p := range row {
				change(p, sign)
			}
		}
	}
	each(1)
	w.lasting(f.lasts, func() { each(-1) })
}

func (w *world) injectDiskFault(f fault, h *host) {
	switch f.kind {
	case slowDisk:
		factor := 1 + f.strength*100
		h.drive.slow *= factor
		w.lasting(f.lasts, func() { h.drive.slow /= factor })
	case trickleDisk: // of the rate that the watch takes for the slowest, and less: what is under way is little
		h.drive.rate = int64(limits.DiskBytesPerSecond * (0.1 + f.strength))
		w.totals.Trickles++
		w.lasting(f.lasts+2*w.shape.election, func() { h.drive.rate = 0 })
	case stallDisk:
		lasts := f.lasts
		if f.strength < 0.3 {
			lasts += 2 * w.shape.election
		}
		if f.deadly() && h.begun() { // before, consensus itself waits for the disk, once: see actor.Admission.Agree
			lasts = limits.DiskStall + 2*time.Second
		}
		h.drive.stall(w.sim.Now(), lasts)
		w.totals.Stalls++
	case failSync:
		h.disk.Fail(simdisk.Fault{Call: 1 + int64(f.strength*10), Op: simdisk.OpSync, Err: syscall.EIO})
	case failAny:
		h.disk.Fail(simdisk.Fault{Call: 1 + int64(f.strength*200), Err: syscall.EIO, Short: f.strength < 0.5})
	case fillDisk:
		h.cramped = true
		h.disk.SetCapacity(h.disk.Used() + int64(f.strength*100_000))
	case occupyDisk:
		h.cramped = true
		h.disk.Occupy(1<<50 - h.disk.Used() - int64(f.strength*200_000))
	case rotSnapshot:
		w.rotSnapshot(f, h)
	case rotLog:
		w.rotLog(f, h)
	case rotPart:
		w.rotParts(f, h)
	case failRead:
		h.disk.Fail(simdisk.Fault{Call: 1 + int64(f.strength*10), Op: simdisk.OpRead, Name: ".part", Err: syscall.EIO})
	}
}
