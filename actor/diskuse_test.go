package actor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
)

// A small disk is given what fits it: what files may take leaves room for the next snapshot, and a member refuses what makes the
// state larger while there is more left than its log may take.
func TestSmallDisk(t *testing.T) {
	s := &Status{}
	s.view.Store(index.NewState(limits.Defaults().Index).View())
	const segment = 4 << 20
	s.spareBytes.Store(limits.SparesMost * segment)
	for _, c := range []struct{ capacity, use, low, worth, holds int64 }{
		{0, limits.DiskUseLeast, 4 * segment, limits.SnapshotBytes, 0},
		{32 << 20, 12 << 20, 16 << 20, 4 << 20, 1},
		{64 << 20, 44 << 20, 16 << 20, 8 << 20, 5 << 20},
		{512 << 20, (512 - 48) << 20, 44 << 20, 64 << 20, 89 << 20},
		{100 << 30, limits.DiskUseLeast, 44 << 20, limits.SnapshotBytes, 20467 << 20},
	} {
		s.capacity.Store(c.capacity)
		low, high := s.spaceMarks()
		if use, worth, holds := s.diskUse(limits.DiskUseLeast), s.worthSaving(limits.SnapshotBytes), s.holds(); use != c.use || low != c.low || high != low+segment || worth != c.worth || holds != c.holds {
			t.Errorf("%d MiB: files take %d, marks %d and %d, a snapshot is worth %d, and it holds %d", c.capacity>>20, use, low, high, worth, holds)
		}
		if reserve := s.LogReserve(segment); reserve != 3*segment || c.low < reserve+segment {
			t.Errorf("%d MiB: the log leaves %d, nothing is taken from %d on", c.capacity>>20, reserve, c.low)
		}
	}
	s.unapplied.Store(1000)
	s.nextHas.Store(300)
	if reserve := s.LogReserve(segment); reserve != 3*segment+700 {
		t.Errorf("the log leaves %d for the next snapshot of what it has", reserve-3*segment)
	}
	for _, c := range []struct{ memory, holds int64 }{{0, 20467 << 20}, {1 << 30, 512 << 20}, {1, 20467 << 20}, {1000, 1}} {
		s.SetMemory(c.memory)
		if got := s.holds(); got != c.holds {
			t.Errorf("with %d bytes of memory it holds %d", c.memory, got)
		}
	}
}

// Who holds least is known of all members, also of those that are away, and not of those that were removed.
func TestLeastHeld(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	want := func(what string, bytes int64, member uint64) {
		t.Helper()
		if got := c.Status.LeastHeld(); got != (Held{bytes, member}) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	c.pass(TickInterval)
	want("nobody has said anything", 0, 0)
	c.Status.capacity.Store(limits.StateOfDisk * 10 << 20) // less what is kept free
	c.turn(Received{From: 2, Message: Room{Holds: 8 << 20}})
	if sent := c.pass(TickInterval); !tells(sent, Room{Holds: 9 << 20}) {
		t.Errorf("it says %+v", sent)
	}
	want("a peer has less", 8<<20, 2)
	c.turn(Disconnected{Peer: 2}, Received{From: 3, Message: Room{}})
	c.pass(TickInterval)
	want("it is away", 8<<20, 2)
	c.turn(Received{From: 2, Message: Room{Holds: 10 << 20}}, Received{From: 9, Message: Room{Holds: 1}})
	c.pass(TickInterval)
	want("it was given a larger disk, and who is no member has less", 9<<20, 1)
}

// A log whose folder was removed goes on in files that nobody finds again: the member ends before the next segment is wanted.
func TestLogFolderThatWasRemoved(t *testing.T) {
	fs := disk.NewMem(1)
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
	fs := disk.NewMem(1)
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
	if maker.Handle(Time{}, []SegmentMakerMessage{Recycle{}}); w.Status.Space() != SpaceLeft {
		t.Error("it was seen by itself")
	}
	if maker.Handle(Time{}, []SegmentMakerMessage{Inlined{}}); w.Status.Space() == SpaceLeft || w.Status.capacity.Load() == 0 {
		t.Errorf("a disk of %d bytes has no room, and nobody says so", w.Status.capacity.Load())
	}
	fs.SetCapacity(1 << 40)
	if maker.Handle(Time{}, []SegmentMakerMessage{Retry{}}); w.Status.Space() != SpaceLeft {
		t.Error("there is room again")
	}
	drainBox(w.Inbox)
	fs.SetCapacity(fs.Used() + 65<<10) // for one spare
	maker.Handle(Time{}, []SegmentMakerMessage{MakeSpare{}})
	for range 10 {
		maker.Handle(Time{}, nil)
	}
	if got := drainBox(w.Inbox); len(got) == 0 || w.Status.Space() == SpaceLeft {
		t.Errorf("a spare was made with the last room: %v, space %v", got, w.Status.Space())
	}
}

// A disk may take no more files although it says that much is free: it has no inodes left, or a quota is reached. That is seen
// before the spares are gone, which deletions need, and ends with the next file that it takes.
func TestDiskThatTakesNoFiles(t *testing.T) {
	fs := disk.NewMem(1)
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
	if maker.Handle(Time{}, []SegmentMakerMessage{MakeSpare{}}); w.Status.Space() != SpaceLeft {
		t.Error("what is kept for the snapshot is no full disk")
	}
	reserve = 0
	fs.Fail(disk.Fault{Op: disk.OpCreate, Err: syscall.ENOSPC, Stays: true})
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	alarms := w.Status.Alarms()
	if w.Status.Space() == SpaceLeft || len(alarms) != 1 || alarms[0].Name != NoSpace || !strings.Contains(alarms[0].Text, "df -i") {
		t.Errorf("space %v, alarms %+v", w.Status.Space(), alarms)
	}
	if !strings.Contains(alarms[0].Text, "of a quorum") {
		t.Errorf("the others go on while one disk is full: %s", alarms[0].Text)
	}
	maker.Handle(Time{}, []SegmentMakerMessage{Retry{}})
	if w.Status.Space() == SpaceLeft {
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
	if w.Status.Space() != SpaceLeft || len(w.Status.Alarms()) != 0 {
		t.Errorf("it takes files again: space %v, alarms %+v", w.Status.Space(), w.Status.Alarms())
	}
}

// Free space helps a full disk and no other: what is said of one that fails, or takes no writes, is to look at it. It is said once, and
// again when something else helps.
func TestAdviceIsOfTheFailure(t *testing.T) {
	space, look := "free space on the disk", "look at the disk, at how it is mounted, and at the kernel's messages"
	for _, tt := range []struct {
		name string
		op   disk.Op
		err  error
		want string
		then error
	}{
		{"full", disk.OpCreate, syscall.ENOSPC, space, syscall.EIO},
		{"a quota is reached", disk.OpCreate, fmt.Errorf("%w: %w", syscall.EDQUOT, syscall.ENOSPC), space, nil}, // as log/disk has it
		{"a folder that cannot be listed", disk.OpList, syscall.EIO, look, nil},
		{"a file that cannot be removed", disk.OpRemove, syscall.EROFS, look, nil},
		{"read only", disk.OpCreate, syscall.EROFS, look, syscall.ENOSPC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs, said := disk.NewMem(1), bytes.Buffer{}
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
				if tt.op != disk.OpRemove {
					released = nil
				}
				maker.Handle(Time{}, []SegmentMakerMessage{Retry{}, Recycle{Names: released}, MakeSpare{}})
				for range 10 {
					maker.Handle(Time{}, nil)
				}
			}
			fs.Fail(disk.Fault{Op: tt.op, Err: tt.err, Stays: true})
			attempt()
			attempt()
			if n := strings.Count(said.String(), tt.want); n != 1 || strings.Contains(said.String(), space) != (tt.want == space) {
				t.Errorf("%q is said %d times:\n%s", tt.want, n, &said)
			}
			if tt.then == nil {
				return
			}
			fs.ClearFaults()
			fs.Fail(disk.Fault{Op: tt.op, Err: tt.then, Stays: true})
			attempt()
			if strings.Count(said.String(), look) != 1 || strings.Count(said.String(), space) != 1 {
				t.Errorf("something else helps now, and is not said:\n%s", &said)
			}
		})
	}
}
