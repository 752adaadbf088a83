package actor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// A cluster holds what a quorum of its voters holds: the smallest minority, learners and removed members do not count. A member that is
// down counts with its last report, and no report is below a segment.
func TestQuorumHolds(t *testing.T) {
	const segment, mib = 4 << 20, 1 << 20
	for _, step := range []struct {
		what     string
		voters   []uint64
		outgoing []uint64
		learners []uint64
		reports  map[uint64]int64 // of HoldsNow, in MiB; n1 has 40
		away     uint64
		want     QuorumCapacity
	}{
		{"nobody has reported anything", []uint64{1, 2, 3}, nil, nil, nil, 0, QuorumCapacity{}},
		{"a single voter", []uint64{1}, nil, nil, nil, 0, QuorumCapacity{40 * mib, 40 * mib, 1}},
		{"one of three is small", []uint64{1, 2, 3}, nil, nil, map[uint64]int64{2: 90, 3: 5}, 0, QuorumCapacity{40 * mib, 40 * mib, 1}},
		{"one of three is small, and the leader is not the largest", []uint64{1, 2, 3}, nil, nil, map[uint64]int64{2: 90, 3: 60}, 0, QuorumCapacity{70 * mib, 60 * mib, 3}},
		{"two of three are small", []uint64{1, 2, 3}, nil, nil, map[uint64]int64{2: 7, 3: 5}, 0, QuorumCapacity{17 * mib, 7 * mib, 2}},
		{"two of three are small, and one of them is down", []uint64{1, 2, 3}, nil, nil, map[uint64]int64{2: 7, 3: 5}, 3, QuorumCapacity{17 * mib, 7 * mib, 2}},
		{"a large one is down", []uint64{1, 2, 3}, nil, nil, map[uint64]int64{2: 90, 3: 5}, 2, QuorumCapacity{40 * mib, 40 * mib, 1}},
		{"both of two are needed", []uint64{1, 2}, nil, nil, map[uint64]int64{2: 7}, 0, QuorumCapacity{17 * mib, 7 * mib, 2}},
		{"a lie has a floor", []uint64{1, 2}, nil, nil, map[uint64]int64{2: 0}, 0, QuorumCapacity{10 * mib, segment, 2}},
		{"two of five are small", []uint64{1, 2, 3, 4, 5}, nil, nil, map[uint64]int64{2: 5, 3: 5, 4: 90, 5: 90}, 0, QuorumCapacity{40 * mib, 40 * mib, 1}},
		{"three of five are small", []uint64{1, 2, 3, 4, 5}, nil, nil, map[uint64]int64{2: 5, 3: 5, 4: 6, 5: 90}, 0, QuorumCapacity{16 * mib, 6 * mib, 4}},
		{"a learner is small", []uint64{1}, nil, []uint64{3}, map[uint64]int64{3: 5}, 0, QuorumCapacity{40 * mib, 40 * mib, 1}},
		{"a learner is large", []uint64{1, 2}, nil, []uint64{3}, map[uint64]int64{2: 5, 3: 90}, 0, QuorumCapacity{15 * mib, 5 * mib, 2}},
		{"the quorum of before is small", []uint64{2, 3}, []uint64{1, 2, 4}, nil, map[uint64]int64{2: 90, 3: 60, 4: 5}, 0, QuorumCapacity{40 * mib, 40 * mib, 1}},
		{"the quorum to come is small", []uint64{2, 3}, []uint64{1, 2, 4}, nil, map[uint64]int64{2: 90, 3: 5, 4: 90}, 0, QuorumCapacity{15 * mib, 5 * mib, 3}},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.membership.confState = &raftpb.ConfState{Voters: step.voters, VotersOutgoing: step.outgoing, Learners: step.learners}
		c.Status.reportDisk(func(d *space.Disk) { d.SegmentBytes = segment })
		if step.reports != nil || len(step.voters) == 1 {
			c.Status.reportDisk(func(d *space.Disk) { d.Memory = limits.StateOfMemory * 40 * mib })
			c.Status.reportDisk(func(d *space.Disk) { d.Size = 1 << 40 })
			c.Status.reportDisk(func(d *space.Disk) { d.Capacity = 1 << 40 })
		}
		for peer, report := range step.reports {
			c.turn(Connected{Peer: peer})
			c.turn(Received{From: peer, Message: peerframe.DiskSpace{Holds: (report + 10) * mib, HoldsNow: max(report*mib, 1)}})
		}
		if step.away != 0 {
			c.turn(Disconnected{Peer: step.away})
		}
		c.pass(TickInterval)
		if got := c.Status.QuorumCapacity(); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.what, got, step.want)
		}
	}
}

// Each member tells the others what it holds.
func TestHoldsIsTold(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.Status.reportDisk(func(d *space.Disk) { d.Size = 256 << 20 })
	c.Status.reportDisk(func(d *space.Disk) { d.Capacity = 160 << 20 })
	c.turn(Connected{Peer: 2})
	if sent := c.pass(TickInterval); !tells(sent, peerframe.DiskSpace{Holds: 56 << 20, HoldsNow: 52 << 20}) {
		t.Errorf("it says %+v", sent)
	}
	c.turn(Received{From: 2, Message: peerframe.DiskSpace{Holds: 8 << 20, HoldsNow: 8 << 20}}, Received{From: 3, Message: peerframe.DiskSpace{Holds: 7 << 20, HoldsNow: 7 << 20}})
	c.pass(TickInterval)
	if got := c.Status.QuorumCapacity(); got != (QuorumCapacity{8 << 20, 8 << 20, 2}) {
		t.Errorf("two reports: %+v", got)
	}
	c.turn(Disconnected{Peer: 2}, Connected{Peer: 2}, Received{From: 2, Message: peerframe.DiskSpace{}})
	c.pass(TickInterval)
	if got := c.Status.QuorumCapacity(); got != (QuorumCapacity{8 << 20, 8 << 20, 2}) {
		t.Errorf("one of them has started again, and has not measured its disk yet: %+v", got)
	}
	c = newTestConsensus(t, limits.Defaults())
	c.Status.reportDisk(func(d *space.Disk) { d.Memory = limits.StateOfMemory * 40 << 20 })
	c.turn(Connected{Peer: 2})
	if sent := c.pass(TickInterval); !tells(sent, peerframe.DiskSpace{}) {
		t.Errorf("before the disk was measured it says %+v", sent)
	}
}

// A log whose folder was removed goes on in files that nobody finds again: the member ends before the next segment is wanted.
func TestLogFolderThatWasRemoved(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	var failure error
	maker := NewSegmentMaker(SegmentMakerConfig{
		Maker: log.NewMaker(log.Options{FS: fs, Dir: "gone", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, Salt: func() uint64 { return 1 }}),
		FS:    fs, Dir: "gone", SegmentBytes: 64 << 10, Inbox: w.SegmentMaker, LogWriter: w.Inbox, Status: w.Status,
		Fail: func(err error) { failure = err }, Logger: slog.New(slog.DiscardHandler),
	})
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	if !errors.Is(failure, ErrDisk) || !strings.Contains(failure.Error(), "files of the log were removed while this member ran") {
		t.Errorf("it goes on: %v", failure)
	}
}

// The free space is looked at with each segment that the log makes, or has made for it: what a fast disk takes in a second may be
// all that there is.
func TestSpaceIsSeenWithEachSegment(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	n := uint64(0)
	maker := NewSegmentMaker(SegmentMakerConfig{
		Maker: log.NewMaker(log.Options{FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, Salt: func() uint64 { n++; return n }}),
		FS:    fs, Dir: "wal", SegmentBytes: 64 << 10, Inbox: w.SegmentMaker, LogWriter: w.Inbox, Status: w.Status,
		Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	drainBox(w.SegmentMaker)
	fs.SetCapacity(fs.Used() + 200<<10)
	if maker.Handle(Time{}, []SegmentMakerMessage{recycle{}}); w.Status.Disk().Accepts() != space.Left {
		t.Error("it was seen by itself")
	}
	if maker.Handle(Time{}, []SegmentMakerMessage{inlined{}}); w.Status.Disk().Accepts() == space.Left || w.Status.Disk().Capacity == 0 {
		t.Errorf("a disk of %d bytes has no room, and nobody says so", w.Status.Disk().Capacity)
	}
	fs.SetCapacity(1 << 40)
	fs.Occupy(1 << 39)
	if maker.Handle(Time{}, []SegmentMakerMessage{Retry{}}); w.Status.Disk().Accepts() != space.Left {
		t.Error("there is room again")
	}
	if size, left := w.Status.Disk().Size, w.Status.Disk().Capacity; size != 1<<40 || left > 1<<39 {
		t.Errorf("of a disk of a TiB, of which others have half, it says that it has %d bytes, and that there are %d", size, left)
	}
	fs.Occupy(0)
	w.Status.reportDisk(func(d *space.Disk) { d.Written = 1 << 20 }) // of files that were just removed
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	if left := w.Status.Disk().Capacity; left != 1<<40 {
		t.Errorf("of a disk of a TiB there are %d bytes", left)
	}
	w.Status.reportDisk(func(d *space.Disk) { d.Written = 0 })
	drainBox(w.Inbox)
	fs.SetCapacity(fs.Used() + 65<<10) // for one spare
	maker.Handle(Time{}, []SegmentMakerMessage{makeSpare{}})
	for range 10 {
		maker.Handle(Time{}, nil)
	}
	if got := drainBox(w.Inbox); len(got) == 0 || w.Status.Disk().Accepts() == space.Left {
		t.Errorf("a spare was made with the last room: %v, space %v", got, w.Status.Disk().Accepts())
	}
}

// sizelessDisk does not tell its size.
type sizelessDisk struct{ disk.FS }

func (sizelessDisk) Size(string) (int64, error) { return 0, syscall.EIO }

// A disk that does not tell its size for a moment is as large as before: with an unknown size the log and the snapshots would have no
// bound.
func TestSizeOfADiskThatDoesNotTellIt(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	maker := NewSegmentMaker(SegmentMakerConfig{
		FS: fs, Dir: "wal", SegmentBytes: 64 << 10, Inbox: w.SegmentMaker, LogWriter: w.Inbox, Status: w.Status,
		Maker: log.NewMaker(log.Options{FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, Salt: func() uint64 { return 1 }}),
		Fail:  func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	fs.SetCapacity(1 << 40)
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	maker.FS = sizelessDisk{fs}
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	if size, capacity := w.Status.Disk().Size, w.Status.Disk().Capacity; size != 1<<40 || capacity != 1<<40 {
		t.Errorf("a disk of a TiB that does not tell its size has %d bytes, of which qkv may use %d", size, capacity)
	}
}

// A disk may take no more files although it says that much is free: it has no inodes left, or a quota is reached. That is seen
// before the spares are gone, which deletions need, and ends with the next file that it takes.
func TestDiskThatTakesNoFiles(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	reserve, n := int64(0), uint64(0)
	maker := NewSegmentMaker(SegmentMakerConfig{
		Maker: log.NewMaker(log.Options{
			FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10,
			Salt: func() uint64 { n++; return n }, Reserve: func() int64 { return reserve },
		}),
		FS: fs, Dir: "wal", SegmentBytes: 64 << 10, Inbox: w.SegmentMaker, LogWriter: w.Inbox, Status: w.Status,
		Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	drainBox(w.SegmentMaker)
	reserve = 1 << 60
	if maker.Handle(Time{}, []SegmentMakerMessage{makeSpare{}}); w.Status.Disk().Accepts() != space.Left {
		t.Error("what is kept for the snapshot is no full disk")
	}
	reserve = 0
	fs.Fail(simdisk.Fault{Op: simdisk.OpCreate, Err: syscall.ENOSPC, Stays: true})
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	alarms := w.Status.Alarms()
	if w.Status.Disk().Accepts() == space.Left || len(alarms) != 1 || alarms[0].Name != kv.NoSpaceAlarm || !strings.Contains(alarms[0].Text, "df -i") {
		t.Errorf("space %v, alarms %+v", w.Status.Disk().Accepts(), alarms)
	}
	if !strings.Contains(alarms[0].Text, "of a quorum") {
		t.Errorf("the others go on while one disk is full: %s", alarms[0].Text)
	}
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	if w.Status.Disk().Accepts() == space.Left {
		t.Error("it ended before a file was taken")
	}
	fs.ClearFaults()
	fs.SetCapacity(fs.Used())
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	if alarms := w.Status.Alarms(); len(alarms) != 1 || !strings.Contains(alarms[0].Text, "has 0 MiB left") || !strings.Contains(alarms[0].Text, "of a quorum") {
		t.Errorf("the others go on while one disk is full: %+v", alarms)
	}
	fs.SetCapacity(1 << 40)
	for range 10 {
		maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	}
	if w.Status.Disk().Accepts() != space.Left || len(w.Status.Alarms()) != 0 {
		t.Errorf("it takes files again: space %v, alarms %+v", w.Status.Disk().Accepts(), w.Status.Alarms())
	}
}

// Free space helps a full disk and no other: what is said of one that fails, or takes no writes, is to look at it. It is said once, and
// again when something else helps.
func TestAdviceIsOfTheFailure(t *testing.T) {
	space, look := "free space on the disk", "look at the disk, at how it is mounted, and at the kernel's messages"
	for _, tt := range []struct {
		name string
		op   simdisk.Op
		err  error
		want string
		then error
	}{
		{"full", simdisk.OpCreate, syscall.ENOSPC, space, syscall.EIO},
		{"a quota is reached", simdisk.OpCreate, fmt.Errorf("%w: %w", syscall.EDQUOT, syscall.ENOSPC), space, nil}, // as log/disk has it
		{"a folder that cannot be listed", simdisk.OpList, syscall.EIO, look, nil},
		{"a file that cannot be removed", simdisk.OpRemove, syscall.EROFS, look, nil},
		{"read only", simdisk.OpCreate, syscall.EROFS, look, syscall.ENOSPC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs, said := simdisk.New(1), bytes.Buffer{}
			l, _ := openTestLog(t, fs)
			w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
			w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
			maker := NewSegmentMaker(SegmentMakerConfig{
				Maker: log.NewMaker(log.Options{FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, Salt: func() uint64 { return 1 }}),
				FS:    fs, Dir: "wal", SegmentBytes: 64 << 10, Inbox: w.SegmentMaker, LogWriter: w.Inbox, Status: w.Status,
				Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.NewTextHandler(&said, nil)),
			})
			drainBox(w.SegmentMaker)
			attempt := func() {
				released := make([]string, 2*limits.SparesMost)
				for i := range released {
					released[i] = fmt.Sprint("wal/released", i)
				}
				if tt.op != simdisk.OpRemove {
					released = nil
				}
				maker.Handle(Time{}, []SegmentMakerMessage{Retry{}, recycle{Names: released}, makeSpare{}})
				for range 10 {
					maker.Handle(Time{}, nil)
				}
			}
			fs.Fail(simdisk.Fault{Op: tt.op, Err: tt.err, Stays: true})
			attempt()
			attempt()
			if n := strings.Count(said.String(), tt.want); n != 1 || strings.Contains(said.String(), space) != (tt.want == space) {
				t.Errorf("%q is said %d times:\n%s", tt.want, n, &said)
			}
			if tt.then == nil {
				return
			}
			fs.ClearFaults()
			fs.Fail(simdisk.Fault{Op: tt.op, Err: tt.then, Stays: true})
			attempt()
			if strings.Count(said.String(), look) != 1 || strings.Count(said.String(), space) != 1 {
				t.Errorf("something else helps now, and is not said:\n%s", &said)
			}
		})
	}
}

// The segment maker measures the rate of the log once a second: a fast log's new segments are reserved and its released ones kept. A
// pause of the load changes that slowly, and a slow log has its segments filled, and few kept.
func TestSegmentsFollowTheRate(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	tuned := limits.Defaults()
	tuned.ReserveRate = 1 << 20
	maker := NewSegmentMaker(SegmentMakerConfig{
		Maker: log.NewMaker(log.Options{FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, Salt: func() uint64 { return 1 }}),
		FS:    fs, Dir: "wal", SegmentBytes: 64 << 10, Inbox: w.SegmentMaker, LogWriter: w.Inbox, Status: w.Status, Limits: tuned,
		Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	drainBox(w.SegmentMaker)
	records := int64(0)
	second := func(now int, bytes int64) {
		t.Helper()
		records += bytes
		w.Status.publishDurable(log.Stats{RecordBytes: records})
		maker.Handle(Time{Now: time.Duration(now) * time.Second}, []SegmentMakerMessage{Retry{}, Retry{}})
	}
	keeps := func(rate int64) int { return int(max(2, 10*rate/(64<<10))) }
	for i, c := range []struct {
		bytes, rate int64
	}{{0, 0}, {1 << 20, 1 << 20}, {2 << 20, 2 << 20}, {0, 3 << 19}, {0, 9 << 17}, {0, 27 << 15}, {100, 81 << 13}} {
		second(i+1, c.bytes)
		if maker.Maker.Keeps != keeps(c.rate) || maker.Maker.Reserve != (c.rate > 1<<20) {
			t.Errorf("second %d: %d segments are kept, want %d; they are reserved: %v", i+1, maker.Maker.Keeps, keeps(c.rate), maker.Maker.Reserve)
		}
	}
	made := func() (reserved, writes int64) {
		reserved, writes = fs.Count(simdisk.OpReserve), fs.Count(simdisk.OpWrite)
		drainBox(w.Inbox)
		maker.Handle(Time{Now: maker.now}, []SegmentMakerMessage{makeSpare{}})
		for range 10 {
			maker.Handle(Time{Now: maker.now}, nil)
		}
		if got := drainBox(w.Inbox); len(got) != 1 {
			t.Errorf("%v instead of a spare", got)
		}
		return fs.Count(simdisk.OpReserve) - reserved, fs.Count(simdisk.OpWrite) - writes
	}
	if reserved, writes := made(); reserved != 0 || writes == 0 {
		t.Errorf("of a slow log, %d files were reserved, and %d writes filled them", reserved, writes)
	}
	second(9, 8<<20)
	if reserved, writes := made(); reserved != 1 || writes != 0 {
		t.Errorf("of a fast log, %d files were reserved, and %d writes filled them", reserved, writes)
	}
	var names []string
	for i := range 6 {
		f, err := fs.Create(fmt.Sprint("wal/released", i))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name())
	}
	left := func() (n int) {
		all, err := fs.List("wal")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all {
			if strings.HasPrefix(name, "released") {
				n++
			}
		}
		return n
	}
	w.Status.publishDurable(log.Stats{RecordBytes: records, Bytes: w.Status.Disk().LogBudget(&tuned)})
	if maker.Handle(Time{Now: maker.now}, []SegmentMakerMessage{Retry{}}); maker.Maker.Keeps != 2 {
		t.Errorf("beside a log that takes its budget, %d segments are kept", maker.Maker.Keeps)
	}
	w.Status.publishDurable(log.Stats{RecordBytes: records, Bytes: 64 << 10}) // without the files that it has released
	if maker.Handle(Time{Now: maker.now}, []SegmentMakerMessage{recycle{Names: names}}); left() != len(names) {
		t.Errorf("of a fast log %d released segments are left", left())
	}
	for i := range 60 {
		second(10+i, 0)
	}
	if left() != limits.SparesMost-limits.SpareSegments {
		t.Errorf("of a log that is idle again %d released segments are left", left())
	}
}

// Segments that wait for reuse give way: to other programs, before the member counts its disk as full, and to a snapshot of another
// member that finds no space.
func TestWaitingSegmentsGiveWay(t *testing.T) {
	const segment, waiting = 64 << 10, 40
	tuned := limits.Defaults()
	tuned.SnapshotBytes, tuned.CatchUpBytes, tuned.Index.ExtentBytes, tuned.Index.BaseLeast = 1<<20, 1<<20, 256<<10, 256<<10
	s := newTestSnapshotter(t, index.NewState(tuned.Index).View())
	s.Status.SetMachine(0, segment)
	s.fs.SetCapacity(32 << 20)
	if err := s.fs.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	maker := NewSegmentMaker(SegmentMakerConfig{
		Maker: log.NewMaker(log.Options{FS: s.fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: segment, Salt: func() uint64 { return 1 }}),
		FS:    s.fs, Dir: "wal", SegmentBytes: segment, Inbox: NewMailbox[SegmentMakerMessage]("m", Capacity{MustPost: 10}), Status: s.Status,
		Limits: tuned, Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	now, made := time.Second, 0
	look := func() { maker.Handle(Time{Now: now}, []SegmentMakerMessage{Retry{}}) }
	s.Status.publishDurable(log.Stats{RecordBytes: 10 << 20})
	release := func() {
		t.Helper()
		s.fs.Occupy(0)
		look()
		var names []string
		for int64(len(names))*segment+maker.Maker.Bytes() < waiting*segment {
			f, err := s.fs.Create(fmt.Sprint("wal/released", made))
			if err := errors.Join(err, f.Reserve(segment), f.Close()); err != nil {
				t.Fatal(err)
			}
			made++
			names = append(names, f.Name())
		}
		maker.Handle(Time{Now: now}, []SegmentMakerMessage{recycle{Names: names}})
		if look(); maker.Maker.Bytes() != waiting*segment {
			t.Fatalf("%d bytes wait on an empty disk", maker.Maker.Bytes())
		}
	}
	gone := func(what string) {
		t.Helper()
		if look(); maker.Maker.Bytes() != (limits.SparesMost-limits.SpareSegments)*segment || s.Status.Disk().Full {
			t.Errorf("%s: %d bytes wait, the disk is full: %v", what, maker.Maker.Bytes(), s.Status.Disk().Full)
		}
	}
	free := func() int64 {
		bytes, err := s.fs.Free("wal")
		if err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	low, high := s.Status.Disk().Marks()
	for _, left := range []int64{high + segment, low - segment} {
		release()
		s.fs.Occupy(free() - left)
		gone(fmt.Sprintf("other programs leave %d bytes, the low mark is %d", left, low))
	}
	release()
	offer := FromPeer{From: 2, Message: peerframe.SnapshotOffer{Index: 100, Term: 1, Size: free() + segment, MessageTerm: 2}}
	if s.turn(offer); s.receive.current != nil {
		t.Fatal("a snapshot is received that is larger than the space")
	}
	gone("a snapshot finds no space")
	if s.turn(offer); s.receive.current == nil {
		t.Errorf("it finds no space although %d bytes are free: %q", free(), s.problems())
	}
	s.receive.end(&s.snapshotCore)
	s.at += limits.SnapshotRetryMost + 2*limits.SpaceCheck
	s.turn(Wait{})
	release()
}
