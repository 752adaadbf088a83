package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"qkv/log/disk/simdisk"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// simBackup is the place at which the leaders make the backup: a folder on a disk of its own, which loses power, fails, fills up and is cut
// off. A member runs its backupRun as in production, as a coroutine. One that was deposed goes on for a while, and calls of it may be lost, or
// arrive late.
type simBackup struct {
	w     *world
	disk  *simdisk.Disk
	place *store.Folder
	every time.Duration // between bases
	keep  time.Duration
	runs  []*simRun

	cramped bool // its disk is full
	over    bool // the simulation needs it no longer

	backedUp
}

const (
	backupDir = "to/b"
	// simBackupLook is how often a member looks whether it leads.
	simBackupLook = 100 * time.Millisecond
)

// drawBackup draws whether a backup follows the cluster.
func drawBackup(r *rand.Rand) bool { return r.IntN(4) == 0 }

// backUp begins the backup of a life.
func (w *world) backUp() {
	if !w.shape.backup {
		return
	}
	w.totals.Backups++
	b := &simBackup{w: w, disk: simdisk.New(w.seed<<8 | 0xbb), every: w.between(time.Second, 6*time.Second), keep: w.between(0, 10*time.Second)}
	b.has, b.place = map[uint64]bool{}, store.OpenFolder(b.disk, backupDir)
	if err := errors.Join(b.disk.MkdirAll("to"), b.disk.SyncDir(".")); err != nil {
		panic(err)
	}
	w.backup = b
	w.sim.After(w.between(2*time.Second, 4*time.Second), b.fault)
	w.sim.After(w.between(3*time.Second, 6*time.Second), b.look)
}

// equip gives a member the backup to make, before it starts.
func (b *simBackup) equip(h *host) {
	if b != nil && !b.over {
		h.config.Backup = BackupTarget{Store: &simStore{Store: b.place, b: b, h: h}, Every: b.every, Keep: b.keep}
	}
}

// join begins the duty of a member that has started.
func (b *simBackup) join(h *host) {
	if b == nil || h.config.Backup.Store == nil {
		return
	}
	duty, life := newBackupDuty(h.member), h.life
	var look func()
	look = func() {
		if h.life != life || b.over {
			return
		}
		leads := h.member.status.Raft().Role == "leader"
		duty.turn(leads)
		switch run := b.runOf(h); {
		case leads && run == nil:
			b.begin(h, duty)
		case !leads && run != nil && !run.leaving:
			run.leaving = true
			b.w.sim.After(logUniform(b.w.random, time.Millisecond, 8*time.Second), run.end)
		}
		b.w.sim.After(simBackupLook, look)
	}
	b.w.sim.After(b.w.between(0, simBackupLook), look)
}

func (b *simBackup) runOf(h *host) *simRun {
	if i := slices.IndexFunc(b.runs, func(r *simRun) bool { return r.h == h }); i >= 0 {
		return b.runs[i]
	}
	return nil
}

// simRun is the coroutine of a member's backupRun. It runs in the member until it waits, and goes on at a later moment.
type simRun struct {
	b       *simBackup
	h       *host
	life    *simLife
	ctx     context.Context
	cancel  context.CancelFunc
	yield   func(struct{}) bool
	next    func() (struct{}, bool)
	stop    func()
	wake    time.Duration
	leaving bool // its member does not lead any more
	over    bool
}

func (b *simBackup) begin(h *host, duty *backupDuty) {
	r := &simRun{b: b, h: h, life: h.life}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	run := duty.newRun(r.wait)
	run.began = false // as a new process: the place is never unmounted
	r.next, r.stop = iter.Pull(func(yield func(struct{}) bool) {
		r.yield = yield
		run.run(r.ctx)
	})
	b.runs = append(b.runs, r)
	r.step()
}

// wait is backupRun.wait.
func (r *simRun) wait(_ context.Context, told logTold, d time.Duration) (one logAnswer, ok bool) {
	for until := r.b.w.sim.Now() + d; !r.over; {
		r.wake = max(until, r.b.w.sim.Now()+time.Millisecond)
		if told != nil || d > backupPoll {
			r.wake = min(r.wake, r.b.w.sim.Now()+backupPoll/4)
		}
		if !r.yield(struct{}{}) || r.over {
			return one, false
		}
		select {
		case one = <-told:
			return one, true
		default:
		}
		if r.b.w.sim.Now() >= until {
			return one, told == nil
		}
	}
	return one, false
}

// step goes on with the coroutine, in its member.
func (r *simRun) step() {
	if r.over {
		return
	}
	waits := false
	r.h.backedUp = true
	died := r.b.guard(func() { _, waits = r.next() })
	r.h.backedUp = false
	switch {
	case died:
		r.over = true
		r.b.w.totals.BackupKills++
		r.b.w.trace("%s dies in a call of the backup", r.h.name())
		r.forget()
		r.b.w.sim.Post(func() {
			if r.h.life == r.life {
				r.h.crash()
				r.b.w.sim.After(r.b.w.between(50*time.Millisecond, 2*time.Second), r.h.start)
			}
		})
	case !waits:
		r.end()
	default:
		r.b.w.sim.After(r.wake-r.b.w.sim.Now(), func() {
			if !r.over && r.h.life == r.life {
				r.life.Call(r.step)
			}
		})
	}
}

// end ends the coroutine.
func (r *simRun) end() {
	if r.over {
		return
	}
	r.over = true
	r.cancel()
	r.stop()
	r.forget()
}

func (r *simRun) forget() {
	r.b.runs = slices.DeleteFunc(r.b.runs, func(one *simRun) bool { return one == r })
}

// leave ends the run of a member whose process ends.
func (b *simBackup) leave(h *host) {
	if b != nil {
		if r := b.runOf(h); r != nil {
			r.end()
		}
	}
}

// guard runs calls of the place, and reports whether their process dies in one.
func (b *simBackup) guard(calls func()) (died bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case error(errDied):
			died = true
		default:
			panic(p)
		}
	}()
	calls()
	return false
}

// simStore is the place as a member reaches it.
type simStore struct {
	store.Store
	b   *simBackup
	h   *host
	cut bool
}

var errLostCall = fmt.Errorf("no answer of the place: %w", syscall.EIO)

// reach fails a call that does not get to the place.
func (s *simStore) reach() error {
	if s.cut || s.b.over || s.b.runOf(s.h) == nil || s.b.runOf(s.h).over {
		return errLostCall
	}
	return nil
}

// change makes a call that changes something. It may be lost, or arrive when its leader has long given up.
func (s *simStore) change(do func() error) error {
	if err := s.reach(); err != nil {
		return err
	}
	w := s.b.w
	if w.healed == 0 && w.probably(0.01) {
		if w.probably(0.5) {
			w.totals.BackupsLate++
			w.sim.After(logUniform(w.random, time.Millisecond, 20*time.Second), func() {
				if !s.b.over {
					s.b.guard(func() { _ = do() })
				}
			})
		}
		return errLostCall
	}
	return do()
}

// Put implements store.Store. The entries of a slice that was acknowledged are in the backup.
func (s *simStore) Put(ctx context.Context, name string, content []byte) error {
	return s.change(func() error {
		err := s.b.place.Put(ctx, name, content)
		var first, last uint64
		if n, _ := fmt.Sscanf(name, "log/%d-%d-", &first, &last); n == 2 && err == nil {
			s.b.appended(first, last)
		}
		return s.b.failed(err)
	})
}

// Create implements store.Store.
func (s *simStore) Create(ctx context.Context, name string, content []byte) error {
	return s.change(func() error {
		err := s.b.place.Create(ctx, name, content)
		if strings.HasPrefix(name, "lists/") {
			s.b.listed(err == nil)
		}
		return s.b.failed(err)
	})
}

// Delete implements store.Store.
func (s *simStore) Delete(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := s.change(func() error { return s.b.failed(s.b.place.Delete(ctx, name)) }); err != nil {
			return err
		}
	}
	return nil
}

// Get implements store.Store.
func (s *simStore) Get(ctx context.Context, name string, offset, most int64) ([]byte, error) {
	if err := s.reach(); err != nil {
		return nil, err
	}
	return s.b.place.Get(ctx, name, offset, most)
}

// List implements store.Store.
func (s *simStore) List(ctx context.Context, folder string) ([]store.Info, error) {
	if err := s.reach(); err != nil {
		return nil, err
	}
	return s.b.place.List(ctx, folder)
}

// failed counts full disks.
func (b *simBackup) failed(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		b.w.totals.BackupsFull++
	}
	return err
}

// fault does something to the place, again and again until everything heals.
func (b *simBackup) fault() {
	w := b.w
	if w.healed != 0 || b.over {
		return
	}
	switch w.random.IntN(5) {
	case 0: // between two calls
		v := w.variant()
		w.trace("the place loses power, %v", v)
		b.disk.Crash(v)
	case 1: // a leader dies at a call
		if w.shape.calm || w.shape.liar != nil && w.shape.liar.alone {
			break
		}
		left := 1 + w.random.IntN(80)
		b.disk.SetHook(func(simdisk.Op, string) {
			if left--; left > 0 && w.healed == 0 {
				return
			}
			b.disk.SetHook(nil)
			if w.healed == 0 {
				panic(errDied)
			}
		})
	case 2:
		b.cramped = true
		b.disk.SetCapacity(b.disk.Used() + w.random.Int64N(20_000))
		w.lasting(w.between(100*time.Millisecond, 2*time.Second), func() {
			b.cramped = false
			b.disk.SetCapacity(1 << 50)
		})
	case 3:
		if s, is := w.any().config.Backup.Store.(*simStore); is {
			s.cut = true
			w.lasting(logUniform(w.random, 100*time.Millisecond, 10*time.Second), func() { s.cut = false })
		}
	default:
		b.disk.Fail(simdisk.Fault{Call: 1 + w.random.Int64N(60), Err: syscall.EIO, Short: w.probably(0.5)})
	}
	w.sim.After(w.between(500*time.Millisecond, 5*time.Second), b.fault)
}

// open opens the backup as the place shows it now.
func (b *simBackup) open() *backup.Reader {
	r, err := backup.Open(context.Background(), store.OpenFolder(b.disk.Clone(1), backupDir))
	if err != nil {
		return &backup.Reader{}
	}
	return r
}
