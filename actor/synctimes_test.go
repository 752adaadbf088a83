package actor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

// A bucket's end is the longest time in it, and at most an eighth above the shortest one.
func TestSyncBuckets(t *testing.T) {
	for took := time.Duration(0); took < 48*time.Hour; took = took*17/16 + time.Microsecond {
		b := bucketOf(took)
		us := took.Truncate(time.Microsecond)
		if end := bucketEnd(b); end < us || end > us+us/8+time.Microsecond || bucketOf(end) != b || bucketOf(end+time.Microsecond) != b+1 {
			t.Fatalf("%v is in bucket %d, which ends at %v", took, b, end)
		}
	}
	if b := bucketOf(time.Hour * 24 * 365); b != syncBuckets-1 {
		t.Errorf("a year is in bucket %d of %d", b, syncBuckets)
	}
}

// The figures are those of the last minute: what was before is forgotten.
func TestSyncTimes(t *testing.T) {
	var s syncTimes
	at := func(now time.Duration, wantP99 time.Duration, wantAll, wantSlow int) {
		t.Helper()
		m := s.lastMinute(now)
		if m.all != wantAll || m.slow != wantSlow || m.p99 < wantP99 || m.p99 > wantP99+wantP99/8 {
			t.Errorf("at %v: %+v, not p99 %v of %d, %d slow", now, m, wantP99, wantAll, wantSlow)
		}
	}
	at(time.Hour, 0, 0, 0)
	for i := range 1000 {
		took := time.Millisecond
		if i%50 == 0 {
			took = 200 * time.Millisecond
		}
		s.add(time.Hour+time.Duration(i)*time.Millisecond, took)
	}
	at(time.Hour+time.Second, 200*time.Millisecond, 1000, 20)
	for i := range 9000 {
		s.add(time.Hour+30*time.Second+time.Duration(i)*time.Millisecond, time.Millisecond)
	}
	at(time.Hour+40*time.Second, time.Millisecond, 10000, 20)
	at(time.Hour+75*time.Second, time.Millisecond, 9000, 0)
	at(time.Hour+3*time.Minute, 0, 0, 0)
	s.add(time.Hour+3*time.Minute, 3*time.Second)
	at(time.Hour+3*time.Minute, 3*time.Second, 1, 1)
}

// A disk is called slow when more than one sync in a hundred is, and more than a few, or for long; not any more a minute later.
func TestSlowDiskAlarm(t *testing.T) {
	now := time.Hour
	s := &Status{Observer: Observer{clock: func() Time { return Time{Now: now} }}}
	raised := func() bool {
		alarms := s.Alarms()
		return len(alarms) == 1 && alarms[0].Name == kv.SlowDiskAlarm && strings.Contains(alarms[0].Text, "5 of 5 syncs of the last minute took over 100ms, p99 1.")
	}
	for range 4 {
		s.Observer.synced(now, 1200*time.Millisecond)
	}
	if len(s.Alarms()) > 0 {
		t.Error("four slow syncs are an alarm")
	}
	s.Observer.synced(now, 1500*time.Millisecond)
	if !raised() || s.Observer.SyncP99() < 1500*time.Millisecond {
		t.Errorf("five slow syncs: %+v, p99 %v", s.Alarms(), s.Observer.SyncP99())
	}
	if now += 2 * time.Minute; len(s.Alarms()) > 0 || s.Observer.SyncP99() != 0 {
		t.Errorf("two minutes later: %+v, p99 %v", s.Alarms(), s.Observer.SyncP99())
	}
	for i := range 1000 {
		s.Observer.synced(now, map[bool]time.Duration{true: time.Second, false: time.Millisecond}[i%125 == 0])
	}
	if len(s.Alarms()) > 0 {
		t.Errorf("eight slow syncs of a thousand: %+v", s.Alarms())
	}
	now += 2 * time.Minute
	s.Observer.synced(now, slowSyncsTime-time.Millisecond)
	if len(s.Alarms()) > 0 {
		t.Errorf("one sync, not long enough: %+v", s.Alarms())
	}
	s.Observer.synced(now, limits.SlowSync+time.Millisecond)
	if !strings.Contains(alarmText(s), "2 of 2 syncs of the last minute took over 100ms, p99 5") {
		t.Errorf("the disk was at two slow syncs for long: %+v", s.Alarms())
	}
	now += 2 * time.Minute
	s.Observer.syncSince.Store(int64(now))
	if now += slowSyncsTime - 1; len(s.Alarms()) > 0 {
		t.Errorf("it is at a sync, not for long: %+v", s.Alarms())
	}
	if now += 36 * time.Second; !strings.Contains(alarmText(s), "a sync of the log has taken 41s so far") {
		t.Errorf("it is at a sync for long: %+v", s.Alarms())
	}
	if s.Observer.syncSince.Store(0); len(s.Alarms()) > 0 {
		t.Errorf("it is at none: %+v", s.Alarms())
	}
}

// alarmText is the text of the one alarm that there is of a slow disk.
func alarmText(s *Status) string {
	if alarms := s.Alarms(); len(alarms) == 1 && alarms[0].Name == kv.SlowDiskAlarm {
		return alarms[0].Text
	}
	return ""
}

// A disk is called slow while the log writer is at a sync for long, too: on the slowest ones few end.
func TestSyncUnderWayIsSeen(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	now := time.Hour
	w, _ := newTestLogWriter(l, &heardPeers{t: t, log: l}, func(err error) { t.Error(err) })
	w.Clock = func() Time { return Time{Now: now} }
	w.Status.Observer.clock = w.Clock
	syncs := 0
	fs.SetHook(func(op simdisk.Op, _ string) {
		if op != simdisk.OpSync {
			return
		}
		syncs++
		if now += time.Minute; !strings.Contains(alarmText(w.Status), "a sync of the log has taken 1m0s so far") {
			t.Errorf("it is at a sync for a minute: %+v", w.Status.Alarms())
		}
	})
	handleAll(w, []LogWriterMessage{appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{someEntry(2, 1)}}}})
	fs.SetHook(nil)
	if syncs != 1 || !strings.Contains(alarmText(w.Status), "1 of 1 syncs of the last minute") {
		t.Errorf("%d syncs, and then: %+v", syncs, w.Status.Alarms())
	}
	if now += 2 * time.Minute; len(w.Status.Alarms()) > 0 {
		t.Errorf("two minutes later: %+v", w.Status.Alarms())
	}
}

// A slow sync is a line at most once a minute, with how many others there were.
func TestSlowSyncLog(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	var l slowSyncLog
	for i := range 100 {
		now := time.Hour + time.Duration(i)*time.Second
		l.add(logger, now, time.Duration(100+i)*time.Millisecond, int64(i))
	}
	want := `level=WARN msg="a slow sync of the log" took=101ms bytes=1
level=WARN msg="a slow sync of the log" took=161ms bytes=61 others=59 longest=160ms
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}
