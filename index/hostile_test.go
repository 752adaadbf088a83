package index_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk/simdisk"
	"qkv/snapshot"
)

// TestHostileCommands drives 100,000 commands of all kinds through a state: integers at their edges, lists doubled, empty and reversed,
// the ids and names of others. After some entries the state is saved, as one file or in parts, and loaded; both states go on and stay
// equal. At the end, a log of the entries is written, opened and replayed. No command may panic, and none that is accepted may make a
// state that a load refuses.
func TestHostileCommands(t *testing.T) {
	testlong.Skip(t)
	commands, every := 100_000, 40
	if os.Getenv("QKV_FULL") != "" {
		commands, every = 1_000_000, 3
	}
	accepted := map[uint64]int{}
	for seed := uint64(0); commands > 0; seed++ {
		h := newHostile(t, seed, every, accepted)
		h.live(min(commands, 1000))
		commands -= min(commands, 1000)
		if t.Failed() {
			return
		}
	}
	for kind, name := range index.NamesOfKinds() {
		if accepted[kind] < 5 && name != "refused command" {
			t.Errorf("of %s, kind %d, only %d hostile commands were accepted: add it to the samples", name, kind, accepted[kind])
		}
	}
}

type hostile struct {
	t        *testing.T
	r        *rand.Rand
	seed     uint64
	every    int
	accepted map[uint64]int
	limits   limits.Index
	fs       *simdisk.Disk
	state    *index.State
	loaded   *index.State // from the newest save, or nil; it goes on beside the state
	samples  [][]byte
	entries  []*raftpb.Entry
	wall     int64
	stored   storedParts
}

// storedParts are the parts that a state was saved in.
type storedParts struct {
	base, extents []snapshot.Part
	at, to        int64
}

func newHostile(t *testing.T, seed uint64, every int, accepted map[uint64]int) *hostile {
	h := &hostile{t: t, stored: storedParts{at: index.EmptyBase, to: index.EmptyBase}, r: rand.New(rand.NewPCG(seed, 46)), seed: seed, every: every, accepted: accepted, fs: simdisk.New(1)}
	h.limits = limits.Index{CompactionWork: 1 << 10, SlabBytes: 1 << 16, EvacuationBytes: 1 << 14, CountedRows: 10, ExtentBytes: 3000}
	if h.limits.Sessions = index.Rules; seed%4 == 0 {
		h.limits.Sessions = limits.FirstSessionRules
	}
	if err := h.fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	h.state = h.begin()
	h.samples, _ = index.Samples()
	return h
}

// begin returns the state before the first entry.
func (h *hostile) begin() *index.State {
	s := index.NewState(h.limits)
	s.Found(index.Founders(map[string]uint64{"n1": 0x8e9e05c52164694d, "n2": 8, "n3": 300}))
	s.Stored(0, 0, nil) // it is saved in parts
	return s
}

func (h *hostile) live(commands int) {
	own := index.Head{By: kv.Principal{Auth: kv.AuthOwn}}
	if h.seed%3 == 1 {
		for _, c := range []kv.AuthChange{
			{Kind: kv.RoleAdd, Role: "r"},
			{Kind: kv.RoleGrantPermission, Role: "r", Permission: kv.Permission{Key: []byte("key"), End: []byte{0}, Type: kv.PermitReadWrite}},
			{Kind: kv.UserAdd, User: "root"},
			{Kind: kv.UserGrantRole, User: "root", Role: "root"},
			{Kind: kv.UserAdd, User: "ci"},
			{Kind: kv.UserGrantRole, User: "ci", Role: "r"},
			{Kind: kv.UserAdd, User: "u"},
			{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)},
		} {
			h.apply([][]byte{own.AppendAuthChange(nil, &c).Bytes})
		}
	}
	for entry := 0; commands > 0 && !h.t.Failed(); entry++ {
		var batch [][]byte
		for n := 1 + h.r.IntN(6); n > 0 && commands > 0; n-- {
			if one := h.command(); changesMembership(one) {
				h.apply([][]byte{one})
			} else {
				batch = append(batch, one)
			}
			commands--
		}
		h.apply(batch)
		if entry%h.every == h.every-1 {
			h.save()
		}
	}
	if !h.t.Failed() {
		h.save()
		h.replay()
	}
}

// apply applies an entry to the state, and to the one that was loaded.
func (h *hostile) apply(commands [][]byte) {
	if len(commands) == 0 || h.t.Failed() {
		return
	}
	h.t.Helper()
	e := index.Envelope{Level: index.FirstLevel, Member: h.pick(0x8e9e05c52164694d, 8, 300, 1), Wall: h.wall}
	switch h.wall += h.r.Int64N(3e6); h.r.IntN(60) {
	case 0:
		e.Wall = h.number()
	case 1:
		h.wall += 20e9
	}
	data := index.AppendEnvelope(nil, e, commands)
	for _, one := range h.state.Members().All() { // an announcement comes from its member
		if _, err := index.CheckEnvelope(data); err != nil && len(commands) == 1 {
			e.Member = one.ID
			data = index.AppendEnvelope(nil, e, commands)
		}
	}
	change, err := index.CheckEnvelope(data)
	if err != nil {
		if len(commands) > 1 { // one of them is refused on its way: the others come alone
			for i := range commands {
				h.apply(commands[i : i+1])
			}
		}
		return
	}
	at, _ := h.state.Applied()
	entry := &raftpb.Entry{Index: proto.Uint64(at + 1), Term: proto.Uint64(7), Data: data, Type: raftpb.EntryNormal.Enum()}
	if change != nil {
		entry.Type = raftpb.EntryConfChangeV2.Enum()
	}
	h.entries = append(h.entries, entry)
	defer func() {
		if r := recover(); r != nil {
			h.t.Fatalf("seed %d, entry %d: %s: panic: %v", h.seed, at+1, index.Describe(data), r)
		}
	}()
	results := h.applyTo(h.state, entry)
	for i := range results {
		if results[i].Err == nil {
			h.accepted[kindOf(commands[i])]++
		}
	}
	h.state.View()
	if h.loaded != nil {
		h.applyTo(h.loaded, entry)
		if h.loaded.View().Digest() != h.state.View().Digest() {
			h.t.Fatalf("seed %d, entry %d: %s: the state that was loaded differs", h.seed, at+1, index.Describe(data))
		}
	}
}

func (h *hostile) applyTo(s *index.State, e *raftpb.Entry) []kv.Result {
	apply := s.Apply
	if e.GetType() == raftpb.EntryConfChangeV2 {
		apply = s.ApplyChange
	}
	results, err := apply(e.GetIndex(), e.GetTerm(), e.GetData(), nil)
	if err != nil {
		h.t.Fatalf("seed %d, entry %d: %s: %v", h.seed, e.GetIndex(), index.Describe(e.GetData()), err)
	}
	s.TakeLeaseChanges()
	return results
}

// save checks, saves and loads the state.
func (h *hostile) save() {
	last := index.Describe(h.entries[len(h.entries)-1].GetData())
	if err := h.state.Check(); err != nil {
		h.t.Fatalf("seed %d, up to entry %d, %s: %v", h.seed, len(h.entries), last, err)
	}
	h.saveParts()
	v := h.state.ViewToSave()
	applied, term := v.Applied()
	m := snapshot.Meta{Cluster: 1, Member: 300, Index: applied, Term: term, ConfState: []byte{8, 77}, Version: "1"}
	m.Parts = slices.Concat(h.stored.base, h.stored.extents)
	path := h.write(snapshot.Begin(h.fs, "d", m, v)).Info().Path
	loaded, _, err := snapshot.LoadIn(index.NewReserve(), h.fs, h.fs, path, h.limits)
	if err != nil {
		h.t.Fatalf("seed %d, up to entry %d, %s: the state that was saved cannot be loaded: %v", h.seed, len(h.entries), last, err)
	}
	if err := loaded.Check(); err != nil || loaded.View().Digest() != v.Digest() {
		h.t.Fatalf("seed %d, up to entry %d, %s: the state that was loaded: %v", h.seed, len(h.entries), last, err)
	}
	h.loaded = loaded
	h.loaded.Stored(h.stored.at, h.stored.to, nil)
	if err := h.fs.Remove(path); err != nil {
		h.t.Fatal(err)
	}
}

// saveParts saves what is not in parts yet.
func (h *hostile) saveParts() {
	v, p := h.state.View(), &h.stored
	if v.Base() != p.at {
		p.base = nil
		for piece := v.BaseRange(nil); piece != nil; piece = piece.Next() {
			p.base = append(p.base, h.write(snapshot.BeginRangeFile(h.fs, "d", v.Base(), piece)).Part())
		}
		p.at, p.to = v.Base(), max(p.to, v.Base())
		p.extents = slices.DeleteFunc(p.extents, func(one snapshot.Part) bool {
			return !slices.ContainsFunc(v.Extents(), func(e index.Extent) bool { return e.Number == one.Number })
		})
	}
	for _, e := range v.Extents() {
		if e.To > p.to {
			p.extents = append(p.extents, h.write(snapshot.BeginExtent(h.fs, "d", v, e)).Part())
			p.to = e.To
		}
	}
	h.state.Stored(p.at, p.to, nil)
	h.state.View()
	for h.state.Reclaim() {
		h.state.View()
	}
}

func (h *hostile) write(s *snapshot.Saver, err error) *snapshot.Saver {
	for done := false; err == nil && !done; {
		done, err = s.Step(1 << 20)
	}
	if err != nil {
		h.t.Fatalf("seed %d, up to entry %d: save: %v", h.seed, len(h.entries), err)
	}
	return s
}

// replay writes the entries to a log, opens it, and applies what it has to a new state.
func (h *hostile) replay() {
	o := log.Options{FS: h.fs, Dir: "w", Cluster: 1, Member: 300, SegmentBytes: 16 << 20, WindowBytes: 64 << 20, Salt: h.r.Uint64}
	if err := log.Create(o, log.Marker{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{300}}}); err != nil {
		h.t.Fatal(err)
	}
	l, _, err := log.Open(o)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range h.entries {
		e.Index = proto.Uint64(e.GetIndex() + 1) // the first entry of a log is its founding
	}
	for rest := h.entries; len(rest) > 0; {
		some := rest[:min(len(rest), 50)]
		rest = rest[len(some):]
		if l.Append(nil, some); err == nil {
			_, err = l.Sync()
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		h.t.Fatal(err)
	}
	l, r, err := log.Open(o)
	if err != nil {
		h.t.Fatal(err)
	}
	defer l.Close()
	reader := log.NewReader(h.fs)
	defer reader.Close()
	s := h.begin()
	for next := uint64(2); next <= r.Last; {
		some, err := r.Window.Entries(next, r.Last+1, 1<<30)
		if err != nil {
			h.t.Fatalf("read entry %d: %v", next, err)
		}
		for _, order := range r.Window.TakeWanted(nil) {
			read, err := reader.Read(order)
			if _, _, err := r.Window.Load(order, read, err); err != nil {
				h.t.Fatal(err)
			}
		}
		for _, e := range some {
			e.Index = proto.Uint64(e.GetIndex() - 1)
			h.applyTo(s, e)
			s.View()
			next++
		}
	}
	if s.View().Digest() != h.state.View().Digest() {
		h.t.Fatalf("seed %d: a replay of %d entries makes another state", h.seed, r.Last)
	}
}

func (h *hostile) pick(all ...uint64) uint64 { return all[h.r.IntN(len(all))] }

// number is a number of the state, or one at an edge.
func (h *hostile) number() int64 {
	v := h.state.View()
	switch h.r.IntN(9) {
	case 0:
		if all := v.Members().All(); len(all) > 0 {
			return int64(all[h.r.IntN(len(all))].ID)
		}
	case 1:
		var all []int64
		v.Leases(math.MinInt64, func(l kv.Lease) bool {
			all = append(all, l.ID)
			return len(all) < 100
		})
		if len(all) > 0 {
			return all[h.r.IntN(len(all))]
		}
	case 2:
		if all := v.Extents(); len(all) > 0 {
			return all[h.r.IntN(len(all))].To
		}
	case 3, 4, 5:
		return int64(h.pick(0, 1, 2, 3, 7, 300, 0x8e9e05c52164694d, math.MaxUint64, uint64(v.Revision()), uint64(v.Revision())+1, uint64(v.Revision())-1, uint64(v.Compacted()), uint64(v.SessionClock())))
	}
	return int64(h.edge())
}

func (h *hostile) edge() uint64 {
	edges := []uint64{0, 1, 1 << 31, 1 << 32, 1 << 60, index.ImportRevision, limits.SessionSequence, math.MaxInt64, 1 << 63, math.MaxUint64, limits.LeaseSeconds, limits.SessionWindow}
	return edges[h.r.IntN(len(edges))] + h.pick(0, 0, 1, 2, 1<<64-1, 1<<64-5)
}

// command returns a sample of a command with some of its values changed. Most heads are of a user who may write, and of a session.
func (h *hostile) command() []byte {
	v := h.state.View()
	sample := h.samples[h.r.IntN(len(h.samples))]
	if len(sample) > 2000 && h.r.IntN(20) > 0 {
		return h.command()
	}
	c := decoded(sample).([]any)
	if h.r.IntN(8) > 0 {
		c[2], c[3] = "", uint64(kv.AuthOwn)
		if h.r.IntN(2) == 0 {
			c[2], c[3] = []string{"root", "root", "ci", "u"}[h.r.IntN(4)], v.Auth().Revision()
		}
	}
	if _, ok := c[4].([]any); ok && h.r.IntN(8) > 0 {
		sequence := 1 + h.r.Uint64N(30)
		if h.r.IntN(6) == 0 {
			sequence = h.edge()
		}
		c[4], c[5] = []any{1 + h.r.Uint64N(6), min(sequence, 1+h.r.Uint64N(30)), v.SessionClock()}, sequence
	}
	if body, ok := c[6].([]any); ok && h.r.IntN(2) == 0 { // nearly all other numbers are refused
		switch index.NamesOfKinds()[kindOf(sample)] {
		case "new base":
			if all := v.Extents(); len(all) > 0 {
				body[0] = all[h.r.IntN(len(all))].To
			}
		case "revocation of a lease":
			body[0], body[1] = h.number(), uint64(0)
		case "membership change":
			body[0], body[1], body[5] = 1+h.r.Uint64N(5), h.number(), h.pick(0, 0, 0, uint64(h.number()))
			body[3] = []any{fmt.Sprintf("h:%d", h.r.IntN(50))}
		case "announcement":
			body[0], body[1], body[10], body[11] = h.number(), h.value(body[1]), uint64(h.r.IntN(40)), h.value(body[11])
		}
	}
	return h.changed(encoded(nil, c), h.r.IntN(4))
}

// changed changes values of a command: n of them, anywhere behind the kind and the version.
func (h *hostile) changed(command []byte, n int) []byte {
	c := decoded(command).([]any)
	for range n {
		at := 2 + h.r.IntN(len(c)-2)
		if h.r.IntN(3) > 0 {
			at = len(c) - 1
		}
		c[at] = h.value(c[at])
	}
	return encoded(nil, c)
}

// value returns another value in the place of one.
func (h *hostile) value(v any) any {
	switch v := v.(type) {
	case bool:
		return !v
	case string:
		return []string{"", "root", "ci", "u", "r", "n1", "n2", "n3", "n9", "h:1", "10.0.0.1:2380", string(bytes.Repeat([]byte("x"), h.r.IntN(300)))}[h.r.IntN(12)]
	case []byte:
		if inner, ok := decoded(v).([]any); ok {
			return encoded(nil, h.value(inner))
		}
		return [][]byte{nil, {0}, []byte("key"), []byte("a"), []byte("b"), bytes.Repeat([]byte("y"), h.r.IntN(600)), make([]byte, 32), make([]byte, 16)}[h.r.IntN(8)]
	case []any:
		all := slices.Clone(v)
		switch n := h.r.IntN(20); {
		case n == 0:
			return append(all, all...)
		case n == 1:
			return []any{}
		case n == 2:
			slices.Reverse(all)
		case len(all) > 0 && n < 5: // another list has its first element twice
			return append(all, all[0])
		case len(all) > 0:
			i := h.r.IntN(len(all))
			all[i] = h.value(all[i])
		}
		return all
	}
	if h.r.IntN(3) == 0 {
		return h.edge()
	}
	return h.number()
}

// changesMembership tells whether a command changes the membership, and must be alone.
func changesMembership(command []byte) bool {
	change, _ := index.CheckEnvelope(index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel}, [][]byte{command}))
	return change != nil
}

func kindOf(command []byte) uint64 {
	r := pack.NewReader(command)
	r.Array()
	return r.Uint()
}

// decoded returns what MessagePack has, or nil.
func decoded(b []byte) any {
	r := bytes.NewReader(b)
	v, err := msgpack.NewDecoder(r).DecodeInterface()
	if err != nil || r.Len() > 0 {
		return nil
	}
	return v
}

// encoded appends a value as package pack does.
func encoded(dst []byte, v any) []byte {
	switch v := v.(type) {
	case bool:
		return pack.AppendBool(dst, v)
	case string:
		return pack.AppendString(dst, v)
	case []byte:
		return pack.AppendBytes(dst, v)
	case []any:
		dst = pack.AppendArray(dst, len(v))
		for _, one := range v {
			dst = encoded(dst, one)
		}
		return dst
	case uint64:
		return pack.AppendUint(dst, v)
	case int64:
		return pack.AppendInt(dst, v)
	case int8:
		return pack.AppendInt(dst, int64(v))
	case int16:
		return pack.AppendInt(dst, int64(v))
	case int32:
		return pack.AppendInt(dst, int64(v))
	case uint8:
		return pack.AppendUint(dst, uint64(v))
	case uint16:
		return pack.AppendUint(dst, uint64(v))
	case uint32:
		return pack.AppendUint(dst, uint64(v))
	}
	panic(fmt.Sprintf("a value of type %T", v))
}
