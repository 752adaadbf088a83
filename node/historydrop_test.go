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

// History that no quorum holds is dropped by the decision of a minute, down to the most that a quorum has held since the decision before. What
// is written meanwhile takes the place of older history.
func TestHistoryRoom(t *testing.T) {
	var puts [][]byte
	var views []*index.View // by the bytes of history, in steps of a superseded value
	for range 12 {
		puts = append(puts, quotaPut("a", 5000))
		views = append(views, viewOf(t, puts...))
	}
	weigh := func(n int) int64 { return views[n].HistoryBytes() }
	type step struct {
		at    time.Duration
		n     int   // history of so many values
		holds int64 // of history, by a quorum
		bound int64
		alarm bool
	}
	const kept, second, minute = 1 << 20, time.Second, time.Minute
	for name, c := range map[string]struct {
		kept  int64
		steps []step
	}{
		"room enough":         {kept, []step{{0, 8, 2 * kept, kept, false}, {minute, 11, 2 * kept, kept, false}}},
		"no bound is asked":   {0, []step{{0, 8, 100, 0, false}, {minute, 8, 100, 0, false}}},
		"less is asked":       {700, []step{{0, 8, 800, 700, false}, {minute, 8, 800, 700, false}}},
		"little is missing":   {kept, []step{{0, 8, kept - kept/historySlack, kept - kept/historySlack, false}}},
		"history is far away": {kept, []step{{0, 2, weigh(8), weigh(8), false}, {second, 7, weigh(8), weigh(8), true}}},
		"a new leader waits":  {kept, []step{{0, 8, weigh(4), weigh(8), true}, {minute - 1, 8, weigh(4), weigh(8), true}, {minute, 8, weigh(4), weigh(4), true}}},
		"a short shortage": {kept, []step{
			{0, 8, weigh(11), weigh(11), false},
			{second, 8, weigh(4), weigh(8), true},
			{second * 59, 8, weigh(11), weigh(11), false},
			{minute, 8, weigh(4), weigh(8), true},
			{minute + second, 8, weigh(11), weigh(11), false},
			{2 * minute, 8, weigh(11), weigh(11), false},
		}},
		"a long one": {kept, []step{
			{0, 8, weigh(11), weigh(11), false},
			{second, 8, weigh(4), weigh(8), true},
			{minute, 8, weigh(4), weigh(8), true},
			{2*minute - 1, 8, weigh(4), weigh(8), true},
			{2 * minute, 8, weigh(4), weigh(4), true},
		}},
		"it grows": {kept, []step{
			{0, 8, weigh(4), weigh(8), true}, {second, 9, weigh(3), weigh(8), true}, {minute, 9, weigh(3), weigh(4), true}, {2 * minute, 9, weigh(3), weigh(3), true},
		}},
		"the smallest": {kept, []step{{0, 2, 0, weigh(2), true}, {minute, 2, 0, views[2].LiveUsedBytes() / historyOfHeld, true}}},
	} {
		config, r := Config{HistoryBytes: c.kept}, historyRoom{}
		for _, s := range c.steps {
			held := actor.QuorumCapacity{Bytes: 1 << 30, Now: views[s.n].LiveUsedBytes() + s.holds, Member: 2}
			bound, alarm := r.bound(&config, minute, views[s.n], held, s.at), r.text(held, "n2")
			if bound != s.bound || (alarm != "") != s.alarm || s.alarm && !strings.Contains(alarm, "is dropped, although") {
				t.Errorf("%s, at %v: the history may weigh %d, want %d; the alarm is %q", name, s.at, bound, s.bound, alarm)
			}
			if drops := weigh(s.n) > bound && bound < c.kept; drops != r.drops() {
				t.Errorf("%s, at %v: it drops history: %v, want %v", name, s.at, r.drops(), drops)
			}
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
				w.run(3 * limits.HistoryEvery)
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

// Where a quorum's disks are filled by other programs, the history goes when the leader decides: not at once, and not when there is room again
// in time.
func TestQuorumDropsHistory(t *testing.T) {
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
		w.run(limits.HistoryEvery / 2)
		text := w.leader().alarm(kv.RetentionAlarm)
		if !strings.Contains(text, "is dropped") || w.oldestReadable() > 0 {
			t.Errorf("half a minute is over, revisions before %d are gone, the alarm is %q", w.oldestReadable(), text)
		}
		if freed {
			fill(1 << 29)
		}
		w.run(2 * limits.HistoryEvery)
		if text := w.leader().alarm(kv.RetentionAlarm); freed && (text != "" || w.oldestReadable() > 0) || !freed && (w.oldestReadable() == 0) {
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
