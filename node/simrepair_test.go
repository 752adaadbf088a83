package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk/simdisk"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// fetchPart asks the hosts at these addresses that run and are reachable.
func (h *host) fetchPart(addresses []string, f *folder, to peer.PartSink) error {
	w := h.w
	err := errors.New("nobody answers")
	for _, i := range w.random.Perm(len(w.hosts)) {
		o := w.hosts[i]
		if o == h || !slices.Contains(addresses, o.config.AdvertisePeer) || !h.reaches(o) {
			continue
		}
		file, no := o.handler.Part(peerframe.PartRequest{Cluster: f.Cluster, From: f.Member, Name: h.config.Name, Part: to.Name(), Offset: to.Offset()})
		if no != nil {
			w.trace("%s gives %s no part: %v", o.name(), h.name(), no)
			err = no
			continue
		}
		end := to.Size()
		if w.healed == 0 && w.probably(w.shape.partHarm) { // the connection breaks
			end = min(end, to.Offset()+w.random.Int64N(end+1))
		}
		switch err = send(file, to, end); err {
		case errCut:
			w.totals.FetchesCut++
			w.trace("%s gives %s only %d of %d bytes of the part %s", o.name(), h.name(), to.Offset(), to.Size(), to.Name())
		case nil:
			if strings.HasSuffix(to.Name(), ".snap") {
				w.totals.SnapshotsFetched++
			} else if w.totals.PartsFetched++; !h.recovering {
				w.totals.PartsRepaired++
			}
			w.trace("%s gives %s the part %s", o.name(), h.name(), to.Name())
			return nil
		default:
			if !errors.Is(err, damage.ErrOtherBytes) { // as in peer.FetchPart: this disk fails, and so it would with another member's bytes
				return err
			}
		}
	}
	return err
}

// pull asks the host at this address for the next piece of a file.
func (h *host) pull(address string, f *folder, name string, size, offset int64) ([]byte, error) {
	w := h.w
	for _, o := range w.hosts {
		if o == h || o.config.AdvertisePeer != address {
			continue
		}
		if !h.reaches(o) || w.healed == 0 && w.probably(w.shape.partHarm/20) {
			return nil, errCut
		}
		file, no := o.handler.Part(peerframe.PartRequest{Cluster: f.Cluster, From: f.Member, Name: h.config.Name, Part: name, Offset: offset})
		if no != nil {
			return nil, no
		}
		defer file.Close()
		if has, err := file.Size(); err != nil || has != size {
			return nil, fmt.Errorf("%w: its file has %d bytes instead of %d: %v", damage.ErrOtherBytes, has, size, err)
		}
		piece := make([]byte, min(cmp.Or(w.shape.piece, 256<<10), size-offset))
		n, err := file.ReadAt(piece, offset)
		if n > 0 {
			err = nil
		}
		h.life.waits += max(file.Sent(n), w.net.transfer(w.net.lane(o, h), n))
		if w.pulled != nil {
			w.pulled(h, o)
		}
		return piece[:n], err
	}
	return nil, errors.New("nobody is there")
}

// reaches says whether a host runs and can be reached.
func (h *host) reaches(o *host) bool {
	to, from := h.w.net.lane(h, o), h.w.net.lane(o, h)
	return o.alive() && !o.paused() && to.blocked+from.blocked+to.clogged+from.clogged == 0
}

// send sends a part up to an offset. If that is not its end, the connection has broken.
func send(file peer.PartFile, to peer.PartSink, end int64) error {
	defer file.Close() // also when the receiver loses power
	piece := make([]byte, 4096)
	for at := to.Offset(); at < end; {
		n, _ := file.ReadAt(piece[:min(int64(len(piece)), end-at)], at)
		if n == 0 { // the disk over there fails
			return errCut
		}
		if err := to.Write(piece[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	if end < to.Size() {
		return errCut
	}
	return nil
}

var errCut = errors.New("the connection has broken")

// manyParts are limits for many snapshots with many parts.
func manyParts(l *limits.Tunable) {
	l.SnapshotBytes, l.Index.ExtentBytes, l.Index.BaseLeast = 64<<10, 20_000, 1
}

// A stopped member of three loses parts, a tenth or all, or their bits rot: it fetches them from another member when it starts, and
// has the others' state. While it is alone it does not start, and loses nothing by that.
func TestPartsComeFromAnotherMember(t *testing.T) {
	for name, harm := range map[string]func(w *world, h *host, i int, part string) (harmed bool){
		"a tenth": func(_ *world, h *host, i int, part string) bool { return i%10 == 5 && h.disk.Remove(part) == nil },
		"all":     func(_ *world, h *host, _ int, part string) bool { return h.disk.Remove(part) == nil },
		"rot":     func(w *world, h *host, i int, part string) bool { return i%5 == 2 && w.rot(h, part, 0.5) },
	} {
		t.Run(name, func(t *testing.T) {
			w, leader := quietCluster(t, shape{segmentBytes: 64 << 10}, manyParts)
			h := w.hosts[0]
			if h == leader {
				h = w.hosts[1]
			}
			f := newFlood(w, 3000)
			listed := func() int {
				files := h.member.actors.snapshotter.Files()
				if len(files) < 2 {
					return 0
				}
				return len(h.files("data/snap", ".part"))
			}
			if !w.until(5*time.Minute, func() bool {
				f.follow()
				f.fill(1)
				return listed() >= 20
			}) {
				t.Fatalf("%d puts, %d parts: %s", f.puts, listed(), w.failure)
			}
			if !w.until(time.Minute, func() bool { return f.open == 0 }) {
				t.Fatal("writes are not answered")
			}
			w.run(20 * time.Second)
			h.kill()
			harmed := 0
			for i, part := range h.files("data/snap", ".part") {
				if harm(w, h, i, part) {
					harmed++
				}
			}
			h.rotted = true // its alarms are expected
			h.start()
			if !h.alive() {
				t.Fatalf("it does not start: %s", w.failure)
			}
			told := 0
			for _, a := range h.member.alarms() {
				if a.Name == kv.CorruptAlarm && strings.Contains(a.Text, "was fetched again; nothing is lost") {
					told++
				}
			}
			if harmed == 0 || w.totals.PartsFetched == 0 || told != w.totals.PartsFetched {
				t.Errorf("of %d parts, %d were fetched, with %d alarms", harmed, w.totals.PartsFetched, told)
			}
			if !w.until(time.Minute, func() bool {
				l := w.leader()
				if l == nil || !h.alive() {
					return false
				}
				a, b := h.member.status.View(), l.member.status.View()
				return a.Revision() == b.Revision() && a.Digest() == b.Digest()
			}) || w.failure != "" {
				t.Errorf("it does not have the others' state: %s", w.failure)
			}
		})
	}
}

// A member gives parts to members, and nothing else of its folder.
func TestPartsForMembersOnly(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: 64 << 10}, func(*limits.Tunable) {})
	dialer := w.hosts[0]
	if dialer == leader {
		dialer = w.hosts[1]
	}
	name := fmt.Sprintf("%020d-%s.part", 7, strings.Repeat("ab", 32))
	for _, x := range []struct {
		from              uint64
		place, asks, says string
	}{
		{dialer.id(), "", name, "does not have the part"},
		{77, name, name, "is not in the member list"},
		{dialer.id(), "", "../identity", "is not the name of a part"},
		{dialer.id(), "", "00000000000000000007-00000000000000000002.snap", "does not have the part"},
		{dialer.id(), "", peerframe.NewestSnapshot, "cannot offer a snapshot: it has none"},
		{77, "", peerframe.NewestSnapshot, "is not in the member list"},
		{dialer.id(), "", "x/" + name, "is not the name of a part"},
		{dialer.id(), "", "", "is not the name of a part"},
		{dialer.id(), name, name, ""},
	} {
		if x.place != "" {
			file, err := leader.disk.Create("data/snap/" + x.place)
			if err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
			if err == nil {
				_ = file.Close()
			}
		}
		file, no := leader.handler.Part(peerframe.PartRequest{From: x.from, Name: "n", Part: x.asks})
		if (no == nil) != (x.says == "") || no != nil && !strings.Contains(no.Text, x.says) {
			t.Errorf("%q for %x: %v", x.asks, x.from, no)
		}
		if file != nil {
			trace := &strings.Builder{}
			leader.disk.SetTrace(trace)
			must(t, file.Close())
			if leader.disk.SetTrace(nil); !strings.Contains(trace.String(), "dropcache data/snap/"+name) {
				t.Errorf("a file that was sent stays in the page cache: %q", trace)
			}
		}
	}
}

// A stopped member has lost a part, and the others have made a newer base since: none has that part any more. The member takes another
// one's newest snapshot, and then has the others' state, its term and its vote. So it does after a loss of power at any moment of the start.
func TestNewerStateComesFromAnotherMember(t *testing.T) {
	testlong.Skip(t)
	t.Run("of the same term", func(t *testing.T) { newerState(t, false) })
	t.Run("of a term that it has not heard of", func(t *testing.T) { newerState(t, true) })
}

func newerState(t *testing.T, laterTerm bool) {
	w, leader := quietCluster(t, shape{segmentBytes: 64 << 10}, manyParts)
	h := w.hosts[0]
	if h == leader {
		h = w.hosts[1]
	}
	f := newFlood(w, 3000)
	put := f.command
	f.command = func(request uint64) kv.Command {
		if request%40 == 0 {
			return new(index.Head).AppendCompact(nil, f.at.member.status.View().Revision())
		}
		return put(request)
	}
	fill := func(what string, enough func() bool) {
		t.Helper()
		if !w.until(10*time.Minute, func() bool {
			f.follow()
			f.fill(1)
			return enough()
		}) {
			t.Fatalf("%s: %d puts: %s", what, f.puts, w.failure)
		}
	}
	fill("parts of "+h.name(), func() bool {
		return len(h.member.actors.snapshotter.Files()) == 2 && len(h.files("data/snap", ".part")) > 5
	})
	h.kill()
	takesASnapshotOfItsLog(t, h.disk.Clone(1), h, w.leader())
	had := h.files("data/snap", ".part")
	others := func() (all []string) {
		for _, o := range w.hosts {
			if o != h {
				all = append(all, o.files("data/snap", ".part")...)
			}
		}
		return all
	}
	if l := w.leader(); laterTerm {
		l.kill()
		l.start()
		if !w.until(time.Minute, func() bool { return w.leader() != nil }) {
			t.Fatalf("there is no leader again: %s", w.failure)
		}
		f.at = nil // the request in flight has ended with the process, which may lead again
	}
	fill("a newer base", func() bool {
		return !slices.ContainsFunc(others(), func(one string) bool { return slices.Contains(had, one) })
	})
	w.run(20 * time.Second)
	for _, part := range had[:2] {
		must(t, h.disk.Remove(part))
	}
	must(t, errors.Join(h.disk.SyncDir("data/snap"), h.disk.SyncDir("data/wal")))
	h.rotted = true // its alarms are expected
	before := h.disk.Clone(2)
	h.start()
	if !h.alive() {
		t.Fatalf("it does not start: %s", w.failure)
	}
	told := 0
	for _, a := range h.member.alarms() {
		if a.Name == kv.CorruptAlarm && strings.Contains(a.Text, "was fetched from another member; nothing is lost") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the alarms are %+v", h.member.alarms())
	}
	if !w.until(time.Minute, func() bool {
		l := w.leader()
		if l == nil || !h.alive() {
			return false
		}
		a, b := h.member.status.View(), l.member.status.View()
		return a.Revision() == b.Revision() && a.Digest() == b.Digest()
	}) || w.failure != "" {
		t.Errorf("it does not have the others' state: %s", w.failure)
	}
	powerFailsWhileANewerStateIsTaken(t, before, h, w.leader())
}

// storageOf opens the log and the folder of a stopped host, as a start does.
func storageOf(fs *simdisk.Disk, h *host, fetch func(index.Members, peer.PartSink) error) (*storage, error) {
	f, err := openFolder(fs, "data", owner{h.name(), "sim"}, func() (origin, error) { return origin{}, errors.New("it would be founded anew") }, nil)
	s := recoverStorage(f)
	s.limits, s.segmentBytes, s.repairs.fetch = h.w.shape.limits, 64<<10, fetch
	return &s, err
}

// giving gives a host what another one has.
func giving(h, giver *host) func(index.Members, peer.PartSink) error {
	return func(_ index.Members, to peer.PartSink) error {
		file, no := giver.handler.Part(peerframe.PartRequest{From: h.id(), Name: h.name(), Part: to.Name()})
		if no != nil {
			return no
		}
		return send(file, to, to.Size())
	}
}

// takesASnapshotOfItsLog takes the newest snapshot of a member whose log is no further: the own log goes on behind it.
func takesASnapshotOfItsLog(t *testing.T, fs *simdisk.Disk, h, giver *host) {
	t.Helper()
	s, err := storageOf(fs, h, giving(h, giver))
	must(t, err)
	opened, found, err := log.Open(s.logOptions())
	must(t, err)
	r, last := &recovered{}, found.Last
	r.take(opened, found)
	listing, err := snapshot.List(fs, "data/snap")
	must(t, err)
	r.lacking = []*lacksPart{{info: listing.Published[0]}}
	must(t, s.takeNewest(r, found))
	if r.applied >= last || r.log != opened || found.Last != last || r.hardState != found.HardState {
		t.Errorf("the log ended with %d, the snapshot has %d, and now the log ends with %d", last, r.applied, found.Last)
	}
	if len(r.useless) != 1 || r.useless[0].Path != listing.Published[0].Path {
		t.Errorf("the snapshot that lacks a part stays: %+v", r.useless)
	}
	must(t, errors.Join(r.state.Check(), r.log.Close(), s.folder.lock.Close()))
}

// powerFailsWhileANewerStateIsTaken starts the member of a disk that needs a newer state, and ends it at each call of the disk. Then it has
// the old log, or it needs no other member any more.
func powerFailsWhileANewerStateIsTaken(t *testing.T, disk *simdisk.Disk, h, giver *host) {
	t.Helper()
	start := func(fs *simdisk.Disk, fetch func(index.Members, peer.PartSink) error) (r *recovered, err error) {
		defer func() {
			if p := recover(); p != nil {
				if p != error(errPower) {
					panic(p)
				}
				err = errPower
			}
		}()
		s, err := storageOf(fs, h, fetch)
		if err != nil {
			return nil, err
		}
		if r, err = s.recover(); err == nil {
			err = r.log.Close()
		}
		return r, errors.Join(err, s.folder.lock.Close())
	}
	give, nobody := giving(h, giver), func(index.Members, peer.PartSink) error { return errors.New("nobody is there") }
	whole := disk.Clone(3)
	_, found, err := log.Open(log.Options{FS: whole, Dir: "data/wal", Cluster: h.member.folder.Cluster, Member: h.id(), SegmentBytes: 64 << 10, Salt: func() uint64 { return 1 }})
	must(t, err)
	if found.HardState.Vote == 0 {
		t.Fatal("it has voted for no one: the test shows nothing")
	}
	before := whole.Calls()
	if _, err := start(whole, give); err != nil {
		t.Fatal(err)
	}
	fates, all := map[bool]int{}, whole.Calls()-before
	for at := int64(1); ; at++ {
		if at < all-120 && at%30 > 0 { // the log is reset near the end
			continue
		}
		variant := simdisk.Variant(at % int64(simdisk.Variants))
		fs := disk.Clone(uint64(at))
		calls := int64(0)
		fs.SetHook(func(simdisk.Op, string) {
			if calls++; calls == at {
				panic(errPower)
			}
		})
		_, err := start(fs, give)
		fs.SetHook(nil)
		over := err == nil
		if err != nil && !errors.Is(err, errPower) {
			t.Fatalf("call %d: %v", at, err)
		}
		fs.Crash(variant)
		r, err := start(fs, nobody)
		if fates[err == nil]++; err != nil {
			if over || !strings.Contains(err.Error(), "it takes the part from there, or a newer state") {
				t.Fatalf("call %d, %v, then alone: %v", at, variant, err)
			}
			if r, err = start(fs, give); err != nil {
				t.Fatalf("call %d, %v, then with others: %v", at, variant, err)
			}
		}
		want := found.HardState
		if later := r.newest.GetMetadata().GetTerm(); later > want.Term {
			want = log.HardState{Term: later}
		}
		_, now, err := log.Open(log.Options{FS: fs, Dir: "data/wal", Cluster: h.member.folder.Cluster, Member: h.id(), SegmentBytes: 64 << 10, Salt: func() uint64 { return 1 }})
		if err != nil || now.HardState.Term != want.Term || now.HardState.Vote != want.Vote || r.applied <= found.Last {
			t.Fatalf("call %d, %v: it has applied %d, and its log has %+v instead of %+v: %v", at, variant, r.applied, now.HardState, want, err)
		}
		if _, err := start(fs, nobody); err != nil {
			t.Fatalf("call %d, %v: it started, and then alone: %v", at, variant, err)
		}
		if over {
			break
		}
	}
	if fates[true] < 2 || fates[false] < 10 {
		t.Errorf("%d starts without and %d with another member", fates[true], fates[false])
	}
	t.Logf("%d starts without and %d with another member", fates[true], fates[false])
}

// The other members move while one is stopped: its list has their addresses of before, and it needs a snapshot. It comes from the address
// in the offer.
func TestSnapshotOfAMemberThatHasMoved(t *testing.T) {
	w, leader := quietCluster(t, shape{segmentBytes: 64 << 10}, manyParts)
	away := w.hosts[0]
	if away == leader {
		away = w.hosts[1]
	}
	away.kill()
	f := newFlood(w, 3000)
	if !w.until(10*time.Minute, func() bool {
		f.follow()
		f.fill(1)
		return f.puts > 300
	}) {
		t.Fatalf("%d puts: %s", f.puts, w.failure)
	}
	for i, h := range w.hosts {
		if h == away {
			continue
		}
		h.kill()
		h.config.AdvertisePeer = fmt.Sprintf("10.3.0.%d:2380", i+1)
		h.start()
		if !w.until(time.Minute, func() bool { return w.leader() != nil }) {
			t.Fatalf("nobody leads after %s has moved: %s", h.name(), w.failure)
		}
		w.run(5 * time.Second) // the other one learns the address
	}
	away.start()
	if !w.until(time.Minute, func() bool {
		at, _ := away.member.status.View().Applied()
		want, _ := w.hosts[2].member.status.View().Applied()
		return at >= want
	}) || away.member.status.Observer.Counters.InstallsDone.Load() == 0 {
		at, _ := away.member.status.View().Applied()
		t.Errorf("it has entry %d, and %d snapshots were installed: %s", at, away.member.status.Observer.Counters.InstallsDone.Load(), w.failure)
	}
}
