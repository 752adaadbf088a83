package actor

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// partState is a state with small extents, and the entries that were applied to it.
type partState struct {
	*index.State
	t  *testing.T
	at uint64
}

// newParts returns a state with small extents, and the snapshotter of a member that has it.
func newParts(t *testing.T) (*partState, *snapshotterTurns) {
	return newPartsWith(t, func(*limits.Index) {})
}

// newPartsWith is newParts with other limits of the state.
func newPartsWith(t *testing.T, change func(*limits.Index)) (*partState, *snapshotterTurns) {
	t.Helper()
	l := limits.Defaults().Index
	l.ExtentBytes = 20_000
	change(&l)
	p := &partState{State: index.NewState(l), t: t}
	s := newTestSnapshotter(t, p.View())
	s.shelf.Attach(p.State)
	p.apply(index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)
	return p, s
}

func (p *partState) apply(commands ...[]byte) {
	p.t.Helper()
	p.at++
	e := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 2, Incarnation: 1, First: p.at, Wall: int64(p.at)}, commands)
	if _, err := p.Apply(p.at, 1, e, nil); err != nil {
		p.t.Fatal(err)
	}
}

// put overwrites some keys, so many times.
func (p *partState) put(times int) {
	p.t.Helper()
	for n := range times {
		p.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %d", n%10), Value: fmt.Appendf(nil, "%1000d", n)}).Bytes)
	}
}

// putOthers puts a hundred other keys.
func (p *partState) putOthers() {
	p.t.Helper()
	for n := range 100 {
		p.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "other %d", n), Value: make([]byte, 1000)}).Bytes)
	}
}

// rebase compacts up to the newest revision, and makes an extent that so many follow the end of the base.
func (p *partState) rebase(behind int) {
	p.t.Helper()
	p.apply(new(index.Head).AppendCompact(nil, p.Revision()).Bytes)
	extents := p.View().Extents()
	p.apply(index.AppendRebase(nil, extents[len(extents)-1-behind].To).Bytes)
}

// show drops what can be dropped, and publishes the state.
func (s *snapshotterTurns) show(p *partState) {
	for p.View(); p.Reclaim(); {
	}
	s.Status.view.Store(p.View())
}

// tell has the state told about its parts, and returns what the applier gets.
func (s *snapshotterTurns) tell(p *partState) []ApplierMessage {
	all := drainBox(s.Applier)
	for _, m := range all {
		if stored, ok := m.(stored); ok {
			stored.Shelf.Attach(p.State)
		}
	}
	s.show(p)
	return all
}

// finish has all parts written that can be, and returns what the applier gets.
func (s *snapshotterTurns) finish(p *partState) (all []ApplierMessage) {
	for s.show(p); ; {
		s.turn()
		told := s.tell(p)
		if all = append(all, told...); !has[ApplierMessage, stored](told) {
			return all
		}
	}
}

// save has a snapshot saved, with all parts that the state has by then, and returns what is reported to consensus.
func (s *snapshotterTurns) save(p *partState) []ConsensusMessage {
	p.t.Helper()
	s.at += limits.SnapshotRetryMost // the pause after a failure is over
	s.show(p)
	s.turn(saveOf(p.ViewToSave()))
	s.finish(p)
	all, _ := partFiles(p.t, s)
	for _, info := range s.files {
		for _, one := range info.Parts {
			if !slices.Contains(all, one.Name()) {
				p.t.Errorf("%s lists %s, which is gone", info.Path, one.Name())
			}
		}
	}
	return drainBox(s.consensus)
}

// partFiles are the names of the folder's parts: of all, or of the extents alone.
func partFiles(t *testing.T, s *snapshotterTurns) (all, extents []string) {
	t.Helper()
	for _, name := range names(t, s.fs) {
		if strings.HasSuffix(name, ".part") {
			if all = append(all, name); !strings.HasPrefix(name, fmt.Sprintf("%020d-", 0)) {
				extents = append(extents, name)
			}
		}
	}
	return all, extents
}

// Extents are written without an order. They release nothing: the log stays until a snapshot lists them. Then the snapshot is small, and
// loads.
func TestPartsComeBeforeTheirSnapshot(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	if told := s.finish(p); has[ApplierMessage, saveEnded](told) || has[ApplierMessage, SnapshotWanted](told) {
		t.Errorf("nothing was ordered, and the applier gets %+v", told)
	}
	if got := drainBox(s.consensus); len(got) > 0 || len(s.files) > 0 {
		t.Errorf("consensus hears of %+v, and there are %d snapshots", got, len(s.files))
	}
	_, extents := partFiles(t, s)
	if len(extents) != len(p.View().Extents()) || len(extents) < 4 {
		t.Fatalf("the extents %v, and the state has %+v", extents, p.View().Extents())
	}
	if n, _ := p.View().Cold(); n < 50 {
		t.Errorf("%d values are in files only", n)
	}
	if got, want := unwritten(p.View(), s.shelf.Last()), p.View().OpenExtent().Bytes; got != want {
		t.Errorf("the next snapshot has to write %d bytes, of which %d are in no file", got, want)
	}
	if got := s.save(p); !has[ConsensusMessage, snapshotSaved](got) || len(s.files) != 1 || len(s.files[0].Parts) != len(extents) {
		t.Errorf("consensus hears of %+v, and there are the snapshots %+v", got, s.files)
	}
	if got := s.files[0].Bytes; got > 40_000 {
		t.Errorf("the snapshot has %d bytes beside its parts", got)
	}
	s.loads(p, "in the end")
}

// Of the first keys there is no base, and no extent: a snapshot has all of them itself.
func TestSmallStateHasNoParts(t *testing.T) {
	p, s := newParts(t)
	p.put(10)
	s.save(p)
	if all, _ := partFiles(t, s); len(all) > 0 || len(s.files) != 1 || len(s.files[0].Parts) > 0 {
		t.Errorf("there are %v, and the snapshots %+v", all, s.files)
	}
	s.loads(p, "without parts")
}

// steps has so many single steps done, until a condition holds.
func (s *snapshotterTurns) steps(t *testing.T, until func() bool, batch ...SnapshotterMessage) {
	t.Helper()
	for n := 0; !until(); n++ {
		if n > 10_000 {
			t.Fatal("it does not come to that")
		}
		s.Handle(Time{Now: s.at}, batch)
		batch = nil
	}
}

// dueBase gives a state a base of several pieces that is in no file yet, and a snapshot of before.
func dueBase(t *testing.T) (*partState, *snapshotterTurns) {
	t.Helper()
	p, s := newPartsWith(t, func(l *limits.Index) { l.PieceBytes = 5_000 })
	p.putOthers()
	p.put(60)
	s.save(p)
	p.rebase(1)
	return p, s
}

// Two snapshots that list a newer base free the space of the one before: both are ordered as soon as it is written.
func TestNewerBaseWantsTwoSnapshots(t *testing.T) {
	p, s := dueBase(t)
	old := s.files[0].Parts[0]
	told := s.finish(p)
	if n := len(slices.DeleteFunc(slices.Clone(told), func(m ApplierMessage) bool { return m != SnapshotWanted{Saves: 2} })); n != 1 {
		t.Errorf("%d times two snapshots are wanted: %+v", n, told)
	}
	if s.shelf.Base() != p.View().Base() || len(s.files[0].Parts) == 0 || s.files[0].Parts[0] != old {
		t.Fatalf("the base is that of %d, not of %d; the snapshot lists %+v", s.shelf.Base(), p.View().Base(), s.files[0].Parts)
	}
	for n := range 2 {
		if all, _ := partFiles(t, s); !slices.Contains(all, old.Name()) {
			t.Errorf("%d snapshots list the newer base, and %s is gone", n, old.Name())
		}
		p.put(1)
		s.save(p)
		s.loads(p, "with a newer base")
	}
	if all, _ := partFiles(t, s); slices.Contains(all, old.Name()) {
		t.Errorf("both snapshots list the newer base, and %s is still there", old.Name())
	}
}

// A base that no snapshot has listed goes with the next one, not only with the next snapshot.
func TestBaseThatNoSnapshotListsGoes(t *testing.T) {
	p, s := dueBase(t)
	s.finish(p)
	unlisted := slices.Clone(s.shelf.Parts())
	p.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("other 50"), Value: []byte("changed")}).Bytes)
	p.put(60)
	s.finish(p)
	p.rebase(1)
	s.finish(p)
	gone := slices.DeleteFunc(unlisted, func(one snapshot.Part) bool { return s.lists(one) || slices.Contains(s.files[0].Parts, one) })
	all, _ := partFiles(t, s)
	for _, one := range gone {
		if slices.Contains(all, one.Name()) {
			t.Errorf("%s is still there beside the base of %d", one.Name(), s.shelf.Base())
		}
	}
	if s.shelf.Base() != p.View().Base() || len(gone) == 0 || gone[0].Number != 0 {
		t.Errorf("the base is that of %d, not of %d; %+v need not be there", s.shelf.Base(), p.View().Base(), gone)
	}
	s.save(p)
	s.loads(p, "with the second newer base")
}

// A snapshot that is ordered while a newer base is written does not wait for it: it is written between two pieces, and lists the base
// before. So is an extent.
func TestSnapshotComesBetweenTwoPieces(t *testing.T) {
	p, s := dueBase(t)
	older := s.shelf.Base()
	s.show(p)
	s.Limits.SnapshotStepBytes = 1
	s.steps(t, func() bool { return s.out.base != nil && len(s.out.base.volumes) == 1 })
	p.put(20)
	_, extents := partFiles(t, s)
	s.Status.view.Store(p.View())
	s.steps(t, func() bool { return len(s.files) == 2 }, saveOf(p.ViewToSave()))
	if s.out.base == nil || s.out.base.next == nil || s.shelf.Base() != older {
		t.Fatalf("a snapshot is there, and so is all of the newer base")
	}
	if _, now := partFiles(t, s); len(now) < len(extents)+1 || len(s.files[0].Parts) != len(s.shelf.Parts()) {
		t.Errorf("the snapshot lists %d parts of %d; there were %d extents, and are %d", len(s.files[0].Parts), len(s.shelf.Parts()), len(extents), len(now))
	}
	s.loads(p, "beside a newer base")
	if told := s.finish(p); !has[ApplierMessage, saveEnded](told) || !slices.Contains(told, ApplierMessage(SnapshotWanted{Saves: 2})) || s.shelf.Base() != p.View().Base() {
		t.Errorf("the applier gets %+v, the base is that of %d, not of %d", told, s.shelf.Base(), p.View().Base())
	}
	p.put(1)
	s.save(p)
	s.loads(p, "with a newer base")
}

// A newer base is written where the disk has space for its missing pieces, and writes keep theirs, up to the low mark. A full disk needs no
// space for writes: the newer base frees some. The pieces of a base that is given up go.
func TestNewerBaseLeavesSpace(t *testing.T) {
	const margin = 20_000
	for _, c := range []struct {
		what    string
		full    bool
		pieces  int   // that exist already
		beyond  int64 // free space, in addition to what is needed
		written bool
	}{
		{"space for all pieces", false, 0, margin, true},
		{"less than that", false, 0, -margin, false},
		{"space for the other pieces", false, 3, margin, true},
		{"less than that for the other pieces", false, 3, -margin, false},
		{"a full disk with space for all pieces", true, 0, margin, true},
		{"a full disk", true, 0, -margin, false},
	} {
		p, s := dueBase(t)
		s.Status.reportDisk(func(d *space.Disk) { d.SegmentBytes, d.Full = 64<<10, c.full })
		s.show(p)
		free := p.View().BaseBytes() + c.beyond
		if c.pieces > 0 {
			s.Limits.SnapshotStepBytes = 1
			s.steps(t, func() bool { return s.out.base != nil && len(s.out.base.volumes) == c.pieces })
			for _, one := range s.out.base.volumes {
				free -= one.Bytes
			}
		}
		if !c.full {
			low, _ := s.Status.Disk().Marks()
			free += low
		}
		s.fs.SetCapacity(s.fs.Used() + free)
		if s.finish(p); (s.shelf.Base() == p.View().Base()) != c.written {
			t.Errorf("%s: the base is that of %d, the newer one is of %d; alarms %q", c.what, s.shelf.Base(), p.View().Base(), s.problems())
		}
		all, _ := partFiles(t, s)
		for _, one := range slices.Concat(s.shelf.Parts(), s.files[0].Parts) {
			all = slices.DeleteFunc(all, func(name string) bool { return name == one.Name() })
		}
		if !c.written && len(all) > 0 {
			t.Errorf("%s: the pieces %v stay", c.what, all)
		}
	}
}

// A member was late: the extents that a newer base replaced were in no file yet, and nothing writes them any more. The newer base is
// written first, and then the snapshot that was ordered before.
func TestLateMemberBeginsWithTheNewerBase(t *testing.T) {
	for behind := range 3 { // extents behind the base
		p, s := newParts(t)
		p.put(20)
		s.save(p)
		p.put(100)
		p.rebase(behind)
		s.show(p)
		s.turn(saveOf(p.ViewToSave()))
		if told := s.tell(p); !slices.Contains(told, ApplierMessage(saveEnded{Failed: true})) || len(s.files) != 1 {
			t.Errorf("%d extents: a snapshot without its base is saved: %+v", behind, told)
		}
		if got := s.problems(); len(got) > 0 {
			t.Errorf("%d extents: alarms %q", behind, got)
		}
		s.finish(p)
		if s.shelf.Base() != p.View().Base() {
			t.Fatalf("%d extents: the base is that of %d, not of %d", behind, s.shelf.Base(), p.View().Base())
		}
		s.save(p)
		if got := s.files[0].Parts; len(s.files) != 2 || len(got) != 1+behind || got[0].To != p.View().Base() {
			t.Errorf("%d extents: the snapshot lists %+v", behind, got)
		}
		s.loads(p, "in the end")
	}
}

// A newer base is complete while a snapshot waits that was ordered of an earlier View: of before the base, or of versions that the base
// lacks. The snapshot would list parts that cannot be loaded, and is ordered again.
func TestSnapshotOfBeforeItsBaseIsOrderedAgain(t *testing.T) {
	for _, dropped := range []string{"before the base", "before versions were dropped"} {
		p, s := newPartsWith(t, func(l *limits.Index) { l.CompactionWork = 1 })
		p.put(60)
		s.save(p)
		p.put(1)
		early := saveOf(p.ViewToSave())
		p.rebase(1)
		if dropped == "before versions were dropped" {
			early = saveOf(p.ViewToSave())
		}
		s.finish(p)
		s.turn(early)
		if told := s.tell(p); !slices.Contains(told, ApplierMessage(saveEnded{Failed: true})) || len(s.files) != 1 {
			t.Errorf("%s: a snapshot is saved that lists a newer base: %+v", dropped, told)
		}
		s.save(p)
		s.loads(p, dropped)
	}
}

// A power loss does not bring back a snapshot whose parts were removed: its removal is synced before theirs.
func TestPartsGoAfterTheirSnapshot(t *testing.T) {
	p, s := newParts(t)
	unsynced, gone := "", 0
	s.fs.SetHook(func(op simdisk.Op, name string) {
		switch {
		case op == simdisk.OpSyncDir:
			unsynced = ""
		case op == simdisk.OpRemove && strings.HasSuffix(name, ".snap"):
			unsynced = name
		case op == simdisk.OpRemove && strings.HasSuffix(name, ".part"):
			if gone++; unsynced != "" {
				t.Errorf("%s is removed before the removal of %s is synced", name, unsynced)
			}
		}
	})
	for range 3 {
		p.put(100)
		s.save(p)
		extents := p.View().Extents()
		p.apply(new(index.Head).AppendCompact(nil, extents[len(extents)-2].To+1).Bytes)
		p.apply(index.AppendRebase(nil, extents[len(extents)-2].To).Bytes)
		for range 3 {
			p.put(1)
			s.save(p)
			s.turn(Wait{})
		}
	}
	if gone < 10 {
		t.Errorf("only %d parts were removed", gone)
	}
}

// While a received state is being installed, the state is not told of the parts of the one before, and none is begun. It is told once raft has
// not taken the received one.
func TestReceivedStateHasItsOwnParts(t *testing.T) {
	p, s := newParts(t)
	told := func() (n int) {
		for _, m := range drainBox(s.Applier) {
			if _, ok := m.(stored); ok {
				n++
			}
		}
		return n
	}
	p.put(100)
	s.show(p)
	s.Limits.SnapshotStepBytes = 1
	s.steps(t, func() bool { return s.out.file != nil })
	s.receive.current, s.installing = &receiving{file: &snapshot.Incoming{}, info: snapshot.Info{Path: "snap/received.snap"}}, true
	s.receive.current.offer.Index, s.receive.current.offer.Term = 1000, 1
	s.turn()
	if _, extents := partFiles(t, s); len(extents) != 1 || told() > 0 {
		t.Errorf("%d extents are saved, and the state was told while another one was installed", len(extents))
	}
	if s.Handle(Time{Now: s.at}, []SnapshotterMessage{discard{Index: 1000, Term: 1}}); told() != 1 {
		t.Error("the state is not told of its parts")
	}
	s.turn()
	if _, extents := partFiles(t, s); len(extents) != len(p.View().Extents()) {
		t.Errorf("%d extents are saved of %d", len(extents), len(p.View().Extents()))
	}
}

// An extent that a newer base replaces, and that no snapshot has listed, stays until the state reads values from the base.
func TestPartsStayWhileTheyAreRead(t *testing.T) {
	p, s := newParts(t)
	readable := func(when string) {
		t.Helper()
		v := p.View()
		if n, _ := v.Cold(); n < 10 {
			t.Fatalf("%s, %d values are not in memory", when, n)
		}
		for at := v.Compacted(); at <= v.Revision(); at++ {
			if _, err := v.Range(kv.Range{Key: []byte("key"), End: []byte("key~"), Revision: at}, 0); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	p.put(100)
	s.save(p)
	p.put(60)
	s.finish(p)
	_, extents := partFiles(t, s)
	cuts := p.View().Extents()
	replaced := cuts[len(cuts)-2]
	p.apply(new(index.Head).AppendCompact(nil, replaced.To+2).Bytes)
	p.apply(index.AppendRebase(nil, replaced.To).Bytes)
	s.show(p)
	s.turn()
	s.turn(saveOf(p.ViewToSave()))
	if got := s.files[0].Parts; len(got) == 0 || got[0].To != replaced.To || len(s.files[1].Parts) > len(cuts)-2 {
		t.Fatalf("the snapshots list %+v and %+v", got, s.files[1].Parts)
	}
	readable("before the state is told of the base")
	s.tell(p)
	s.turn(Wait{})
	readable("with the base")
	if _, left := partFiles(t, s); slices.Contains(left, extents[len(cuts)-2]) {
		t.Errorf("the extents are %v", left)
	}
}

// A part that no other member gives costs the values that had left memory, and no others: values that are in memory stay there, and the other
// parts stay, though no snapshot lists them any more.
func TestDamagedPartCostsNoFurtherValues(t *testing.T) {
	p, s := newParts(t)
	save := func(puts int) {
		p.put(puts)
		s.save(p)
		for p.View(); p.Reclaim(); {
		}
	}
	save(100)
	last := p.Revision()
	unreadable := func() (all []string) {
		v := p.View()
		for at := int64(2); at <= last; at++ {
			for k := range 10 {
				key := fmt.Appendf(nil, "key %d", k)
				if _, err := v.Range(kv.Range{Key: key, Revision: at}, 0); err != nil {
					all = append(all, fmt.Sprint(at, k))
				}
			}
		}
		return all
	}
	if got := unreadable(); len(got) > 0 {
		t.Fatalf("before the damage, %q cannot be read", got)
	}
	bad := s.files[0].Parts[2]
	s.harm(t, bad)
	s.turn(Suspect{Path: s.files[0].Path})
	s.tell(p)
	lost := unreadable()
	if len(lost) == 0 || len(lost) > 200 {
		t.Fatalf("%d reads need the damaged record", len(lost))
	}
	away, _ := p.View().Cold()
	for range 4 {
		save(20)
	}
	if got := unreadable(); !slices.Equal(got, lost) {
		t.Errorf("%d reads failed after the damage, and %d fail after more writes", len(lost), len(got))
	}
	if now, _ := p.View().Cold(); now != away {
		t.Errorf("%d values had left memory, and now %d", away, now)
	}
	p.apply(new(index.Head).AppendCompact(nil, p.Revision()-10).Bytes)
	extents := p.View().Extents()
	p.apply(index.AppendRebase(nil, extents[len(extents)-3].To).Bytes)
	for range 4 {
		save(30)
	}
	s.loads(p, "with a newer base")
	if all, _ := partFiles(t, s); slices.Contains(all, bad.Name()) {
		t.Errorf("nothing needs %s any more, and it takes space", bad.Name())
	}
	if now, _ := p.View().Cold(); now < 20 || len(s.files[0].Parts) == 0 {
		t.Errorf("with a newer base, %d values are in %d parts", now, len(s.files[0].Parts))
	}
}

// A reader finds the newest snapshot's part damaged, right after that snapshot was saved and read back. While the part is being fetched, a
// full disk takes neither the older snapshot, which can be loaded, nor the log behind it.
func TestOlderSnapshotStaysWhileAPartIsFetched(t *testing.T) {
	p, s := newParts(t)
	for range 2 {
		p.put(100)
		s.save(p)
		for p.View(); p.Reclaim(); {
		}
	}
	older, bad := s.files[1], s.files[0].Parts[len(s.files[0].Parts)-2]
	if slices.Contains(older.Parts, bad) {
		t.Fatalf("both snapshots list %s", bad.Name())
	}
	s.unread = true // the fetch takes long
	s.harm(t, bad)
	v, damaged := p.View(), 0
	for at := bad.From; at <= bad.To; at++ {
		for k := range 10 {
			if _, err := v.Range(kv.Range{Key: fmt.Appendf(nil, "key %d", k), Revision: at}, 0); err != nil {
				damaged++
			}
		}
	}
	if damaged == 0 {
		t.Fatal("no read needs the damaged part")
	}
	s.Status.reportDisk(func(d *space.Disk) { d.Full = true })
	for range 3 {
		s.turn(Wait{})
	}
	if got := drainBox(s.consensus); has[ConsensusMessage, logCovered](got) || len(s.files) != 2 {
		t.Errorf("%d snapshots are kept, and consensus hears of %+v", len(s.files), got)
	}
	if _, _, err := snapshot.LoadIn(index.NewReserve(), s.fs, s.fs, older.Path, limits.Defaults().Index); err != nil {
		t.Errorf("the older snapshot cannot be loaded: %v", err)
	}
}

// The other pieces of a damaged base stay, as long as values are read from them.
func TestOtherPiecesOfDamagedBaseStay(t *testing.T) {
	testlong.Skip(t)
	p, s := newParts(t)
	const keys = 48
	big := func(k int) []byte { return fmt.Appendf(nil, "big %02d", k) }
	for k := range keys {
		p.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: big(k), Value: bytes.Repeat([]byte{byte(k)}, 1<<20)}).Bytes)
	}
	p.put(60)
	s.save(p)
	p.apply(new(index.Head).AppendCompact(nil, p.Revision()).Bytes)
	extents := p.View().Extents()
	p.apply(index.AppendRebase(nil, extents[len(extents)-2].To).Bytes)
	for range 3 {
		p.put(30)
		s.save(p)
	}
	first := s.files[0].Parts
	if len(first) < 2 || first[1].Number != 0 || first[1].To != p.View().Base() {
		t.Fatalf("the base of %d has not two pieces: %+v", p.View().Base(), first)
	}
	at := p.Revision()
	for k := range keys {
		p.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: big(k)}).Bytes)
	}
	p.put(60)
	for range 2 {
		s.save(p)
		for p.View(); p.Reclaim(); {
		}
		p.put(1)
	}
	if _, bytes := p.View().Cold(); bytes < keys<<20 {
		t.Fatalf("%d bytes have left memory", bytes)
	}
	s.harm(t, first[0])
	s.turn(Suspect{Path: s.files[0].Path})
	s.tell(p)
	for range 4 {
		p.put(30)
		s.save(p)
	}
	lost := 0
	for k := range keys {
		if _, err := p.View().Range(kv.Range{Key: big(k), Revision: at}, 0); err != nil {
			lost++
		}
	}
	if lost > 1 {
		t.Errorf("one piece is damaged in one place, and %d values cannot be read", lost)
	}
}

// Reads that find the damage again, until the part is there, do not have it fetched once more.
func TestPartIsFetchedOnce(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	s.save(p)
	for p.View(); p.Reclaim(); {
	}
	extent := s.files[0].Parts[2]
	unreadable := func() bool {
		_, err := p.View().Range(kv.Range{Key: []byte("key"), End: []byte("key~"), Revision: extent.To}, 0)
		return err != nil
	}
	file, err := s.fs.Open("snap/" + extent.Name())
	if err != nil {
		t.Fatal(err)
	}
	sound := make([]byte, extent.Bytes)
	if n, err := file.ReadAt(sound, 0); n < len(sound) {
		t.Fatal(err)
	}
	write := func(change byte) {
		t.Helper()
		file, err := s.fs.OpenWritable("snap/" + extent.Name())
		if err == nil {
			content := slices.Clone(sound)
			for i := 100; i < len(content); i += 100 {
				content[i] ^= change
			}
			_, err = file.WriteAt(content, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if unreadable() {
		t.Fatal("the sound part cannot be read")
	}
	write(4)
	for range 3 {
		if !unreadable() {
			t.Fatal("the damaged part is read")
		}
		s.Handle(Time{Now: s.at}, []SnapshotterMessage{Wait{}})
	}
	if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{extent}) {
		t.Fatalf("ordered: %+v", got)
	}
	if !unreadable() {
		t.Fatal("the damaged part is read")
	}
	write(0)
	s.Handle(Time{Now: s.at}, []SnapshotterMessage{partRepaired{Part: extent}})
	if got := drainBox(s.Reader); len(got) > 0 || unreadable() {
		t.Errorf("the part is there, and %+v is ordered", got)
	}
	write(4)
	unreadable()
	s.Handle(Time{Now: s.at}, []SnapshotterMessage{Wait{}})
	s.Handle(Time{Now: s.at}, []SnapshotterMessage{partRepaired{Part: extent, Err: errors.New("no other member has it")}})
	drainBox(s.Reader)
	if !unreadable() {
		t.Fatal("the damaged part is read")
	}
	s.Handle(Time{Now: s.at}, []SnapshotterMessage{Wait{}})
	if got := drainBox(s.Reader); len(got) > 0 {
		t.Errorf("a part that no member gives is ordered again: %+v", got)
	}
}

// The parts of a snapshot that is sent stay until the transfer ends, also if a newer base has taken their place on this member.
func TestSentPartsStay(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	s.save(p)
	_, before := partFiles(t, s)
	sent := p.at
	s.turn(sendSnapshot{Peer: 2, Message: &raftpb.Message{Snapshot: snapshotAt(p.at, 1, &raftpb.ConfState{})}})
	p.put(30)
	p.apply(new(index.Head).AppendCompact(nil, p.Revision()).Bytes)
	p.apply(index.AppendRebase(nil, p.View().Extents()[3].To).Bytes)
	for range 4 { // the base serves when the changes up to the compaction are in extents, and dropped
		p.put(10)
		s.save(p)
	}
	if got := s.files[0].Parts; len(got) == 0 || got[0].To != p.View().Base() {
		t.Fatalf("the newest snapshot lists %+v, the base is %d", got, p.View().Base())
	}
	if _, got := partFiles(t, s); len(before) == 0 || len(got) < len(before) || !slices.Equal(got[:len(before)], before) {
		t.Errorf("while a transfer needs %v there are %v", before, got)
	}
	s.turn(FromPeer{From: 2, Message: peerframe.SnapshotResult{Index: sent, Term: 1, Installed: true}})
	p.put(1)
	s.save(p)
	if _, got := partFiles(t, s); slices.Contains(got, before[0]) {
		t.Errorf("the transfer has ended, and there are %v", got)
	}
}

// An old snapshot that cannot be removed keeps its parts: a file of the folder never lists parts that are gone. The next save removes it.
func TestStuckSnapshotKeepsItsParts(t *testing.T) {
	p, s := newParts(t)
	p.put(60)
	s.save(p)
	p.put(10)
	s.save(p)
	stuck := s.files[1]
	gone := stuck.Parts[1] // an extent before the next base
	s.fs.Fail(simdisk.Fault{Op: simdisk.OpRemove, Name: stuck.Path, Err: syscall.EIO, Stays: true})
	p.apply(new(index.Head).AppendCompact(nil, p.Revision()).Bytes)
	p.apply(index.AppendRebase(nil, p.View().Extents()[1].To).Bytes)
	lists := func(info snapshot.Info) bool { return slices.Contains(info.Parts, gone) }
	for n := 0; slices.ContainsFunc(s.files, lists); n++ {
		if n == 20 {
			t.Fatal("no newer base takes the place of the first one")
		}
		p.put(10)
		s.save(p)
	}
	if _, _, err := snapshot.LoadIn(index.NewReserve(), s.fs, s.fs, stuck.Path, limits.Defaults().Index); err != nil {
		t.Errorf("the snapshot that could not be removed cannot be loaded: %v", err)
	}
	s.fs.ClearFaults()
	p.put(10)
	s.save(p)
	all := names(t, s.fs)
	if n := len(slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !strings.HasSuffix(name, ".snap") })); n != 2 || slices.Contains(all, gone.Name()) {
		t.Errorf("when files can be removed again, there are %v", all)
	}
}

// lostAlarm is the text of the alarm about a part.
func (s *snapshotterTurns) lostAlarm(one snapshot.Part) string {
	for _, a := range s.Status.Alarms() {
		if a.Name == kv.CorruptAlarm && a.Subject == "snap/"+one.Name() {
			return a.Text
		}
	}
	return ""
}

// A part that no other member gives is written again from memory, with the values that only its own sound bytes have. It is the same file, so
// the snapshots that list it load again.
func TestLostPartIsWrittenAgain(t *testing.T) {
	for _, c := range []struct {
		what string
		cold int // the size of values that leave memory
		lose func(s *snapshotterTurns, one snapshot.Part) error
	}{
		{"all values are in memory", 1 << 20, func(s *snapshotterTurns, one snapshot.Part) error {
			return s.fs.Rot("snap/"+one.Name(), one.Bytes/2, 500)
		}},
		{"all values are in memory, and the file is gone", 1 << 20, func(s *snapshotterTurns, one snapshot.Part) error { return s.fs.Remove("snap/" + one.Name()) }},
		{"the values in the file are sound", 64, func(s *snapshotterTurns, one snapshot.Part) error { return s.fs.Rot("snap/"+one.Name(), 70, 1) }},
	} {
		for _, piece := range []bool{true, false} {
			p, s := newPartsWith(t, func(l *limits.Index) { l.PieceBytes, l.ColdBytes = 5_000, c.cold })
			p.putOthers()
			p.put(60)
			p.finishAndRebase(s)
			p.put(60)
			s.save(p)
			bad := s.files[0].Parts[1]
			if !piece {
				bad = s.files[0].Parts[len(s.files[0].Parts)-2]
			}
			if piece != (bad.Number == 0 && bad.To == p.View().Base()) {
				t.Fatalf("the snapshot lists %+v", s.files[0].Parts)
			}
			if err := c.lose(s, bad); err != nil {
				t.Fatal(err)
			}
			s.turn(Suspect{Path: s.files[0].Path})
			s.tell(p)
			if got := s.lostAlarm(bad); len(s.repair.damaged) > 0 || s.Status.Parts().Lost > 0 || !strings.Contains(got, "nothing is lost") || !strings.Contains(got, "written again") {
				t.Errorf("%s, piece of the base %v: lost up to %d, alarm %q", c.what, piece, s.Status.Parts().Lost, got)
			}
			s.loads(p, "when the part is there again")
			p.put(1)
			if got := s.save(p); !has[ConsensusMessage, snapshotSaved](got) || !slices.Contains(s.files[0].Parts, bad) || len(s.problems()) != 1 {
				t.Errorf("%s, piece of the base %v: consensus hears of %+v, alarms %q", c.what, piece, got, s.problems())
			}
			s.loads(p, "with another snapshot")
			p.rebase(0)
			s.finish(p)
			s.save(p)
			p.put(1)
			s.save(p)
			late, err := s.fs.Create("snap/" + bad.Name()) // another member gave it in the end
			if err == nil {
				err = late.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			s.turn(partRepaired{Part: bad})
			if all, _ := partFiles(t, s); slices.Contains(all, bad.Name()) {
				t.Errorf("%s came after its repair, and is still there", bad.Name())
			}
		}
	}
}

// finishAndRebase has all parts written, and then those of a newer base.
func (p *partState) finishAndRebase(s *snapshotterTurns) {
	s.finish(p)
	p.rebase(1)
	s.finish(p)
}

// A part that no other member gives, and that cannot be written again, is lost. Without it no snapshot is saved, which a start could not load:
// the log is kept. Extents are written. A newer base takes its place, and snapshots are saved again.
func TestLostPartStopsSnapshots(t *testing.T) {
	for _, piece := range []bool{true, false} {
		p, s := newParts(t)
		p.putOthers()
		p.put(60)
		p.finishAndRebase(s)
		p.putOthers()
		p.put(60)
		s.save(p)
		p.put(1)
		s.save(p)
		bad := s.files[0].Parts[0]
		if !piece {
			bad = s.files[0].Parts[len(s.files[0].Parts)-2]
		}
		s.harm(t, bad)
		s.turn(Suspect{Path: s.files[0].Path})
		s.tell(p)
		if got, want := s.lostAlarm(bad), "compact the history up to the present revision"; s.Status.Parts().Lost != bad.To || !strings.Contains(got, "is lost") || !strings.Contains(got, want) {
			t.Fatalf("piece %v: lost up to %d, not %d; alarm %q", piece, s.Status.Parts().Lost, bad.To, got)
		}
		saved := s.files[0].Index
		for range 3 {
			p.put(30)
			s.at += limits.SnapshotRetryMost
			s.show(p)
			s.turn(saveOf(p.ViewToSave()))
			if told := s.finish(p); !slices.Contains(told, ApplierMessage(saveEnded{Failed: true})) || len(drainBox(s.consensus)) > 0 || s.files[0].Index != saved {
				t.Errorf("piece %v: a snapshot that lists a lost part is saved: %+v", piece, s.files[0])
			}
		}
		if got := s.problems(); len(got) != 2 || !slices.ContainsFunc(got, func(one string) bool {
			return strings.HasPrefix(one, "SNAPSHOT: ") && strings.Contains(one, bad.Name())
		}) {
			t.Errorf("piece %v: alarms %q", piece, got)
		}
		if cuts := p.View().Extents(); s.shelf.Last() != cuts[len(cuts)-1].To {
			t.Errorf("piece %v: extents up to revision %d are written, of %d", piece, s.shelf.Last(), cuts[len(cuts)-1].To)
		}
		p.rebase(0)
		s.at += limits.SnapshotRetryMost
		if told := s.finish(p); s.Status.Parts().Lost > 0 || !slices.Contains(told, ApplierMessage(SnapshotWanted{Saves: 2})) {
			t.Errorf("piece %v: with a newer base, parts up to %d are lost; the applier gets %+v", piece, s.Status.Parts().Lost, told)
		}
		for range 2 {
			p.put(1)
			if got := s.save(p); !has[ConsensusMessage, snapshotSaved](got) {
				t.Errorf("piece %v: consensus hears of %+v, alarms %q", piece, got, s.problems())
			}
		}
		s.loads(p, "with a newer base")
		if got := s.problems(); len(got) != 1 || strings.Contains(got[0], "snapshots is lost") || len(s.repair.damaged) > 0 {
			t.Errorf("piece %v: in the end, alarms %q", piece, got)
		}
		if all, _ := partFiles(t, s); slices.Contains(all, bad.Name()) {
			t.Errorf("piece %v: nothing needs %s any more, and it takes space", piece, bad.Name())
		}
	}
}

// A piece of the base is lost, and the newer base, which was due by then, has the same piece: it is sound again. Whoever asks for the piece
// by the newer base's list is asked for the same file.
func TestLostPieceComesWithTheNewerBase(t *testing.T) {
	p, s := newPartsWith(t, func(l *limits.Index) { l.PieceBytes = 5_000 })
	p.putOthers()
	p.put(60)
	s.save(p)
	p.rebase(1)
	s.finish(p)
	s.save(p)
	p.put(60)
	s.finish(p)
	bad := s.files[0].Parts[0]
	if bad.Number != 0 {
		t.Fatalf("the snapshot lists %+v", s.files[0].Parts)
	}
	p.rebase(1)
	s.show(p)
	s.harm(t, bad)
	s.out.tries.notBefore = s.at + time.Hour
	s.turn(Suspect{Path: s.files[0].Path})
	if s.Status.Parts().Lost != bad.To {
		t.Fatalf("lost up to %d, alarms %q", s.Status.Parts().Lost, s.problems())
	}
	newer := bad
	newer.To = p.View().Base()
	s.unread = true
	err := s.receive.damagedHere(&s.snapshotCore, &s.repair, &snapshot.PartError{Part: newer, Err: damage.ErrDamaged})
	if s.turn(); s.Reader.Waiting() > 0 {
		t.Error("the others are asked again without a pause")
	}
	s.at += lostPartRetry
	s.turn()
	if got := drainBox(s.Reader); err == nil || len(got) != 1 || got[0] != (repairPart{bad}) {
		t.Errorf("ordered: %+v, not %s; %v", got, bad.Name(), err)
	}
	s.at += 2 * time.Hour
	s.finish(p)
	p.put(1)
	if got := s.save(p); !has[ConsensusMessage, snapshotSaved](got) || s.Status.Parts().Lost > 0 || len(s.repair.damaged) > 0 || s.shelf.Base() != p.View().Base() || !s.lists(bad) {
		t.Errorf("consensus hears of %+v, lost up to %d, %+v; the base is that of %d; alarms %q", got, s.Status.Parts().Lost, s.repair.damaged, s.shelf.Base(), s.problems())
	}
	s.loads(p, "with a newer base")
}

// lose has an extent lost that the newest snapshot lists.
func (s *snapshotterTurns) lose(t *testing.T, p *partState) snapshot.Part {
	t.Helper()
	bad := s.files[0].Parts[len(s.files[0].Parts)-2]
	s.harm(t, bad)
	s.turn(Suspect{Path: s.files[0].Path})
	if s.tell(p); s.Status.Parts().Lost != bad.To {
		t.Fatalf("lost up to %d, not %d; alarms %q", s.Status.Parts().Lost, bad.To, s.problems())
	}
	return bad
}

// Saves that fail because of a lost part, again and again, do not end the writing of the newer base that takes its place.
func TestFailedSavesDoNotEndANewerBase(t *testing.T) {
	p, s := newPartsWith(t, func(l *limits.Index) { l.PieceBytes = 5_000 })
	p.putOthers()
	p.put(60)
	s.save(p)
	s.lose(t, p)
	p.put(1)
	s.finish(p)
	p.rebase(0)
	s.show(p)
	s.Limits.SnapshotStepBytes = 1
	failed := 0
	for s.shelf.Base() != p.View().Base() && failed < 100 {
		s.at += limits.SnapshotRetryMost
		s.Handle(Time{Now: s.at}, []SnapshotterMessage{saveOf(p.ViewToSave())})
		for range 5 {
			s.Handle(Time{Now: s.at}, s.read())
		}
		if slices.Contains(s.tell(p), ApplierMessage(saveEnded{Failed: true})) {
			failed++
		}
	}
	if s.shelf.Base() != p.View().Base() || failed < 3 {
		t.Errorf("after %d saves that failed, the base is that of %d, not of %d", failed, s.shelf.Base(), p.View().Base())
	}
}

// The other members are asked again for a lost part, by each save that needs it and when a snapshot comes that lists it: the member that has
// it may have been down.
func TestLostPartIsFetchedAgain(t *testing.T) {
	for _, comes := range []bool{false, true} {
		p, s := newParts(t)
		p.put(100)
		s.save(p)
		bad := s.files[0].Parts[len(s.files[0].Parts)-2]
		sound := make([]byte, bad.Bytes)
		file, err := s.fs.Open("snap/" + bad.Name())
		if err == nil {
			_, err = file.ReadAt(sound, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := s.lose(t, p); got != bad {
			t.Fatalf("%s is lost", got.Name())
		}
		s.unread = true
		p.put(1)
		s.at += limits.SnapshotRetryMost
		if comes {
			if err := s.receive.damagedHere(&s.snapshotCore, &s.repair, &snapshot.PartError{Part: bad, Err: damage.ErrDamaged}); err == nil {
				t.Error("the transfer goes on")
			}
			s.turn()
		} else {
			s.turn(saveOf(p.ViewToSave()), saveOf(p.ViewToSave()))
		}
		s.tell(p)
		if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{bad}) || s.Status.Parts().Lost != bad.To {
			t.Fatalf("ordered: %+v; lost up to %d", got, s.Status.Parts().Lost)
		}
		writable, err := s.fs.OpenWritable("snap/" + bad.Name())
		if err == nil {
			_, err = writable.WriteAt(sound, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.turn(partRepaired{Part: bad})
		p.put(1)
		if got := s.save(p); !has[ConsensusMessage, snapshotSaved](got) || s.Status.Parts().Lost > 0 || len(s.problems()) != 1 || !strings.Contains(s.lostAlarm(bad), "nothing is lost") {
			t.Errorf("consensus hears of %+v, lost up to %d, alarms %q", got, s.Status.Parts().Lost, s.problems())
		}
		s.loads(p, "in the end")
	}
}

// A damaged part that no snapshot lists yet is found, too. If it is lost, each reader that finds it has the other members asked again.
func TestSuspectedPartWithoutASnapshot(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	s.finish(p)
	all := s.shelf.Parts()
	suspect := func(one snapshot.Part) {
		s.turn(Suspect{Path: "snap/" + one.Name()})
		s.tell(p)
	}
	if suspect(all[0]); len(s.files) > 0 || len(s.problems()) > 0 {
		t.Fatalf("%d snapshots, alarms %q", len(s.files), s.problems())
	}
	bad := all[len(all)-2]
	s.harm(t, bad)
	if suspect(bad); s.Status.Parts().Lost != bad.To || !strings.Contains(s.lostAlarm(bad), "is lost") {
		t.Fatalf("lost up to %d, alarms %q", s.Status.Parts().Lost, s.problems())
	}
	s.unread, s.at = true, s.at+lostPartRetry
	suspect(bad)
	suspect(bad) // it is asked for already
	if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{bad}) {
		t.Errorf("ordered: %+v", got)
	}
	s.turn(partRepaired{Part: bad})
	if s.tell(p); s.Status.Parts().Lost > 0 || !strings.Contains(s.lostAlarm(bad), "nothing is lost") {
		t.Errorf("lost up to %d, alarms %q", s.Status.Parts().Lost, s.problems())
	}
}

// A newer base takes the place of a lost part, which the newest snapshot lists until the next one. A full disk does not take the older
// snapshot, which can be loaded. It is the same if the fetch takes longer than the newer base.
func TestOlderSnapshotStaysBehindALostPart(t *testing.T) {
	for _, slow := range []bool{false, true} {
		p, s := newParts(t)
		for range 2 {
			p.put(100)
			s.save(p)
		}
		older, bad := s.files[1], s.files[0].Parts[len(s.files[0].Parts)-2]
		if slices.Contains(older.Parts, bad) {
			t.Fatalf("both snapshots list %s", bad.Name())
		}
		s.harm(t, bad)
		s.unread = slow
		s.repair.partDamaged(&s.snapshotCore, bad, damage.ErrDamaged) // as a reader finds it
		s.turn()
		if s.tell(p); s.Status.Parts().Lost > 0 == slow {
			t.Fatalf("slow %v: lost up to %d", slow, s.Status.Parts().Lost)
		}
		p.put(30)
		p.rebase(0)
		if s.finish(p); s.Status.Parts().Lost > 0 || s.shelf.Base() != p.View().Base() {
			t.Fatalf("slow %v: with a newer base, parts up to %d are lost", slow, s.Status.Parts().Lost)
		}
		s.unread = false
		s.turn()
		if got := s.lostAlarm(bad); slow && strings.Contains(got, "saves no snapshot") {
			t.Errorf("the next snapshot does not list it, and the alarm is %q", got)
		}
		s.Status.reportDisk(func(d *space.Disk) { d.Full = true })
		for range 3 {
			s.turn(Wait{})
		}
		if got := drainBox(s.consensus); has[ConsensusMessage, logCovered](got) || len(s.files) != 2 {
			t.Errorf("slow %v: %d snapshots are kept, and consensus hears of %+v", slow, len(s.files), got)
		}
		if _, _, err := snapshot.LoadIn(index.NewReserve(), s.fs, s.fs, older.Path, limits.Defaults().Index); err != nil {
			t.Errorf("slow %v: the older snapshot cannot be loaded: %v", slow, err)
		}
		p.put(1)
		if s.save(p); len(s.repair.damaged) > 0 || !strings.Contains(s.lostAlarm(bad), "not needed any more: nothing is lost") {
			t.Errorf("slow %v: only the oldest snapshot lists it, and it is not forgotten: %+v, alarm %q", slow, s.repair.damaged, s.lostAlarm(bad))
		}
		p.put(1)
		s.save(p)
		s.loads(p, "with a newer base")
	}
}

// harm overwrites bytes of a published part.
func (s *snapshotterTurns) harm(t *testing.T, one snapshot.Part) {
	t.Helper()
	f, err := s.fs.OpenWritable("snap/" + one.Name())
	if err == nil {
		_, err = f.WriteAt([]byte{1, 2, 3}, one.Bytes/2)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// loads has all published snapshots loaded, and the newest one must have the present state.
func (s *snapshotterTurns) loads(p *partState, when string) {
	p.t.Helper()
	for i, info := range s.files {
		loaded, _, err := snapshot.LoadIn(index.NewReserve(), s.fs, s.fs, info.Path, limits.Defaults().Index)
		if err != nil || i == 0 && loaded.View().Digest() != p.View().Digest() {
			p.t.Errorf("%s, %s with %d parts: %v", when, info.Path, len(info.Parts), err)
		}
	}
}

// A base whose versions are partly dropped from memory is not written again after damage: the extents behind it would change keys that
// it lacks. There is no snapshot until there is a newer base.
func TestDamagedBaseIsNotMadeOfLess(t *testing.T) {
	p, s := newPartsWith(t, func(l *limits.Index) { l.ColdBytes = 1 << 20 })
	rare := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("rare")}).Bytes
	p.apply(rare) // in the base
	p.put(100)
	p.finishAndRebase(s)
	p.apply(rare) // behind the base
	p.put(60)
	s.save(p)
	p.apply(new(index.Head).AppendCompact(nil, p.Revision()).Bytes) // drops the version that the base has
	for range 2 {
		p.put(30)
		s.save(p)
	}
	s.loads(p, "before the damage")
	base, saved := s.files[0].Parts[0], s.files[0].Index
	if base.Number != 0 || base.To != p.View().Base() {
		t.Fatalf("the newest snapshot lists %+v, the base is %d", s.files[0].Parts, p.View().Base())
	}
	before, _ := partFiles(t, s)
	s.harm(t, base)
	s.turn(Suspect{Path: s.files[0].Path})
	s.tell(p)
	if got, _ := partFiles(t, s); !slices.Equal(got, before) || s.Status.Parts().Lost != base.To || !strings.Contains(s.lostAlarm(base), "is lost") {
		t.Errorf("there were %v, and are %v; lost up to %d, alarm %q", before, got, s.Status.Parts().Lost, s.lostAlarm(base))
	}
	for range 3 {
		p.put(30)
		s.save(p)
	}
	if s.files[0].Index != saved {
		t.Errorf("a snapshot is saved that lists %+v", s.files[0].Parts)
	}
	p.rebase(1)
	s.finish(p)
	for range 2 {
		p.put(30)
		s.save(p)
	}
	s.loads(p, "with a newer base")
	if got := s.files[0].Parts; len(got) == 0 || got[0].To != p.View().Base() || got[0].To == base.To {
		t.Errorf("with a newer base the newest snapshot lists %+v", got)
	}
}

// On a full disk the newest snapshot is checked again and again, until the older one may go. If it lacks a part, that does not keep the
// member from its other work: another snapshot is saved when the part was written again, and ends at once if it is lost.
func TestMissingPartDelaysNoSave(t *testing.T) {
	for _, lost := range []bool{false, true} {
		cold, again := 1<<20, 0
		if lost {
			cold, again = 1, 1 // after lostPartRetry
		}
		p, s := newPartsWith(t, func(l *limits.Index) { l.ColdBytes = cold })
		p.put(100)
		s.save(p)
		p.put(30)
		s.save(p)
		if err := s.fs.Remove("snap/" + s.files[0].Parts[0].Name()); err != nil {
			t.Fatal(err)
		}
		s.Status.reportDisk(func(d *space.Disk) { d.Full = true })
		s.turn(Suspect{Path: s.files[0].Path})
		s.tell(p)
		p.put(1)
		now, fetched, ended := s.at, 0, []bool(nil)
		batch := []SnapshotterMessage{saveOf(p.ViewToSave())}
		for range 2_000 {
			now += lostPartRetry / 1000
			s.Handle(Time{Now: now}, batch)
			fetched += s.Reader.Waiting()
			batch = s.read()
			for _, m := range drainBox(s.Applier) {
				if m, ok := m.(saveEnded); ok {
					ended = append(ended, m.Failed)
				}
			}
		}
		if fetched != again || s.out.order != nil || s.check.current != nil || !slices.Equal(ended, []bool{lost}) {
			t.Errorf("lost %v: the part is wanted %d times more, and saves ended: %v", lost, fetched, ended)
		}
		if !lost {
			s.loads(p, "in the end")
		}
	}
}

// A part that the disk cannot read is treated as a damaged one: no snapshot lists it. A process without file descriptors says nothing about a
// part.
func TestUnreadablePartIsReplaced(t *testing.T) {
	for _, failure := range []error{syscall.EIO, syscall.EMFILE} {
		p, s := newParts(t)
		p.put(100)
		s.save(p)
		bad := s.files[0].Parts[1]
		s.fs.Fail(simdisk.Fault{Op: simdisk.OpOpen, Name: "snap/" + bad.Name(), Err: failure, Stays: true})
		s.turn(Suspect{Path: s.files[0].Path})
		if got, lost := s.problems(), s.Status.Parts().Lost > 0; len(got) != 1 || lost != (failure == syscall.EIO) {
			t.Errorf("after %v, alarms %q, and the part is lost: %v", failure, got, lost)
		}
	}
}

// transfer carries a snapshot from one snapshotter to another one, and counts the bytes.
type transfer struct {
	from, to *snapshotterTurns
	queue    []func()
	bytes    int64
	drop     int64 // the piece that does not come, counted from 1; 0: none
	pieces   int64
	save     snapshot.Part // that the receiver saves itself when its first piece comes
}

type transferEnd struct {
	*transfer
	peer *snapshotterTurns
	id   uint64
}

func (e transferEnd) Send(_ uint64, m peerframe.Message, _ bool) {
	e.queue = append(e.queue, func() { e.peer.turn(FromPeer{From: e.id, Message: m}) })
}

// give gives a piece of a file of the sender.
func (tr *transfer) give(name string, offset int64) ([]byte, error) {
	if tr.pieces++; tr.pieces == tr.drop {
		return nil, errAway
	}
	if tr.save.Bytes > 0 && name == tr.save.Name() {
		tr.keep()
	}
	f, err := tr.from.fs.Open("snap/" + name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 10_000)
	n, err := f.ReadAt(b, offset)
	if n > 0 {
		err = nil
	}
	tr.bytes += int64(n)
	return b[:n], err
}

// connect has each of the two hear of the other.
func (tr *transfer) connect() {
	tr.from.Peers, tr.to.Peers, tr.to.give = transferEnd{tr, tr.to, 1}, transferEnd{tr, tr.from, 2}, tr.give
}

// keep publishes a part at the receiver.
func (tr *transfer) keep() {
	b := make([]byte, tr.save.Bytes)
	from, err := tr.from.fs.Open("snap/" + tr.save.Name())
	if err == nil {
		_, err = from.ReadAt(b, 0)
	}
	to, failed := tr.to.fs.Create("snap/" + tr.save.Name())
	if failed == nil {
		_, failed = to.WriteAt(b, 0)
	}
	if err = errors.Join(err, failed, from.Close(), to.Close()); err != nil {
		panic(err)
	}
	tr.save = snapshot.Part{}
}

// SetMembers implements Peers.
func (transferEnd) SetMembers(index.Members) {}

// CheckAlive implements Peers.
func (transferEnd) CheckAlive(uint64) {}

// run sends the newest snapshot, and returns the state that the receiver's consensus gets.
func (tr *transfer) run(t *testing.T, p *partState) *index.State {
	t.Helper()
	tr.connect()
	tr.bytes = 0
	message := &raftpb.Message{Snapshot: snapshotAt(p.at, 1, ConfStateOf(p.Members().Configuration()))}
	for range 10_000 {
		if len(tr.from.sends.transfers) == 0 { // or it has failed, and is tried again after a pause
			tr.from.at += time.Minute
			tr.from.turn(sendSnapshot{Peer: 2, Message: message})
		}
		tr.from.turn(Wait{})
		for len(tr.queue) > 0 {
			next := tr.queue[0]
			tr.queue = tr.queue[1:]
			next()
		}
		for _, m := range drainBox(tr.to.consensus) {
			if received, ok := m.(snapshotReceived); ok {
				tr.to.turn(installed{Index: p.at, Term: 1})
				return received.State
			}
		}
	}
	t.Fatalf("the snapshot does not come: %q", tr.to.problems())
	return nil
}

// Only the parts travel that the receiver lacks, also when a piece is lost.
func TestOnlyMissingPartsTravel(t *testing.T) {
	p, leader := newParts(t)
	follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	tr := &transfer{from: leader, to: follower, drop: 3}
	p.put(500)
	leader.save(p)
	if got := tr.run(t, p); got.View().Digest() != p.View().Digest() {
		t.Error("another state has come")
	}
	first := tr.bytes
	p.put(20)
	leader.save(p)
	follower.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	if got := tr.run(t, p); got.View().Digest() != p.View().Digest() {
		t.Error("another state has come")
	}
	if first < 400_000 || tr.bytes > first/10 {
		t.Errorf("%d bytes travelled, and for the changes after that %d", first, tr.bytes)
	}
	if open := follower.fs.OpenFiles(); len(open) > 0 {
		t.Errorf("the files %v stay open", open)
	}
	if all, _ := partFiles(t, follower); len(all) != len(leader.files[0].Parts) {
		t.Errorf("the follower has %v", all)
	}
}

// A received state has another base than the one that is being written, which is given up.
func TestInstalledStateEndsANewerBase(t *testing.T) {
	q, follower := dueBase(t)
	follower.show(q)
	step := follower.Limits.SnapshotStepBytes
	follower.Limits.SnapshotStepBytes = 1
	follower.steps(t, func() bool { return follower.out.base != nil && len(follower.out.base.volumes) == 1 })
	follower.Limits.SnapshotStepBytes = step
	p, leader := dueBase(t)
	leader.finish(p)
	p.put(60)
	p.finishAndRebase(leader)
	leader.save(p)
	got := (&transfer{from: leader, to: follower}).run(t, p)
	follower.Status.view.Store(got.View())
	follower.turn()
	if all, _ := partFiles(t, follower); follower.shelf.Base() != p.View().Base() || len(all) != len(leader.files[0].Parts) {
		t.Errorf("the base is that of %d, not of %d, and there are %v", follower.shelf.Base(), p.View().Base(), all)
	}
	if len(follower.parts.written) > 0 {
		t.Error("the pieces of the base that was given up are kept for ever")
	}
}

// The log brings what a snapshot on its way would: the parts that have come go at once.
func TestNeedlessTransferLeavesNoParts(t *testing.T) {
	p, leader := newParts(t)
	p.put(100)
	leader.save(p)
	follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	tr := &transfer{from: leader, to: follower}
	tr.connect()
	follower.give = func(name string, offset int64) ([]byte, error) {
		if len(follower.parts.all) == 2 {
			return nil, errAway
		}
		return tr.give(name, offset)
	}
	leader.turn(sendSnapshot{Peer: 2, Message: &raftpb.Message{Snapshot: snapshotAt(p.at, 1, ConfStateOf(p.Members().Configuration()))}})
	if tr.queue[0](); len(follower.parts.all) != 2 {
		t.Fatalf("there are %d parts", len(follower.parts.all))
	}
	q, _ := newParts(t)
	q.put(100)
	follower.Status.view.Store(q.View())
	if follower.Handle(Time{Now: follower.at}, []SnapshotterMessage{Wait{}}); follower.receive.current != nil {
		t.Fatal("the transfer goes on")
	}
	if all, _ := partFiles(t, follower); len(all) > 0 {
		t.Errorf("the transfer has ended, and there are %v", all)
	}
}

// A transfer is refused before its first byte unless the parts and the snapshot fit on the disk together.
func TestPartsFitTogether(t *testing.T) {
	p, leader := newParts(t)
	p.put(100)
	leader.save(p)
	sent := leader.files[0]
	file, err := snapshot.Open(leader.fs, sent.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	o := peerframe.SnapshotOffer{
		Index: sent.Index, Term: sent.Term, Size: file.Size(), SHA: file.SHA(),
		MessageTerm: 2, Parts: offeredParts(sent.Parts),
	}
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	for _, lacks := range []int64{1, 0} {
		s.fs.SetCapacity(s.fs.Used() + sent.Whole() - lacks)
		s.turn(FromPeer{From: 2, Message: o})
		if begun := s.receive.current != nil; begun != (lacks == 0) {
			t.Errorf("%d bytes are lacking, and the transfer begins: %v; alarms %q", lacks, begun, s.problems())
		}
	}
}

// Parts of a transfer that was given up, or of a seed, take no space from the snapshot that comes in its place.
func TestPartsOfAnEarlierTransferMakeRoom(t *testing.T) {
	p, earlier := newParts(t)
	p.put(100)
	earlier.save(p)
	follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	tr := &transfer{from: earlier, to: follower}
	tr.connect()
	follower.give = func(name string, offset int64) ([]byte, error) {
		if len(follower.parts.all) == 3 && offset > 0 {
			return nil, errAway
		}
		return tr.give(name, offset)
	}
	earlier.turn(sendSnapshot{Peer: 2, Message: &raftpb.Message{Snapshot: snapshotAt(p.at, 1, ConfStateOf(p.Members().Configuration()))}})
	if tr.queue[0](); len(follower.parts.all) != 3 || len(names(t, follower.fs)) != 4 {
		t.Fatalf("there are %v", names(t, follower.fs))
	}
	q, leader := newParts(t)
	q.putOthers()
	q.put(50)
	leader.save(q)
	follower.at += 2 * snapshotReceiveIdle
	follower.fs.SetCapacity(leader.files[0].Whole() + 8<<10)
	if got := (&transfer{from: leader, to: follower}).run(t, q); got.View().Digest() != q.View().Digest() {
		t.Error("another state has come")
	}
	if got := follower.problems(); len(got) > 0 {
		t.Errorf("it failed: %q", got)
	}
}

// A member whose disk holds two snapshots, and not a third one that comes, lets go of the older one.
func TestOlderSnapshotMakesRoomForOneThatComes(t *testing.T) {
	p, follower := newParts(t)
	for range 2 {
		p.put(50)
		follower.save(p)
	}
	q, leader := newParts(t)
	q.putOthers()
	q.put(500)
	leader.save(q)
	sent := leader.files[0]
	file, err := snapshot.Open(leader.fs, sent.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	offer := FromPeer{From: 2, Message: peerframe.SnapshotOffer{
		Index: sent.Index, Term: sent.Term, Size: file.Size(), SHA: file.SHA(), MessageTerm: 2, Parts: offeredParts(sent.Parts),
	}}
	follower.fs.SetCapacity(follower.fs.Used() + sent.Whole() - follower.files[1].Bytes)
	if follower.turn(offer); follower.receive.current != nil || len(follower.problems()) != 1 {
		t.Fatalf("there is room for it: %q", follower.problems())
	}
	if follower.turn(Wait{}); len(follower.files) != 1 {
		t.Fatalf("%d snapshots are kept", len(follower.files))
	}
	if follower.turn(offer); follower.receive.current == nil {
		t.Errorf("it does not come: %q", follower.problems())
	}
}

// A lost part whose file is gone comes with a snapshot: then nothing is lost any more.
func TestLostPartComesWithASnapshot(t *testing.T) {
	p, leader := newParts(t)
	follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	tr := &transfer{from: leader, to: follower}
	p.put(500)
	leader.save(p)
	tr.run(t, p)
	bad := follower.files[0].Parts[1]
	if err := follower.fs.Remove("snap/" + bad.Name()); err != nil {
		t.Fatal(err)
	}
	follower.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	follower.turn(Suspect{Path: follower.files[0].Path})
	if follower.turn(); follower.Status.Parts().Lost != bad.To {
		t.Fatalf("lost up to %d, alarms %q", follower.Status.Parts().Lost, follower.problems())
	}
	p.put(20)
	leader.save(p)
	if got := tr.run(t, p); got.View().Digest() != p.View().Digest() {
		t.Error("another state has come")
	}
	if follower.turn(); follower.Status.Parts().Lost > 0 || len(follower.repair.damaged) > 0 || !strings.Contains(follower.lostAlarm(bad), "nothing is lost") {
		t.Errorf("the part came, and it is lost up to %d: %+v, alarms %q", follower.Status.Parts().Lost, follower.repair.damaged, follower.problems())
	}
}

// A part of the sender has another size than it offers. The sender hears of it, and has the part fetched.
func TestPartOfTheSenderIsCut(t *testing.T) {
	p, leader := newParts(t)
	follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	tr := &transfer{from: leader, to: follower}
	p.put(100)
	leader.save(p)
	cut := leader.files[0].Parts[1]
	leader.harm(t, cut)
	tr.connect()
	follower.give = func(name string, offset int64) ([]byte, error) {
		if name == cut.Name() {
			return nil, fmt.Errorf("%w: its file has another size", damage.ErrOtherBytes)
		}
		return tr.give(name, offset)
	}
	leader.turn(sendSnapshot{Peer: 2, Message: &raftpb.Message{Snapshot: snapshotAt(p.at, 1, ConfStateOf(p.Members().Configuration()))}})
	for len(tr.queue) > 0 {
		next := tr.queue[0]
		tr.queue = tr.queue[1:]
		next()
	}
	if leader.lostAlarm(cut) == "" || len(leader.sends.transfers) > 0 {
		t.Errorf("the sender does not know of it: alarms %q, transfers %+v", leader.problems(), leader.sends.transfers)
	}
}

// A part that the receiver has had is damaged, or cannot be read: an alarm says so, the part is moved aside, and comes with the next offer.
func TestPartOfTheReceiverIsDamaged(t *testing.T) {
	for name, harm := range map[string]func(f *snapshotterTurns, part string) error{
		"rotten": func(f *snapshotterTurns, part string) error { return f.fs.Rot(part, 500, 1) },
		"unreadable": func(f *snapshotterTurns, part string) error {
			f.fs.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: part, Err: syscall.EIO})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, leader := newParts(t)
			follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
			follower.Damaged = "damaged"
			tr := &transfer{from: leader, to: follower}
			p.put(500)
			leader.save(p)
			tr.run(t, p)
			p.put(20)
			leader.save(p)
			follower.Status.view.Store(index.NewState(limits.Defaults().Index).View())
			bad := leader.files[0].Parts[1].Name()
			if err := harm(follower, "snap/"+bad); err != nil {
				t.Fatal(err)
			}
			follower.files, follower.shelf = nil, snapshot.NewShelf(nil) // nothing of its own lists the part any more
			if got := tr.run(t, p); got.View().Digest() != p.View().Digest() {
				t.Error("another state has come")
			}
			aside, _ := follower.fs.List("damaged")
			if !slices.Equal(aside, []string{bad}) {
				t.Errorf("aside: %q", aside)
			}
			if !slices.ContainsFunc(follower.Status.Alarms(), func(a kv.Alarm) bool {
				return a.Name == kv.CorruptAlarm && a.Subject == "snap/"+bad && strings.Contains(a.Text, "nothing is lost")
			}) {
				t.Errorf("alarms %+v", follower.Status.Alarms())
			}
		})
	}
}

// A damaged part that a snapshot of the receiver lists, too, is fetched at once: the transfer may become needless, and then nothing else would
// bring the values back that are in the part.
func TestListedPartOfTheReceiverIsFetched(t *testing.T) {
	p, leader := newParts(t)
	follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	tr := &transfer{from: leader, to: follower}
	p.put(500)
	leader.save(p)
	tr.run(t, p)
	bad := follower.files[0].Parts[1]
	if err := follower.receive.damagedHere(&follower.snapshotCore, &follower.repair, &snapshot.PartError{Part: bad, Err: damage.ErrDamaged}); err == nil || !strings.Contains(err.Error(), "and is fetched") {
		t.Errorf("the transfer ends with %v", err)
	}
	follower.unread = true
	follower.turn()
	if got := drainBox(follower.Reader); len(got) != 1 || got[0] != (repairPart{bad}) || !follower.parts.has(bad) {
		t.Errorf("ordered: %v; it has the part: %v", got, follower.parts.has(bad))
	}
	follower.files, follower.shelf, follower.Damaged = nil, snapshot.NewShelf(nil), "damaged"
	if err := follower.receive.damagedHere(&follower.snapshotCore, &follower.repair, &snapshot.PartError{Part: bad, Err: damage.ErrDamaged}); err == nil || follower.parts.has(bad) {
		t.Errorf("nothing of its own lists the part any more, and it counts as here; the transfer ends with %v", err)
	}
}

// A member may save a part of its own while the same one comes. Then the transfer goes on.
func TestPartIsSavedWhileItComes(t *testing.T) {
	p, leader := newParts(t)
	follower := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	p.put(100)
	leader.save(p)
	tr := &transfer{from: leader, to: follower, save: leader.files[0].Parts[2]}
	if got := tr.run(t, p); got.View().Digest() != p.View().Digest() || tr.save.Bytes > 0 {
		t.Error("another state has come")
	}
	if got := follower.problems(); len(got) > 0 || follower.Status.Observer.Counters.ReceiveFailed.Load() > 0 {
		t.Errorf("it failed: %q", got)
	}
}

// Damaged parts are fetched one after the other.
func TestDamagedPartsAreFetchedInTurn(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	s.save(p)
	bad := []snapshot.Part{s.files[0].Parts[0], s.files[0].Parts[2], s.files[0].Parts[3]}
	for _, one := range bad {
		s.harm(t, one)
	}
	now, batch := s.at, []SnapshotterMessage{Suspect{Path: s.files[0].Path}}
	for range 2_000 {
		now += time.Millisecond
		s.Handle(Time{Now: now}, batch)
		batch = nil
	}
	for _, one := range bad {
		if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{one}) {
			t.Fatalf("ordered: %+v, wanted: %s", got, one.Name())
		}
		s.Handle(Time{Now: now}, []SnapshotterMessage{partRepaired{Part: one}})
	}
	if got := drainBox(s.Reader); len(got) > 0 {
		t.Errorf("when all are there, %+v is ordered", got)
	}
}

// A part is written again while it is fetched from another member. The end of that fetch begins the next one.
func TestPartIsWrittenWhileItIsFetched(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	s.save(p)
	bad := []snapshot.Part{s.files[0].Parts[0], s.files[0].Parts[2]}
	for _, one := range bad {
		s.harm(t, one)
	}
	now, batch := s.at, []SnapshotterMessage{Suspect{Path: s.files[0].Path}}
	for range 2_000 {
		now += time.Millisecond
		s.Handle(Time{Now: now}, batch)
		batch = nil
	}
	if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{bad[0]}) || len(s.repair.damaged) != 2 {
		t.Fatalf("ordered: %+v, wanted: %s; damaged: %+v", got, bad[0].Name(), s.repair.damaged)
	}
	s.repair.repaired(&s.snapshotCore, s.repair.damaged[0], "written again")
	s.Handle(Time{Now: now}, []SnapshotterMessage{partRepaired{Part: bad[0]}})
	if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{bad[1]}) {
		t.Errorf("ordered: %+v, wanted: %s", got, bad[1].Name())
	}
}

// The value reader reports the error of each value that it cannot read, and reads the others.
func TestValueReaderReportsErrors(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	s.save(p)
	for p.View(); p.Reclaim(); {
	}
	lost := s.files[0].Parts[2]
	if err := s.fs.Remove("snap/" + lost.Name()); err != nil {
		t.Fatal(err)
	}
	v := p.View()
	var wanted []*index.Unread
	if _, err := v.Changes(index.Position{Revision: 3}, func(c *index.Change) bool {
		if one := c.Unread(); one != nil {
			wanted = append(wanted, one)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	hub := NewMailbox[WatchHubMessage]("watch hub", Capacity{MustPost: 1})
	(&ValueReader{WatchHub: hub}).Handle(Time{}, []ReadValues{{wanted}})
	got := drainBox(hub)
	if len(got) != 1 || len(got[0].(valuesRead).Values) != len(wanted) {
		t.Fatalf("%d values were wanted, and %d answers came", len(wanted), len(got))
	}
	failed := 0
	for i, one := range got[0].(valuesRead).Values {
		if one.Err != nil {
			failed++
		} else if len(one.Value) != wanted[i].Size() {
			t.Errorf("a value of %d bytes for one of %d", len(one.Value), wanted[i].Size())
		}
		if one.Position != wanted[i].Position() {
			t.Errorf("the value at %v came as that at %v", wanted[i].Position(), one.Position)
		}
	}
	if failed == 0 || failed == len(wanted) {
		t.Errorf("%d of %d values could not be read", failed, len(wanted))
	}
}

// awayValues are in a backup that cannot be read.
type awayValues struct {
	*snapshot.Shelf
	reads int
}

func (a *awayValues) Value([]byte, index.Position, func([]byte) bool) ([]byte, error) {
	a.reads++
	return nil, fmt.Errorf("%w: no answer within 3s", index.ErrInBackup)
}

func (a *awayValues) ReadTogether([]*index.Unread) { a.reads++ }

// The value reader waits twice for a backup that cannot be read, for all and for the first one, and leaves the other values to the next list.
func TestValueReaderOfABackupThatIsAway(t *testing.T) {
	p, s := newParts(t)
	p.put(100)
	s.save(p)
	for p.View(); p.Reclaim(); {
	}
	away := &awayValues{Shelf: s.shelf}
	p.Stored(away.Base(), away.Last(), away)
	var wanted []*index.Unread
	if _, err := p.View().Changes(index.Position{Revision: 3}, func(c *index.Change) bool {
		if one := c.Unread(); one != nil {
			wanted = append(wanted, one)
		}
		return true
	}); err != nil || len(wanted) < 2 {
		t.Fatal(len(wanted), err)
	}
	hub := NewMailbox[WatchHubMessage]("watch hub", Capacity{MustPost: 1})
	(&ValueReader{WatchHub: hub}).Handle(Time{}, []ReadValues{{wanted}})
	if got := drainBox(hub)[0].(valuesRead).Values; len(got) != 1 || got[0].Err == nil || got[0].Position != wanted[0].Position() || away.reads != 2 {
		t.Errorf("%d of %d values were read in %d calls: %+v", len(got), len(wanted), away.reads, got)
	}
}

// Values are read from each piece of a base.
func TestPiecesOfABaseAreRead(t *testing.T) {
	testlong.Skip(t)
	p, s := newParts(t)
	for n := range 400 {
		p.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "large %d", n), Value: make([]byte, 100_000)}).Bytes)
	}
	p.put(100)
	s.save(p)
	extents := p.View().Extents()
	p.apply(new(index.Head).AppendCompact(nil, p.Revision()).Bytes)
	p.apply(index.AppendRebase(nil, extents[len(extents)-2].To).Bytes)
	for range 2 {
		p.put(10)
		s.save(p)
	}
	pieces := slices.DeleteFunc(slices.Clone(s.files[0].Parts), func(one snapshot.Part) bool { return one.Number > 0 })
	if len(pieces) < 2 {
		t.Fatalf("the base has %d pieces", len(pieces))
	}
	read := s.shelf.Parts()
	pieces = slices.DeleteFunc(pieces, func(piece snapshot.Part) bool { return slices.Contains(read, piece) })
	if len(pieces) > 0 {
		t.Errorf("values are not read from %+v", pieces)
	}
}

// partsInBackup are the parts of a branch: the disk is the backup, except for one part of its own.
type partsInBackup struct {
	*simdisk.Disk
	own  string
	away error // of each read of the backup
	asks int
}

func (b *partsInBackup) Place(path string) string {
	if !strings.HasSuffix(path, ".part") || path == b.own {
		return ""
	}
	return "s3://bucket/parts/" + path[len("snap/"):][21:30]
}

func (b *partsInBackup) Open(name string) (disk.File, error) {
	if b.Place(name) != "" && b.away != nil {
		b.asks++
		return nil, b.away
	}
	return b.Disk.Open(name)
}

// No other member has a part that is in a branch's backup, and no alarm says so. While the backup cannot be read, its parts are not damaged; one
// of the branch's own is found damaged all the same.
func TestPartsInABackup(t *testing.T) {
	begin := func() (*partState, *snapshotterTurns, *partsInBackup, []snapshot.Part) {
		p, s := newParts(t)
		p.put(100)
		s.save(p)
		all := s.files[0].Parts
		b := &partsInBackup{Disk: s.fs, own: "snap/" + all[len(all)-1].Name()}
		s.FS, s.unread = b, true
		return p, s, b, all
	}
	of := func(s *snapshotterTurns) string { return strings.Join(s.problems(), "\n") }
	wrong := func(s *snapshotterTurns) bool {
		return strings.Contains(of(s), "other member") || strings.Contains(of(s), "look at the disk")
	}

	_, s, b, all := begin()
	b.away = errors.New("the server refuses connections")
	s.turn(Suspect{Path: s.files[0].Path})
	if got := drainBox(s.Reader); len(got) > 0 || len(s.problems()) > 0 || has[ApplierMessage, SnapshotWanted](drainBox(s.Applier)) || b.asks != 1 {
		t.Errorf("while the backup is away, after %d reads: ordered %+v, alarms %q", b.asks, got, s.problems())
	}
	s.harm(t, all[len(all)-1])
	s.turn(Suspect{Path: s.files[0].Path})
	if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{all[len(all)-1]}) || !strings.Contains(of(s), "another member") {
		t.Errorf("an own part: ordered %+v, alarms %q", got, s.problems())
	}

	p, s, _, all := begin()
	s.harm(t, all[0])
	s.turn(Suspect{Path: s.files[0].Path})
	if got := drainBox(s.Reader); len(got) != 1 || got[0] != (repairPart{all[0]}) || wrong(s) || !strings.Contains(of(s), "damaged in the backup") || !strings.Contains(of(s), "s3://bucket/parts/") {
		t.Errorf("ordered %+v, alarms %q", got, s.problems())
	}
	s.turn(partRepaired{Part: all[0], Err: fmt.Errorf("%w there", damage.ErrDamaged)})
	s.tell(p)
	if wrong(s) || s.Status.Parts().Lost != all[0].To || !strings.Contains(of(s), "begin a new branch") {
		t.Errorf("lost up to %d, alarms %q", s.Status.Parts().Lost, s.problems())
	}

	_, s, b, all = begin()
	sound := s.fs.Clone(1)
	s.harm(t, all[0])
	s.turn(Suspect{Path: s.files[0].Path})
	b.Disk = sound
	s.turn(partRepaired{Part: all[0]})
	if wrong(s) || !strings.Contains(of(s), "read again from the backup, where it is sound") || strings.Contains(of(s), "damaged/") {
		t.Errorf("a part that is sound again: alarms %q", s.problems())
	}
}
