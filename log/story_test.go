package log_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/log"
	"qkv/log/disk/simdisk"
)

// TestStories runs the scripts in testdata/stories. Each command prints the calls that it made of the disk, and then
// what came of it.
//
//	create index=I term=T      open       close       kill       crash variant=V
//	append n=N term=T [from=I] [size=S] [vote=V]      entries, with a hard state when there is a vote
//	state term=T vote=V [commit=C]                    a hard state alone
//	commit to=I        sync        fence [sync]       reset index=I term=T
//	release upto=I     make [keep]                    the maker: spares from what was released, or fresh ones
//	next                                              the maker: says in segments which one follows
//	remove file=F      empty file=F
//	rot file=F at=A [bit=B]    tear file=F at=A       a flipped bit; a page that reads as zeros
//	fail [op=write|sync] [call=N]     dump [verbose] [json]     stats     terms
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{t: t, m: simdisk.New(1)}
		s.m.Guard(".wal", true)
		s.o = options(s.m, 1)
		salt := uint64(0)
		s.o.Salt = func() uint64 { salt++; return salt }
		must(t, s.m.MkdirAll("data"))
		must(t, s.m.SyncDir("."))
		s.m.SetTrace(&s.out)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			if err := s.run(d); err != nil {
				fmt.Fprintf(&s.out, "error: %v\n", err)
			}
			return strings.ReplaceAll(strings.ReplaceAll(s.out.String(), dir+"/", ""), "00000000000000", "")
		})
	})
}

type story struct {
	t     *testing.T
	m     *simdisk.Disk
	o     log.Options
	l     *log.Log
	w     *log.Window
	maker *log.Maker
	last  uint64
	out   strings.Builder
}

// number reads an argument, or its default.
func number[T uint64 | int | int64](s *story, d *datadriven.TestData, key string, otherwise T) T {
	d.MaybeScanArgs(s.t, key, &otherwise)
	return otherwise
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *story) run(d *datadriven.TestData) error {
	switch d.Cmd {
	case "create":
		conf := &raftpb.ConfState{Voters: []uint64{1, 2, 3}}
		return log.Create(s.o, log.Marker{Index: number[uint64](s, d, "index", 1), Term: number[uint64](s, d, "term", 1), ConfState: conf})
	case "open":
		return s.open()
	case "close":
		return s.l.Close()
	case "kill":
		s.m.Kill()
	case "crash":
		s.m.Crash(simdisk.Variant(number(s, d, "variant", 0)))
	case "append":
		s.append(d)
	case "state":
		s.l.Append(&log.HardState{Term: number[uint64](s, d, "term", 0), Vote: number[uint64](s, d, "vote", 0), Commit: number[uint64](s, d, "commit", 0)}, nil)
	case "commit":
		s.l.SetCommit(number[uint64](s, d, "to", 0))
	case "sync":
		at, err := s.l.Sync()
		for _, p := range at {
			s.say("segment %d, %d+%d", p.Segment, p.Offset, p.Length)
		}
		return err
	case "fence":
		return s.l.Fence(d.HasArg("sync"))
	case "reset":
		m := log.Marker{Index: number[uint64](s, d, "index", 0), Term: number[uint64](s, d, "term", 0), ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
		s.l.Reset(m)
		s.last = m.Index
	case "release":
		s.l.Release(number[uint64](s, d, "upto", 0))
	default:
		return s.runMore(d)
	}
	return nil
}

func (s *story) runMore(d *datadriven.TestData) error {
	switch d.Cmd {
	case "make":
		return s.make(d.HasArg("keep"))
	case "next":
		for _, p := range s.l.TakeNextPages() {
			if err := s.maker.WriteNext(p); err != nil {
				return err
			}
		}
	case "remove", "empty":
		return s.lose(d)
	case "rot":
		var file string
		d.ScanArgs(s.t, "file", &file)
		return s.m.Rot(path.Join(dir, "00000000000000"+file), number[int64](s, d, "at", 0), uint(number(s, d, "bit", 0)))
	case "fail":
		op := simdisk.OpWrite
		if d.HasArg("sync") {
			op = simdisk.OpSync
		}
		s.m.Fail(simdisk.Fault{Op: op, Call: number[int64](s, d, "call", 1), Short: d.HasArg("short")})
	case "dump":
		return log.Dump(s.m, dir, &s.out, log.DumpOptions{Entries: d.HasArg("verbose"), JSON: d.HasArg("json")})
	case "stats":
		s.say("%+v", s.l.Stats())
	case "terms":
		first, _ := s.w.FirstIndex()
		last, _ := s.w.LastIndex()
		for i := first - 1; i <= last; i++ {
			term, err := s.w.Term(i)
			s.say("%d/%d %v", i, term, err)
		}
	default:
		s.t.Fatalf("%s: unknown command", d.Cmd)
	}
	return nil
}

// lose removes a file, or empties it.
func (s *story) lose(d *datadriven.TestData) error {
	var name string
	d.ScanArgs(s.t, "file", &name)
	name = path.Join(dir, "00000000000000"+name)
	if d.Cmd == "remove" {
		return s.m.Remove(name)
	}
	f, err := s.m.OpenWritable(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(0), f.Sync(), f.Close())
}

func (s *story) open() error {
	l, r, err := log.Open(s.o)
	if err != nil {
		return err
	}
	s.l, s.w, s.last, s.maker = l, r.Window, r.Last, log.NewMaker(s.o)
	s.say("first %d, last %d/%d, %+v, marker %d/%d", r.First, r.Last, r.LastTerm, r.HardState, r.Marker.Index, r.Marker.Term)
	if r.Torn != nil {
		s.say("torn: %v", r.Torn)
	}
	return nil
}

func (s *story) append(d *datadriven.TestData) {
	from, term := number(s, d, "from", s.last+1), number[uint64](s, d, "term", 0)
	var entries []*raftpb.Entry
	for i := range number[uint64](s, d, "n", 1) {
		s.last = from + i
		entries = append(entries, entry(s.last, term, strings.Repeat("x", number(s, d, "size", 10))))
	}
	var hs *log.HardState
	if d.HasArg("vote") {
		hs = &log.HardState{Term: term, Vote: number[uint64](s, d, "vote", 0)}
	}
	s.l.Append(hs, entries)
}

func (s *story) make(keep bool) error {
	for _, name := range s.l.TakeReleased() {
		if err := s.maker.Recycle(name); err != nil {
			return err
		}
	}
	for {
		spare, done, err := s.maker.Step()
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		s.say("spare %s", spare)
		if !keep {
			s.l.AddSpare(spare)
		}
		return nil
	}
}
