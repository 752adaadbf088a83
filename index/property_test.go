package index

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// machine drives a state and the model beside each other.
type machine struct {
	state   *State
	model   *model
	wall    int64
	held    []heldView
	seen    map[uint64]uint64 // digests by applied index
	letters int
}

// heldView is a View and what it must show for ever.
type heldView struct {
	view   *View
	model  *model
	digest uint64
}

func newMachine(t *rapid.T) *machine {
	l := limits.Index{
		HistoryBytes:     rapid.Int64Range(200, 6000).Draw(t, "history bytes"),
		HistoryRevisions: rapid.Int64Range(2, 60).Draw(t, "history revisions"),
		CompactionWork:   rapid.SampledFrom([]int64{1, 40, 200, limits.CompactionWork}).Draw(t, "step"),
		SlabBytes:        rapid.SampledFrom([]int{1 << 10, 4 << 10, 16 << 10}).Draw(t, "slab"),
		EvacuationBytes:  rapid.SampledFrom([]int64{1, 200, limits.EvacuationBytes}).Draw(t, "evacuation step"),
		CountedRows:      rapid.SampledFrom([]int{0, 3, limits.CountedRows}).Draw(t, "walk"),
	}
	return &machine{
		state: NewState(l), model: newModel(l), seen: map[uint64]uint64{},
		letters: rapid.IntRange(1, 4).Draw(t, "letters"),
	}
}

func (m *machine) key(t *rapid.T) string {
	k := rapid.StringOfN(rapid.RuneFrom([]rune("abcd")[:m.letters]), 1, 3, -1).Draw(t, "key")
	if rapid.IntRange(0, 19).Draw(t, "long") == 0 {
		k += string(bytes.Repeat([]byte{k[0]}, rapid.IntRange(0, 300).Draw(t, "length")))
	}
	return k
}

func (m *machine) value(t *rapid.T) []byte {
	n := rapid.IntRange(0, 40).Draw(t, "bytes")
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		n = rapid.IntRange(0, 3000).Draw(t, "bytes")
	}
	return bytes.Repeat([]byte{byte('A' + m.model.revision%26)}, n)
}

func (m *machine) batch(t *rapid.T) {
	commands := [][]byte{}
	var want []kv.Result
	if rapid.Bool().Draw(t, "later") {
		m.wall += rapid.Int64Range(-3e6, 9e6).Draw(t, "by")
	}
	wall := max(m.wall, 1)
	revision, history := m.model.begin(wall)
	for range rapid.IntRange(0, 30).Draw(t, "commands") {
		key := m.key(t)
		switch rapid.SampledFrom([]string{"put", "put", "put", "put", "del", "range", "all"}).Draw(t, "command") {
		case "put":
			value := m.value(t)
			commands = append(commands, put(key, string(value)))
			want = append(want, m.model.put(key, value))
		case "del":
			commands = append(commands, del(key, ""))
			want = append(want, m.model.delete(key, ""))
		case "range":
			end := m.key(t)
			commands = append(commands, del(key, end))
			want = append(want, m.model.delete(key, end))
		case "all":
			if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
				continue
			}
			commands = append(commands, del(key, "\x00"))
			want = append(want, m.model.delete(key, "\x00"))
		}
	}
	m.model.end(len(commands), revision, history)
	got, err := m.state.Apply(m.model.applied, 1, AppendEnvelope(nil, Envelope{Level: 1, Wall: wall}, commands), nil)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("results %v %v, want %v", got, err, want)
	}
}

func (m *machine) empty(t *rapid.T) {
	m.model.applied++
	if _, err := m.state.Apply(m.model.applied, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) hold(t *rapid.T) {
	v := m.state.View()
	m.held = append(m.held, heldView{v, m.model.frozen(), v.Digest()})
	if len(m.held) > 4 {
		m.held = m.held[1:]
	}
}

func (m *machine) collect(*rapid.T) { runtime.GC() }

// restore goes on with what a snapshot makes of a View, also of an older one: then the log comes again.
func (m *machine) restore(t *rapid.T) {
	v := m.state.View()
	digest := v.Digest()
	m.state = m.rebuild(t, v)
	if again := m.state.View().Digest(); again != digest {
		t.Fatalf("the digest is %x after a restore, it was %x", again, digest)
	}
}

func (m *machine) rebuild(t *rapid.T, v *View) *State {
	b, err := NewBuilder(v.AppendMeta(nil), m.model.limits)
	if err != nil {
		t.Fatal(err)
	}
	v.Scan(nil, func(key []byte, versions []Version) bool {
		err = b.Add(key, versions)
		return err == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Check is called after each action.
func (m *machine) Check(t *rapid.T) {
	if err := m.state.Check(); err != nil {
		t.Fatal(err)
	}
	v := m.state.View()
	if err := m.model.compare(v); err != nil {
		t.Fatal(err)
	}
	if digest := v.Digest(); m.seen[m.model.applied] == 0 {
		m.seen[m.model.applied] = digest
	} else if m.seen[m.model.applied] != digest {
		t.Fatalf("digest %x at index %d, it was %x", digest, m.model.applied, m.seen[m.model.applied])
	}
	for i, h := range m.held {
		if err := h.model.compare(h.view); err != nil {
			t.Fatalf("view %d of %d has changed: %v", i, len(m.held), err)
		}
		if h.view.Digest() != h.digest {
			t.Fatalf("view %d of %d has another digest", i, len(m.held))
		}
	}
}

func (m *machine) restoreHeld(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip("no view is held")
	}
	h := m.held[rapid.IntRange(0, len(m.held)-1).Draw(t, "view")]
	s := m.rebuild(t, h.view)
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if err := h.model.compare(s.View()); err != nil {
		t.Fatal(err)
	}
}

// TestModel compares the state with the model after every action: ranges at each revision, counts, history, times,
// compaction, restores, and Views that were taken before.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"":        m.Check,
			"batch":   m.batch,
			"batch 2": m.batch,
			"batch 3": m.batch,
			"empty":   m.empty,
			"hold":    m.hold,
			"collect": m.collect,
			"restore": m.restore,
			"again":   m.restoreHeld,
		})
	})
}
