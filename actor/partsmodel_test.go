package actor

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// Two members save, send, lose, repair and read the parts of one log, on simulated disks. After each step, each snapshot loads to the digest
// of its entry, each value that the disk can have is read and none is wrong, each file that a snapshot lists is there, and the member can
// start again. At rest there are no other files, and all superseded values of parts have left memory. The pieces of a base are the same
// files on both.
func TestPartsModel(t *testing.T) {
	steps := flag.Lookup("rapid.steps")
	defer steps.Value.Set(steps.Value.String())
	if err := steps.Value.Set("100"); err != nil {
		t.Fatal(err)
	}
	total := map[string]int{}
	check := func(t *rapid.T) {
		m := newPartsModel(t, total)
		t.Repeat(map[string]func(*rapid.T){
			"":         func(*rapid.T) { m.check() },
			"put":      m.put,
			"put 2":    m.put,
			"put 3":    m.put,
			"compact":  m.compact,
			"rebase":   m.rebase,
			"save":     m.save,
			"save 2":   m.save,
			"steps":    m.steps,
			"rest":     m.rest,
			"rest 2":   m.rest,
			"harm":     m.harm,
			"read":     m.readAll,
			"repair":   m.repair,
			"send":     m.send,
			"deliver":  m.deliver,
			"deliver2": m.deliver,
			"install":  m.install,
			"crash":    m.crash,
			"room":     m.room,
			"lag":      m.lag,
		})
		m.end()
	}
	rare := []string{
		"snapshots with parts", "snapshots without parts", "newer bases", "bases of several pieces", "bases compared", "harm found", "parts fetched", "parts given up", "parts written again", "snapshots put aside",
		"installed", "not installed", "crashes", "saves on a small disk", "saves during a transfer", "pieces that do not come", "transfers on a small disk", "cold values",
	}
	missing := func() int { return slices.IndexFunc(rare, func(what string) bool { return total[what] == 0 }) }
	for range 4 { // some come a few times in a hundred runs
		if rapid.Check(t, check); missing() < 0 || t.Failed() || testing.Short() {
			break
		}
	}
	t.Logf("%v", total)
	if at := missing(); at >= 0 && !t.Failed() && !testing.Short() {
		t.Errorf("%q never came", rare[at])
	}
}

// partsModel is a log, the state that it makes, and two members that apply it.
type partsModel struct {
	t         *rapid.T
	made      map[string]int
	limits    limits.Index
	log       [][]byte     // entry n is element n-1
	reference *index.State // it has applied all of it, and has no files
	digests   []uint64     // after each entry
	values    map[string][]partValue
	bases     map[int64]string // the names of the pieces, by the base's revision
	members   []*partsMember
}

// partValue is what a change made of a key. A deleted one is nil.
type partValue struct {
	revision int64
	value    []byte
}

// partsMember is a member between two steps. Its log up to entry at survives each crash.
type partsMember struct {
	*snapshotterTurns
	m      *partsModel
	other  *partsMember
	id     uint64
	limits limits.Index
	state  *index.State
	at     uint64

	running  *save // nil: none
	released uint64
	lags     bool // it hears of no entries
	small    bool // the disk is small
	capacity int64
	fits     bool // the running save has the space that it needs
	there    bool // the running save is of a state that has a snapshot
	orders   []snapshot.Part
	inbox    []peerframe.Message
	pulls    []pull // that wait for a piece of the other member
	received *snapshotReceived
	transfer *receiving
	come     map[string]bool // parts of the transfer that are here
	fails    uint64          // transfers that failed

	sound    map[string][]byte // of harmed files, by path
	silent   map[string]bool   // those that the member has not found
	excused  bool              // no snapshot needs to load: the harm has hit all of them
	compared int64             // the newest base of which the pieces were compared
	saved    bool              // since the last change of the state and the files, a snapshot was saved
	loaded   map[string]bool   // snapshots that were loaded since the last change of the files
}

func newPartsModel(t *rapid.T, made map[string]int) *partsModel {
	m := &partsModel{t: t, values: map[string][]partValue{}, bases: map[int64]string{}, made: made}
	m.limits = limits.Defaults().Index
	m.limits.ExtentBytes = rapid.SampledFrom([]int64{400, 1_500, 6_000}).Draw(t, "extent")
	m.limits.PieceBytes = rapid.SampledFrom([]int64{300, 1_000, 0}).Draw(t, "piece")
	m.limits.CompactionWork = rapid.SampledFrom([]int64{1, 20, 1 << 20}).Draw(t, "compaction")
	m.reference = m.begin(m.limits)
	for id := range uint64(2) {
		p := &partsMember{m: m, id: id + 1, limits: m.limits, capacity: 1 << 50, sound: map[string][]byte{}, silent: map[string]bool{}, snapshotterTurns: &snapshotterTurns{fs: simdisk.New(rapid.Uint64().Draw(t, "disk"))}}
		p.limits.ColdBytes = rapid.SampledFrom([]int{1, 64, 1 << 20}).Draw(t, "away")
		if err := errors.Join(p.fs.MkdirAll("snap"), p.fs.SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		m.members = append(m.members, p)
	}
	m.members[0].other, m.members[1].other = m.members[1], m.members[0]
	for _, p := range m.members {
		p.start()
	}
	m.entry(new(index.Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 60}).Bytes)
	m.entry(index.AppendFeatureLevel(nil, index.MaxLevel).Bytes)
	return m
}

func (m *partsModel) begin(l limits.Index) *index.State {
	s := index.NewState(l)
	s.Found(index.Founders(map[string]uint64{"n1": 1, "n2": 2}))
	return s
}

func (m *partsModel) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(format, args...)
}

// draw is true with a probability of 1/n.
func (m *partsModel) oneIn(n int, what string) bool { return rapid.IntRange(1, n).Draw(m.t, what) == 1 }

func (m *partsModel) member(t *rapid.T) *partsMember {
	m.t = t
	return m.members[rapid.IntRange(0, 1).Draw(t, "member")]
}

// entry appends an entry to the log. Members may apply it later.
func (m *partsModel) entry(command []byte) {
	n := uint64(len(m.log) + 1)
	m.log = append(m.log, index.AppendEnvelope(nil, index.Envelope{Level: index.MaxLevel, Member: 3, Incarnation: 1, First: n, Wall: int64(n)}, [][]byte{command}))
	m.applyTo(m.reference, n)
	for m.reference.View(); m.reference.Reclaim(); {
	}
	m.digests = append(m.digests, m.reference.View().Digest())
	for _, p := range m.members {
		if p.received == nil && !p.lags {
			p.follow(n)
		}
	}
}

func (m *partsModel) applyTo(s *index.State, n uint64) {
	if _, err := s.Apply(n, 1, m.log[n-1], nil); err != nil {
		m.fatalf("entry %d: %v", n, err)
	}
}

// valueAt is the value of a key at a revision; nil: there is none.
func (m *partsModel) valueAt(key string, revision int64) (value []byte) {
	for _, one := range m.values[key] {
		if one.revision <= revision {
			value = one.value
		}
	}
	return value
}

func (m *partsModel) put(t *rapid.T) {
	m.t = t
	key := func() string { return fmt.Sprintf("k%d", rapid.IntRange(0, 9).Draw(t, "key")) }
	for range rapid.IntRange(1, 12).Draw(t, "puts") {
		changed := map[string][]byte{}
		value := func() []byte {
			return bytes.Repeat([]byte{byte(len(m.log))}, 1+rapid.SampledFrom([]int{10, 70, 150, 400}).Draw(t, "bytes"))
		}
		var command []byte
		switch rapid.IntRange(0, 9).Draw(t, "change") {
		case 0:
			k := key()
			changed[k] = nil
			command = new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte(k)}).Bytes
		case 1, 2, 3:
			var ops []kv.Op
			for range rapid.IntRange(2, 5).Draw(t, "changes") {
				if k := key(); changed[k] == nil {
					changed[k] = value()
					ops = append(ops, kv.Op{Put: &kv.Put{Key: []byte(k), Value: changed[k]}})
				}
			}
			command = new(index.Head).AppendTxn(nil, &kv.Txn{Success: ops}).Bytes
		default:
			k := key()
			changed[k] = value()
			command = new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(k), Value: changed[k], Lease: rapid.SampledFrom([]int64{0, 0, 7}).Draw(t, "lease")}).Bytes
		}
		before := m.reference.Revision()
		m.entry(command)
		if now := m.reference.Revision(); now > before {
			for k, v := range changed {
				m.values[k] = append(m.values[k], partValue{now, v})
			}
		}
	}
}

// lag has a member hear of no further entries, or of all again.
func (m *partsModel) lag(t *rapid.T) {
	p := m.member(t)
	if p.lags = !p.other.lags && (!p.lags || !m.oneIn(4, "no longer")); !p.lags && p.received == nil {
		p.follow(uint64(len(m.log)))
	}
}

func (m *partsModel) compact(t *rapid.T) {
	m.t = t
	v := m.reference.View()
	if at := v.Revision() - rapid.Int64Range(0, 60).Draw(t, "kept"); at > v.Compacted() {
		m.entry(new(index.Head).AppendCompact(nil, at).Bytes)
	}
}

// rebase has one of the extents end the base.
func (m *partsModel) rebase(t *rapid.T) {
	m.t = t
	v := m.reference.View()
	var possible []int64
	for _, e := range v.Extents() {
		if e.To < v.Compacted() {
			possible = append(possible, e.To)
		}
	}
	if len(possible) > 0 {
		m.entry(index.AppendRebase(nil, possible[max(len(possible)-1-rapid.IntRange(0, 2).Draw(t, "before"), 0)]).Bytes)
		m.made["newer bases"]++
	}
}

// start begins a process of a member from its disk.
func (p *partsMember) start() {
	m, at := p.m, p.at
	listing, err := snapshot.List(p.fs, "snap")
	if err != nil {
		m.fatalf("%v", err)
	}
	remove := func(path string) {
		if err := p.fs.Remove(path); err != nil {
			m.fatalf("%v", err)
		}
	}
	for _, path := range listing.Abandoned {
		remove(path)
	}
	var kept, lacking []snapshot.Info
	p.state = nil
	for _, info := range listing.Published {
		switch {
		case info.Index > at, info.Index < p.released, len(kept) == limits.SnapshotsKept: // the log does not continue it
			remove(info.Path)
		case p.state != nil && info.Err == nil:
			kept = append(kept, info)
		default:
			err := info.Err
			if err == nil {
				err = p.load(info)
			}
			if err == nil {
				kept = append(kept, info)
				continue
			}
			if !p.harmed(info) {
				m.fatalf("member %d cannot load %s: %v", p.id, info.Path, err)
			}
			lacking = append(lacking, info)
		}
	}
	if p.state == nil && p.released > 0 {
		if !p.excused {
			m.fatalf("member %d cannot start: its log begins behind entry %d, and no snapshot can be loaded", p.id, p.released)
		}
		if len(p.sound) == 0 {
			m.fatalf("member %d cannot start, and no file is harmed", p.id)
		}
		p.putAllBack()
		p.start()
		return
	}
	for _, info := range lacking {
		remove(info.Path)
		p.anew(info.Path)
	}
	var shelf *snapshot.Shelf
	if p.state == nil {
		p.state, p.at, shelf = m.begin(p.limits), 0, snapshot.NewShelf(nil)
	} else {
		shelf, p.at = snapshot.ShelfOf(p.state), kept[0].Index
	}
	shelf.Attach(p.state)
	interrupted := p.leftovers(kept)
	room, l := Capacity{Send: 1 << 20, Offer: 1000, MustPost: 1000}, limits.Defaults()
	l.Index, l.SnapshotStepBytes = p.limits, 500
	p.consensus = NewMailbox[ConsensusMessage]("c", room)
	status := &Status{}
	status.view.Store(p.state.View())
	p.Snapshotter = NewSnapshotter(SnapshotterConfig{
		Cluster: 1, Member: p.id, FS: p.fs, Dir: "snap", Damaged: "damaged", Kept: kept, Interrupted: interrupted, Shelf: shelf,
		Inbox: NewMailbox[SnapshotterMessage]("s", room), Consensus: p.consensus, Reader: NewMailbox[SnapshotReaderMessage]("r", room),
		Applier: NewMailbox[ApplierMessage]("a", room), Peers: partsPeers{p: p}, Status: status, Limits: l, Logger: slog.New(slog.DiscardHandler),
	})
	p.running, p.fits, p.orders, p.inbox, p.pulls, p.received = nil, false, nil, nil, nil, nil
	p.changed()
	p.excused = false
	p.heal() // the member has started without the files that are gone
	p.excused = len(p.silent) > 0
	p.other.inbox = nil // the connection ends
	p.follow(at)
}

// load loads a snapshot at a start, with parts of the other member if some are harmed.
func (p *partsMember) load(info snapshot.Info) error {
	state, _, err := snapshot.LoadIn(index.NewReserve(), p.fs, p.fs, info.Path, p.limits)
	for _, one := range info.Parts {
		if path := "snap/" + one.Name(); err != nil && p.sound[path] != nil && p.other.gives(one) {
			p.putBack(path)
			p.m.made["parts fetched"]++
		}
	}
	if err != nil {
		state, _, err = snapshot.LoadIn(index.NewReserve(), p.fs, p.fs, info.Path, p.limits)
	}
	if err == nil {
		p.state = state
	}
	return err
}

// leftovers removes at a start what no snapshot needs, and returns what a transfer may continue.
func (p *partsMember) leftovers(kept []snapshot.Info) (found Interrupted) {
	listing, err := snapshot.List(p.fs, "snap")
	for _, one := range listing.Partial {
		if found.Partial == "" && (one.Part || one.Index > p.at) {
			found.Partial = one.Path
		} else {
			err = errors.Join(err, p.fs.Remove(one.Path))
		}
	}
	for _, path := range listing.Parts {
		listed := slices.ContainsFunc(kept, func(info snapshot.Info) bool {
			return slices.ContainsFunc(info.Parts, func(one snapshot.Part) bool { return "snap/"+one.Name() == path })
		})
		switch {
		case listed:
		case found.Partial == "":
			err = errors.Join(err, p.fs.Remove(path))
		default:
			one, failed := snapshot.PartAt(p.fs, path)
			found.Parts, err = append(found.Parts, one), errors.Join(err, failed)
		}
	}
	if err != nil {
		p.m.fatalf("%v", err)
	}
	return found
}

// partsPeers hands messages to the other member.
type partsPeers struct {
	noPeers
	p *partsMember
}

func (to partsPeers) Send(_ uint64, message peerframe.Message, _ bool) {
	to.p.other.inbox = append(to.p.other.inbox, message)
}

// changed notes that files or the state have changed.
func (p *partsMember) changed() { p.loaded, p.saved = map[string]bool{}, false }

// follow applies entries up to one.
func (p *partsMember) follow(to uint64) {
	for ; p.at < to; p.at++ {
		p.m.applyTo(p.state, p.at+1)
	}
	p.saved = false
	p.publish()
}

// publish publishes the state, and lets it drop a little.
func (p *partsMember) publish() bool {
	p.Status.view.Store(p.state.View())
	again := p.state.Reclaim()
	p.Status.view.Store(p.state.View())
	return again
}

// step is one turn of the snapshotter and of the actors beside it.
func (p *partsMember) step(messages ...SnapshotterMessage) (again bool) {
	p.snapshotterTurns.at += 100 * time.Millisecond
	lost := slices.DeleteFunc(slices.Clone(p.repair.damaged), func(one damagedPart) bool { return !one.lost })
	again = p.Handle(Time{Now: p.snapshotterTurns.at}, append(drainBox(p.Inbox), messages...))
	for _, one := range lost {
		if !p.repair.has(one.Part) && p.sound["snap/"+one.Name()] != nil && bytes.Equal(p.sound["snap/"+one.Name()], p.content("snap/"+one.Name())) {
			p.m.made["parts written again"]++
			p.anew("snap/" + one.Name())
		}
	}
	for _, one := range drainBox(p.consensus) {
		switch one := one.(type) {
		case snapshotSaved:
			p.released = max(p.released, one.KeepFrom)
			p.anew("snap/" + snapshot.Name(one.Snapshot.GetMetadata().GetIndex(), 1))
		case logCovered:
			p.released = max(p.released, one.UpTo)
		case snapshotReceived:
			p.received = &one
		}
	}
	for _, one := range drainBox(p.Applier) {
		again = true
		switch one := one.(type) {
		case stored:
			one.Shelf.Attach(p.state)
		case saveEnded:
			p.saveEnded(one.Failed)
		}
	}
	again = p.publish() || again
	for _, one := range drainBox(p.Reader) {
		again = true
		switch one := one.(type) {
		case pull:
			p.pulls = append(p.pulls, one)
		case repairPart:
			p.orders = append(p.orders, one.Part)
			p.finds("snap/" + one.Part.Name())
		}
	}
	if r := p.Snapshotter.receive.current; len(p.pulls) > 0 && (r == nil || r.file != p.pulls[0].File) {
		p.pulled(true)
		again = true
	}
	return again
}

// pulled ends the oldest order for a piece: it comes, or it does not.
func (p *partsMember) pulled(away bool) {
	reader := &SnapshotReader{Snapshotter: p.Inbox, Pull: func(_, name string, _, offset int64) ([]byte, error) {
		b := p.other.content("snap/" + name)
		if away || offset >= int64(len(b)) {
			p.m.made["pieces that do not come"]++
			return nil, errAway
		}
		return b[offset:min(offset+500, int64(len(b)))], nil
	}}
	reader.Handle(Time{}, []SnapshotReaderMessage{p.pulls[0]})
	p.pulls = p.pulls[1:]
}

// makeRest lets a member work until it is at rest.
func (p *partsMember) makeRest() {
	for n := 0; p.step() || n < 3; n++ {
		if n > 20_000 {
			p.m.fatalf("member %d does not come to rest", p.id)
		}
	}
}

// lacks says whether a part is lost: values that it had are gone until they are compacted.
func (p *partsMember) lacks() bool {
	return slices.ContainsFunc(p.repair.damaged, func(one damagedPart) bool { return one.lost })
}

func (p *partsMember) saveEnded(failed bool) {
	order := p.running
	if p.running = nil; order == nil {
		p.m.fatalf("member %d: a save ended that nobody ordered", p.id)
	}
	switch {
	case failed && !(p.small && !p.fits) && len(p.sound) == 0 && !p.lacks() && p.shelf.Reach() == order.View.OpenExtent().From-1:
		p.m.fatalf("member %d cannot save entry %d: %q", p.id, order.Index, p.problems())
	case failed:
	case len(p.files) > 0 && p.files[0].Index == order.Index:
		p.saved = len(p.sound) == 0 && order.Index == p.at && !p.there
		p.excused = p.excused || p.harmed(p.files[0]) // a part that is being fetched is listed, and an older snapshot goes
		p.saw(p.files[0])
	}
}

// saw compares the names of a base's pieces with those of the other member.
func (p *partsMember) saw(info snapshot.Info) {
	if len(info.Parts) == 0 {
		p.m.made["snapshots without parts"]++
		return
	}
	p.m.made["snapshots with parts"]++
	names, pieces := "", 0
	for _, one := range info.Parts {
		if one.Number == 0 {
			names, pieces = names+one.Name()+" ", pieces+1
		}
	}
	if pieces > 1 {
		p.m.made["bases of several pieces"]++
	}
	if pieces == 0 {
		return
	}
	base := info.Parts[0].To
	switch before := p.m.bases[base]; {
	case before == "":
		p.m.bases[base] = names
	case before == names:
		if p.compared != base && pieces > 1 {
			p.compared = base
			p.m.made["bases compared"]++
		}
	default:
		p.m.fatalf("member %d has the base of revision %d in the pieces %s, and there were %s", p.id, base, names, before)
	}
}

func (m *partsModel) steps(t *rapid.T) {
	p := m.member(t)
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		p.step()
	}
}

func (m *partsModel) rest(t *rapid.T) {
	p := m.member(t)
	p.makeRest()
	p.step(Wait{})
	p.makeRest()
}

// save begins the save of a snapshot.
func (m *partsModel) save(t *rapid.T) {
	p := m.member(t)
	if p.running != nil || p.at == 0 {
		return
	}
	p.order()
	if m.oneIn(2, "to its end") {
		p.makeRest()
	}
}

func (p *partsMember) order() {
	v := p.state.ViewToSave()
	save := save{View: v, Index: p.at, Term: 1, ConfState: ConfStateOf(v.Members().Configuration())}
	if p.small {
		p.m.made["saves on a small disk"]++
	}
	if p.Snapshotter.receive.current != nil {
		p.m.made["saves during a transfer"]++
	}
	p.running, p.fits, p.there = &save, p.hasSpace(&save), len(p.files) > 0 && p.files[0].Index == p.at
	p.step(save)
}

// hasSpace says whether the disk has clearly more space than a save needs.
func (p *partsMember) hasSpace(save *save) bool {
	v := save.View
	need := v.OpenExtent().Bytes + 100*int64(len(v.Extents())+8) // and the snapshot's list of its parts
	for _, e := range v.Extents() {
		if e.To > p.shelf.Last() {
			need += e.Bytes
		}
	}
	free, err := p.fs.Free("snap")
	return err == nil && free > need+need/2+8_000 && p.Snapshotter.receive.current == nil && p.shelf.Base() == p.Status.View().Base()
}

// harm harms a file, and may have the member find that.
func (m *partsModel) harm(t *rapid.T) {
	p := m.member(t)
	names, err := p.fs.List("snap")
	names = slices.DeleteFunc(names, func(name string) bool {
		r := p.Snapshotter.receive.current // its state is being installed: no start reads its file yet
		return strings.HasSuffix(name, ".tmp") || p.sound["snap/"+name] != nil || r != nil && p.installing && r.info.Path == "snap/"+name
	})
	if err != nil || len(names) == 0 || len(p.sound) > 2 {
		return
	}
	path := "snap/" + names[rapid.IntRange(0, len(names)-1).Draw(t, "file")]
	p.sound[path] = p.content(path)
	if m.oneIn(3, "lost") {
		err = p.fs.Remove(path)
	} else {
		for at := int64(70); at < int64(len(p.sound[path])); at += 90 {
			err = errors.Join(err, p.fs.Rot(path, at, 2))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	p.silent[path], p.excused = true, true
	p.changed()
	listed := slices.ContainsFunc(p.files, p.harmed) // a member looks for harm in its snapshots
	if !m.oneIn(3, "silently") && listed {
		p.finds(path)
		p.step(Suspect{Path: path})
		if m.oneIn(2, "on a full disk") {
			p.Status.reportDisk(func(d *space.Disk) { d.Full = true })
		}
		if m.oneIn(2, "is fetched") { // then values of parts leave memory again
			p.makeRest()
			for len(p.orders) > 0 {
				m.fetched(p)
				p.makeRest()
			}
			m.put(t)
			p.makeRest()
			if p.running == nil {
				p.order()
				p.makeRest()
			}
		}
	}
}

// finds notes that a member has found harm. From then on it must keep a snapshot that loads, if there is one.
func (p *partsMember) finds(path string) {
	if p.silent[path] {
		p.m.made["harm found"]++
		delete(p.silent, path)
	}
	if len(p.silent) == 0 {
		p.excused = !slices.ContainsFunc(p.files, func(info snapshot.Info) bool { return !p.harmed(info) })
	}
}

func (p *partsMember) content(path string) []byte {
	f, err := p.fs.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	n, err := f.Size()
	b := make([]byte, n)
	if err == nil && n > 0 {
		if got, _ := f.ReadMedium(b, 0); int64(got) < n {
			p.m.fatalf("%s is cut", path)
		}
	}
	return b
}

// putBack writes the sound bytes of a harmed file.
func (p *partsMember) putBack(path string) {
	if p.sound[path] == nil {
		return
	}
	p.fs.SetCapacity(1 << 50)
	defer p.fs.SetCapacity(p.capacity)
	_ = p.fs.Remove(path)
	f, err := p.fs.Create(path)
	if err == nil {
		_, err = f.WriteAt(p.sound[path], 0)
		err = errors.Join(err, f.Sync(), f.Close(), p.fs.SyncDir("snap"))
	}
	if err != nil {
		p.m.fatalf("%v", err)
	}
	p.heal()
}

// putAllBack is an operator who puts all harmed files back, but not the snapshots whose parts nothing has listed since. A member that has
// none then is replaced.
func (p *partsMember) putAllBack() {
	left := 0
	for path := range maps.Clone(p.sound) {
		p.putBack(path)
	}
	listing, err := snapshot.List(p.fs, "snap")
	for _, info := range listing.Published {
		if slices.ContainsFunc(info.Parts, func(one snapshot.Part) bool { return !p.exists(one) }) {
			err = errors.Join(err, p.fs.Remove(info.Path))
		} else {
			left++
		}
	}
	if err != nil {
		p.m.fatalf("%v", err)
	}
	if left == 0 && p.excused {
		p.released = 0
		p.m.made["replaced"]++
	}
}

// anew notes that a harmed file was written anew.
func (p *partsMember) anew(path string) {
	delete(p.sound, path)
	delete(p.silent, path)
}

// heal forgets harm that is over: the file is whole again, or nothing needs it.
func (p *partsMember) heal() {
	for path, sound := range p.sound {
		now := p.content(path)
		all := slices.AppendSeq(p.shelf.Parts(), maps.Values(p.parts.all))
		for _, info := range p.files {
			all = append(all, info.Parts...)
		}
		needed := slices.ContainsFunc(p.files, func(info snapshot.Info) bool { return info.Path == path }) ||
			slices.ContainsFunc(all, func(one snapshot.Part) bool { return "snap/"+one.Name() == path })
		if bytes.Equal(now, sound) || now == nil && !needed && !p.excused {
			delete(p.sound, path)
			delete(p.silent, path)
			p.changed()
		}
	}
}

// harmed says whether a snapshot, or one of its parts, is harmed.
func (p *partsMember) harmed(info snapshot.Info) bool {
	return p.sound[info.Path] != nil || slices.ContainsFunc(info.Parts, func(one snapshot.Part) bool { return p.sound["snap/"+one.Name()] != nil })
}

// gives says whether a member has a sound part.
func (p *partsMember) gives(one snapshot.Part) bool {
	path := "snap/" + one.Name()
	return p.sound[path] == nil && p.content(path) != nil
}

// repair ends the fetch of a part.
func (m *partsModel) repair(t *rapid.T) {
	if p := m.member(t); len(p.orders) > 0 {
		m.fetched(p)
	}
}

func (m *partsModel) fetched(p *partsMember) {
	one := p.orders[0]
	p.orders = p.orders[1:]
	path := "snap/" + one.Name()
	if _, harmed := p.sound[path]; !harmed {
		p.step(partRepaired{Part: one}) // it was saved anew
		return
	}
	if p.other.gives(one) && !m.oneIn(3, "refuses") {
		m.made["parts fetched"]++
		p.putBack(path)
		p.step(partRepaired{Part: one})
		return
	}
	m.made["parts given up"]++
	p.step(partRepaired{Part: one, Err: errors.New("no member has it")})
}

// send begins to send the newest snapshot to the other member, which is late.
func (m *partsModel) send(t *rapid.T) {
	m.t = t
	p := m.members[rapid.IntRange(0, 1).Draw(t, "member")]
	if p.lags {
		p = p.other
	}
	if p.other.received == nil && p.other.at == uint64(len(m.log)) && m.oneIn(2, "is late now") {
		p.other.lags = true
		m.put(t)
	}
	if p.makeRest(); p.running == nil {
		p.order()
		p.makeRest()
	}
	if len(p.files) == 0 || p.other.at >= p.files[0].Index {
		return
	}
	v := p.Status.View()
	term := uint64(1)
	p.step(sendSnapshot{Peer: p.other.id, Message: &raftpb.Message{Term: &term, Snapshot: snapshotAt(p.files[0].Index, 1, ConfStateOf(v.Members().Configuration()))}})
	switch n := rapid.SampledFrom([]int{0, 10, 600}).Draw(t, "messages"); {
	case n == 10 && m.oneIn(2, "exactly"):
		m.carry(p.other, false)
		m.exactly(p.other)
	default:
		if n == 10 && p.other.running == nil && p.other.at > 0 && m.oneIn(2, "saves, too") {
			m.carry(p.other, false)
			p.other.order()
			n = 100
		}
		for range n {
			m.carry(p.other, false)
			m.carry(p, false)
		}
		if p.other.received != nil && m.oneIn(2, "at once") {
			m.installs(p.other)
		}
	}
}

func (m *partsModel) deliver(t *rapid.T) {
	p := m.member(t)
	for range rapid.SampledFrom([]int{1, 5, 30, 500}).Draw(t, "messages") {
		m.carry(p, m.oneIn(30, "dropped"))
		m.carry(p.other, false)
	}
}

// carry gives a member the next message of the other one, and lets it send.
func (m *partsModel) carry(p *partsMember, drop bool) {
	if p.step(Wait{}); len(p.pulls) > 0 {
		p.pulled(drop)
		p.step()
	}
	if len(p.inbox) == 0 {
		return
	}
	message := p.inbox[0]
	if p.inbox = p.inbox[1:]; !drop {
		p.step(FromPeer{From: p.other.id, Message: message})
	}
}

// install has raft take a snapshot that has come, or not.
func (m *partsModel) install(t *rapid.T) {
	if p := m.member(t); p.received != nil {
		m.installs(p)
	}
}

func (m *partsModel) installs(p *partsMember) {
	at, state := p.received.Message.GetSnapshot().GetMetadata().GetIndex(), p.received.State
	p.received = nil
	if p.at >= at || m.oneIn(4, "refused") {
		m.made["not installed"]++
		p.step(discard{Index: at, Term: 1})
		return
	}
	m.made["installed"]++
	p.state, p.at, p.released = state, at, at
	p.publish()
	p.changed()
	for range rapid.SampledFrom([]int{0, 0, 5}).Draw(m.t, "steps before") {
		p.step()
	}
	p.step(installed{Index: at, Term: 1})
	p.anew(p.files[0].Path)
	p.excused = p.excused || p.harmed(p.files[0])
	if p.follow(uint64(len(m.log))); p.running == nil && m.oneIn(2, "saves") {
		p.order()
		p.makeRest()
	}
}

// crash ends a member's process, or its machine, and starts it again.
func (m *partsModel) crash(t *rapid.T) {
	p := m.member(t)
	m.made["crashes"]++
	if v := simdisk.Variant(rapid.IntRange(0, int(simdisk.Variants)).Draw(t, "power")); v == simdisk.Variants {
		p.fs.Kill()
	} else {
		p.fs.Crash(v)
	}
	p.start()
}

// room makes a disk small, or large again.
func (m *partsModel) room(t *rapid.T) {
	p := m.member(t)
	if p.small || p.running != nil {
		p.large()
		return
	}
	if r := p.Snapshotter.receive.current; r != nil && !p.installing && m.oneIn(2, "exactly") {
		m.exactly(p)
		return
	}
	p.small, p.capacity = true, p.fs.Used()+rapid.Int64Range(0, rapid.SampledFrom([]int64{3_000, 40_000}).Draw(t, "most")).Draw(t, "free")
	p.fs.SetCapacity(p.capacity)
	p.Status.reportDisk(func(d *space.Disk) { d.Full = m.oneIn(2, "full") })
}

func (p *partsMember) large() {
	p.small, p.capacity = false, 1<<50
	p.fs.SetCapacity(p.capacity)
	p.Status.reportDisk(func(d *space.Disk) { d.Full = false })
}

// exactly leaves the space that a transfer needs: it goes on to its end.
func (m *partsModel) exactly(p *partsMember) {
	p.makeRest()
	r := p.Snapshotter.receive.current
	if r == nil || p.installing || p.running != nil || !slices.ContainsFunc(p.other.sends.transfers, func(one *sending) bool { return one.offer != nil && one.index == r.offer.Index }) {
		return
	}
	need := r.offer.Size
	for _, one := range r.offer.Parts {
		path := "snap/" + snapshot.Part(one).Name()
		if _, harmed := p.sound[path]; harmed || p.content(path) == nil { // a part that turns out to be damaged comes, too
			need += one.Bytes
		}
	}
	need -= r.file.Offset()
	before := p.problems()
	p.fs.SetCapacity(p.fs.Used() + need + 1_500)
	m.made["transfers on a small disk"]++
	for range 400 {
		m.carry(p.other, false)
		m.carry(p, false)
	}
	if slices.ContainsFunc(p.problems(), func(text string) bool {
		return strings.Contains(text, "could not be received: no space") && !slices.Contains(before, text)
	}) {
		m.fatalf("member %d: %q, and %d bytes are free", p.id, p.problems(), need+1_500)
	}
	p.large()
}

// readAll reads everything from a member, over and over.
func (m *partsModel) readAll(t *rapid.T) {
	p := m.member(t)
	p.read(true)
	p.step(Wait{})
}

// read reads values of the past. Only harm is a reason for a failure, and no value is wrong.
func (p *partsMember) read(all bool) {
	v := p.Status.View()
	first, last := max(v.Compacted(), 2), v.Revision()
	var revisions []int64
	for r := first; r <= last; r += 1 + (last-first)/7 {
		revisions = append(revisions, r)
	}
	if all {
		revisions = nil
		for r := first; r <= last; r++ {
			revisions = append(revisions, r)
		}
	}
	done := make(chan error, 1)
	go func() { done <- p.compare(v, revisions) }()
	select {
	case err := <-done:
		if err != nil {
			p.m.fatalf("member %d: %v", p.id, err)
		}
	case <-time.After(20 * time.Second):
		p.m.fatalf("member %d: reads hang", p.id)
	}
}

func (p *partsMember) compare(v *index.View, revisions []int64) error {
	for _, r := range revisions {
		for key := range p.m.values {
			want := p.m.valueAt(key, r)
			got, err := v.Range(kv.Range{Key: []byte(key), Revision: r}, 0)
			switch {
			case err != nil && (len(p.sound) > 0 || p.lacks()):
			case err != nil:
				return fmt.Errorf("%s at revision %d: %w", key, r, err)
			case len(got.KVs) != min(len(want), 1), len(want) > 0 && !bytes.Equal(got.KVs[0].Value, want):
				return fmt.Errorf("%s at revision %d is %v, it was %.10x of %d bytes", key, r, got.KVs, want, len(want))
			}
		}
	}
	return nil
}

// check is called after each step.
func (m *partsModel) check() {
	for _, p := range m.members {
		p.heal()
		p.checkSnapshots()
		p.checkTransfers()
		p.read(false)
		p.checkRest()
	}
}

// exists says whether a file is on the disk, or was harmed.
func (p *partsMember) exists(one snapshot.Part) bool {
	return p.sound["snap/"+one.Name()] != nil || p.content("snap/"+one.Name()) != nil
}

func (p *partsMember) checkSnapshots() {
	loads := p.released == 0
	for _, info := range p.files {
		for _, one := range info.Parts {
			if !p.exists(one) {
				p.m.fatalf("member %d: %s lists %s, which is gone", p.id, info.Path, one.Name())
			}
		}
		if p.harmed(info) {
			continue
		}
		loads = loads || info.Index >= p.released
		if p.loaded[info.Path] {
			continue
		}
		p.loaded[info.Path] = true
		state, _, err := snapshot.LoadIn(index.NewReserve(), p.fs, p.fs, info.Path, p.limits)
		if err != nil || state.View().Digest() != p.m.digests[info.Index-1] {
			p.m.fatalf("member %d: %s with %d parts cannot be loaded: %v", p.id, info.Path, len(info.Parts), err)
		}
		if n, _ := state.View().Cold(); n > 0 {
			p.m.made["cold values"]++
		}
	}
	switch {
	case loads && len(p.silent) == 0:
		p.excused = false
	case !loads && !p.excused:
		p.m.fatalf("member %d could not start: its log begins behind entry %d, and none of %v loads; harmed are %q", p.id, p.released, p.files, slices.Collect(maps.Keys(p.sound)))
	}
	if names, _ := p.fs.List("damaged"); len(names) > 0 {
		p.m.made["snapshots put aside"]++
	}
}

// checkTransfers: a part that has come, or was there, stays until its transfer ends; the sender keeps what it has offered.
func (p *partsMember) checkTransfers() {
	r := p.Snapshotter.receive.current
	if r != p.transfer {
		p.transfer, p.come = r, map[string]bool{}
	}
	if n := p.Status.Observer.Counters.ReceiveFailed.Load(); n != p.fails { // parts that have come stay for the next try, until the next save
		p.fails, p.saved = n, false
	}
	if r != nil {
		for _, one := range r.offer.Parts {
			name := snapshot.Part(one).Name()
			here := p.exists(snapshot.Part(one))
			if p.come[name] && !here {
				p.m.fatalf("member %d: the part %s had come, and is gone before the transfer ends", p.id, name)
			}
			p.come[name] = p.come[name] || here
		}
	}
	for _, one := range p.sends.transfers {
		if one.offer == nil {
			continue
		}
		if p.content(one.path) == nil && !p.excused {
			p.m.fatalf("member %d: the snapshot %s is gone while it is sent", p.id, one.path)
		}
		for _, part := range one.parts {
			if !p.exists(part) && !p.excused { // a harmed part that no snapshot lists any more is not fetched, and the transfer begins again
				p.m.fatalf("member %d: the part %s is gone while it is sent", p.id, part.Name())
			}
		}
	}
}

// checkRest: a member that has saved its state, and has nothing else to do, has the files that its snapshots list and no others, counts
// their bytes for the budget of the disk, has none of them open, and has no superseded value of a part in memory.
func (p *partsMember) checkRest() {
	if !p.saved || p.running != nil || p.Snapshotter.receive.current != nil || len(p.sends.transfers) > 0 || len(p.sound) > 0 || p.lacks() || len(p.orders) > 0 || p.Inbox.Waiting() > 0 {
		return
	}
	for n, quiet := 0, 0; quiet < 2; n++ { // the View of one quiet step may let the next one begin a base
		if quiet++; p.step(Wait{}) || p.publish() {
			quiet = 0
		}
		if n > 20_000 {
			p.m.fatalf("member %d does not come to rest", p.id)
		}
	}
	if open := p.fs.OpenFiles(); len(open) > 0 {
		p.m.fatalf("member %d is at rest, and %q are open", p.id, open)
	}
	if !p.saved || p.running != nil || p.parts.partial != "" { // a transfer may go on after a restart, until the next save
		return
	}
	wanted := map[string]bool{}
	for _, info := range p.files {
		wanted[strings.TrimPrefix(info.Path, "snap/")] = true
		for _, one := range info.Parts {
			wanted[one.Name()] = true
		}
	}
	v, newest := p.Status.View(), p.files[0].Parts
	for _, one := range p.shelf.Parts() {
		wanted[one.Name()] = true
	}
	if p.shelf.Base() != v.Base() && !p.small && p.out.tries.failures == 0 {
		p.m.fatalf("member %d is at rest, and has the base of revision %d, not of %d", p.id, p.shelf.Base(), v.Base())
	}
	names, err := p.fs.List("snap")
	if err != nil {
		p.m.fatalf("%v", err)
	}
	next := map[string]bool{strings.TrimPrefix(p.files[0].Path, "snap/"): true} // what the next snapshot does not take the place of
	for _, one := range slices.Concat(newest, p.shelf.Parts()) {
		next[one.Name()] = true
	}
	used, older := int64(0), int64(0)
	for _, name := range names {
		if !wanted[name] {
			p.m.fatalf("member %d is at rest, and %s is on its disk; the base is %d, the snapshots are %v", p.id, name, v.Base(), p.files)
		}
		delete(wanted, name)
		size := int64(len(p.content("snap/" + name)))
		if used += size; !next[name] {
			older += size
		}
	}
	if d := p.Status.Disk(); d.Written != used || d.NextHas != older {
		p.m.fatalf("member %d counts %d bytes of snapshots and parts, and %d of older ones; they have %d and %d", p.id, d.Written, d.NextHas, used, older)
	}
	if len(wanted) > 0 {
		p.m.fatalf("member %d lacks %v", p.id, slices.Collect(maps.Keys(wanted)))
	}
	if p.shelf.Base() != v.Base() {
		return
	}
	want, got := int64(0), int64(0)
	for _, all := range p.m.values {
		for i := 1; i < len(all); i++ {
			if by := all[i].revision; by >= max(v.Compacted(), 2) && by < v.OpenExtent().From && len(all[i-1].value) >= p.limits.ColdBytes && all[i-1].value != nil {
				want++
			}
		}
	}
	if got, _ = v.Cold(); got != want {
		p.m.fatalf("member %d: %d superseded values are not in memory, of %d in parts", p.id, got, want)
	}
}

// end lets all harm end: then each member saves a snapshot with parts again, and has its values in files.
func (m *partsModel) end() {
	for _, p := range m.members {
		p.large()
		p.received, p.other.inbox, p.inbox = nil, nil, nil
		if p.excused = false; p.released > 0 {
			p.excused = !slices.ContainsFunc(p.files, func(info snapshot.Info) bool { return !p.harmed(info) })
		}
		p.heal()
		p.putAllBack()
		p.fs.Kill()
		p.start()
	}
	for _, p := range m.members {
		p.follow(uint64(len(m.log)))
	}
	m.last()
	m.compactAll()
	base := m.reference.View().Base()
	for range 3 {
		for _, p := range m.members {
			p.follow(uint64(len(m.log)))
			p.makeRest()
			p.order()
			p.makeRest()
		}
		m.check()
		m.last()
	}
	for _, p := range m.members {
		if p.shelf.Base() != base || !slices.Equal(p.files[0].Parts, p.shelf.Parts()) {
			m.fatalf("member %d has the base of revision %d, not of %d, and its newest snapshot lists %v", p.id, p.shelf.Base(), base, p.files[0].Parts)
		}
	}
}

// last puts a small value.
func (m *partsModel) last() {
	m.entry(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("end"), Value: []byte("x")}).Bytes)
	m.values["end"] = append(m.values["end"], partValue{m.reference.Revision(), []byte("x")})
}

// compactAll compacts all, and makes the last possible extent the end of the base.
func (m *partsModel) compactAll() {
	v := m.reference.View()
	m.entry(new(index.Head).AppendCompact(nil, v.Revision()).Bytes)
	if cuts := v.Extents(); len(cuts) > 0 {
		m.entry(index.AppendRebase(nil, cuts[len(cuts)-1].To).Bytes)
	}
}
