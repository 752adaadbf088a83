package node

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"syscall"
	"time"

	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// simBackup follows the cluster as `qkv backup run` does, on a host of its own: bases and entries come from the members' server.Backups,
// and backup.Writer writes them. Its process is killed, and its disk loses power, fails and fills up.
type simBackup struct {
	w       *world
	disk    *simdisk.Disk
	every   time.Duration // between bases
	keep    time.Duration
	cluster backup.Cluster

	// The process; writer is nil while there is none.
	writer    *backup.Writer
	retention backup.Retention
	process   int // counts them: what an earlier one began is dropped
	at        *host
	based     time.Duration
	lacking   int         // members in a row whose log begins behind the end of the backup
	beyond    bool        // the newest base lies behind a gap: the log goes on from there
	abandon   func()      // ends the request that is under way; nil: there is none
	paused    func() bool // of the request that runs: waits, and reports false if the request is over

	cramped bool // its disk is full
	over    bool // the simulation needs it no longer

	backedUp
}

const (
	backupDir = "to/b"
	// simBackupWait bounds a request to a member, and simBackupTimeout the wait for its answer.
	simBackupWait, simBackupTimeout = time.Second, 2 * time.Second
	// simBackupHour speeds the clock up by which a file stays that no base lists: the simulated backup has one writer.
	simBackupHour = 2000
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
	b.has = map[uint64]bool{}
	if err := errors.Join(b.disk.MkdirAll("to"), b.disk.SyncDir(".")); err != nil {
		panic(err)
	}
	w.backup = b
	w.sim.After(w.between(0, 2*time.Second), b.start)
	w.sim.After(w.between(2*time.Second, 4*time.Second), b.fault)
	w.sim.After(w.between(3*time.Second, 6*time.Second), b.look)
}

// start starts the process.
func (b *simBackup) start() {
	if b.writer != nil || b.over {
		return
	}
	b.process++
	b.at, b.lacking, b.retention = nil, 0, backup.Retention{Keep: b.keep}
	b.next(0)
}

// next lets the process go on after a time.
func (b *simBackup) next(d time.Duration) { b.later(d, b.turn) }

// later calls f in this process only.
func (b *simBackup) later(d time.Duration, f func()) {
	process := b.process
	b.w.sim.After(d, func() {
		if process == b.process && !b.over {
			f()
		}
	})
}

// end ends the process.
func (b *simBackup) end(fate func()) {
	b.process++
	b.writer = nil
	if b.abandon != nil {
		b.abandon()
	}
	b.disk.SetHook(nil)
	fate()
}

// do runs a part of the process's work on its disk, and reports whether the process lives on. The power may fail meanwhile.
func (b *simBackup) do(work func() error) (goesOn bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case error(errDied):
			b.lose()
			goesOn = false
		default:
			panic(p)
		}
	}()
	err := work()
	if err == nil {
		return true
	}
	b.w.trace("the backup fails: %v", err)
	if errors.Is(err, syscall.ENOSPC) || b.cramped {
		b.w.totals.BackupsFull++
	} else if !errors.Is(err, syscall.EIO) {
		b.w.failf("the backup fails although nothing was done to it: %v", err)
	}
	if b.writer != nil {
		_ = b.writer.Close() // it reports the same fault again
	}
	b.end(func() {})
	b.w.sim.After(b.w.between(50*time.Millisecond, time.Second), b.start)
	return false
}

// lose ends the process by a kill, or by a loss of power, and starts it again later.
func (b *simBackup) lose() {
	w := b.w
	w.totals.BackupKills++
	b.end(func() {
		if w.probably(0.5) {
			b.disk.Kill()
		} else {
			b.disk.Crash(w.variant())
		}
	})
	w.trace("the backup is killed")
	w.note("backup killed", b.said)
	w.lasting(logUniform(w.random, 10*time.Millisecond, 6*time.Second), b.start)
}

// fault does something to the backup, again and again until everything heals.
func (b *simBackup) fault() {
	w := b.w
	if w.healed != 0 || b.over {
		return
	}
	switch w.random.IntN(4) {
	case 0: // between two turns
		b.lose()
	case 1: // at a call of its disk
		left := 1 + w.random.IntN(80)
		b.disk.SetHook(func(simdisk.Op, string) {
			if left--; left == 0 {
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
	default:
		b.disk.Fail(simdisk.Fault{Call: 1 + w.random.Int64N(60), Err: syscall.EIO, Short: w.probably(0.5)})
	}
	w.sim.After(w.between(500*time.Millisecond, 5*time.Second), b.fault)
}

// turn asks a member for what the backup lacks.
func (b *simBackup) turn() {
	if b.at == nil || !b.at.alive() || b.at.backups == nil {
		if b.at = b.w.any(); !b.at.alive() || b.at.backups == nil {
			b.next(b.w.between(10*time.Millisecond, 200*time.Millisecond))
			return
		}
	}
	if b.writer == nil && !b.do(b.open) {
		return
	}
	newest, after := b.newest(), b.after()
	switch {
	case newest == nil:
		b.askBase(0, false)
	case b.w.sim.Now()-b.based >= b.every && after > newest.Index:
		b.askBase(after, false)
	default:
		b.askLog(after)
	}
}

// open opens the folder, in which everything must be that was said to be there.
func (b *simBackup) open() (err error) {
	if b.cluster.ID == 0 {
		b.cluster = backup.Cluster{ID: b.at.member.folder.Cluster, Name: "sim", Version: "sim"}
	}
	if b.writer, err = backup.Write(context.Background(), store.OpenFolder(b.disk, backupDir), true, b.cluster); err != nil {
		return err
	}
	last, _ := b.writer.Last()
	b.found(last, b.writer.Bases())
	b.based = b.w.sim.Now()
	return nil
}

func (b *simBackup) newest() *backup.Base {
	bases := b.writer.Bases()
	if len(bases) == 0 {
		return nil
	}
	return &bases[len(bases)-1]
}

// after returns the entry behind which the backup goes on.
func (b *simBackup) after() uint64 {
	last, _ := b.writer.Last()
	if newest := b.newest(); last == 0 && newest != nil || b.beyond && newest.Index > last {
		return newest.Index
	}
	return last
}

// refused turns to another member.
func (b *simBackup) refused(why error) {
	b.w.trace("the backup turns away from %s: %v", b.at.name(), why)
	b.at = nil
	b.next(b.w.between(10*time.Millisecond, 300*time.Millisecond))
}

var errNoAnswer = errors.New("no answer")

// ask sends a request to the member, and calls then when it is answered, or not in time. The request is a coroutine, which runs in the
// member until it waits, and goes on at a later moment.
func (b *simBackup) ask(request func(ctx context.Context, from *backups), then func(answered bool)) {
	w, at, life, from, until := b.w, b.at, b.at.life, b.at.backups, b.w.sim.Now()+simBackupWait
	var paused func() bool
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		paused = func() bool { return yield(struct{}{}) && w.sim.Now() < until }
		b.paused = paused
		request(context.Background(), from)
	})
	over := false
	end := func(answered, told bool) {
		if over {
			return
		}
		over, b.abandon = true, nil
		b.paused = paused
		stop()
		if told {
			then(answered)
		}
	}
	b.abandon = func() { end(false, false) }
	var step func()
	step = func() {
		if over {
			return
		}
		b.paused = paused
		at.backedUp = true
		_, waits := next()
		at.backedUp = false
		if !waits {
			w.sim.Post(func() { end(true, true) })
			return
		}
		w.sim.After(backupPoll, func() { life.Call(step) })
	}
	life.Call(step)
	b.later(simBackupTimeout, func() { end(false, true) })
}

// wait is what backups.wait is in the simulation.
func (b *simBackup) wait(_ context.Context, told logTold) (one logAnswer, ok bool) {
	for b.paused() {
		select {
		case one = <-told:
			return one, true
		default:
		}
		if told == nil {
			return one, true
		}
	}
	return one, false
}

func refusalOf(answered bool, err *kv.Error) error {
	switch {
	case !answered:
		return errNoAnswer
	case err != nil:
		return err
	}
	return nil
}

func (b *simBackup) askLog(after uint64) {
	var part kv.LogPart
	var err *kv.Error
	b.ask(func(ctx context.Context, from *backups) { part, err = from.Log(ctx, after) }, func(answered bool) {
		if b.writer == nil {
			return
		}
		refusal := refusalOf(answered, err)
		if refusal == nil {
			b.tried(part.Entries)
			if !b.do(func() error {
				if refusal = b.writer.Append(context.Background(), part.Entries); errors.Is(refusal, backup.ErrGap) {
					return nil
				}
				return refusal
			}) {
				return
			}
		}
		switch {
		case codeOf(err) == kv.Compacted || errors.Is(refusal, backup.ErrGap):
			if b.lacking++; b.lacking > len(b.w.members()) {
				b.askBase(after+1, true)
				return
			}
			b.refused(refusal)
		case refusal != nil:
			b.refused(refusal)
		default:
			if len(part.Entries) > 0 {
				b.lacking, b.beyond = 0, false
			}
			b.appended()
			b.next(b.w.between(time.Millisecond, 100*time.Millisecond))
		}
	})
}

// askBase makes a base. Behind a gap of the log the backup goes on from there.
func (b *simBackup) askBase(least uint64, gap bool) {
	var base kv.BackupBase
	var err *kv.Error
	b.ask(func(ctx context.Context, from *backups) { base, err = from.Base(ctx, least) }, func(answered bool) {
		if b.writer == nil {
			return
		}
		if refusal := refusalOf(answered, err); refusal != nil {
			b.refused(refusal)
			return
		}
		var c *backup.Copy
		var refusal error
		source := &simSource{at: b.at, from: b.at.backups}
		if !b.do(func() (err error) {
			part := func(p snapshot.Part) backup.Source { return simFile{source, p.Name(), p.Bytes, p.SHA} }
			b.making = max(b.making, base.Index)
			if c, err = b.writer.Base(simFile{source, base.Name, base.Bytes, base.SHA}, part); errors.Is(err, fs.ErrExist) || source.failed != nil {
				refusal, err = err, nil
			}
			return err
		}) {
			return
		}
		switch {
		case errors.Is(refusal, fs.ErrExist):
			b.based, b.beyond = b.w.sim.Now(), gap
			b.next(b.w.between(time.Millisecond, 100*time.Millisecond))
		case refusal != nil:
			b.refused(refusal)
		default:
			b.copy(c, source, gap)
		}
	})
}

// copy copies a base step by step: the member may be killed meanwhile, or remove the snapshot.
func (b *simBackup) copy(c *backup.Copy, source *simSource, gap bool) {
	done, refusal := false, error(nil)
	if !b.do(func() (err error) {
		if done, err = c.Step(context.Background(), 1<<12); source.failed != nil || (source.at.rotted || source.at.harmed != nil) && errors.Is(err, damage.ErrDamaged) {
			refusal, err = err, nil
		}
		if err == nil && done {
			b.made(c.Published())
			b.bases = b.bases[len(b.bases)-1:] // a process that ends in Remove may have removed the others
			if _, err = b.retention.Remove(context.Background(), b.writer, time.Unix(0, c.Published().Wall), b.w.sim.Now()*simBackupHour); err == nil {
				b.bases = b.writer.Bases()
			}
		}
		return err
	}) {
		return
	}
	switch {
	case refusal != nil:
		b.refused(refusal)
	case !done:
		b.later(b.w.between(0, 30*time.Millisecond), func() { b.copy(c, source, gap) })
	default:
		b.based, b.beyond = b.w.sim.Now(), gap
		b.next(0)
	}
}

// simSource reads a member's files.
type simSource struct {
	at     *host
	from   *backups
	failed error
}

// simFile is one of them.
type simFile struct {
	*simSource
	name string
	size int64
	sha  [32]byte
}

func (s simFile) Name() string  { return s.name }
func (s simFile) Size() int64   { return s.size }
func (s simFile) SHA() [32]byte { return s.sha }

// ReadAt implements backup.Source.
func (s simFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if !s.at.alive() || s.at.backups != s.from || s.at.paused() {
			s.failed = errNoAnswer
			return n, s.failed
		}
		piece, err := s.from.Piece(s.name, off+int64(n))
		if err != nil {
			s.failed = err
			return n, err
		}
		if len(piece) == 0 {
			return n, io.EOF
		}
		n += copy(p[n:], piece)
	}
	return n, nil
}
