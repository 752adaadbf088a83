package node

import (
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// History that the settings keep is dropped only behind an alarm and its delay. The delay is short while a quorum's disks are full, and
// begins again when there was no reason for the alarm meanwhile, and with another leader.
func TestHistoryDropWaits(t *testing.T) {
	view := viewOf(t, quotaPut("a", 5000), quotaPut("a", 5000), quotaPut("b", 1000-2*65)) // live 6000, history 5065
	live, history := view.LiveUsedBytes(), view.HistoryBytes()
	const kept, never = 1 << 20, 0
	room := func(history int64) actor.QuorumCapacity {
		return actor.QuorumCapacity{Bytes: 1 << 30, Now: live + history, Member: 2}
	}
	type step struct {
		at    time.Duration
		holds int64 // of history, by a quorum
		full  bool
		bound int64
		alarm string // a part of it
	}
	for name, c := range map[string]struct {
		config Config
		after  time.Duration
		steps  []step
	}{
		"room enough":       {Config{HistoryBytes: kept}, time.Hour, []step{{0, history * 2, false, kept, ""}, {2 * time.Hour, history * 2, true, kept, ""}}},
		"no bound is asked": {Config{}, 0, []step{{0, 100, true, never, ""}, {2 * time.Hour, 100, true, never, ""}}},
		"fewer are asked":   {Config{HistoryBytes: 700}, time.Hour, []step{{0, 800, true, 700, ""}, {2 * time.Hour, 800, true, 700, ""}}},
		"an hour": {Config{HistoryBytes: kept}, time.Hour, []step{
			{time.Second, history, false, history / 4 * 5, "will be dropped from"},
			{time.Hour, history, false, history / 4 * 5, "will be dropped from"},
			{time.Hour + time.Second, history, false, history, "is dropped"},
			{3 * time.Hour, history, false, history, "is dropped"},
		}},
		"the room shrinks": {Config{HistoryBytes: kept}, time.Hour, []step{
			{time.Second, history * 2, false, kept, ""},
			{2 * time.Second, 800, false, history / 4 * 5, "n2 has the least"},
			{time.Hour, 800, false, history / 4 * 5, "will be dropped from"},
			{time.Hour + 2*time.Second, 800, false, (live + 800) / historyOfHeld, "is dropped"},
		}},
		"the room comes back": {Config{HistoryBytes: kept}, time.Hour, []step{
			{0, 900, false, history / 4 * 5, "will be dropped from"},
			{50 * time.Minute, history * 2, false, kept, ""},
			{70 * time.Minute, 900, false, history / 4 * 5, "will be dropped from"},
			{129 * time.Minute, 900, false, history / 4 * 5, "will be dropped from"},
			{130 * time.Minute, 900, false, 900, "is dropped"},
		}},
		"full disks shorten it": {Config{HistoryBytes: kept}, time.Hour, []step{
			{0, 900, true, history / 4 * 5, "will be dropped from"},
			{historyDropFull - 1, 900, true, history / 4 * 5, "will be dropped from"},
			{historyDropFull, 900, true, 900, "is dropped"},
			{historyDropFull + 1, 900, false, 900, "is dropped"},
		}},
		"and do not lengthen it": {Config{HistoryBytes: kept}, time.Second, []step{
			{0, 900, true, history / 4 * 5, "will be dropped from"}, {time.Second, 900, true, 900, "is dropped"},
		}},
		"little is missing": {Config{HistoryBytes: history}, time.Hour, []step{
			{0, history - history/historySlack, false, history, ""},
			{2 * time.Hour, history - history/historySlack, false, history, ""},
			{3 * time.Hour, history - history/historySlack*2, false, history, "will be dropped from"},
		}},
		"a short moment of full disks does not": {Config{HistoryBytes: kept}, time.Hour, []step{
			{0, 900, false, history / 4 * 5, "will be dropped from 1970-01-01 01:00"},
			{30 * time.Minute, 900, true, history / 4 * 5, "will be dropped from 1970-01-01 00:31"},
			{30*time.Minute + historyDropFull - 1, 900, true, history / 4 * 5, "will be dropped from 1970-01-01 00:31"},
			{31 * time.Minute, 900, false, history / 4 * 5, "will be dropped from 1970-01-01 01:00"},
			{32 * time.Minute, 900, true, history / 4 * 5, "will be dropped from 1970-01-01 00:33"},
			{33 * time.Minute, 900, true, 900, "is dropped"},
		}},
		"a larger shortage has a delay of its own": {Config{HistoryBytes: kept}, time.Hour, []step{
			{0, history, false, history / 4 * 5, "will be dropped from 1970-01-01 01:00"},
			{2 * time.Hour, history, false, history, "is dropped"}, // all of it fits
			{3 * time.Hour, history / 2, false, history, "and beyond 0.0 MiB from 1970-01-01 04:00"},
			{3*time.Hour + time.Minute, history, false, history, "is dropped, although"},
			{4 * time.Hour, history / 2, false, history, "and beyond 0.0 MiB from 1970-01-01 05:00"},
			{4*time.Hour + 30*time.Minute, history/2 - 100, false, history, "and beyond 0.0 MiB from 1970-01-01 05:00"},
			{5 * time.Hour, history/2 - 100, false, history / 2, "is dropped, although"},
		}},
		"a slightly larger shortage has none": {Config{HistoryBytes: kept}, time.Hour, []step{
			{0, 900, false, history / 4 * 5, "will be dropped from"},
			{time.Minute, 850, false, history / 4 * 5, "will be dropped from"},
			{time.Hour, 850, false, 900, "is dropped"},
		}},
		"no delay": {Config{HistoryBytes: kept}, 0, []step{{0, 900, false, 900, "is dropped"}}},
	} {
		var d historyDrop
		for _, s := range c.steps {
			held := room(s.holds)
			bound := d.bound(&c.config, c.after, view, held, s.full, s.at)
			alarm := d.text(held, "n2", actor.Time{Now: s.at, Wall: int64(s.at)})
			if bound != s.bound || (alarm != "") != (s.alarm != "") || !strings.Contains(alarm, s.alarm) {
				t.Errorf("%s, at %v: the history may weigh %d, want %d; alarm %q, want %q", name, s.at, bound, s.bound, alarm, s.alarm)
			}
		}
	}
}

// A shortage lets the history grow by a quarter. Neither a larger shortage nor another leader lets it grow by another quarter, and neither
// drops anything before its delay.
func TestHistoryGrowsOnce(t *testing.T) {
	var puts [][]byte
	var views []*index.View // by the bytes of history, in steps of a superseded value
	for range 12 {
		puts = append(puts, quotaPut("a", 5000))
		views = append(views, viewOf(t, puts...))
	}
	weigh := func(n int) int64 { return views[n].HistoryBytes() }
	config, d := Config{HistoryBytes: 1 << 20}, historyDrop{}
	look := func(at time.Duration, n int, holds int64) int64 {
		held := actor.QuorumCapacity{Bytes: 1 << 30, Now: views[n].LiveUsedBytes() + holds, Member: 2}
		return d.bound(&config, time.Hour, views[n], held, false, at)
	}
	const leads, follows, lags = 0, 1, 2
	quarter := weigh(8) / 4 * 5
	for _, step := range []struct {
		what  string
		at    time.Duration
		role  int
		n     int
		holds int64
		want  int64
	}{
		{"a shortage", 0, leads, 8, weigh(4), quarter},
		{"it grows", time.Minute, leads, 9, weigh(4), quarter},
		{"a larger shortage", 2 * time.Minute, leads, 9, weigh(3), quarter},
		{"an even larger one, when it has grown by a quarter", 3 * time.Minute, leads, 11, weigh(2), weigh(11)},
		{"another member leads", 4 * time.Minute, follows, 9, weigh(3), 0},
		{"another member leads, and drops it", 80 * time.Minute, follows, 8, weigh(3), 0},
		{"this one leads again", 81 * time.Minute, leads, 11, weigh(3), weigh(11)},
		{"the delay has begun again", 139 * time.Minute, leads, 11, weigh(3), weigh(11)},
		{"it is over", 140 * time.Minute, leads, 11, weigh(3), weigh(3)},
		{"another member leads once more", 141 * time.Minute, follows, 8, weigh(3), 0},
		{"this one leads, and begins with the alarm", 142 * time.Minute, leads, 8, weigh(3), weigh(11)},
		{"there is room", 143 * time.Minute, leads, 11, weigh(11) * 2, config.HistoryBytes},
		{"a shortage of its own", 144 * time.Minute, leads, 8, weigh(4), quarter},
		{"a member that has just started has less", 145 * time.Minute, lags, 5, weigh(3), 0},
		{"it leads", 146 * time.Minute, leads, 11, weigh(3), weigh(11) / 4 * 5},
	} {
		if got := look(step.at, step.n, step.holds); step.role == leads && got != step.want {
			t.Errorf("%s: the history may weigh %d bytes, want %d", step.what, got, step.want)
		}
		if step.role != leads {
			d.follow(step.role == lags, step.at)
		}
	}
}

// History that grows to the size at which writes would be refused is dropped before the delay is over, and the alarm says so.
func TestGrownHistoryIsDropped(t *testing.T) {
	small := viewOf(t, quotaPut("a", 5000), quotaPut("a", 5000))
	large := viewOf(t, quotaPut("a", 5000), quotaPut("a", 5000), quotaPut("a", 5000))
	config, d := Config{HistoryBytes: 1 << 20}, historyDrop{}
	held := actor.QuorumCapacity{Bytes: 1 << 30, Now: small.LiveUsedBytes() + small.HistoryBytes(), Member: 2}
	look := func(view *index.View, at time.Duration) (int64, string) {
		bound := d.bound(&config, time.Hour, view, held, false, at)
		return bound, d.text(held, "n2", actor.Time{Now: at, Wall: int64(at)})
	}
	before, alarm := look(small, 0)
	if before < small.HistoryBytes() || before >= large.HistoryBytes() || !strings.HasPrefix(alarm, "history beyond 0.0 MiB will be dropped from 1970-01-01 01:00") {
		t.Errorf("the history may weigh %d, the alarm says %q", before, alarm)
	}
	for at := time.Minute; at < time.Hour; at += 29 * time.Minute {
		if bound, alarm := look(large, at); bound != before || !strings.HasPrefix(alarm, "history beyond 0.0 MiB is dropped, and beyond 0.0 MiB from 1970-01-01 01:00") {
			t.Errorf("at %v: the history may weigh %d, want %d; the alarm says %q", at, bound, before, alarm)
		}
	}
}

// oldestReadable returns the oldest revision that each member that runs can read.
func (w *world) oldestReadable() (oldest int64) {
	for _, h := range w.hosts {
		if h.alive() {
			oldest = max(oldest, h.member.status.View().Compacted())
		}
	}
	return oldest
}

func (h *host) alarm(name kv.AlarmName) (text string) {
	for _, a := range h.member.alarms() {
		if a.Name == name {
			text = a.Text
		}
	}
	return text
}

// One member's disk, filled by another program, one member's small memory, a learner's disk or a member that is down do not cost a
// revision of what --history-bytes keeps, also when leadership moves, and the history is not bounded by them later.
func TestOneMemberDropsNoHistory(t *testing.T) {
	testlong.Skip(t)
	for name, harm := range map[string]func(w *world, h *host){
		"another program fills the disk":         func(_ *world, h *host) { h.disk.Occupy(1<<30 - h.disk.Used()) },
		"another program fills most of the disk": func(_ *world, h *host) { h.disk.Occupy(1<<30 - h.disk.Used() - 2<<20) },
		"the disk is small":                      func(_ *world, h *host) { h.disk.SetCapacity(2 << 20) },
		"the memory is small": func(w *world, h *host) {
			h.kill()
			h.memory = 1 << 20
			h.start()
		},
		"a full one is down": func(w *world, h *host) {
			h.disk.Occupy(1<<30 - h.disk.Used())
			w.run(3 * limits.SpaceCheck)
			h.kill()
		},
	} {
		for _, leads := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", of the leader"}[leads], func(t *testing.T) {
				w, leader := quietCluster(t, shape{segmentBytes: 64 << 10, historyBytes: 1 << 30}, func(*limits.Tunable) {})
				for _, h := range w.hosts {
					h.disk.SetCapacity(1 << 30)
				}
				w.run(2 * limits.SpaceCheck)
				f := newFlood(w, 8000)
				write := func(puts int) {
					for until, end := f.puts+puts, w.sim.Now()+time.Minute; f.puts < until && w.failure == "" && w.sim.Now() < end; w.run(10 * time.Millisecond) {
						f.follow()
						f.fill(3)
					}
				}
				write(300)
				h := leader
				if !leads {
					h = w.hosts[(leader.number+1)%3]
				}
				harm(w, h)
				w.run(3 * time.Second)
				if !w.until(20*time.Second, func() bool { return w.leader() != nil }) {
					t.Fatalf("nobody leads: %v", w.places())
				}
				write(300)
				w.run(2 * historyDropFull)
				if oldest := w.oldestReadable(); oldest > 0 || f.puts < 600 || w.failure != "" {
					t.Errorf("revisions before %d are gone after %d puts: %s %v", oldest, f.puts, w.failure, w.places())
				}
				if text := w.leader().alarm(kv.RetentionAlarm); text != "" {
					t.Errorf("a quorum holds it all: %s", text)
				}
				for _, one := range w.hosts {
					if one.alive() && (one.alarm(kv.MemoryNotice) != "") != (one.memory > 0) {
						t.Errorf("%s has %d bytes of memory, and its notice is %q", one.name(), one.memory, one.alarm(kv.MemoryNotice))
					}
				}
			})
		}
	}
}

// Only the leader says that history is dropped: a member that leads no more takes its word back.
func TestFormerLeaderEndsItsAlarm(t *testing.T) {
	w, leader := quietCluster(t, shape{}, func(*limits.Tunable) {})
	for _, h := range w.hosts {
		h.member.status.Alarm(kv.Alarm{Name: kv.RetentionAlarm, Text: "history will be dropped"})
	}
	w.run(10 * time.Second)
	for _, h := range w.hosts {
		if text := h.alarm(kv.RetentionAlarm); text != "" {
			t.Errorf("leader: %v, the alarm is %q", h == leader, text)
		}
	}
}

// Where a quorum's disks are filled by other programs, the alarm comes first, and the history goes when its delay is over: not while the
// disks are full for less than historyDropFull, and not when there is room again in time.
func TestQuorumDropsHistoryBehindAnAlarm(t *testing.T) {
	for _, freed := range []bool{false, true} {
		w, leader := quietCluster(t, shape{segmentBytes: 64 << 10, historyBytes: 1 << 30}, func(*limits.Tunable) {})
		for _, h := range w.hosts {
			h.disk.SetCapacity(1 << 30)
		}
		w.run(2 * limits.SpaceCheck)
		f := newFlood(w, 8000)
		for end := w.sim.Now() + time.Minute; f.puts < 300 && w.failure == "" && w.sim.Now() < end; {
			f.follow()
			f.fill(3)
			w.run(10 * time.Millisecond)
		}
		fill := func(left int64) {
			for _, h := range w.hosts[:2] {
				h.disk.Occupy(1<<30 - h.disk.Used() - left)
			}
		}
		fill(0)
		w.run(historyDropFull / 2)
		text := w.leader().alarm(kv.RetentionAlarm)
		if !strings.Contains(text, "will be dropped from") || w.oldestReadable() > 0 {
			t.Errorf("half of the delay is over, revisions before %d are gone, the alarm is %q", w.oldestReadable(), text)
		}
		if freed {
			fill(1 << 29)
		}
		w.run(historyDropFull)
		if text := w.leader().alarm(kv.RetentionAlarm); freed && (text != "" || w.oldestReadable() > 0) || !freed && (!strings.Contains(text, "is dropped") && text != "" || w.oldestReadable() == 0) {
			t.Errorf("there is room again: %v, and revisions before %d are gone, the alarm is %q", freed, w.oldestReadable(), text)
		}
		if leader.member != nil && f.failed > 0 {
			t.Error(f.problem)
		}
		if w.failure != "" {
			t.Error(w.failure)
		}
	}
}
