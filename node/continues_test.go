package node

import (
	"bytes"
	"errors"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
)

// entriesOf makes entries of one term, of 9,000 bytes each.
func entriesOf(term, first, last uint64) (all []*raftpb.Entry) {
	for at := first; at <= last; at++ {
		all = append(all, &raftpb.Entry{Index: &at, Term: &term, Data: bytes.Repeat([]byte("x"), 9000)})
	}
	return all
}

// recoveredLog opens a log in which entries of term 2 have replaced those of term 1 from one on, and which has let go of
// what is before them.
func recoveredLog(t *testing.T, replaced uint64) *log.Recovered {
	t.Helper()
	fs := simdisk.New(1)
	salt := uint64(0)
	o := log.Options{FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, WindowBytes: limits.WindowBytes, Salt: func() uint64 { salt++; return salt }}
	if err := log.Create(o, log.Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}); err != nil {
		t.Fatal(err)
	}
	l, _, err := log.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	write := func(term uint64, entries []*raftpb.Entry) {
		for _, e := range entries { // a group each, so that a segment can end behind any of them
			l.Append(&log.HardState{Term: term, Commit: 1}, []*raftpb.Entry{e})
			if _, err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(1, entriesOf(1, 2, 20))
	write(2, entriesOf(2, replaced, 40))
	l.Release(replaced - 1)
	for _, name := range l.TakeReleased() {
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.SyncDir("wal"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, recovered, err := log.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return recovered
}

// A snapshot is one to start from when the log goes on behind it: it has the entry of that index and term, or it begins
// right behind it, also where it does not know any more which term that was.
func TestSnapshotsThatTheLogContinues(t *testing.T) {
	forgot := 0
	for replaced := uint64(3); replaced <= 20; replaced++ {
		_, err := recoveredLog(t, replaced).Window.Term(replaced - 1)
		unknown := errors.Is(err, raft.ErrCompacted)
		if unknown {
			forgot++
		}
		first := recoveredLog(t, replaced).First
		for _, one := range []struct {
			at, term uint64
			want     bool
		}{
			{replaced, 2, true},
			{replaced, 1, false}, // received, of a leader whose entries were replaced, and never installed
			{replaced + 5, 2, true},
			{replaced + 5, 3, false},
			{40, 2, true},
			{41, 2, false},
			{replaced - 1, 1, true},
			{replaced - 1, 2, unknown && first == replaced}, // the log cannot tell, and a snapshot is of what is committed
			{first - 2, 1, false},
		} {
			found := recoveredLog(t, replaced)
			if one.at <= found.Marker.Index {
				continue
			}
			if got := continues(found, snapshot.Info{Meta: snapshot.Meta{Index: one.at, Term: one.term}}); got != one.want {
				t.Errorf("replaced from %d, a log from %d to %d of which the term before is forgotten (%v): a snapshot at %d of term %d is one to start from: %v",
					replaced, found.First, found.Last, unknown, one.at, one.term, got)
			}
			if term, err := found.Window.Term(one.at); one.want && (err != nil || term != one.term) {
				t.Errorf("replaced from %d: the log goes on behind a snapshot at %d of term %d, and knows there term %d, %v", replaced, one.at, one.term, term, err)
			}
		}
	}
	if forgot == 0 {
		t.Error("no log has forgotten the term before its first entry")
	}
}
