package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// A follower whose disk is full takes nothing, also no deletions, and has nothing to save that would let go of its log. It says what to
// do, and when that is done it is well soon, on a cluster that is idle since: room is made, or keys are deleted, so that the leader's
// snapshot of what is left, with a newer base, finds room. Segments, extents and the log between two snapshots are a thousandth of what
// they are by default, and a value is larger than an extent.
func TestTightDisk(t *testing.T) {
	testlong.Skip(t)
	for _, left := range []int64{128 << 10, 512 << 10, 1 << 20} {
		for _, cure := range []string{"delete", "restart and delete", "room"} {
			t.Run(fmt.Sprintf("%s with %d KiB left", cure, left>>10), func(t *testing.T) { tightDisk(t, left, cure) })
		}
	}
}

func tightDisk(t *testing.T, left int64, cure string) {
	w, leader := quietCluster(t, shape{segmentBytes: 64 << 10}, func(l *limits.Tunable) {
		l.HistoryRevisions, l.SnapshotBytes, l.Index.ExtentBytes, l.Index.BaseLeast = 1, 256<<10, 16<<10, 64<<10
	})
	small := w.hosts[0]
	if small == leader {
		small = w.hosts[1]
	}
	f := newFlood(w, 40_000)
	write := func(puts int) {
		for until := f.puts + puts; f.puts < until && w.failure == "" && f.failed == 0; w.run(10 * time.Millisecond) {
			f.follow()
			f.fill(10)
		}
	}
	one := func(command kv.Command) {
		t.Helper()
		f.follow()
		f.command = func(uint64) kv.Command { return command }
		if !w.until(20*time.Second, func() bool { return f.open == 0 }) {
			t.Fatal("writes are not answered")
		}
		puts := f.puts
		if f.fill(1); !w.until(20*time.Second, func() bool { return f.puts > puts || f.failed > 0 }) || f.failed > 0 {
			t.Fatal("a write comes to nothing", f.problem)
		}
	}
	write(200)
	w.run(5 * time.Second)
	least := small.disk.Used()
	small.disk.SetCapacity(least + left)
	for n := 0; n < 200 && small.alive() && small.member.status.Disk().Accepts() == space.Left; n += 4 {
		write(4)
		w.run(5 * time.Second)
		least = min(least, small.disk.Used()) // a snapshot may have let go of some log: so much is left behind that
		small.disk.SetCapacity(least + left)
	}
	w.run(30 * time.Second)
	if small.member.status.Disk().Accepts() == space.Left || !small.alive() {
		t.Fatalf("the disk is not full: %s", small.place())
	}
	says := func(name kv.AlarmName) string {
		for _, a := range small.member.alarms() {
			if a.Name == name {
				return a.Text
			}
		}
		return ""
	}
	if !strings.Contains(says("NOSPACE"), "free space there, or delete keys") || says("SNAPSHOT") != "" { // what it has applied is saved
		t.Errorf("a full disk: %q, %q", says("NOSPACE"), says("SNAPSHOT"))
	}
	switch cure {
	case "room":
		small.disk.SetCapacity(1 << 40)
	case "restart and delete":
		small.kill()
		small.start()
		w.run(5 * time.Second)
		fallthrough
	default:
		one(new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("k"), End: []byte("l")}))
		one(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("after")})) // what a revision deletes counts to its history
		one(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("after")}))
	}
	commit := w.leader().member.status.Raft().Commit
	if !w.until(2*limits.SnapshotRetryMost, func() bool {
		return w.failure != "" || small.alive() && small.member.status.Disk().Accepts() == space.Left && small.member.status.Raft().Applied >= commit
	}) {
		t.Fatalf("it does not get well: %s", small.place())
	}
	w.run(2 * time.Second)
	if said := says("NOSPACE") + says("SNAPSHOT"); said != "" && cure != "room" {
		t.Errorf("it is well, and says %s", said)
	}
	if w.agree(); w.failure != "" {
		t.Error(w.failure)
	}
}
