package node

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk/simdisk"
	"qkv/net/peer"
	"qkv/snapshot"
)

// hostHistory is what a simulated member keeps of the history, so that a world stays small.
const hostHistory = 64 << 20

// host is the machine of one member: its disk, its clocks, and the member's process while there is one.
type host struct {
	w        *world
	number   int
	config   Config
	memberID uint64 // its id
	disk     *simdisk.Disk
	drive    drive
	memory   int64  // of the machine; 0 is not known
	cramped  bool   // its disk or memory has held little at some time
	level    uint64 // the newest feature level of its program; 0 is the newest of all
	skew     float64
	wall     time.Duration
	uptime   time.Duration // of the machine when the simulation begins

	// The process; life is nil while there is none.
	life        *simLife
	member      *member
	handler     peer.Handler
	way         *simTransport
	pausedUntil time.Duration
	syncs       bool // consensus waits for the disk, once in the life of a founder (actor.Admission)
	killed      bool // there is no process, and its host says so
	sessions    []*session
	recovering  bool

	// What the world knows of it.
	proven     proven      // on its disk, for certain
	intended   proven      // what its last process was about to prove
	view       *index.View // the newest one seen of this process
	leads      bool
	led        uint64               // the newest term that it led in
	voting     *index.Configuration // raft's at the end of consensus' last turn
	onLead     func()               // called when it begins to lead; nil is nothing
	reading    bool                 // entries are being read from its disk
	backedUp   bool                 // they are read for a backup
	readCold   bool                 // its log reader has just done that
	boot       uint64
	copies     []folderCopy
	cutIn      int    // effects until it loses power between two of them; 0 is never
	saved      int    // snapshots since one was installed or damaged
	savedIndex uint64 // of the newest of them
	rotted     bool   // one of its snapshots was damaged on purpose

	harmed map[string][]byte // the parts that were lost or damaged on purpose, as they were
	waits  int               // starts since everything healed that failed for want of one

	rottedLog bool  // so was its log
	damage    error // which it has found, and stays down

	// forgot says how its folder lost what it had promised; such a member must be refused by all others.
	forgot     string
	once       proven // what it had until then
	fresh      bool   // not started since then
	wasRefused bool
	copied     bool               // a copy of its folder was run beside it
	admitted   map[*host][16]byte // the newest process of each other member that its disk knows of

	// Of a world whose membership changes.
	label   string    // what the trace calls it
	asked   [16]byte  // the folder with which it asked to join
	joining *[32]byte // the randomness of a process that asks to join, until it has joined
	spare   bool      // nobody was added on it yet
	removed bool      // it has learned that it is no member any more
	woken   bool      // it was started again after that, or comes back without knowing
	leaving bool      // it was to be removed while it led
	hinted  bool      // it was started with the addresses of all
	twin    bool      // it runs a copy of another host's folder
}

func founderOf(name string, cluster []Founder) uint64 {
	var names []string
	for _, m := range cluster {
		names = append(names, m.Name)
	}
	return originOf("sim", "", name, names).self
}

func newHost(w *world, number int, m Founder, cluster []Founder) *host {
	h := makeHost(w, number, m)
	h.memberID, h.config.InitialCluster = founderOf(m.Name, cluster), cluster
	return h
}

func makeHost(w *world, number int, m Founder) *host {
	h := &host{
		w: w, number: number, label: m.Name,
		disk: simdisk.New(w.seed<<8 | uint64(number)),
		skew: 1 + (w.random.Float64()-0.5)/5, wall: w.between(-time.Hour, time.Hour), uptime: w.between(0, 100*time.Hour),
	}
	h.drive = drive{median: w.shape.sync, read: w.shape.read, slow: 1}
	h.config = Config{
		Name: m.Name, DataDir: "data", Advertise: m.Address, AdvertisePeer: m.Address,
		HeartbeatInterval: w.shape.heartbeat, ElectionTimeout: w.shape.election, MaxRequestBytes: 1 << 20, HistoryBytes: cmp.Or(w.shape.historyBytes, hostHistory), QuotaBytes: w.shape.quota, MemoryBytes: w.shape.memory,
		HistoryAge:   w.shape.historyAge,
		SegmentBytes: w.shape.segmentBytes, Logger: slog.New(&simLogger{w: w, host: h}), Version: "sim",
	}
	h.equip()
	return h
}

// equip prepares a disk for the simulation's checks.
func (h *host) equip() {
	h.disk.Guard(".wal", true)
	h.disk.SetHook(func(op simdisk.Op, name string) {
		if op == simdisk.OpRead && !h.recovering && !h.backedUp && h.member != nil && strings.HasSuffix(name, ".wal") {
			h.reading = true
			h.w.totals.ColdReads++
		}
	})
}

func (h *host) id() uint64   { return h.memberID }
func (h *host) name() string { return h.label }

// alive tells whether the member's process exists; it may be paused.
func (h *host) alive() bool { return h.life != nil }

// consensusTurn notes that consensus has ended a turn, and returns what is to happen when the turn's disk calls are over.
func (h *host) consensusTurn() func() {
	life, begun := h.life, h.w.sim.Now()
	h.syncs = true
	return func() {
		if h.life != life {
			return
		}
		if h.syncs = false; h.w.sim.Now() > begun {
			h.pausedUntil = max(h.pausedUntil, h.w.sim.Now())
		}
	}
}

// ranSince says whether the member has been able to answer since a time.
func (h *host) ranSince(begun time.Duration) bool {
	return !h.syncs && h.pausedUntil < begun && !h.lost()
}

func (h *host) paused() bool { return h.w.sim.Now() < h.pausedUntil }

// start starts the member's process, which may die while it recovers.
func (h *host) start() {
	if h.alive() || h.ruined() || h.spare || h.removed && !h.woken {
		return
	}
	w := h.w
	w.harmParts(h)
	if w.probably(0.05) {
		h.inspect()
	}
	if w.shape.spares > 0 {
		h.woken = h.woken || w.watch.members.Removed(h.id())
		if h.number >= w.shape.members && !h.twin {
			h.askWhere()
		}
	}
	zero := w.sim.Now() // a process's clock begins with it, or with its machine
	if !w.shape.freshClocks {
		zero = -h.uptime
	}
	life := w.sim.NewLife(h.name(), h.disk, h.duration, h.skew, zero, h.wall)
	var key [32]byte
	for i := range key {
		key[i] = byte(w.random.Uint32())
	}
	if h.joining != nil { // it is the same process that asks again
		key = *h.joining
	}
	h.joining = nil
	env := environment{
		FS: h.disk, Driver: life, Random: rand.NewChaCha8(key), Yield: func() {}, Limits: w.shape.limits,
		Transport: func(*folder, [16]byte) (transport, error) {
			h.way = &simTransport{w: w, from: h, life: life}
			return h.way, nil
		},
		Join: h.join, FetchPart: h.fetchPart, Pull: h.pull, Memory: h.memory, Level: h.level,
		Applied: func(entry uint64, data []byte, results []kv.Result) {
			if v := w.watch.verdicts; v != nil {
				v.applied(h, entry, data, results)
			}
		},
	}
	w.backup.equip(h)
	m, err := h.build(env, func(err error) { h.ended(life, err) })
	switch {
	case errors.Is(err, errDied):
		life.End()
		w.totals.RecoveryCrashes++
		w.trace("%s loses power while it recovers", h.name())
		h.disk.Crash(w.variant())
		w.sim.After(w.between(10*time.Millisecond, time.Second), h.start)
		return
	case err != nil && h.kept(life, err):
		if errors.Is(err, errNotJoined) {
			if h.joining = &key; w.shape.rivals && w.healed == 0 && w.probably(0.02) {
				h.joining = nil // it died, and its folder was not made yet
			}
		}
		return
	case err != nil && h.lacksParts(life, err):
		return
	case err != nil && h.damaged(err):
		life.End()
		h.disk.Kill()
		return
	case err != nil && (h.caused(err) || errors.Is(err, syscall.ENOSPC) && h.begins()):
		life.End()
		w.trace("%s cannot start on a broken disk: %v", h.name(), err)
		h.disk.Kill()
		w.sim.After(w.between(100*time.Millisecond, time.Second), h.start)
		return
	case err != nil:
		life.End()
		w.failf("%s cannot start: %v", h.name(), err)
		return
	}
	h.life, h.member, h.pausedUntil, h.syncs = life, m, 0, false
	if h.memberID != m.folder.Member { // what its joining told it
		h.memberID = m.folder.Member
		w.byID[h.memberID] = h
	}
	w.backup.join(h)
	h.boot = m.folder.Boot
	w.note("start "+h.name(), m.folder.Boot)
	w.trace("%s starts, boot %d, log %+v", h.name(), m.folder.Boot, m.actors.logWriter.Log.Stats())
	w.totals.Starts++
	w.watch.booted(h)
}

// begins tells whether a member makes its data folder, which takes room: it was never started on this disk.
func (h *host) begins() bool {
	_, err := h.disk.List("data/wal")
	return h.boot == 0 || errors.Is(err, fs.ErrNotExist)
}

var errDied = errors.New("the power failed during recovery")

// build calls the member's constructor, and lets the power fail at one of its disk calls at random.
func (h *host) build(env environment, failed func(error)) (m *member, err error) {
	h.recovering = true
	defer func() { h.recovering = false }()
	if h.w.healed == 0 && h.w.probably(h.w.shape.crashesInRecovery) {
		left := 1 + h.w.random.IntN(60)
		h.disk.SetHook(func(simdisk.Op, string) {
			if left--; left == 0 {
				panic(errDied)
			}
		})
		defer func() {
			h.equip()
			if p := recover(); p != nil {
				if p != error(errDied) {
					panic(p)
				}
				m, err = nil, errDied
			}
		}()
	}
	return build(h.config, "sim", env, failed)
}

// ended hears that the member has ended by itself: a moment later its process is gone.
func (h *host) ended(life *simLife, err error) {
	w, excused := h.w, h.caused(err) || h.removedFor(err)
	w.sim.After(w.between(0, 2*time.Millisecond), func() {
		if h.life != life {
			return
		}
		w.trace("%s ended: %v", h.name(), err)
		w.note("ended "+h.name(), 0)
		if !excused {
			w.failf("%s ended although nothing was done to it that explains it: %v", h.name(), err)
		}
		w.totals.Ended++
		h.down(func() { h.disk.Kill() })
		if errors.Is(err, actor.ErrRemoved) {
			h.learned()
		}
		w.sim.After(w.between(50*time.Millisecond, 2*time.Second), h.start)
	})
}

// lost tells whether the member is one that forgot.
func (h *host) lost() bool { return h.forgot != "" }

// down ends the process; what the disk keeps is for the fate to say.
func (h *host) down(fate func()) {
	if !h.alive() {
		return
	}
	h.w.backup.leave(h)
	h.life.End()
	h.w.net.died(h)
	h.intended = prove(h.member)
	h.w.totals.FalseClaims += int(h.member.status.Observer.Counters.FalseClaims.Load())
	h.life, h.member, h.leads, h.voting = nil, nil, false, nil
	fate()
	for _, s := range h.sessions {
		s.lose()
	}
	h.sessions = nil
}

// crash is a loss of power.
func (h *host) crash() {
	if !h.alive() {
		return
	}
	v := h.w.variant()
	h.w.trace("%s loses power, %v", h.name(), v)
	h.w.note("crash "+h.name(), uint64(v))
	h.w.totals.Crashes++
	h.down(func() { h.disk.Crash(v) })
	h.killed = false
}

// kill ends the process only.
func (h *host) kill() {
	if !h.alive() {
		return
	}
	h.w.trace("%s is killed", h.name())
	h.w.note("kill "+h.name(), 0)
	h.w.totals.Kills++
	h.down(func() { h.disk.Kill() })
	h.killed = true
}

// stop ends the member as SIGTERM does.
func (h *host) stop() {
	if !h.alive() {
		return
	}
	w, life, m := h.w, h.life, h.member
	w.trace("%s is told to stop", h.name())
	m.actors.consensus.Offer(actor.Transfer{})
	var when func()
	when = func() {
		switch {
		case h.life != life:
			return
		case h.paused() || life.Busy(): // actors finish what they do
			w.sim.After(w.between(0, time.Millisecond), when)
			return
		}
		w.trace("%s stops", h.name())
		w.note("stop "+h.name(), 0)
		w.totals.Stops++
		h.down(func() {
			if err := m.close(); err != nil && !h.caused(err) {
				w.failf("%s cannot stop: %v", h.name(), err)
			}
			h.disk.Kill()
		})
		h.killed = true
		if w.healed != 0 {
			h.start()
		}
	}
	w.sim.After(w.between(0, 300*time.Millisecond), when)
}

// pause stops the process for a time, as SIGSTOP or a frozen host does.
func (h *host) pause(d time.Duration) {
	if !h.alive() {
		return
	}
	h.w.trace("%s pauses for %v", h.name(), d)
	h.w.note("pause "+h.name(), uint64(d))
	h.w.totals.Pauses++
	h.life.Pause(d)
	h.pausedUntil = max(h.pausedUntil, h.w.sim.Now()+d)
}

// heal makes the machine well again.
func (h *host) heal() {
	h.drive.slow, h.drive.stalledUntil, h.drive.rate = 1, 0, 0
	h.disk.ClearFaults()
	h.disk.SetCapacity(1 << 50)
	h.disk.Occupy(0)
	h.w.sim.After(0, h.start)
}

// variant draws what a power loss does to what was not synced.
func (w *world) variant() simdisk.Variant {
	return simdisk.Variant(w.random.IntN(int(simdisk.Variants)))
}

// drive is how fast a disk is.
type drive struct {
	median, read time.Duration // of a sync, and of a read
	slow         float64
	rate         int64         // bytes a second of what all its actors write, one after the other; 0 is what the median goes with
	writtenUntil time.Duration // when all that was written by now is on it
	stalledSince time.Duration // it finishes nothing
	stalledUntil time.Duration
}

// stall lets a disk finish nothing for a time.
func (d *drive) stall(now, lasts time.Duration) {
	if d.stalledUntil < now {
		d.stalledSince = now
	}
	d.stalledUntil = max(d.stalledUntil, now+lasts)
}

// caused tells whether something that was done to this member explains its error. No disk call fails by itself.
func (h *host) caused(err error) bool {
	stalled := h.drive.stalledUntil-h.drive.stalledSince > limits.DiskStall
	failed := errors.Is(err, syscall.EIO) // a full disk ends nobody
	return failed || (stalled && errors.Is(err, actor.ErrDisk)) || (h.rottedLog && errors.Is(err, damage.ErrDamaged))
}

// syncSpread is the sigma of a sync's logarithm.
const syncSpread = 0.5

// slowest is the longest that slowness makes disk calls last: what the watchdog takes for a dead disk is a stall.
const slowest = 5 * time.Second

// duration draws how long an actor's disk calls take.
func (h *host) duration(b *simdisk.Batch) time.Duration {
	r, now := h.w.random, h.w.sim.Now()
	d := time.Duration(b.Calls())*time.Microsecond + time.Duration(b.Bytes()*2) // 500 MB/s
	for range b.Syncs() {
		d += logNormal(r, h.drive.median, syncSpread)
	}
	for range b.Reads() {
		d += logNormal(r, h.drive.read, syncSpread)
	}
	d = min(time.Duration(float64(d)*h.drive.slow), slowest)
	if h.drive.rate > 0 && b.Bytes() > 0 {
		h.drive.writtenUntil = max(h.drive.writtenUntil, now) + time.Duration(b.Bytes())*time.Second/time.Duration(h.drive.rate)
		d += h.drive.writtenUntil - now
	}
	if b.Bytes()+int64(b.Syncs()+b.Reads()) > 0 && h.drive.stalledUntil > now {
		d += h.drive.stalledUntil - now
	}
	return d
}

// folderCopy is a backup of a data folder.
type folderCopy struct {
	disk *simdisk.Disk
	boot uint64
}

// inspect reads a disk as `qkv inspect` does, which must work whatever a crash has left.
func (h *host) inspect() {
	if err := log.Dump(h.disk, "data/wal", io.Discard, log.DumpOptions{Entries: true}); err != nil && !errors.Is(err, fs.ErrNotExist) && !h.caused(err) {
		h.w.failf("the log of %s cannot be inspected: %v", h.name(), err)
	}
	listing, err := snapshot.List(h.disk, "data/snap")
	if err != nil {
		return // there are none yet
	}
	for i, info := range listing.Published {
		// After a loss of power an older one may be there again, but not its parts: nothing syncs the folder when files are removed.
		back := func(err error) bool { return i > 0 && strings.HasSuffix(err.Error(), ".part is missing") }
		if err := snapshot.Dump(h.disk, info.Path, io.Discard, false); err != nil && !h.caused(err) && !h.rotted && h.harmed == nil && !back(err) {
			h.w.failf("the snapshot %s of %s cannot be inspected: %v", info.Path, h.name(), err)
		}
	}
}
