package node

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A migrator makes the cluster follow a source. It knows nothing but what a member, any of them, shows of the state, which may be old, and
// sends what comes next from there, without a look at the answers: as many of them do that are killed and started again.
type migrator struct {
	w      *world
	source *index.View
	first  int64 // revision up to which the source is loaded before it is followed
	all    []index.FollowedRecord
	end    bool // the following is to end
	sent   int
	taken  int
}

// newSource is a source with some history, leases and, in half of the cases, compacted revisions.
func newSource(r *rand.Rand) *index.State {
	s := index.NewState(limits.Defaults().Index)
	apply := func(command []byte) {
		applied, term := s.Applied()
		if _, err := s.Apply(applied+1, max(term, 1), index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel, Wall: 1}, [][]byte{command}), nil); err != nil {
			panic(err)
		}
	}
	for range 40 + r.IntN(160) {
		key, lease := fmt.Appendf(nil, "key %d", r.IntN(30)), int64(r.IntN(6))-2
		switch r.IntN(9) {
		case 0:
			apply(new(index.Head).AppendDelete(nil, &kv.Delete{Key: key, End: []byte{0}}))
		case 1:
			apply(new(index.Head).AppendGrant(nil, kv.Lease{ID: lease, TTL: 1 + int64(r.IntN(4))}))
		case 2:
			apply(index.AppendRevoke(nil, lease, 0, 0))
		default:
			if r.IntN(2) == 0 {
				lease = 0
			}
			apply(new(index.Head).AppendPut(nil, &kv.Put{Key: key, Value: make([]byte, r.IntN(200)), Lease: lease}))
		}
	}
	if r.IntN(2) == 0 {
		apply(new(index.Head).AppendCompact(nil, 1+r.Int64N(s.View().Revision())))
	}
	return s
}

// recordsOf are the records that a source has.
func recordsOf(v *index.View) (all []index.FollowedRecord) {
	v.Records(func(key []byte, one *index.Version) bool {
		if one.Mod <= v.Compacted() {
			pair, found, _ := v.Get(key, v.Compacted())
			if one.Tombstone && one.Mod != v.Compacted() || !one.Tombstone && (!found || pair.ModRevision != one.Mod) {
				return true
			}
		}
		copied := *one
		copied.Value = slices.Clone(one.Value)
		all = append(all, index.FollowedRecord{Key: slices.Clone(key), Version: copied})
		return true
	})
	return all
}

func leasesOf(v *index.View) (all []kv.Lease) {
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		all = append(all, kv.Lease{ID: l.ID, TTL: l.TTL, Remaining: l.Remaining})
		return true
	})
	return all
}

// next is the command that goes on from a state, or nil when there is none.
func (m *migrator) next(v *index.View) []byte {
	const id = 7
	f := v.Following()
	if f == nil {
		if v.Revision() != 1 || v.Inherited() != 0 {
			return nil
		}
		return index.AppendFollowBegin(nil, id, "source", m.source.Compacted())
	}
	at := slices.IndexFunc(m.all, func(r index.FollowedRecord) bool {
		return (index.Position{Revision: r.Mod, Sub: r.Sub}).Compare(f.At) > 0
	})
	rest := m.all[len(m.all):]
	if at >= 0 {
		rest = m.all[at:]
	}
	if !f.Loaded && (len(rest) == 0 || rest[0].Mod > m.first) {
		return index.AppendFollowLoaded(nil, id, max(m.first, m.source.Compacted()))
	}
	if len(rest) == 0 {
		if m.w.probably(0.5) {
			return index.AppendFollowLeases(nil, id, math.MinInt64, math.MaxInt64, leasesOf(m.source))
		}
		if !m.end {
			return nil
		}
		return index.AppendFollowEnd(nil, id, m.source.Revision())
	}
	n := 1 + m.w.random.IntN(min(len(rest), 8))
	var encoded [][]byte
	for i := range rest[:n] {
		if !f.Loaded && rest[i].Mod > m.first {
			n = i
			break
		}
		encoded = append(encoded, index.AppendRecord(nil, &rest[i]))
	}
	complete := n == len(rest) || rest[n].Mod != rest[n-1].Mod
	return index.AppendFollowRecords(nil, id, f.At, complete, 60, encoded)
}

func leasesText(v *index.View) string { return fmt.Sprint(leasesOf(v)) }

func (m *migrator) turn() {
	w := m.w
	if at := w.any(); at.alive() && at.member.actors.consensus.Fits(64<<10) {
		if command := m.next(at.member.status.View()); command != nil {
			m.sent++
			endpoint{at.member}.Propose(kv.Proposal{ReplyTo: m, Requests: []uint64{1}, Commands: [][]byte{command}, Timeout: leaseTimeout})
			put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("client"), Value: []byte("written")})
			if at.member.status.View().Following() != nil && at.member.actors.consensus.Fits(4096) && w.probably(0.2) { // a client that does not know
				endpoint{at.member}.Propose(kv.Proposal{ReplyTo: m, Requests: []uint64{2}, Commands: [][]byte{put}, Timeout: leaseTimeout})
			}
		}
	}
	w.sim.After(w.between(time.Millisecond, 60*time.Millisecond), m.turn)
}

// Complete implements kv.ReplyTo.
func (m *migrator) Complete(done []kv.Completion) {
	if done[0].Request == 1 && done[0].Result.Err == nil {
		m.taken++
	}
}

// storeText is all that can be read of a state.
func storeText(v *index.View) string {
	var out strings.Builder
	fmt.Fprintf(&out, "revision %d, compacted %d, %s\n", v.Revision(), v.Compacted(), leasesText(v))
	for _, one := range recordsOf(v) {
		err := one.Read() // nil: its value may be in a file
		fmt.Fprintf(&out, "%q %+v %v\n", one.Key, one.Version, err)
	}
	return out.String()
}

// TestSimulationFollow lets simulated clusters follow a source, with the faults of the campaign: they have the source's revisions, versions
// and leases in the end, whoever was crashed, cut off or stalled, though each command may come late, twice, or from what was before.
func TestSimulationFollow(t *testing.T) {
	seeds, sent, taken := 40, 0, 0
	if testing.Short() {
		seeds = 12
	}
	for seed := uint64(1); seeds > 0; seed++ {
		s := drawShape(seed)
		if s.spares > 0 || s.quota > 0 {
			continue
		}
		seeds--
		s.clients = 0
		restore := seedGlobalRandom(seed)
		w := newWorld(seed, s, nil)
		source := newSource(rand.New(rand.NewPCG(seed, 7)))
		m := &migrator{w: w, source: source.View()}
		m.all = recordsOf(m.source)
		if n := len(m.all); n > 0 {
			m.first = max(m.all[n/2].Mod, m.source.Compacted())
		}
		for _, h := range w.members() {
			w.sim.After(w.between(0, 300*time.Millisecond), h.start)
		}
		for _, f := range s.faults {
			w.sim.After(f.at, func() { w.inject(f) })
		}
		w.sim.After(time.Second, m.turn)
		w.run(s.faulty)
		if w.failure == "" {
			w.heal()
		}
		all := func(is func(v *index.View) bool) bool {
			return !slices.ContainsFunc(w.members(), func(h *host) bool {
				return !h.alive() || h.member.Status().Role != "refused" && !is(h.member.status.View()) // a fault that an operator ends
			})
		}
		want := storeText(m.source)
		if w.failure == "" && !w.until(2*time.Minute, func() bool {
			return all(func(v *index.View) bool { return v.Following() != nil && storeText(v) == want })
		}) {
			w.failf("the source is not followed: %s", followed(w))
		}
		w.run(5 * time.Second) // longer than any lease
		if w.failure == "" && !all(func(v *index.View) bool { return storeText(v) == want }) {
			w.failf("what is followed has changed: %s", followed(w))
		}
		m.end = true
		if w.failure == "" && !w.until(2*time.Minute, func() bool { return all(func(v *index.View) bool { return v.Following() == nil }) }) {
			w.failf("the following does not end: %s", followed(w))
		}
		restore()
		if w.failure != "" {
			t.Fatalf("seed %d: %s", seed, w.failure)
		}
		sent, taken = sent+m.sent, taken+m.taken
	}
	t.Logf("%d steps were sent, %d of them taken", sent, taken)
}

// followed says how far the members are.
func followed(w *world) string {
	var all []string
	for _, h := range w.members() {
		if h.alive() {
			v := h.member.status.View()
			all = append(all, fmt.Sprintf("%s revision %d, compacted %d, %d keys, leases %s, %+v, %s", h.name(), v.Revision(), v.Compacted(), v.Keys(), leasesText(v), v.Following(), h.member.Status().Role))
		}
	}
	return strings.Join(all, ", ")
}
