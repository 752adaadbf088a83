package node

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk/simdisk"
)

// full keeps the disks of some members full for a time, whatever they let go of.
func (w *world) full(lasts time.Duration, hosts ...*host) {
	end := w.sim.Now() + lasts
	var fill func()
	fill = func() {
		for _, h := range hosts {
			h.disk.SetCapacity(h.disk.Used())
			if w.sim.Now() >= end {
				h.disk.SetCapacity(1 << 50)
			}
		}
		if w.sim.Now() < end {
			w.sim.After(20*time.Millisecond, fill)
		}
	}
	fill()
}

// diskWorld is a world of three members without faults, and clients that put, delete and get.
func diskWorld(t *testing.T, seed uint64, changes ...func(*shape)) *world {
	t.Helper()
	s := drawShape(seed)
	s.soothe()
	s.members, s.spares, s.faults, s.faulty, s.amnesiacs = 3, 0, nil, time.Hour, 0
	s.partHarm = 0 // a part that is fetched needs space
	s.heartbeat, s.election, s.sync, s.delay = 100*time.Millisecond, time.Second, time.Millisecond, time.Millisecond
	s.keys, s.valueMost, s.operations = 16, 1024, 1<<30
	for _, change := range changes {
		change(&s)
	}
	t.Cleanup(seedGlobalRandom(seed))
	w := newWorld(seed, s, nil)
	for _, h := range w.hosts {
		h.start()
	}
	w.serve(elections * s.election)
	for range s.clients {
		w.clients = append(w.clients, newClient(w))
	}
	w.run(3 * time.Second)
	return w
}

// well checks that a world serves everything soon, and that nothing was lost.
func (w *world) well(t *testing.T) {
	t.Helper()
	w.serve(5 * time.Second)
	w.stopping = true
	w.until(20*time.Second, w.answered)
	w.agree()
	w.judge()
	if w.failure != "" {
		t.Error(w.failure)
	}
}

// Three equal disks fill up together, and what members let go of is taken by somebody else: nobody ends, reads never stop,
// nothing that was acknowledged is lost, a restart works, and soon after there is space again everything is taken.
func TestDisksFillTogether(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := diskWorld(t, seed)
			w.full(40*time.Second, w.hosts...)
			w.run(5 * time.Second) // the alarm comes
			for range 5 {
				puts, _, reads := w.outcomes()
				begun := len(w.history.operations)
				w.run(5 * time.Second)
				for _, h := range w.hosts {
					if !h.alive() {
						t.Fatalf("%s has ended: %s", h.name(), w.failure)
					}
					if alarms := h.member.alarms(); !slices.ContainsFunc(alarms, func(a kv.Alarm) bool { return a.Name == "NOSPACE" }) {
						t.Errorf("%s has the alarms %+v", h.name(), alarms)
					}
				}
				if putsNow, _, readsNow := w.outcomes(); putsNow > puts || readsNow < reads+10 {
					t.Errorf("on a full disk %d puts and %d reads in 5 s: %v", putsNow-puts, readsNow-reads, w.places())
				}
				for _, o := range w.history.operations[begun:] {
					if o.write() && o.returned != 0 && (o.outcome != outcomeFailed || o.code != kv.NoSpace) && o.kind == opPut {
						t.Errorf("a put on a full disk: %v", o)
						break
					}
				}
			}
			h := w.hosts[seed%3]
			h.kill()
			h.start()
			if w.run(5 * time.Second); !h.alive() {
				t.Errorf("%s does not start on a full disk: %s", h.name(), w.failure)
			}
			w.run(6 * time.Second)
			w.well(t)
		})
	}
}

// Members that filled their disks themselves take deletions, and save snapshots, which make room.
func TestDeletionsOnFullDisks(t *testing.T) {
	w := diskWorld(t, 3, func(s *shape) { s.large = 0 })
	for _, h := range w.hosts {
		h.disk.SetCapacity(h.disk.Used() + 3*64<<10)
	}
	_, deletes, _ := w.outcomes()
	w.run(time.Minute)
	if _, now, _ := w.outcomes(); now < deletes+50 {
		t.Errorf("%d deletions in a minute: %v", now-deletes, w.places())
	}
	for _, h := range w.hosts {
		h.disk.SetCapacity(1 << 50)
	}
	w.run(time.Second)
	w.well(t)
}

// A disk of which the log's own files take half holds no history of all that was deleted: it has room again by itself.
func TestDeletedMakesRoom(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: 17 << 17, historyBytes: HistoryAuto}, func(l *limits.Tunable) {
		l.SnapshotBytes, l.Index.ExtentBytes, l.Index.BaseLeast = 64<<20, 512<<10, 2<<20
	})
	for _, h := range w.hosts {
		h.disk.SetCapacity(32 << 20)
	}
	w.run(2 * limits.SpaceCheck)
	f := newFlood(w, 300_000)
	for until := w.sim.Now() + time.Minute; f.failed == 0 && w.failure == ""; w.run(10 * time.Millisecond) {
		if f.follow(); w.sim.Now() > until {
			t.Fatalf("the disks do not fill: %v", w.places())
		}
		f.fill(2)
	}
	if !w.until(time.Minute, func() bool { return f.open == 0 }) {
		t.Fatalf("puts are not answered: %v", w.places())
	}
	puts, refused := f.puts, f.failed
	f.command = func(request uint64) kv.Command {
		return new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("k" + strconv.FormatUint(request%64, 10)), End: nil})
	}
	for f.puts < puts+64 && w.failure == "" {
		if f.fill(1); !w.until(time.Minute, func() bool { return f.open == 0 }) || f.failed > refused {
			t.Fatalf("a deletion comes to nothing, %s: %v", f.problem, w.places())
		}
	}
	if !w.until(time.Minute, func() bool { return leader.member.status.Disk().Accepts() == space.Left }) {
		t.Errorf("all is deleted, and there is no room: %v", w.places())
	}
}

// Deleting a range that is larger than the space on the disks fills no disk: it is written as tombstones. A newer base that its history
// makes too large for the disks is not begun.
func TestDeletedRangeFillsNoDisk(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: 64 << 10, historyBytes: HistoryAuto}, func(l *limits.Tunable) {
		l.SnapshotBytes, l.Index.ExtentBytes, l.Index.BaseLeast = 1<<20, 256<<10, 256<<10
	})
	f := newFlood(w, 0)
	f.command = func(request uint64) kv.Command {
		return new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", request), Value: make([]byte, 40_000)})
	}
	for f.puts < 300 && f.failed == 0 && w.failure == "" {
		f.follow()
		f.fill(5)
		w.run(10 * time.Millisecond)
	}
	w.run(20 * time.Second)
	for _, h := range w.hosts {
		h.disk.SetCapacity(h.disk.Used() + 8<<20)
	}
	w.run(2 * limits.SpaceCheck)
	f.command = func(uint64) kv.Command {
		return new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("k"), End: []byte("l")})
	}
	f.fill(1)
	for range 20 {
		w.run(5 * time.Second)
		if d := leader.member.status.Disk(); d.Accepts() != space.Left || leader.alarm(kv.SnapshotAlarm) != "" {
			t.Fatalf("on a disk with %d bytes left: %s", d.Free, leader.place())
		}
	}
	if live := leader.member.status.View().LiveBytes(); live > 0 || f.failed > 0 || w.failure != "" {
		t.Errorf("%d bytes are left: %s %s", live, f.problem, w.failure)
	}
}

// What is batched fits the log's files, however small they are: one larger than a file would need one of its own, for which a full
// disk has no reserve.
func TestBatchesFitSegments(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: segmentBytesLeast}, func(*limits.Tunable) {})
	f := newFlood(w, 4000)
	for range 20 {
		f.follow()
		f.fill(64)
		w.run(time.Second)
	}
	names, err := leader.disk.List("data/wal")
	if err != nil || f.puts < 1000 || f.failed > 0 {
		t.Fatalf("%d puts, %d failed: %v", f.puts, f.failed, err)
	}
	for _, name := range names {
		file, err := leader.disk.Open("data/wal/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if size, err := file.Size(); err != nil || size > segmentBytesLeast {
			t.Errorf("%s has %d bytes: %v", name, size, err)
		}
	}
}

// One disk that is full costs one member, not the cluster: the others go on, with another leader if it led, no put is
// refused for want of room, also by the member that has none, and it is level soon after there is space again.
func TestOneDiskFills(t *testing.T) {
	w := diskWorld(t, 1)
	full := w.hosts[0]
	for _, h := range w.hosts {
		if h.leads {
			full = h
		}
	}
	w.full(40*time.Second, full)
	begun := len(w.history.operations)
	w.run(30 * time.Second)
	puts, _, _ := w.outcomes()
	w.run(9 * time.Second)
	if now, _, _ := w.outcomes(); now < puts+50 || !full.alive() {
		t.Errorf("%d puts in 9 s, the member with the full disk is there: %v; %s", now-puts, full.alive(), w.failure)
	}
	if o := w.refusedForSpace(begun); o != nil {
		t.Errorf("two disks have room: %v", o)
	}
	if full.leads {
		t.Errorf("%s leads with a full disk", full.name())
	}
	w.run(2 * time.Second)
	w.well(t)
}

// A disk that its member's own log fills while no snapshot can be saved, since the leader feeds it, gets well by itself as soon as
// one can: the log leaves room for the snapshot that lets go of it.
func TestOwnLogFillsDisk(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: 64 << 10}, func(l *limits.Tunable) {
		l.HistoryRevisions, l.Index.ExtentBytes, l.Index.BaseLeast = 100, 256<<10, 256<<10
	})
	small := w.hosts[0]
	if small == leader {
		small = w.hosts[1]
	}
	small.disk.SetCapacity(small.disk.Used() + 16<<20)
	f := newFlood(w, 4000)
	for range 3 {
		small.disk.Fail(simdisk.Fault{Op: simdisk.OpCreate, Name: ".snap.tmp", Stays: true})
		for until := w.sim.Now() + time.Minute; small.member.status.Disk().Accepts() != space.None && w.failure == ""; w.run(10 * time.Millisecond) {
			if f.follow(); w.sim.Now() > until {
				t.Fatalf("the disk does not fill: %s", small.place())
			}
			f.fill(10)
		}
		w.run(2 * limits.SpaceCheck)
		small.disk.ClearFaults()
		commit := w.leader().member.status.Raft().Commit
		if !w.until(2*limits.SnapshotRetryMost, func() bool {
			return w.failure != "" || small.member.status.Disk().Accepts() == space.Left && small.member.status.Raft().Applied >= commit
		}) {
			t.Fatalf("it does not get well: %s", small.place())
		}
	}
	if w.agree(); w.failure != "" {
		t.Error(w.failure)
	}
}

// The files of a quorum of members never fill its disks, however small the disks are, and whatever history the members are to keep: of
// overwritten values much more goes through than the disks hold, and no put is refused, also while leaders change and a member starts
// again and again. A member that is down counts with its last report. What the settings ask for may be kept until writes would be
// refused, for as long as the alarm lasts.
func TestOverwritingFillsNoDisk(t *testing.T) {
	testlong.Skip(t)
	t.Run("what there is room for", func(t *testing.T) { overwrite(t, HistoryAuto) })
	t.Run("more than there is room for", func(t *testing.T) { overwrite(t, 1<<30) })
}

func overwrite(t *testing.T, history int64) {
	const capacity, value = 16 << 20, 8000
	w, leader := quietCluster(t, shape{segmentBytes: 128 << 10, historyBytes: history}, func(l *limits.Tunable) {
		l.Index.ExtentBytes = 128 << 10
	})
	for i, h := range w.hosts {
		h.disk.SetCapacity(capacity * int64(1+i/2)) // two have the least
	}
	w.run(2 * limits.SpaceCheck)
	f := newFlood(w, value)
	heaviest := int64(0)
	write := func(bytes int) {
		for until := f.puts*value + bytes; f.puts*value < until && w.failure == "" && f.failed == 0; {
			f.follow()
			f.fill(3) // at most 1.2 MB a second: with a seventh of the disk in a second, one in four seeds has a disk without room for a moment
			w.run(20 * time.Millisecond)
			for _, h := range w.hosts {
				if h.alive() && h.member.status.Disk().Accepts() != space.Left {
					t.Fatalf("after %d MB: %s", f.puts*value>>20, h.place())
				}
			}
			heaviest = max(heaviest, f.at.member.status.View().HistoryBytes())
		}
	}
	write(capacity)
	for _, to := range []*host{w.hosts[1], w.hosts[2], w.hosts[1], w.hosts[2], w.hosts[1], w.hosts[2]} {
		leader.member.actors.consensus.Offer(actor.Transfer{To: to.id()})
		if leader = to; !w.until(time.Minute, func() bool { return w.leader() == to }) {
			t.Fatalf("%s does not lead: %s", to.name(), w.failure)
		}
		write(capacity / 8)
	}
	small, fits, away := w.hosts[0], leader.member.duty.historyRoom.fits, capacity/2
	if history != HistoryAuto {
		away = capacity / 8 // the history leaves no space for a whole state from another member
	}
	for _, meanwhile := range []int{away, value, value, value, value} {
		small.kill()
		write(meanwhile)
		small.start()
		if commit := leader.member.status.Raft().Commit; !w.until(time.Minute, func() bool {
			return small.alive() && small.member.status.Raft().Applied >= commit && small.member.status.Disk().Accepts() == space.Left
		}) {
			t.Fatalf("it does not come back: %v, %s", w.places(), w.failure)
		}
		w.run(limits.SpaceCheck)
	}
	write(capacity / 2)
	if now := leader.member.duty.historyRoom.fits; w.leader() != leader || now < fits-fits/historySlack {
		t.Errorf("a member started again, and the leader counts with %v, before with %v", now, fits)
	}
	if w.failure != "" || f.failed > 0 {
		t.Fatal(w.failure, f.problem)
	}
	held := w.hosts[0].member.status.QuorumCapacity()
	most, alarm := held.Bytes, false
	if history != HistoryAuto {
		most, alarm = held.Now, true
	}
	if heaviest > most/16*17 || heaviest < most/4*3 { // a sixteenth is written between two looks of the leader
		t.Errorf("the history weighed up to %d bytes, want %d to %d: a quorum holds a state of %d bytes", heaviest, most/4*3, most/16*17, most)
	}
	if text := w.leader().alarm(kv.RetentionAlarm); (text != "") != alarm {
		t.Errorf("the alarm is %q", text)
	}
	w.run(5 * time.Second)
	w.agree()
	if w.failure != "" {
		t.Error(w.failure)
	}
}

// Two disks that are full are one too many: a put is refused at once and certainly, by all three members, and says whose disks
// they are; reads go on. Deletions do for as long as what the log has made ahead lasts, which here is next to nothing.
func TestTwoDisksFill(t *testing.T) {
	w := diskWorld(t, 2)
	full := w.hosts[:2]
	w.full(40*time.Second, full...)
	w.run(10 * time.Second)
	puts, _, reads := w.outcomes()
	begun := len(w.history.operations)
	w.run(20 * time.Second)
	if now, _, readsNow := w.outcomes(); now > puts || readsNow < reads+100 {
		t.Errorf("%d puts and %d reads in 20 s: %v", now-puts, readsNow-reads, w.places())
	}
	for _, o := range w.history.operations[begun:] {
		if o.kind == opPut && o.returned != 0 && (o.outcome != outcomeFailed || o.code != kv.NoSpace) {
			t.Errorf("a put that two full disks cannot take: %v", o)
			break
		}
	}
	for _, h := range w.hosts {
		var got *kv.Error
		endpoint{h.member}.Propose(kv.Proposal{
			ReplyTo:  completions(func(all []kv.Completion) { got = all[0].Result.Err }),
			Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})},
		})
		w.run(time.Second)
		if got == nil || got.Code != kv.NoSpace || !strings.Contains(got.Message, full[0].name()) || !strings.Contains(got.Message, full[1].name()) || strings.Contains(got.Message, w.hosts[2].name()) {
			t.Errorf("%s says of a put: %v", h.name(), got)
		}
	}
	w.run(12 * time.Second)
	w.well(t)
}

// Two members whose disks are full elect a leader when the third one dies, which had room: it says why it takes no puts, and
// everything is taken again when there is room. Linearizable reads go on where the vote, and the last that one of them has, find room in
// the other one's log, whose last page may have been taken just before. That is nearly everywhere: a segment has 16 pages here and
// 16384 in a member, and the leader of a full member orders newer bases, which take some.
func TestFullMembersElect(t *testing.T) {
	testlong.Skip(t)
	unread := 0
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := diskWorld(t, seed, func(s *shape) {
				s.clients, s.think = 16, 30*time.Millisecond
				s.limits.BatchBytes, s.large = 8<<10, 0 // an entry is a small part of a segment
			})
			i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.leads })
			dies := w.hosts[i]
			w.full(20*time.Second, slices.Delete(slices.Clone(w.hosts), i, i+1)...)
			w.run(100*time.Millisecond + time.Duration(seed)*100*time.Millisecond)
			dies.kill()
			w.run(8 * time.Second)
			puts, _, reads := w.outcomes()
			begun := len(w.history.operations)
			w.run(5 * time.Second)
			now, _, readsNow := w.outcomes()
			if now > puts || w.refusedForSpace(begun) == nil {
				t.Errorf("%d puts in 5 s; refused for want of room: %v; %v", now-puts, w.refusedForSpace(begun), w.places())
			}
			if readsNow < reads+20 {
				unread++
			}
			w.run(9 * time.Second)
			puts, deletes, _ := w.outcomes()
			// Who needs a snapshot that found no room gets it again after its pause.
			if !w.until(13*time.Second, func() bool {
				now, deletesNow, _ := w.outcomes()
				return now >= puts+10 && deletesNow >= deletes+3
			}) {
				t.Errorf("with room again the members take nothing: %v", w.places())
			}
			dies.start()
			w.well(t)
		})
	}
	if unread > 2 {
		t.Errorf("in %d worlds reads stopped", unread)
	}
}

type completions func([]kv.Completion)

func (f completions) Complete(done []kv.Completion) { f(done) }

// refusedForSpace returns a write that was refused for want of room.
func (w *world) refusedForSpace(from int) *operation {
	for _, o := range w.history.operations[from:] {
		if o.returned != 0 && o.outcome == outcomeFailed && o.code == kv.NoSpace {
			return o
		}
	}
	return nil
}

// outcomes counts what was acknowledged, of reads the linearizable ones.
func (w *world) outcomes() (puts, deletes, reads int) {
	for _, o := range w.history.operations {
		switch {
		case o.outcome != outcomeDone || o.returned == 0:
		case o.kind == opPut:
			puts++
		case o.kind == opDelete:
			deletes++
		case o.kind == opRead:
			reads++
		}
	}
	return puts, deletes, reads
}
