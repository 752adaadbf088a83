package index

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// madeFiles are files with all changes of a View up to a revision.
type madeFiles struct {
	to      int64
	values  map[string][]byte // by key and position
	err     error             // of each value that is read
	corrupt func([]byte) []byte
	reads   int
}

func nameOf(key []byte, at Position) string { return fmt.Sprintf("%q %d.%d", key, at.Revision, at.Sub) }

func filesOf(t testing.TB, v *View, to int64) *madeFiles {
	t.Helper()
	m := &madeFiles{to: to, values: map[string][]byte{}}
	v.Records(func(key []byte, one *Version) bool {
		if one.Mod > to {
			return false
		}
		if err := one.Read(); err != nil {
			t.Fatal(err)
		}
		m.values[nameOf(key, Position{one.Mod, one.Sub})] = bytes.Clone(one.Value)
		return true
	})
	return m
}

func (m *madeFiles) To() int64 { return m.to }

func (m *madeFiles) Value(key []byte, at Position, sound func([]byte) bool) ([]byte, error) {
	m.reads++
	value, found := m.values[nameOf(key, at)]
	switch {
	case m.err != nil:
		return nil, m.err
	case !found:
		return nil, ErrElsewhere
	}
	if m.corrupt != nil {
		value = m.corrupt(bytes.Clone(value))
	}
	if !sound(value) {
		return nil, errors.New("another checksum")
	}
	return value, nil
}

func (m *madeFiles) ReadTogether(all []*Unread) { offer(m, all) }

// offer offers each value that Value returns.
func offer(from Values, all []*Unread) {
	for _, one := range all {
		if value, err := from.Value(one.Key(), one.Position(), func([]byte) bool { return true }); err == nil {
			one.Offer(value)
		}
	}
}

// coldIn lists the versions whose value is not in memory.
func coldIn(v *View) (all []string) {
	v.Scan(nil, func(key []byte, versions []Version) bool {
		for i := range versions {
			if one := &versions[i]; one.unread != nil {
				all = append(all, fmt.Sprintf("%s@%d", key, one.Mod))
			}
		}
		return true
	})
	return all
}

func valueOf(n int, seed byte) string { return strings.Repeat(string('a'+seed), n) }

// superseding makes revisions 2 to 11.
func superseding(t testing.TB, s *State) {
	t.Helper()
	for _, command := range [][]byte{
		put("a", valueOf(200, 0)), put("a", valueOf(coldLeast, 1)), del("a", ""), put("a", valueOf(300, 2)), // 2 to 5
		put("b", valueOf(coldLeast-1, 3)), put("b", valueOf(100, 4)), // 6, 7
		put("c", valueOf(100, 5)), put("b", ""), put("c", valueOf(1000, 6)), put("b", valueOf(64, 7)), // 8 to 11
	} {
		batch(t, s, 1, command)
	}
}

// A value leaves when the change that superseded it is in files. Small values, live ones and tombstones stay.
func TestValuesLeave(t *testing.T) {
	for _, atApply := range []bool{false, true} {
		s := NewState(limits.Defaults().Index)
		superseding(t, s)
		all := filesOf(t, s.View(), s.revision)
		want := map[int64]string{3: "a@2", 4: "a@3", 9: "b@7", 10: "c@8"} // by the change that superseded it
		var gone []string
		for to := int64(1); to <= 11; to++ {
			files := *all
			files.to = to
			s.Stored(to, 1000, &files) // what files do not have does not leave, whatever else is said to be stored
			if one := want[to]; one != "" {
				gone = append(gone, one)
			}
			if atApply {
				batch(t, s, 1, del("nothing", ""))
			} else {
				reclaimed(s)
			}
			v := s.View()
			if got := coldIn(v); !slices.Equal(got, slices.Sorted(slices.Values(gone))) {
				t.Errorf("at apply %v: files up to revision %d: %q left memory, %q should", atApply, to, got, gone)
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
		}
		if n, size := s.View().Cold(); n != 4 || size != 200+coldLeast+100+100 {
			t.Errorf("%d values of %d bytes are cold", n, size)
		}
		s.Stored(11, 1000, nil)
		batch(t, s, 1, put("c", valueOf(70, 8)), put("c", ""))
		reclaimed(s)
		if n, _ := s.View().Cold(); n != 4 {
			t.Errorf("%d values are cold, though there are no files", n)
		}
	}
	s := NewState(limits.Defaults().Index)
	superseding(t, s)
	s.Stored(11, 1000, filesOf(t, s.View(), s.revision))
	s.Stored(11, 1000, nil) // before any value has left
	reclaimed(s)
	if n, _ := s.View().Cold(); n != 0 {
		t.Errorf("%d values left memory for files that are gone", n)
	}
}

// A View that was made before values left memory reads the same bytes, and so do slices that it handed out before.
func TestOldViewReadsOn(t *testing.T) {
	s := NewState(limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 12, EvacuationBytes: 1 << 20, CountedRows: 10})
	superseding(t, s)
	old := s.View()
	held, _, _ := old.Get([]byte("a"), 2)
	files := filesOf(t, old, s.revision)
	s.Stored(11, 11, files)
	for n := range 100 { // slabs are reused
		batch(t, s, 1, put("d", valueOf(500, byte(n%20))))
		reclaimed(s)
		runtime.GC()
	}
	for _, v := range []*View{old, s.View()} {
		files.reads = 0
		for revision, want := range map[int64]string{2: valueOf(200, 0), 3: valueOf(coldLeast, 1), 5: valueOf(300, 2)} {
			if pair, found, err := v.Get([]byte("a"), revision); !found || err != nil || string(pair.Value) != want {
				t.Errorf("revision %d: %q, %v, %v", revision, pair.Value, found, err)
			}
		}
		if files.reads != 2 {
			t.Errorf("%d values were read from files", files.reads)
		}
	}
	if string(held.Value) != valueOf(200, 0) {
		t.Errorf("a value that was handed out became %q", held.Value)
	}
	runtime.KeepAlive(old)
}

// A View reads from later files what its own do not have, or cannot read.
func TestViewFollowsFiles(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	batch(t, s, 1, put("a", valueOf(100, 0)), put("a", valueOf(100, 1)))
	first := filesOf(t, s.View(), 3)
	s.Stored(3, 3, first)
	reclaimed(s)
	batch(t, s, 1, put("a", valueOf(100, 2)), put("a", ""))
	v := s.View()
	second := filesOf(t, v, 5)
	s.Stored(5, 5, second)
	reclaimed(s)
	first.err = errors.New("the disk is gone")
	for revision := int64(2); revision <= 4; revision++ {
		if pair, _, err := v.Get([]byte("a"), revision); err != nil || string(pair.Value) != valueOf(100, byte(revision-2)) {
			t.Errorf("revision %d: %q, %v", revision, pair.Value, err)
		}
	}
	second.err = first.err
	if _, _, err := v.Get([]byte("a"), 3); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("no file has it: %v", err)
	}
	second.err = ErrElsewhere // later files without the version do not hide why it cannot be read
	if _, _, err := v.Get([]byte("a"), 2); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("the later files do not have it: %v", err)
	}
}

// ways are all ways in which a value of the history is read; each returns what it got.
var ways = map[string]func(s *State, old *View) (string, error){
	"get": func(s *State, _ *View) (string, error) {
		pair, _, err := s.View().Get([]byte("a"), 2)
		return string(pair.Value), err
	},
	"range": func(s *State, _ *View) (string, error) {
		r, err := s.View().Range(kv.Range{Key: []byte("a"), End: []byte("z"), Revision: 2}, 0)
		return joined(r.KVs), err
	},
	"one key": func(s *State, _ *View) (string, error) {
		r, err := s.View().Range(kv.Range{Key: []byte("a"), Revision: 2}, 0)
		return joined(r.KVs), err
	},
	"sorted": func(s *State, _ *View) (text string, err error) {
		reader, v := NewSortedReader(kv.Range{Key: []byte("a"), End: []byte("z"), Revision: 2, Sort: kv.SortByVersion, Order: kv.SortDescend}, 0), s.View()
		for last := false; !last && err == nil; {
			var page kv.RangeResult
			page, _, last, err = reader.Step(v, 10)
			text += joined(page.KVs)
		}
		return text, err
	},
	"sorted by value": func(s *State, _ *View) (text string, err error) {
		reader, v := NewUnpagedReader(kv.Range{Key: []byte("a"), End: []byte("z"), Revision: 2, Sort: kv.SortByValue, Order: kv.SortAscend}, 1<<20), s.View()
		for {
			if r, done, err := reader.Step(v, 10); done {
				return joined(r.KVs), err
			}
		}
	},
	"transaction that reads": func(s *State, _ *View) (string, error) {
		txn := &kv.Txn{Success: []kv.Op{{Range: &kv.Range{Key: []byte("a"), Revision: 2}}}}
		v := s.View()
		r, err := v.Evaluate(txn)
		if err != nil {
			return "", err
		}
		return textOf(v, NewAnswerReader(txn, &r, 1<<20))
	},
	"transaction that compares": func(_ *State, old *View) (string, error) {
		_, err := old.Evaluate(&kv.Txn{Compares: []kv.Compare{{Key: []byte("a"), Target: kv.CompareValue, Value: []byte(valueOf(100, 1)), Result: kv.Equal}}})
		return valueOf(100, 1), err
	},
	"previous pair": func(s *State, _ *View) (string, error) {
		return textOf(s.View(), NewPutReader(&kv.Put{Key: []byte("a"), PrevKV: true}, &kv.Result{Revision: 3, Changed: true}, 1<<20))
	},
	"events": func(s *State, _ *View) (text string, err error) {
		err = s.View().Events(2, func(e *kv.Event) bool { text += string(e.KV.Value); return true })
		return text, err
	},
	"scan": func(s *State, _ *View) (text string, err error) {
		s.View().Scan(nil, func(_ []byte, versions []Version) bool {
			err = versions[0].Read()
			text += string(versions[0].Value)
			return err == nil
		})
		return text, err
	},
	"records": func(s *State, _ *View) (text string, err error) {
		s.View().Records(func(_ []byte, one *Version) bool {
			err = one.Read()
			text += string(one.Value)
			return err == nil
		})
		return text, err
	},
	"log": func(s *State, _ *View) (text string, err error) {
		_, failed := s.View().Changes(Position{Revision: 2}, func(c *Change) bool {
			text += string(c.KV.Value)
			if u := c.Unread(); u != nil {
				var value []byte
				value, err = u.Read()
				text += string(value)
			}
			return err == nil
		})
		return text, errors.Join(err, failed)
	},
	"history": func(s *State, _ *View) (text string, err error) {
		_, failed := s.View().KeyChanges([]byte("a"), Position{Revision: 3}, 100, func(c *Change) bool {
			if _, u, ok := c.Before(); ok && u != nil {
				var value []byte
				value, err = u.Read()
				text += string(value)
			}
			return err == nil
		})
		return text, errors.Join(err, failed)
	},
}

func joined(pairs []kv.KeyValue) (text string) {
	for _, one := range pairs {
		text += string(one.Value)
	}
	return text
}

func textOf(v *View, a *AnswerReader) (string, error) {
	for {
		result, done, err := a.Step(v, 10)
		switch {
		case err != nil:
			return "", err
		case done && result.Answers[0].Put != nil && result.Answers[0].Put.Prev != nil:
			return string(result.Answers[0].Put.Prev.Value), nil
		case done && result.Answers[0].Range != nil:
			return joined(result.Answers[0].Range.KVs), nil
		case done:
			return "", errors.New("there is no pair")
		}
	}
}

// A value that cannot be read fails the read, and changes nothing. Neither is a wrong one answered: of another length, with another
// bit, of another version, or nothing.
func TestValueCannotBeRead(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	batch(t, s, 1, put("a", valueOf(100, 0)), put("a", valueOf(100, 1)))
	old := s.View()
	batch(t, s, 1, put("a", ""), put("b", ""))
	files := filesOf(t, s.View(), 5)
	s.Stored(5, 5, files)
	reclaimed(s)
	if n, _ := s.View().Cold(); n != 2 {
		t.Fatalf("%d values are cold", n)
	}
	digest := s.View().Digest()
	faults := map[string]func(){
		"the disk fails": func() { files.err = errors.New("input/output error") },
		"no file":        func() { files.err = ErrElsewhere },
		"another bit":    func() { files.corrupt = func(b []byte) []byte { b[len(b)/2] ^= 1; return b } },
		"shorter":        func() { files.corrupt = func(b []byte) []byte { return b[1:] } },
		"longer":         func() { files.corrupt = func(b []byte) []byte { return append(b, b[0]) } },
		"empty":          func() { files.corrupt = func([]byte) []byte { return nil } },
		"another's": func() {
			files.corrupt = func(b []byte) []byte {
				if b[0] == 'a' {
					return []byte(valueOf(100, 1))
				}
				return []byte(valueOf(100, 0))
			}
		},
	}
	for _, way := range slices.Sorted(maps.Keys(ways)) {
		for what, break_ := range faults {
			break_()
			text, err := ways[way](s, old)
			want := kv.Unavailable
			if way == "previous pair" {
				want = kv.AnswerGone // the write did happen
			}
			if one, is := errors.AsType[*kv.Error](err); !is || one.Code != want {
				t.Errorf("%s, %s: %q, %v", way, what, text, err)
			}
			files.err, files.corrupt = nil, nil
		}
		if text, err := ways[way](s, old); err != nil || !strings.Contains(text, valueOf(100, 0)) && !strings.Contains(text, valueOf(100, 1)) {
			t.Errorf("%s: %q, %v", way, text, err)
		}
	}
	r := kv.Result{Revision: 3, Changed: true, Resent: true}
	files.err = errors.New("input/output error")
	txn := &kv.Txn{Compares: []kv.Compare{{Key: []byte("a"), Target: kv.CompareValue, Value: []byte("x"), Result: kv.Equal}}}
	if err, is := errors.AsType[*kv.Error](s.View().RecoverAnswer(txn, &r)); !is || err.Code != kv.AnswerGone {
		t.Errorf("a repeated transaction: %v", err)
	}
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("the check did not read it: %v", err)
	}
	if files.err = nil; s.View().Digest() != digest {
		t.Error("the digest has changed")
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// Reads that need no value read no file.
func TestReadsWithoutValues(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	superseding(t, s)
	files := filesOf(t, s.View(), 11)
	s.Stored(11, 11, files)
	reclaimed(s)
	files.err = errors.New("a value was read")
	v := s.View()
	for _, q := range []kv.Range{
		{Key: []byte("a"), End: []byte("z"), Revision: 8, KeysOnly: true},
		{Key: []byte("a"), End: []byte("z"), Revision: 8, CountOnly: true},
		{Key: []byte("a"), End: []byte("z"), Revision: 11},
	} {
		if _, err := v.Range(q, 0); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if got := v.ModifiedAt([]byte("b"), 8); got != 7 {
		t.Errorf("the key was modified at %d", got)
	}
	var verifier Verifier
	for done := false; !done; {
		var err error
		if done, err = verifier.Step(v, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if batch(t, s, 1, put("a", "x"), del("c", "")); files.reads != 0 {
		t.Errorf("%d values were read", files.reads)
	}
}

// TestColdMemory: a kept version without its value takes its head, its slot in the history, and what slabs leave free.
func TestColdMemory(t *testing.T) {
	const keys, versions, most = 2000, 50, 80
	s := NewState(limits.Index{CompactionWork: defaults.CompactionWork, SlabBytes: 1 << 16, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows})
	value := valueOf(256, 0)
	taken := func() int64 {
		reclaimed(s)
		s.View().Rest()
		reclaimed(s)
		return s.keys.memory.bytes + int64(len(s.history.slots.chunks)*chunkLen*8)
	}
	round := func() {
		var commands [][]byte
		for n := range keys {
			commands = append(commands, put(fmt.Sprintf("a key of about 30 bytes %06d", n), value))
		}
		for some := range slices.Chunk(commands, 100) {
			batch(t, s, 1, some...)
		}
	}
	round()
	live := taken()
	for range versions {
		round()
		s.Stored(s.revision, s.revision, &valueFiles{[]byte(value), s.revision})
		reclaimed(s)
	}
	all := taken()
	n, size := s.View().Cold()
	if n != keys*versions || size != n*256 {
		t.Fatalf("%d values of %d bytes are cold", n, size)
	}
	each := float64(all-live) / float64(n)
	t.Logf("a version without its value takes %.1f bytes, a key with its newest version %.1f", each, float64(live)/keys)
	if each > most {
		t.Errorf("a version without its value takes %.1f bytes, at most %d are expected", each, most)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

// valueFiles has one value for all versions.
type valueFiles struct {
	value []byte
	to    int64
}

func (f *valueFiles) To() int64                                                 { return f.to }
func (f *valueFiles) Value([]byte, Position, func([]byte) bool) ([]byte, error) { return f.value, nil }
func (f *valueFiles) ReadTogether(all []*Unread)                                { offer(f, all) }

// Reclaim goes on until the last revision that is in files has let all its values go, however little it does at a time.
func TestLastRevisionLetsGo(t *testing.T) {
	const keys = 100
	s := NewState(limits.Index{CompactionWork: 1, SlabBytes: 1 << 16, EvacuationBytes: 1 << 20, CountedRows: 10})
	var all kv.Txn
	for n := range keys {
		all.Success = append(all.Success, kv.Op{Put: &kv.Put{Key: fmt.Append(nil, n), Value: []byte(valueOf(100, 0))}})
	}
	for range 2 {
		batch(t, s, 1, new(Head).AppendTxn(nil, &all).Bytes)
	}
	s.Stored(s.revision, s.revision, filesOf(t, s.View(), s.revision))
	reclaimed(s)
	if n, _ := s.View().Cold(); n != keys {
		t.Errorf("%d of %d values have left memory", n, keys)
	}
}

// A reader that measures reads no value, and says the sizes of all. A reader that reads takes each value once, page by
// page, and no value of the pair that only shows that there are more.
func TestMeasuredValues(t *testing.T) {
	const keys, size = 10, 1000
	s := NewState(limits.Defaults().Index)
	for n := range keys {
		batch(t, s, 1, put(fmt.Sprintf("k%d", n), valueOf(size, byte(n))))
	}
	old := s.revision
	for n := range keys {
		batch(t, s, 1, put(fmt.Sprintf("k%d", n), "live"))
	}
	files := filesOf(t, s.View(), s.revision)
	s.Stored(s.revision, s.revision, files)
	reclaimed(s)
	v := s.View()
	past := kv.Range{Key: []byte("k"), End: []byte("l"), Revision: old}
	limited, sorted, live := past, past, past
	limited.Limit, sorted.Sort, sorted.Order, live.Revision = 4, kv.SortByMod, kv.SortDescend, 0
	txn := func(q kv.Range) *AnswerReader {
		t := &kv.Txn{Success: []kv.Op{{Range: &q}}}
		return NewAnswerReader(t, &kv.Result{Revision: v.Revision(), Txn: &kv.TxnOutcome{Path: []bool{true}}}, 1<<30)
	}
	unpaged := func(r *UnpagedReader) func() (int, bool, error) {
		return func() (int, bool, error) {
			found, done, err := r.Step(v, 3)
			return sizesOf(found.KVs), done, err
		}
	}
	answer := func(r *AnswerReader) func() (int, bool, error) {
		return func() (n int, done bool, err error) {
			found, done, err := r.Step(v, 3)
			if done && err == nil {
				n = sizesOf(found.Answers[0].Range.KVs)
			}
			return n, done, err
		}
	}
	type reader interface {
		Measure()
		Measured() (unread, all int64)
	}
	for name, c := range map[string]struct {
		q            kv.Range
		cold, values int
	}{"all": {past, keys, keys * size}, "limited": {limited, 4, 4 * size}, "sorted": {sorted, keys, keys * size}, "live": {live, 0, keys * len("live")}} {
		for _, inTxn := range []bool{false, true} {
			for _, measures := range []bool{true, false} {
				files.reads = 0
				whole, inside := NewUnpagedReader(c.q, 1<<30), txn(c.q)
				r, step := reader(whole), unpaged(whole)
				if inTxn {
					r, step = inside, answer(inside)
				}
				if measures {
					r.Measure()
				}
				var values int
				for done := false; !done; {
					var err error
					if values, done, err = step(); err != nil {
						t.Fatal(err)
					}
				}
				reads := c.cold
				if measures {
					reads = 0
					if unread, all := r.Measured(); unread != int64(c.cold*size) || all != int64(c.values+keysOf(c.q, keys)*(2+pairOverhead)) {
						t.Errorf("%s, in a transaction %v: %d bytes are unread of %d", name, inTxn, unread, all)
					}
				}
				if values != c.values || files.reads != reads {
					t.Errorf("%s, in a transaction %v, measures %v: values of %d bytes, %d of them read; want %d, %d", name, inTxn, measures, values, files.reads, c.values, reads)
				}
			}
		}
	}
	// The previous value of a put, and a page of a range.
	p := &kv.Put{Key: []byte("k0"), PrevKV: true}
	a := NewPutReader(p, &kv.Result{Revision: old + 1}, 1<<30)
	files.reads = 0
	a.Measure()
	if found, done, err := a.Step(v, 1); err != nil || !done || len(found.Answers[0].Put.Prev.Value) != size || files.reads != 0 {
		t.Errorf("the previous value: %v %v, %d reads", done, err, files.reads)
	}
	page := NewRangeReader(past, 0)
	page.Measure()
	if found, done, err := page.Step(v, 100); err != nil || !done || sizesOf(found.KVs) != keys*size || page.Unread() != keys*size || files.reads != 0 {
		t.Errorf("a page: %d bytes, %d unread, %v %v, %d reads", sizesOf(found.KVs), page.Unread(), done, err, files.reads)
	}
	// The values of a page are counted before they are read: it has as few keys as when they were live.
	files.reads = 0
	if page, err := v.Range(past, 2500); err != nil || len(page.KVs) != 2 || files.reads != 2 {
		t.Errorf("%d keys in a page of 2500 bytes, %d values were read: %v", len(page.KVs), files.reads, err)
	}
	files.reads = 0
	inOrder := NewSortedReader(sorted, 2500)
	for done := false; !done; {
		var found kv.RangeResult
		var err error
		found, done, _, err = inOrder.Step(v, 100)
		if err != nil || done && (len(found.KVs) != 2 || files.reads != 2) {
			t.Fatalf("%d sorted keys in a page of 2500 bytes, %d values were read: %v", len(found.KVs), files.reads, err)
		}
	}
	// Values that are read are within the limit, but for one.
	files.reads = 0
	if _, _, err := NewUnpagedReader(past, 2500).Step(v, 100); err != nil || files.reads != 2 {
		t.Errorf("%d values were read with a limit of 2500 bytes: %v", files.reads, err)
	}
}

func keysOf(q kv.Range, all int) int {
	if q.Limit > 0 {
		return int(q.Limit)
	}
	return all
}

func sizesOf(pairs []kv.KeyValue) (n int) {
	for i := range pairs {
		n += len(pairs[i].Value)
	}
	return n
}

// Values leave while the records of their keys are relocated: each version refers to the new copy of its record.
func TestValuesLeaveRelocatedKeys(t *testing.T) {
	met := 0
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		s := NewState(limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 12, EvacuationBytes: 1, CountedRows: 10})
		s.Stored(0, 0, nil)
		const keys = 200
		for n := range keys {
			batch(t, s, 1, put(fmt.Sprintf("a key %d", n), ""))
		}
		for n := range keys {
			if n%8 > 0 {
				batch(t, s, 1, del(fmt.Sprintf("a key %d", n), ""))
			}
		}
		from := s.revision
		for n := range 4 * keys {
			if n%8 == 0 {
				batch(t, s, 1, put(fmt.Sprintf("a key %d", n%keys), valueOf(100, byte(n/keys))))
			}
		}
		files := filesOf(t, s.View(), s.revision)
		s.Stored(from, from, nil)
		batch(t, s, 1, new(Head).AppendCompact(nil, from).Bytes)
		s.View()
		s.drop(1 << 20) // the records of the deleted keys
		s.Stored(from, s.revision, files)
		for s.hasValuesToEvict() || s.keys.evacuation.source != nil || len(s.keys.evacuation.waiting) > 0 {
			s.evacuate(int64(random.IntN(3)))
			if at := s.keys.evacuation.from; at != 0 {
				s.evictValues(int64(random.IntN(3)))
				if s.keys.evacuation.from != at {
					met++
				}
			} else if random.IntN(4) == 0 {
				s.evictValues(1)
			}
		}
		if err := s.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if met == 0 {
		t.Error("no value left while its key was relocated")
	}
}

// Values of extents take no memory once a load has gone on: the slabs that they leave are given up.
func TestLoadLetsValuesGo(t *testing.T) {
	l := limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 16, EvacuationBytes: 1 << 20, CountedRows: 10, ExtentBytes: 1 << 20}
	s := NewState(l)
	s.Stored(0, 0, nil)
	batch(t, s, 1, AppendCheck(nil).Bytes)
	for n := range 20_000 {
		batch(t, s, 1, put(fmt.Sprintf("k%d", n%10), valueOf(1000, byte(n%20))))
	}
	v := s.ViewToSave()
	files := filesOf(t, v, s.revision)
	b, err := NewBuilder(NewReserve(), v.AppendMeta(nil), l)
	if err != nil {
		t.Fatal(err)
	}
	b.ReadFrom(files)
	var all []KeyedVersion
	v.Records(func(key []byte, one *Version) bool {
		all = append(all, KeyedVersion{bytes.Clone(key), cloned(one)})
		return true
	})
	most := int64(0)
	for some := range slices.Chunk(all, 100) {
		if err := b.Replay(some); err != nil {
			t.Fatal(err)
		}
		most = max(most, b.s.keys.memory.bytes)
	}
	retired := &b.s.keys.memory.ledger.retired
	for range 100 {
		if runtime.GC(); retired.Load() < 4<<20 {
			break
		}
	}
	if n := retired.Load(); n >= 4<<20 {
		t.Errorf("the load keeps %d bytes of slabs that it has given up", n)
	}
	c, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := c.View().Cold(); n < 18_000 || most > 6<<20 {
		t.Errorf("%d of 20 MB of values are cold, and the load took up to %d bytes", n, most)
	}
}
