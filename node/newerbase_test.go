package node

import (
	"fmt"
	"testing"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// inFiles gives no value: the state lets them go, and they are needed only to be read.
type inFiles int64

func (f inFiles) To() int64 { return int64(f) }

func (inFiles) Value([]byte, index.Position, func([]byte) bool) ([]byte, error) {
	return nil, index.ErrElsewhere
}

func (inFiles) ReadTogether([]*index.Unread) {}

// A newer base is due when it frees enough, or when it can do without a lost part.
func TestNewerBase(t *testing.T) {
	l := limits.Defaults()
	l.Index.ExtentBytes, l.Index.BaseLeast, l.Index.ColdBytes = 20_000, 1, 64
	at := uint64(0)
	s := index.NewState(l.Index)
	apply := func(command []byte) {
		at++
		e := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 2, Incarnation: 1, First: at, Wall: int64(at)}, [][]byte{command})
		if _, err := s.Apply(at, 1, e, nil); err != nil {
			t.Fatal(err)
		}
	}
	compact := func(revision int64) {
		apply(new(index.Head).AppendCompact(nil, revision).Bytes)
		for s.View(); s.Reclaim(); {
		}
	}
	rounds := func(n int) {
		for range n {
			for key := range 100 {
				apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "%d", key), Value: make([]byte, 1000)}).Bytes)
			}
		}
		extents := s.View().Extents()
		last := extents[len(extents)-1].To
		s.Stored(s.View().Base(), last, inFiles(last))
		for s.View(); s.Reclaim(); {
		}
	}
	parts := func() actor.Parts { return actor.Parts{Base: s.View().Base()} }
	due := func(what string, want bool, parts actor.Parts, leads, full bool, held int64) {
		t.Helper()
		if got := newerBase(s.View(), parts, &l, leads, full, held); (got > 0) != want {
			t.Errorf("%s: due with revision %d", what, got)
		}
	}
	apply(index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)

	rounds(1)
	compact(s.Revision())
	due("the extents have the live keys alone", false, parts(), true, false, 0)
	rounds(1)
	compact(s.Revision())
	due("the extents have the live keys twice", true, parts(), true, false, 0)
	due("it does not lead", false, parts(), false, false, 0)
	due("the present base is being written", false, actor.Parts{Base: 1000}, true, false, 0)
	due("the present base is too large for a full disk", true, actor.Parts{Base: 1000}, true, true, 0)

	revision, _ := s.View().NextBase()
	apply(index.AppendRebase(nil, revision).Bytes)
	rounds(2)
	compact(revision + 60)
	lost := parts()
	if lost.Lost = revision + 20; s.View().Extents()[0].To > lost.Lost {
		lost.Lost = s.View().Extents()[0].To
	}
	if cold, _ := s.View().Cold(); cold == 0 {
		t.Fatal("all values are in memory")
	}
	due("readable versions have their values in the lost part alone", false, lost, false, false, 0)
	behind := lost
	behind.Base++
	compact(s.View().OpenExtent().From)
	due("nothing readable is in parts alone", true, lost, false, false, 0)
	due("the present base needs the lost part, and is never written", true, behind, false, false, 0)
	lost.Lost = s.Revision()
	due("the next base needs the lost part, too", false, lost, false, false, 0)
}
