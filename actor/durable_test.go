package actor

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk/simdisk"
)

// numbered is an order of one entry.
func numbered(at uint64) appendOrder {
	e := someEntry(at, 1)
	e.Data = fmt.Appendf(nil, "entry %d here", at)
	return appendOrder{Message: &raftpb.Message{Term: u(1), Vote: u(0), Commit: u(1), Entries: []*raftpb.Entry{e}, Responses: []*raftpb.Message{response(raftpb.MsgAppResp, 2, 1, at)}}}
}

// How far the log is durable is told only when the sync has returned: a member that comes back with less than it said is
// taken for one that forgot.
func TestDurableEndIsToldBehindTheSync(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	syncs := 0
	fs.SetHook(func(op simdisk.Op, _ string) {
		if op == simdisk.OpSync {
			syncs++
			if said := w.Status.Durable(); said.Last != uint64(syncs) {
				t.Errorf("in the sync of entry %d it says that it has entry %d", syncs+1, said.Last)
			}
		}
	})
	for at := uint64(2); at < 5; at++ {
		handleAll(w, []LogWriterMessage{numbered(at)})
		if said := w.Status.Durable(); said.Last != at {
			t.Errorf("after the sync of entry %d it says that it has entry %d", at, said.Last)
		}
	}
	if syncs != 3 {
		t.Errorf("%d syncs for 3 orders", syncs)
	}
}

// A member that is stopped leaves a synced frame behind its last group: rot in that group is then told from a group that
// a loss of power tore.
func TestStoppedMemberLeavesAFence(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		fs := simdisk.New(1)
		l, _ := openTestLog(t, fs)
		w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
		handleAll(w, []LogWriterMessage{numbered(2)})
		handleAll(w, []LogWriterMessage{numbered(3)})
		if stopped {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		fs.Crash(simdisk.Prefix)
		rot(t, fs, "wal", []byte("entry 3 here"))
		_, recovered, err := log.Open(log.Options{FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, WindowBytes: limits.WindowBytes, Salt: func() uint64 { return 99 }})
		switch {
		case stopped && !errors.Is(err, damage.ErrDamaged):
			t.Errorf("the last group of a member that was stopped has rotted, and it starts: %v, %+v", err, recovered)
		case !stopped && (err != nil || recovered.Torn == nil || recovered.Last != 2):
			t.Errorf("the last group of a member that lost power is damaged: %v, %+v", err, recovered)
		}
	}
}

// rot inverts one bit of the only place where a text stands in a folder's files.
func rot(t *testing.T, fs *simdisk.Disk, dir string, text []byte) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range names {
		file, err := fs.Open(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		size, err := file.Size()
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, size)
		if _, err := file.ReadAt(content, 0); err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, text); at >= 0 {
			found++
			if err := fs.Rot(dir+"/"+name, int64(at), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found != 1 {
		t.Fatalf("%q stands in %d files", text, found)
	}
}
