package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// Config is the configuration of a Log. All fields must be given.
type Config struct {
	FS        disk.FS
	File      string // the path of FILE
	FileBytes int64  // the size at which FILE is rotated, in whole MiB
	Files     int    // the number of rotated files that are kept
	Strict    bool   // changes are refused while the log cannot be written
	Member    string // the member's name
	Now       func() time.Time
	Logger    *slog.Logger
}

// Log is a member's audit log. Record, Refuses and Problem may be called from any goroutine, also of a nil Log, which records nothing.
type Log struct {
	config Config

	writer  writer       // owned by the goroutine that calls Flush
	retryAt time.Time    // likewise
	began   atomic.Int64 // when the running Flush began, in nanoseconds since 1970; 0: none runs
	problem atomic.Pointer[problem]

	mu      sync.Mutex
	queue   []byte // lines
	lost    int64  // events since the last line about lost events
	repeats repeats
	sumAt   time.Time // when Record sums up again, while Flush does not because the disk fails
}

// problem is why the log cannot be written.
type problem struct {
	text    string
	refusal *kv.Error
}

// Open opens the log, and makes its folder if it is missing. An error is one of the configuration: of a file that another process has open,
// or that this process may not write. If the disk is full or fails, Open succeeds, and Flush tries again.
func Open(c Config) (*Log, error) {
	l := &Log{config: c, repeats: repeats{}}
	l.writer = writer{log: l, files: lumberjack.Logger{Filename: c.File, MaxSize: int(c.FileBytes >> 20), MaxBackups: c.Files}}
	if err := l.flush(); misconfigured(err) {
		return nil, errors.Join(err, l.writer.close())
	}
	return l, nil
}

// misconfigured reports whether only an operator can change the cause of a failure.
func misconfigured(err error) bool {
	for _, cause := range []error{disk.ErrLocked, disk.ErrNotRegular, fs.ErrPermission, fs.ErrNotExist, syscall.ENOTDIR, syscall.EROFS} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

const (
	// 1/auditQueueShare of limits.AuditQueueBytes is the most that refusals and logins use: a client cannot keep out an operator's changes.
	auditQueueShare = 2
	// auditRetry is the pause after a failed write: a full disk costs one attempt a second.
	auditRetry = time.Second
)

// Record puts a copy of an event into the queue. It does not wait for the disk. If the queue is full, the event is counted instead, and a
// line tells the number.
func (l *Log) Record(e Event) {
	if l == nil {
		return
	}
	now := l.config.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	room := limits.AuditQueueBytes
	if e.repeats() {
		room /= auditQueueShare
		if !now.Before(l.sumAt) {
			l.sumUp(now, false)
		}
		switch l.repeats.pass(&e, now) {
		case held:
			return
		case lost:
			l.lost++
			return
		}
	}
	one := l.lineOf(&e, now)
	l.enqueue(&one, room)
}

// enqueue adds a line to the queue, or counts it as lost if the queue would exceed room.
func (l *Log) enqueue(one *Line, room int) {
	begin := len(l.queue)
	l.queue = appendLine(l.queue, one)
	if len(l.queue) > room {
		l.queue = l.queue[:begin]
		l.lost += max(one.Repeated, 1)
	}
}

// sumUp adds the lines about held events that are due, with last of all.
func (l *Log) sumUp(now time.Time, last bool) {
	l.sumAt = now.Add(time.Second)
	for _, s := range l.repeats.take(now, last) {
		one := l.line(s.operation, now)
		one.User, one.Proof, one.Remote, one.API, one.Result = s.user, s.proof, s.host, s.api, s.result
		one.Repeated, one.Message = s.held, fmt.Sprintf("%d more since %s", s.held, s.since.UTC().Format(timeFormat))
		l.enqueue(&one, limits.AuditQueueBytes)
	}
}

// take returns the waiting lines, and gives spare to the queue. With last, all lines about held events are due.
func (l *Log) take(now time.Time, spare []byte, last bool) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sumUp(now, last)
	all := l.queue
	if l.lost > 0 {
		one := l.line(opLost, now)
		one.Lost, one.Message = l.lost, fmt.Sprintf("%d events were not recorded: the queue of %d bytes was full, or there were more than %d different refusals in %v",
			l.lost, limits.AuditQueueBytes, auditSubjects, auditRepeatsTime)
		all, l.lost = appendLine(all, &one), 0
	}
	l.queue = spare[:0]
	return all
}

// Flush writes the waiting events and makes them durable. One goroutine calls it, each limits.AuditInterval. A failure is what Problem
// returns until a later call succeeds.
func (l *Log) Flush() {
	if !l.config.Now().Before(l.retryAt) {
		_ = l.flush() // Problem tells it
	}
}

func (l *Log) flush() error {
	now := l.config.Now()
	l.began.Store(now.UnixNano())
	err := l.writer.write(now, false)
	l.began.Store(0)
	if err != nil {
		l.retryAt = l.config.Now().Add(auditRetry)
		l.fail(fmt.Sprintf("the audit log %s cannot be written: %v", l.config.File, err))
		return err
	}
	if l.problem.Swap(nil) != nil {
		l.config.Logger.Info("the audit log is written again", "file", l.config.File)
	}
	return nil
}

// fail notes why the log cannot be written.
func (l *Log) fail(why string) {
	p := &problem{text: why + "; events are lost when its queue is full. Free space on its disk, or repair the disk; it is tried again each second"}
	if l.config.Strict {
		p.text += ". --audit-strict: this member refuses all changes until then"
		p.refusal = kv.Errorf(kv.Unaudited, "--audit-strict is set and %s; the change certainly did not happen: ask another member, or look at the alarm AUDIT of this member", why)
	}
	if l.problem.Swap(p) == nil {
		l.config.Logger.Warn("AUDIT: " + p.text)
	}
}

// Problem returns why the log cannot be written, for an alarm; empty if it can. It must be called from time to time: it also finds a write
// that does not return.
func (l *Log) Problem() string {
	if l == nil {
		return ""
	}
	if began := l.began.Load(); began != 0 && l.problem.Load() == nil {
		if took := l.config.Now().Sub(time.Unix(0, began)); took >= limits.AuditStall {
			l.fail(fmt.Sprintf("the audit log %s cannot be written: a write has not returned for %v", l.config.File, took.Round(time.Second)))
		}
	}
	if p := l.problem.Load(); p != nil {
		return p.text
	}
	return ""
}

// Refuses returns the answer to all changes while the log cannot be written and Config.Strict is set; otherwise nil.
func (l *Log) Refuses() *kv.Error {
	if l == nil {
		return nil
	}
	if p := l.problem.Load(); p != nil {
		return p.refusal
	}
	return nil
}

// Close writes the waiting events, and closes the log. Flush must not run.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	return errors.Join(l.writer.write(l.config.Now(), true), l.writer.close())
}
