package backuprun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"filippo.io/age"

	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// Target says where a backup is written, and how.
type Target struct {
	Store store.Store     // nil: nowhere
	To    []age.Recipient // for which the content is encrypted; none: it is not
	Every time.Duration   // between two bases
	Keep  time.Duration   // for which every moment can be restored
}

// Config is the configuration of a run.
type Config struct {
	Target
	Continue bool // the store held the backup before: it is never made anew
	// Open connects to a member. The turn grows after each failure, and chooses one of several members. Open returns how many there are.
	Open func(ctx context.Context, turn int) (s Source, of int, err error)
	// Final reports whether no further try can succeed after an error of Open; nil: every error is followed by another try. After a success
	// it is not asked: a certificate may be missing while it is renewed.
	Final func(error) bool
	// Say reports an event to the operator.
	Say func(text string)
	// Complete is called when the backup has everything that its member has applied: at the latest a few seconds after each change, and as
	// often without changes. ago is the time since the member answered that: the folder's disk may have taken that long. Failed is called
	// with the error when a session fails. Both may be nil.
	Complete func(ago time.Duration)
	Failed   func(error)
	// Removed is called when objects that no kept moment needs were removed, or could not be, with the error then. It may be nil.
	Removed func(error)

	wall func() time.Time // the host's clock; nil: time.Now
}

// Failed begins the report of a failure.
const Failed = "backup failed"

// runner is the state of a run. The member and the folder change after failures; the run goes on.
type runner struct {
	Config
	cluster uint64 // 0 before the first connection
	turn    int
	of      int       // number of members
	lacking int       // how many members in a row had no log behind the end of the backup
	based   time.Time // when the newest base was made
	written uint64    // the newest entry with more than requests of runners
	tried   time.Time // when the further base was begun that failed; zero: none did
	born    time.Time // of the run
	due     time.Time // when the next changes are asked for
	clock   steadyClock
	hold    *Hold
	// retention outlives a session, since it remembers for an hour what it may remove.
	retention backup.Retention
	retain    time.Time // when it is tried again after a failure; zero: with the next base
	failing   bool

	complaint  string // the newest reported failure, at complained
	complained time.Time
}

const (
	// pauseFirst is the first pause after a failure, and pauseMost the longest.
	pauseFirst = 500 * time.Millisecond
	pauseMost  = 5 * time.Second
	// complaintPause is the time between two reports of the same failure.
	complaintPause = time.Minute
	// baseAgain is the pause after a further base has failed, for lack of room for example. The log goes on meanwhile.
	baseAgain = time.Minute
	// answerTime bounds the wait for a part of the log.
	answerTime = 5 * time.Second
	// backupEvery is the time in which changes are gathered for one object of the log, unless they fill one before.
	backupEvery = time.Second
)

// Run goes on until the context ends, and then returns nil. It returns an error if another configuration is needed: the folder belongs to
// another cluster or to a newer qkv, holds other files, or is encrypted while Target.To is empty, or Config.Final says so.
func Run(ctx context.Context, c Config) error {
	r := &runner{Config: c, born: time.Now(), retention: backup.Retention{Keep: c.Keep}, hold: NewHold()}
	r.Continue = r.Continue || backup.In(ctx, c.Store)
	if r.wall == nil {
		r.wall = time.Now
	}
	for pause := pauseFirst; ; {
		begun := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, backup.ErrForeign) || errors.Is(err, backup.ErrNone) || errors.Is(err, damage.ErrFormat) || errors.Is(err, backup.ErrClear) ||
			r.cluster == 0 && r.Final != nil && r.Final(err) {
			return err
		}
		if time.Since(begun) > pauseMost {
			pause = pauseFirst
		}
		r.failing = true
		r.turn++
		r.complain(err)
		if r.Failed != nil {
			r.Failed(err)
		}
		r.hold.lost = errors.Is(err, store.ErrNotHeld)
		if r.hold.lost { // the holder needs its time
			pause = baseAgain
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMost)
	}
}

func (r *runner) say(format string, arguments ...any) { r.Say(fmt.Sprintf(format, arguments...)) }

// complain reports a failure. The same one is reported again after a while only: a process that waits for the folder's lock is no fault.
func (r *runner) complain(err error) {
	text := err.Error()
	if text != r.complaint || time.Since(r.complained) >= complaintPause {
		r.say(Failed+", and is tried again: %s", text)
		r.complaint, r.complained = text, time.Now()
	}
}

// session follows one member until something fails.
func (r *runner) session(ctx context.Context) error {
	m, of, err := r.Open(ctx, r.turn)
	if err != nil {
		return err
	}
	defer m.Close()
	r.of = of
	if r.cluster != 0 && m.Cluster().ID != r.cluster {
		return fmt.Errorf("%s belongs to the cluster %016x, and the backup to %016x", m.Name(), m.Cluster().ID, r.cluster)
	}
	w, err := r.hold.Write(ctx, m, r.Store, !r.Continue && r.cluster == 0, r.To...)
	if errors.Is(err, fs.ErrNotExist) {
		return r.gone(err)
	}
	if err != nil {
		return err
	}
	defer w.Close()
	defer func() {
		if ctx.Err() != nil {
			r.hold.Leave(ctx, m)
		}
	}()
	r.cluster = m.Cluster().ID
	if bases := w.Bases(); r.based.IsZero() && len(bases) > 0 {
		// the cluster's clock may have been ahead by years
		if ago := r.wall().Sub(time.Unix(0, bases[len(bases)-1].Wall)); ago > 0 {
			r.based = time.Now().Add(-ago) // the host's clock may be set later
		}
	}
	return r.follow(ctx, m, w)
}

// gone is the error of a store that holds the backup no more.
func (r *runner) gone(err error) error {
	return fmt.Errorf("%s is gone: mount its disk again; it is not created anew: %w", r.Store.Path(""), err)
}

// follow copies bases and entries. A new base of the end of the backup is made after every interval, if anything was written since.
func (r *runner) follow(ctx context.Context, m Source, w *backup.Writer) error {
	asked, cancel := context.WithTimeout(ctx, answerTime)
	err := Continues(asked, m, w)
	cancel()
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name(), err)
	}
	after := EndOf(w)
	if r.written == 0 { // by an earlier process, perhaps
		r.written = after
	}
	if len(w.Bases()) == 0 {
		if err := r.base(ctx, m, w, 0); err != nil {
			return err
		}
		after = EndOf(w)
	}
	for ctx.Err() == nil {
		if newest := w.Bases()[len(w.Bases())-1]; time.Since(r.based) >= r.Every && time.Since(r.tried) >= baseAgain && r.written > newest.Index {
			r.tried = time.Now()
			switch err := r.base(ctx, m, w, after); {
			case errors.Is(err, store.ErrNotHeld):
				r.say("no base is made now, and it is tried again: %v", err)
			case err != nil:
				return err
			}
			after = max(after, EndOf(w))
		}
		if !r.retain.IsZero() && time.Now().After(r.retain) {
			r.remove(ctx, m, w)
		}
		part, answered, err := r.changes(ctx, m, after)
		if err == nil && part.Applied < after {
			err = lags(part.Applied, after)
		}
		if err == nil {
			err = w.Append(ctx, part.Entries)
			r.written = max(r.written, w.Written())
		}
		if err == nil && len(part.Entries) == 0 {
			err = r.there(ctx, w)
		}
		switch {
		case NeedsBase(err) && r.lacking < r.of && r.of > 1:
			r.lacking++ // another member's log may go further back
			return fmt.Errorf("%s: %w", m.Name(), err)
		case NeedsBase(err):
			r.say("%s: a new base is needed: %v", m.Name(), err)
			if err := r.base(ctx, m, w, after+1); err != nil {
				return err
			}
			after = max(after, w.Bases()[len(w.Bases())-1].Index)
		case err != nil:
			return fmt.Errorf("%s: %w", m.Name(), err)
		}
		if n := len(part.Entries); err == nil && n > 0 {
			r.lacking = 0
			after = part.Entries[n-1].Index
		}
		if err == nil && after >= part.Applied {
			r.upToDate(m, after, answered)
		}
	}
	return context.Cause(ctx)
}

// there returns an error if the store holds the backup no more. Without a change, nothing else would notice it.
func (r *runner) there(ctx context.Context, w *backup.Writer) error {
	err := w.There(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return r.gone(err)
	}
	return err
}

// changes returns the entries behind one, once in backupEvery, so that one object of the log has those of that time. After a full object
// the next one is due at once. Without a change it waits for the first one, for limits.BackupLogWait at most.
func (r *runner) changes(ctx context.Context, m Source, after uint64) (all kv.LogPart, answered time.Time, err error) {
	select {
	case <-ctx.Done():
		return all, answered, ctx.Err()
	case <-time.After(time.Until(r.due)):
	}
	r.due = time.Now().Add(backupEvery)
	for bytes := 0; ; {
		asked, cancel := context.WithTimeout(ctx, answerTime)
		part, err := m.BackupLog(asked, after)
		answered = time.Now()
		cancel()
		if err != nil {
			return all, answered, err
		}
		all.Applied, all.Entries = part.Applied, append(all.Entries, part.Entries...)
		for _, e := range part.Entries {
			after, bytes = e.Index, bytes+len(e.Envelope)
		}
		switch {
		case len(part.Entries) == 0 || bytes >= limits.BackupObjectBytes: // it has waited, or there may be more
			r.due = time.Time{}
			return all, answered, nil
		case after >= part.Applied:
			return all, answered, nil
		}
	}
}

// base makes a base of entry least or later, and removes data that is older than allowed, also if the base has failed for lack of room.
func (r *runner) base(ctx context.Context, m Source, w *backup.Writer, least uint64) error {
	begun := time.Now()
	base, copied, err := r.hold.CopyBase(ctx, m, w, least, r.changesBeside(ctx, m, w))
	if err == nil {
		r.based, r.tried = time.Now(), time.Time{}
		for _, name := range w.Mended {
			r.say("%s was damaged, and was copied again: look at that store", name)
		}
		w.Mended = nil
		r.say("base of entry %d, revision %d, %d bytes in %d files, from %s in %v: %d bytes were new",
			base.Index, base.Revision, base.Bytes(), len(base.Files), m.Name(), time.Since(begun).Round(time.Millisecond), copied)
	} else if err = fmt.Errorf("%s: %w", m.Name(), err); ctx.Err() != nil || errors.Is(err, store.ErrNotHeld) {
		return err
		// the next base may have the parts that were copied
	} else if _, refused := errors.AsType[*kv.Error](err); refused {
		return err
	}
	r.remove(ctx, m, w)
	return err
}

// remove removes data that is older than allowed. The backup goes on after a failure, which is reported, and removal is tried again.
func (r *runner) remove(ctx context.Context, m Source, w *backup.Writer) {
	r.retain = time.Now().Add(baseAgain)
	if r.hold.Take(ctx, m) != nil || time.Now().Before(r.hold.drained) { // the runner before may be about to publish
		return
	}
	steady := time.Since(r.born)
	removed, err := r.retention.Remove(ctx, w, r.clock.now(steady, r.wall().Round(0), w.Newest()), steady)
	if len(removed) > 0 {
		r.say("removed %d objects that are not needed for the last %v", len(removed), r.Keep)
	}
	if err = cmp.Or(err, w.RemoveLeft(ctx)); errors.Is(err, store.ErrNotHeld) { // the holder removes them
		err = nil
	}
	if err != nil && ctx.Err() == nil {
		r.complain(fmt.Errorf("objects that are not needed for the last %v could not be removed: %w", r.Keep, err))
	} else {
		r.retain = time.Time{}
	}
	if r.Removed != nil && ctx.Err() == nil {
		r.Removed(err)
	}
}

// steadyClock is the time for retention: the wall clock, but never later than monotonic time allows. A clock that jumps ahead would make
// moments old that were to be kept.
type steadyClock struct {
	wall   time.Time // the time when monotonic time was from; zero before the first call
	from   time.Duration
	offset time.Duration // by how much the wall clock has been ahead of this clock since
	since  time.Duration
}

// now returns the time. The first call returns no later time than that of the newest entry in the backup. A wall clock that stays ahead by the
// same amount from one call to another, for limits.ClockStable, is right.
func (s *steadyClock) now(after time.Duration, wall, newest time.Time) time.Time {
	if s.wall.IsZero() {
		if s.wall, s.from = wall, after; newest.Before(wall) {
			s.wall = newest
		}
		s.offset, s.since = wall.Sub(s.wall), after
	}
	own := s.wall.Add(after - s.from)
	offset := wall.Sub(own)
	switch apart := offset - s.offset; {
	case max(apart, -apart) > limits.ClocksApart:
		s.offset, s.since = offset, after
	case after-s.since >= limits.ClockStable:
		s.wall, s.from, s.offset, s.since = wall, after, 0, after
		return wall
	}
	return own.Add(min(offset, 0))
}

// changesBeside returns a function that appends the changes of the time in which a base is made. It leaves failures of the member to follow.
func (r *runner) changesBeside(ctx context.Context, m Source, w *backup.Writer) func(done, total int64) error {
	return func(int64, int64) error {
		if time.Now().Before(r.due) || len(w.Bases()) == 0 {
			return nil
		}
		short, cancel := context.WithTimeout(ctx, baseBeside/2) // the member waits for an entry for half of it
		part, answered, err := r.changes(short, m, EndOf(w))
		cancel()
		r.due = time.Now().Add(baseBeside)
		if failed := w.Append(ctx, part.Entries); NeedsBase(failed) {
			return nil
		} else if failed != nil {
			return failed
		}
		if after := EndOf(w); err == nil && after == part.Applied {
			r.upToDate(m, after, answered)
		}
		return r.there(ctx, w)
	}
}

// upToDate notes that the backup has everything that the member had applied when it answered.
func (r *runner) upToDate(m Source, entry uint64, answered time.Time) {
	if r.failing {
		r.say("backup goes on with %s, and has everything up to entry %d", m.Name(), entry)
		r.failing, r.complaint = false, ""
	}
	if r.Complete != nil {
		r.Complete(time.Since(answered))
	}
}
