package log_test

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log"
	"qkv/log/disk/simdisk"
)

// A group that replaces entries and commits the new ones may be torn anywhere: whatever is found then, no entry that
// was to be replaced is committed.
func TestTornReplacementCommitsNothingOld(t *testing.T) {
	torn := 0
	for seed := range uint64(400) {
		d := simdisk.New(seed)
		o := options(d, seed)
		must(t, d.MkdirAll("data"))
		must(t, d.SyncDir(""))
		must(t, log.Create(o, log.Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{0x3e}}}))
		l, _, err := log.Open(o)
		must(t, err)
		l.Append(&log.HardState{Term: 2, Vote: 7, Commit: 3}, []*raftpb.Entry{entry(2, 2, "a"), entry(3, 2, "b"), entry(4, 2, "old"), entry(5, 2, "old")})
		_, err = l.Sync()
		must(t, err)

		// Several orders of consensus share the next group: a vote, entries of its leader, those of the leader after it.
		d.StartBatch()
		l.Append(&log.HardState{Term: 3, Vote: 9, Commit: 3}, nil)
		l.Append(nil, []*raftpb.Entry{entry(5, 3, "newer")})
		l.Append(&log.HardState{Term: 4, Vote: 0, Commit: 5}, []*raftpb.Entry{entry(4, 4, "new"), entry(5, 4, "new")})
		_, err = l.Sync()
		must(t, err)
		d.StopBatch()
		d.Crash(simdisk.Variant(seed % uint64(simdisk.Variants)))

		_, found, err := log.Open(options(d, seed+1))
		must(t, err)
		if found.Torn != nil {
			torn++
		}
		for i := uint64(4); i <= found.HardState.Commit; i++ {
			if term, err := found.Window.Term(i); err != nil || term != 4 {
				t.Fatalf("seed %d: entry %d of term %d is committed by %+v (%v)", seed, i, term, found.HardState, err)
			}
		}
	}
	if torn == 0 {
		t.Fatal("nothing was torn")
	}
}

// A commit index that was written before its entries is cut to what the log has: raft takes no other.
func TestCommitIsNotAboveTheLast(t *testing.T) {
	w := opened(t, 64<<10)
	w.l.Append(&log.HardState{Term: 1, Vote: 7, Commit: 9}, []*raftpb.Entry{entry(2, 1, "a"), entry(3, 1, "b")})
	_, err := w.l.Sync()
	must(t, err)
	must(t, w.l.Close())
	_, found, err := log.Open(w.o)
	must(t, err)
	if found.Last != 3 || found.HardState != (log.HardState{Term: 1, Vote: 7, Commit: 3}) {
		t.Errorf("the log ends with %d, %+v", found.Last, found.HardState)
	}
}
