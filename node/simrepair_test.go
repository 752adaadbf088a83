package node

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/peer"
	"qkv/net/wire/peerframe"
)

// fetchPart asks the hosts at these addresses that run and are reachable.
func (h *host) fetchPart(addresses []string, f *folder, to peer.PartSink) error {
	w := h.w
	err := errors.New("nobody answers")
	for _, i := range w.random.Perm(len(w.hosts)) {
		o := w.hosts[i]
		if o == h || !o.alive() || o.paused() || !slices.Contains(addresses, o.config.AdvertisePeer) ||
			w.net.lane(h, o).blocked+w.net.lane(o, h).blocked+w.net.lane(h, o).clogged+w.net.lane(o, h).clogged > 0 {
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
			w.totals.PartsFetched++
			if !h.recovering {
				w.totals.PartsRepaired++
			}
			w.trace("%s gives %s the part %s", o.name(), h.name(), to.Name())
			return nil
		default:
			if !errors.Is(err, peer.ErrOtherBytes) { // as in peer.FetchPart: this disk fails, and so it would with another member's bytes
				return err
			}
		}
	}
	return err
}

// send sends a part up to an offset. If that is not its end, the connection has broken.
func send(file peer.PartFile, to peer.PartSink, end int64) error {
	defer file.Close() // also when the receiver loses power
	piece := make([]byte, 4096)
	for to.Offset() < end {
		n, _ := file.ReadAt(piece[:min(int64(len(piece)), end-to.Offset())], to.Offset())
		if n == 0 { // the disk over there fails
			return errCut
		}
		if err := to.Write(piece[:n]); err != nil {
			return err
		}
	}
	if end < to.Size() {
		return errCut
	}
	return nil
}

var errCut = errors.New("the connection has broken")

// A stopped member of three loses parts, a tenth or all, or their bits rot: it fetches them from another member when it starts, and
// has the others' state. While it is alone it does not start, and loses nothing by that.
func TestPartsComeFromAnotherMember(t *testing.T) {
	for name, harm := range map[string]func(w *world, h *host, i int, part string) (harmed bool){
		"a tenth": func(_ *world, h *host, i int, part string) bool { return i%10 == 5 && h.disk.Remove(part) == nil },
		"all":     func(_ *world, h *host, _ int, part string) bool { return h.disk.Remove(part) == nil },
		"rot":     func(w *world, h *host, i int, part string) bool { return i%5 == 2 && w.rot(h, part, 0.5) },
	} {
		t.Run(name, func(t *testing.T) {
			w, leader := quietCluster(t, shape{segmentBytes: 64 << 10}, func(l *limits.Tunable) {
				l.SnapshotBytes, l.SnapshotInterval, l.Index.ExtentBytes, l.Index.ExtentsFrom = 64<<10, time.Second, 20_000, -1
			})
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
				if a.Name == kv.CorruptAlarm && strings.Contains(a.Text, "was fetched from another member; nothing is lost") {
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
		{dialer.id(), "", "00000000000000000007-00000000000000000002.snap", "is not the name of a part"},
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
			_ = file.Close()
		}
	}
}
