package node

import (
	"testing"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// What stays is bounded by weight, by revisions and by age, each on its own, and never goes back.
func TestOldestKept(t *testing.T) {
	state := index.NewState(limits.Defaults().Index)
	apply := func(at uint64, wall int64, command []byte) {
		t.Helper()
		data := index.AppendEnvelope(nil, index.Envelope{Level: 1, Wall: wall}, [][]byte{command})
		if results, err := state.Apply(at, 1, data, nil); err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	second := int64(time.Second)
	for i := range uint64(100) { // one put of the same key each second: revision r at r-1 s, and 100 bytes of history each
		apply(i+1, int64(i+1)*second, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: make([]byte, 33)}).Bytes)
	}
	for name, c := range map[string]struct {
		config    Config
		aged      int64
		revisions int64
		want      int64
	}{
		"no bound":             {Config{}, 0, 0, 0},
		"room enough":          {Config{HistoryBytes: 9900}, 0, 101, 0},
		"weight":               {Config{HistoryBytes: 8000}, 0, 0, 32}, // 7000 bytes are 70 revisions
		"revisions":            {Config{}, 0, 80, 31},
		"age":                  {Config{}, 61, 0, 61},
		"nothing is there":     {Config{}, 1, 0, 0},
		"the strictest counts": {Config{HistoryBytes: 8000}, 61, 80, 61},
	} {
		if got := c.config.oldestKept(state.View(), c.config.HistoryBytes, c.aged, c.revisions); got != c.want {
			t.Errorf("%s: revision %d, want %d", name, got, c.want)
		}
	}
	if age := historyAge(state.View(), 100*second); age != 99*time.Second {
		t.Errorf("the oldest revision was written %v ago", age)
	}
	apply(101, 100*second, new(index.Head).AppendCompact(nil, 61).Bytes)
	if got := (&Config{}).oldestKept(state.View(), 0, 21, 0); got != 61 {
		t.Errorf("the compacted revision went from 61 to %d", got)
	}
	for name, c := range map[string]struct {
		most int64 // bytes of history
		now  int64 // seconds
		want bool
	}{
		"the weight drops what is new":   {2000, 100, true},
		"the weight drops what is old":   {2000, 1000, false},
		"what somebody compacts by hand": {1 << 20, 100, false},
		"no bound":                       {0, 100, false},
	} {
		if back, short := short(state.View(), c.most, c.now*second, 91); short != c.want || back != time.Duration(c.now-90)*time.Second {
			t.Errorf("%s: %v, %v", name, back, short)
		}
	}
}

// A leader compacts as etcd does: for the first time when it has run for as long as history is to stay, then once in that time or in
// an hour; or all but a number of revisions, once in five minutes.
func TestAutoCompaction(t *testing.T) {
	second := time.Second
	for name, c := range map[string]struct {
		config Etcd
		want   map[time.Duration]int64 // what is compacted up to, and when
	}{
		"never":      {Etcd{}, nil},
		"a time":     {Etcd{CompactAfter: 30 * second}, map[time.Duration]int64{31 * second: 2, 61 * second: 32, 91 * second: 62}},
		"an hour":    {Etcd{CompactAfter: time.Hour}, nil},
		"revisions":  {Etcd{CompactRevisions: 100}, map[time.Duration]int64{300 * second: 201}},
		"not enough": {Etcd{CompactRevisions: 1000}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			state := index.NewState(limits.Defaults().Index)
			at := uint64(0)
			apply := func(wall time.Duration, command []byte) {
				t.Helper()
				at++
				data := index.AppendEnvelope(nil, index.Envelope{Level: 1, Wall: int64(wall)}, [][]byte{command})
				if results, err := state.Apply(at, 1, data, nil); err != nil || results[0].Err != nil {
					t.Fatal(err, results)
				}
			}
			var a autoCompaction
			got := map[time.Duration]int64{}
			const began = 1000 * time.Hour // of the wall clock; the driver's began with the process
			for now := time.Duration(0); now <= 400*second; now += second {
				if now > 0 && now <= 300*second { // a put each second: revision r at r-1 s
					apply(began+now, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("key"), Value: []byte("v")}).Bytes)
				}
				a.ages.look(state.View(), now, int64(began+now), c.config.CompactAfter)
				for range 2 { // the first proposal is lost
					revision := a.due(&c.config, state.View(), actor.Time{Now: now, Wall: int64(began + now)})
					if revision > 0 && got[now] == revision {
						apply(began+now, new(index.Head).AppendCompact(nil, revision).Bytes)
					}
					if revision > 0 {
						got[now] = revision
					}
				}
			}
			for when, revision := range c.want {
				if got[when] != revision {
					t.Errorf("at %v it compacts up to %d, want %d (all: %v)", when, got[when], revision, got)
				}
			}
			if len(c.want) == 0 && len(got) > 0 {
				t.Errorf("it compacts: %v", got)
			}
		})
	}
}

// Behind a restore, the revisions that it left out do not count: as many as were asked for stay, and the compaction is never refused.
func TestAutoCompactionBehindARestore(t *testing.T) {
	state := index.NewState(limits.Defaults().Index)
	at := uint64(0)
	apply := func(command []byte) {
		t.Helper()
		at++
		data := index.AppendEnvelope(nil, index.Envelope{Level: 1, Wall: 1}, [][]byte{command})
		if results, err := state.Apply(at, 1, data, nil); err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("key")}).Bytes
	for range 200 {
		apply(put)
	}
	state.SkipRevisions(0)
	var a autoCompaction
	asked := Etcd{CompactRevisions: 100}
	for i, want := range []int64{201 - 90, state.Revision() + 50} {
		now := actor.Time{Now: time.Duration(2*i) * etcdCompaction}
		a.due(&asked, state.View(), now)
		for range []int{10, 140}[i] {
			apply(put)
		}
		now.Now += etcdCompaction
		revision := a.due(&asked, state.View(), now)
		if kept := (&Config{}).oldestKept(state.View(), 0, 0, 100); revision != want || kept != state.View().Back(100/8*7) {
			t.Errorf("it compacts up to %d, want %d, and the history is kept from %d on", revision, want, kept)
		}
		apply(new(index.Head).AppendCompact(nil, revision).Bytes)
	}
}
