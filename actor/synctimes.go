package actor

import (
	"fmt"
	"log/slog"
	"math/bits"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// syncTimes is how long the log's syncs took in the last minute.
//
// Invariants:
//
//  1. slots[i] counts the syncs that ended in the ten seconds number slots[i].number, where i is the remainder by
//     len(slots). A slot of an earlier minute does not count, and is emptied before it is used.
//  2. counts[b] is of syncs with bucketOf(took) == b, slow of those above limits.SlowSync, and spent is the total time of these.
type syncTimes struct {
	slots [7]syncSlot // a whole minute, and the ten seconds in progress
}

type syncSlot struct {
	number int64
	slow   int
	spent  time.Duration
	counts [syncBuckets]uint32
}

const (
	syncSlotTime = 10 * time.Second
	// A bucket spans an eighth of a power of two: a figure is at most 12 % too high. The last bucket begins above a day.
	syncBuckets = 8 * 38
	// The alarm needs slow syncs that are more than one in a hundred. In a minute they must number slowSyncsAlarm, or have taken
	// slowSyncsTime in total. A single sync that has taken slowSyncsTime so far also raises it: the slowest disks finish few syncs.
	slowSyncsAlarm = 5
	slowSyncsTime  = 5 * time.Second
)

// bucketOf returns the bucket of a time.
func bucketOf(took time.Duration) int {
	us := uint64(max(took.Microseconds(), 0))
	if us < 8 {
		return int(us)
	}
	e := bits.Len64(us) - 1 // at least 3
	return min((e-2)*8+int(us>>(e-3)&7), syncBuckets-1)
}

// bucketEnd returns the longest time in a bucket.
func bucketEnd(b int) time.Duration {
	if b < 8 {
		return time.Duration(b) * time.Microsecond
	}
	e := b/8 + 2
	return time.Duration(uint64(8+b%8+1)<<(e-3)-1) * time.Microsecond
}

// add counts a sync that ended now.
func (t *syncTimes) add(now, took time.Duration) {
	number := int64(now / syncSlotTime)
	s := &t.slots[number%int64(len(t.slots))]
	if s.number != number {
		*s = syncSlot{number: number}
	}
	s.counts[bucketOf(took)]++
	if took > limits.SlowSync {
		s.slow++
		s.spent += took
	}
}

// syncMinute summarizes the syncs of a minute.
type syncMinute struct {
	p99       time.Duration // 99 of 100 did not exceed it; 0 if there was none
	all, slow int
	spent     time.Duration // in slow ones
}

func (t *syncTimes) lastMinute(now time.Duration) (m syncMinute) {
	var counts [syncBuckets]int
	number := int64(now / syncSlotTime)
	for i := range t.slots {
		s := &t.slots[i]
		if s.number > number || number-s.number >= int64(len(t.slots)) {
			continue
		}
		m.slow, m.spent = m.slow+s.slow, m.spent+s.spent
		for b, n := range s.counts {
			counts[b] += int(n)
			m.all += int(n)
		}
	}
	above := m.all / 100
	for b := syncBuckets - 1; b >= 0; b-- {
		if above -= counts[b]; above < 0 {
			m.p99 = bucketEnd(b)
			break
		}
	}
	return m
}

// synced counts a sync of the log.
func (o *Observer) synced(now, took time.Duration) {
	o.syncsMu.Lock()
	defer o.syncsMu.Unlock()
	o.syncs.add(now, took)
	o.Counters.Syncs.Observe(took)
}

// moment returns the time for measurements; no decision depends on it.
func (o *Observer) moment() time.Duration {
	if o.clock == nil {
		return 0
	}
	return o.clock().Now
}

// SyncP99 returns the time that 99 of 100 syncs of the log in the last minute did not exceed; 0 if there was none.
func (o *Observer) SyncP99() time.Duration {
	return o.lastMinute().p99
}

func (o *Observer) lastMinute() syncMinute {
	if o.clock == nil {
		return syncMinute{}
	}
	o.syncsMu.Lock()
	defer o.syncsMu.Unlock()
	return o.syncs.lastMinute(o.clock().Now)
}

// slowDisk returns the alarm of a slow disk. It is raised if several syncs were slow or took long in total, and more than one in a
// hundred; or if the running sync has taken long.
func (o *Observer) slowDisk() (a kv.Alarm, raised bool) {
	m := o.lastMinute()
	switch since := time.Duration(o.syncSince.Load()); {
	case since > 0 && o.moment()-since >= slowSyncsTime:
		return kv.Alarm{Name: kv.SlowDiskAlarm, Text: fmt.Sprintf("a sync of the log has taken %v so far: every write waits for the disk; look at what else uses it",
			(o.moment() - since).Round(time.Second))}, true
	case m.p99 <= limits.SlowSync || m.slow < slowSyncsAlarm && m.spent < slowSyncsTime:
		return kv.Alarm{}, false
	}
	return kv.Alarm{Name: kv.SlowDiskAlarm, Text: fmt.Sprintf("%d of %d syncs of the last minute took over %v, p99 %v: every write waits for the disk; look at what else uses it",
		m.slow, m.all, limits.SlowSync, m.p99.Round(time.Millisecond))}, true
}

// slowSyncLog logs slow syncs at a limited rate, with the number of unlogged ones: on a slow disk there are many a second.
type slowSyncLog struct {
	logged bool
	next   time.Duration // the earliest time of the next line
	held   int           // slow ones since the last line
	worst  time.Duration // of them
}

// add handles each sync.
func (l *slowSyncLog) add(logger *slog.Logger, now, took time.Duration, bytes int64) {
	if took <= limits.SlowSync {
		return
	}
	if l.logged && now < l.next {
		l.held++
		l.worst = max(l.worst, took)
		return
	}
	args := []any{"took", took.Round(time.Millisecond).String(), "bytes", bytes}
	if l.held > 0 {
		args = append(args, "others", l.held, "longest", l.worst.Round(time.Millisecond).String())
	}
	logger.Warn("a slow sync of the log", args...)
	*l = slowSyncLog{logged: true, next: now + limits.SlowSyncPause}
}
