package index

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// panics fails unless f panics with a text.
func panics(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if got := fmt.Sprint(recover()); got != want {
			t.Errorf("panic %q, want %q", got, want)
		}
	}()
	f()
}

func TestOrderOfEntries(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	batch(t, s, 1, put("a", "b"))
	if _, err := s.Apply(2, 4, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		entry, term uint64
		want        string
	}{
		{2, 4, "entry 2 of term 4 cannot follow the applied entry 2 of term 4"},
		{1, 4, "entry 1 of term 4 cannot follow the applied entry 2 of term 4"},
		{4, 4, "entry 4 of term 4 cannot follow the applied entry 2 of term 4"},
		{3, 3, "entry 3 of term 3 cannot follow the applied entry 2 of term 4"},
	} {
		panics(t, c.want, func() { _, _ = s.Apply(c.entry, c.term, nil, nil) })
	}
	if applied, term := s.View().Applied(); applied != 2 || term != 4 {
		t.Errorf("applied is %d of term %d", applied, term)
	}
}

// TestNothingIsKept spoils an entry's bytes after it was applied.
func TestNothingIsKept(t *testing.T) {
	s := founded()
	data := AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{put("key", "value"), AppendAnnounce(nil, testMember()).Bytes})
	if _, err := s.Apply(1, 1, data, nil); err != nil {
		t.Fatal(err)
	}
	clear(data)
	v := s.View()
	if pair, found, _ := v.Get([]byte("key"), 0); !found || string(pair.Value) != "value" {
		t.Errorf("%+v %v", pair, found)
	}
	if got := v.Members().All(); len(got) != 1 || got[0].Name != "n1" || !slices.Equal(got[0].Clients, testMember().Clients) {
		t.Error(got)
	}
	if s.scratch.commands[:1][0].put.Key != nil {
		t.Error("a command still refers to the entry")
	}
}

// TestSizes puts values of all sizes around those where the layout changes.
func TestSizes(t *testing.T) {
	testlong.Skip(t)
	s := NewState(limits.Defaults().Index)
	sizes := []int{0, 1, 7, 8, 9, slabAlign / 16, slabAlign/16 + 1, 255 << 10, 257 << 10, limits.ValueBytes - 1, limits.ValueBytes}
	for range 3 {
		for _, n := range sizes {
			batch(t, s, 1, new(Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, n), Value: bytes.Repeat([]byte{byte(n)}, n)}).Bytes)
		}
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	v := restored(t, s.ViewToSave()).View()
	for _, n := range sizes {
		pair, found, _ := v.Get(fmt.Append(nil, n), 0)
		if !found || pair.Version != 3 || !bytes.Equal(pair.Value, bytes.Repeat([]byte{byte(n)}, n)) || cap(pair.Value) != n {
			t.Errorf("a value of %d bytes came back with %d, version %d", n, len(pair.Value), pair.Version)
		}
	}
}

// TestLayout fills versions of every shape, the leased ones too, which no command makes yet.
func TestLayout(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	for _, flags := range []uint32{created, 0, created | recreated, tombstone, leased | created, leased, leased | created | recreated} {
		for _, n := range []int{0, 1, 8, 300} {
			if flags&tombstone != 0 {
				n = 0
			}
			v := s.newVersion(flags, n, 0).version()
			v.mod = 50
			v.setWords([2]int64{-7, 1 << 60}, 1<<61)
			copy(v.value(), strings.Repeat("v", n))
			create, number, lease, mod, sub := int64(-7), int64(1<<60), int64(0), int64(0), int64(0)
			switch {
			case flags&created != 0:
				create, number = 50, 1
			case flags&tombstone != 0:
				create, number = 0, 0
			}
			if flags&recreated != 0 {
				mod, sub = -7, 1<<60
			}
			if flags&leased != 0 {
				lease = 1 << 61
			}
			gotMod, gotSub := v.precedingTombstone()
			got := []int64{v.create(), v.number(), v.lease(), gotMod, gotSub, int64(v.valueSize())}
			if want := []int64{create, number, lease, mod, sub, int64(n)}; !slices.Equal(got, want) {
				t.Errorf("flags %d: %d, want %d", flags, got, want)
			}
			if string(v.value()) != strings.Repeat("v", n) || v.size()%8 != 0 || v.size() < versionBytes+n {
				t.Errorf("flags %d: a value of %d bytes in %d", flags, n, v.size())
			}
		}
	}
}

// TestSteadyState applies without any garbage except the history's growth, 8 bytes a revision.
func TestSteadyState(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: defaults.CompactionWork,
		SlabBytes:      defaults.SlabBytes, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	commands := make([][]byte, 1024)
	keys := make([][]byte, 1024)
	for i := range keys {
		keys[i] = fmt.Append(nil, "key ", i)
	}
	value := bytes.Repeat([]byte("v"), 100)
	var data []byte
	once := kv.WriteName{Session: 1 << 60, Window: 1, Opened: 1}
	results := make([]kv.Result, 0, 1024)
	apply := func() {
		for i := range commands { // every other one in a session, with 512 under way
			var head Head
			if i%2 == 0 {
				once.Sequence++
				once.Window = min(once.Sequence, 512)
				head.Once = once
			}
			commands[i] = head.AppendPut(commands[i][:0], &kv.Put{Key: keys[i], Value: value}).Bytes
		}
		data = AppendEnvelope(data[:0], Envelope{Level: 1}, commands)
		applied, _ := s.Applied()
		if _, err := s.Apply(applied+1, 1, data, results); err != nil {
			t.Fatal(err)
		}
		if s.compacted = s.revision - 10_000; s.compacted > 0 {
			s.dropping = s.compacted
			s.times.trim(s.compacted)
		}
	}
	for range 30 {
		apply()
	}
	if n := testing.AllocsPerRun(50, apply); n > 40 { // 23 with small slabs, 2 with large ones
		t.Errorf("%.0f allocations for 1024 puts", n)
	}
	v := s.View()
	key := []byte("key 500")
	some := [][]byte{key, []byte("absent"), key}
	if n := testing.AllocsPerRun(50, func() { v.Prefetch(some) }); n > 0 {
		t.Errorf("Prefetch makes %v allocations", n)
	}
	if n := testing.AllocsPerRun(50, func() { _, _, _ = v.Get(key, 0) }); n > 0 {
		t.Errorf("%.0f allocations for a get", n)
	}
}

// pieces is the content of a snapshot.
type pieces struct {
	meta     []byte
	keys     []string
	versions [][]Version
}

func piecesOf(v *View) (p pieces) {
	p.meta = v.AppendMeta(nil)
	v.Scan(nil, func(key []byte, versions []Version) bool {
		p.keys = append(p.keys, string(key))
		p.versions = append(p.versions, slices.Clone(versions))
		return true
	})
	return p
}

func (p *pieces) build() error {
	b, err := NewBuilder(NewReserve(), p.meta, limits.Defaults().Index)
	for i := 0; err == nil && i < len(p.keys); i++ {
		err = b.Add([]byte(p.keys[i]), p.versions[i])
	}
	if err == nil {
		_, err = b.Finish()
	}
	return err
}

// TestBuilderRefuses spoils a snapshot in one place after the other: each is refused with an error, none builds
// another state.
func TestBuilderRefuses(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: 100,
		SlabBytes:      defaults.SlabBytes, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	batch(t, s, 1e9, AppendAnnounce(nil, testMember()).Bytes, put("a", "1"), put("b", "1"), put("c", "1"), put("a", "2"), onceDel(1, 1), onceDel(1, 3))
	batch(t, s, 2e9, del("a", "c"), put("a", "3"), put("c", "2"), put("d", "1"), put("e", "1"), put("a", "4"), del("d", "z"))
	keep(t, s, 8)
	s.drop(20) // not all of it
	good := piecesOf(s.ViewToSave())
	if err := good.build(); err != nil || s.View().Compacted() == 0 {
		t.Fatalf("compacted to %d: %v", s.View().Compacted(), err)
	}
	refused := func(name string, corrupt func(p *pieces)) {
		t.Helper()
		p := piecesOf(s.ViewToSave())
		corrupt(&p)
		if p.build() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for i := range good.keys {
		refused(fmt.Sprint("key missing ", i), func(p *pieces) {
			p.keys = slices.Delete(p.keys, i, i+1)
			p.versions = slices.Delete(p.versions, i, i+1)
		})
		refused(fmt.Sprint("key twice ", i), func(p *pieces) {
			p.keys = slices.Insert(p.keys, i, p.keys[i])
			p.versions = slices.Insert(p.versions, i, p.versions[i])
		})
		refused(fmt.Sprint("another key ", i), func(p *pieces) { p.keys[i] += "x" })
		refused(fmt.Sprint("empty key ", i), func(p *pieces) { p.keys[i] = "" })
		refused(fmt.Sprint("long key ", i), func(p *pieces) { p.keys[i] = string(tooLong) })
		refused(fmt.Sprint("no version ", i), func(p *pieces) { p.versions[i] = nil })
		for j := range good.versions[i] {
			refused(fmt.Sprint("version missing ", i, j), func(p *pieces) { p.versions[i] = slices.Delete(p.versions[i], j, j+1) })
			for name, change := range map[string]func(v *Version){
				"mod":       func(v *Version) { v.Mod++ },
				"past":      func(v *Version) { v.Mod = 1 },
				"future":    func(v *Version) { v.Mod = 1 << 60 },
				"sub":       func(v *Version) { v.Sub++ },
				"great sub": func(v *Version) { v.Sub = 1<<32 - 1 },
				"no sub":    func(v *Version) { v.Sub = -1 },
				"create":    func(v *Version) { v.Create++ },
				"version":   func(v *Version) { v.Version++ },
				"value":     func(v *Version) { v.Value = []byte("other") },
				"tombstone": func(v *Version) { v.Tombstone = !v.Tombstone },
				"large":     func(v *Version) { v.Value = make([]byte, limits.ValueBytes+1) },
			} {
				refused(fmt.Sprint(name, " ", i, j), func(p *pieces) { change(&p.versions[i][j]) })
			}
		}
	}
	for n := range good.meta {
		refused(fmt.Sprint("meta cut at ", n), func(p *pieces) { p.meta = p.meta[:n] })
	}
	refused("meta of a newer version", func(p *pieces) { p.meta[1] = metaVersion + 1 })
	refused("meta of an older version", func(p *pieces) { p.meta[1] = metaVersion - 1 })
	refused("meta with more", func(p *pieces) { p.meta = append(p.meta, 0) })
}

// TestBuilderSurvives flips every bit of the meta data: each is an error, or a state that holds its invariants. (That
// it is the right one, checksums of the file say.)
func TestBuilderSurvives(t *testing.T) {
	testlong.Skip(t)
	s := founded()
	batch(t, s, 1e9, AppendAnnounce(nil, testMember()).Bytes, put("a", "1"), put("b", "1"), del("a", "c"), put("a", "2"), onceDel(1, 1), onceDel(1, 3), onceDel(2, 1))
	good := piecesOf(s.ViewToSave())
	for bit := range 8 * len(good.meta) {
		p := piecesOf(s.ViewToSave())
		p.meta[bit/8] ^= 1 << (bit % 8)
		b, err := NewBuilder(NewReserve(), p.meta, limits.Defaults().Index)
		for i := 0; err == nil && i < len(p.keys); i++ {
			err = b.Add([]byte(p.keys[i]), p.versions[i])
		}
		if err != nil {
			continue
		}
		if built, err := b.Finish(); err == nil {
			if w := (&walk{s: built}); w.sessions() != nil {
				t.Errorf("bit %d: %v", bit, w.sessions())
			}
			_ = built.View().Digest()
			_ = built.ViewToSave().AppendMeta(nil)
		}
	}
}

// TestCheckFinds breaks each invariant by hand.
func TestCheckFinds(t *testing.T) {
	for name, c := range map[string]struct {
		want    string
		corrupt func(s *State)
	}{
		"a key only in the tree": {"invariant 1", func(s *State) {
			s.keys.table.remove(hashOf([]byte("b")), s.keys.find(hashOf([]byte("b")), []byte("b")))
		}},
		"a key counted twice":        {"invariant 1", func(s *State) { s.keys.table.count++ }},
		"a listed without a death":   {"invariant 1", func(s *State) { s.keys.tombstoned.Set(s.keys.find(hashOf([]byte("b")), []byte("b"))) }},
		"a version out of use":       {"invariant 2", func(s *State) { newestOf(s, "a").owner |= versionDead }},
		"a wrong neighbour":          {"invariant 2", func(s *State) { newestOf(s, "a").older().version().setNewer(0) }},
		"a version that is not next": {"invariant 3", func(s *State) { *newestOf(s, "a").word(1) = 9 }},
		"a sum":                      {"invariant 4", func(s *State) { s.history.keptSum++ }},
		"a value":                    {"invariant 4", func(s *State) { newestOf(s, "a").value()[0]++ }},
		"a number of versions":       {"invariant 4", func(s *State) { s.history.kept++ }},
		"a number of cold values":    {"invariant 4", func(s *State) { s.history.cold++ }},
		"bytes of cold values":       {"invariant 4", func(s *State) { s.history.coldBytes-- }},
		"a value that is in no file": {"the value of the key", func(s *State) { s.eviction.files = &files{} }},
		"a change of another key":    {"invariant 5", func(s *State) { s.history.slots.at(3).Store(s.history.slots.at(2).Load()) }},
		"a revision without change":  {"invariant 5", func(s *State) { s.revision++ }},
		"a compacted revision":       {"invariant 6", func(s *State) { s.compacted = 9 }},
		"a slab's live bytes":        {"invariant 7", func(s *State) { s.keys.memory.slabs[0].live++ }},
		"mapped bytes":               {"invariant 7", func(s *State) { s.keys.memory.bytes++ }},
		"an outcome":                 {"invariant 11", func(s *State) { s.sessions.oldest.outcomes.find(1).revision++ }},
		"an outcome that is gone":    {"invariant 11", func(s *State) { *s.sessions.oldest.outcomes.find(1) = outcome{} }},
		"a user's share":             {"invariant 11", func(s *State) { s.sessions.oldest.user.outcomes++ }},
		"a session out of order":     {"invariant 11", func(s *State) { s.sessions.oldest.used++ }},
		"a session that is gone":     {"invariant 11", func(s *State) { delete(s.sessions.byID, 2) }},
		"a time":                     {"invariant 8", func(s *State) { s.times.points.at(0).wall = s.wall + 1 }},
	} {
		s := NewState(limits.Defaults().Index)
		batch(t, s, 1e9, put("a", "1"), put("b", "1"), put("a", "2"), del("c", ""), put("c", ""), del("c", ""), onceDel(1, 1), onceDel(2, 1))
		s.limits.ColdBytes = 1
		s.Stored(s.revision, s.revision, filesOf(t, s.View(), s.revision))
		reclaimed(s)
		if err := s.Check(); err != nil || s.history.cold != 1 {
			t.Fatal(s.history.cold, err)
		}
		c.corrupt(s)
		if err := s.Check(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func newestOf(s *State, key string) *version {
	return s.keys.find(hashOf([]byte(key)), []byte(key)).record().newest()
}

// contents is the digest without the position in the log.
func contents(v *View) uint64 {
	same := *v
	same.applied, same.term = 0, 0
	return same.Digest()
}

// Whatever is replicated has part in the digest: each field is changed, and the digest with it.
func TestDigestHasEverything(t *testing.T) {
	changes := map[string]func(r *replicated){
		"applied":          func(r *replicated) { r.applied++ },
		"term":             func(r *replicated) { r.term++ },
		"revision":         func(r *replicated) { r.revision++ },
		"compacted":        func(r *replicated) { r.compacted++ },
		"gaps":             func(r *replicated) { r.gaps = gaps{{1, 2}} },
		"wall":             func(r *replicated) { r.wall++ },
		"level":            func(r *replicated) { r.level++ },
		"totals.live":      func(r *replicated) { r.totals.live++ },
		"totals.liveBytes": func(r *replicated) { r.totals.liveBytes++ },
		"totals.sum":       func(r *replicated) { r.totals.sum++ },
		"totals.weight":    func(r *replicated) { r.totals.weight++ },
		"totals.leaseSum":  func(r *replicated) { r.totals.leaseSum++ },

		"numbers.clock":    func(r *replicated) { r.numbers.clock++ },
		"numbers.member":   func(r *replicated) { r.numbers.clocks[1].member++ },
		"numbers.wall":     func(r *replicated) { r.numbers.clocks[1].wall++ },
		"numbers.at":       func(r *replicated) { r.numbers.clocks[1].at++ },
		"numbers.floor":    func(r *replicated) { r.numbers.floor++ },
		"numbers.sessions": func(r *replicated) { r.numbers.sessions++ },
		"numbers.outcomes": func(r *replicated) { r.numbers.outcomes++ },
		"numbers.sum":      func(r *replicated) { r.numbers.sessionSum++ },

		"times":          func(r *replicated) { r.times.push(point{9, 9e9, 0, 0}) },
		"times.behind":   func(r *replicated) { r.times.behind++ },
		"times.before":   func(r *replicated) { r.times.push(point{9, 9e9, 0, 1}) },
		"times.trim":     func(r *replicated) { r.times.trim(r.revision) },
		"times.revision": func(r *replicated) { r.times.trim(r.revision); r.times.push(point{9, 3e6, 0, 0}) },

		"check":         func(r *replicated) { r.check = check{} },
		"check.entry":   func(r *replicated) { r.check.entry++ },
		"check.member":  func(r *replicated) { r.check.digests[0].member++ },
		"check.digest":  func(r *replicated) { r.check.digests[0].digest++ },
		"check.another": func(r *replicated) { r.check.digests = append(r.check.digests, memberDigest{9, 9}) },

		"alarms":        func(r *replicated) { r.alarms = alarms{{Member: 1, Name: kv.NoSpaceAlarm}} },
		"alarms.member": func(r *replicated) { r.alarms = alarms{{Member: 2, Name: kv.NoSpaceAlarm}} },
		"alarms.kind":   func(r *replicated) { r.alarms = alarms{{Member: 1, Name: kv.CorruptAlarm}} },

		"auth":          func(r *replicated) { r.auth = &Auth{revision: 1} },
		"auth.enabled":  func(r *replicated) { r.auth = &Auth{revision: 1, enabled: true} },
		"auth.revision": func(r *replicated) { r.auth = &Auth{revision: 2} },
		"auth.secret":   func(r *replicated) { r.auth = &Auth{revision: 1, secret: [32]byte{1}} },
		"auth.sum":      func(r *replicated) { r.auth = &Auth{revision: 1, sum: 1} },
		"authors":       func(r *replicated) { r.authors = authors{sum: 1} },

		"backupKey":       func(r *replicated) { r.backupKey = backupKey{1} },
		"backupKey.bytes": func(r *replicated) { r.backupKey = backupKey{2} },

		"extents":      func(r *replicated) { r.extents = extents{base: 1} },
		"extents.base": func(r *replicated) { r.extents = extents{base: 2} },
		"extents.kept": func(r *replicated) { r.extents = extents{base: 1, historyFrom: 1} },
		"extents.next": func(r *replicated) { r.extents = extents{base: 1, next: 1} },
		"extents.open": func(r *replicated) { r.extents = extents{base: 1, open: Extent{Versions: 1}} },
		"extents.cuts": func(r *replicated) { r.extents = extents{base: 1, sum: (&Extent{Number: 1}).digest()} },

		"members":          func(r *replicated) { r.members = Members{} },
		"members.removed":  func(r *replicated) { r.members.removed = []uint64{5} },
		"members.id":       func(r *replicated) { r.members.records[0].ID++ },
		"members.name":     func(r *replicated) { r.members.records[0].Name += "x" },
		"members.role":     func(r *replicated) { r.members.records[0].Role++ },
		"members.replaces": func(r *replicated) { r.members.records[0].Replaces = 2 },
		"members.manual":   func(r *replicated) { r.members.records[0].Manual = true },
		"members.since":    func(r *replicated) { r.members.records[0].Since++ },
		"members.peers":    func(r *replicated) { r.members.records[0].Peers = nil },
		"members.clients":  func(r *replicated) { r.members.records[0].Clients = nil },
		"members.web":      func(r *replicated) { r.members.records[0].Web = nil },
		"members.version":  func(r *replicated) { r.members.records[0].Version += "x" },
		"members.level":    func(r *replicated) { r.members.records[0].Level++ },
		"members.folder":   func(r *replicated) { r.members.records[0].Folder[0]++ },
		"members.boot":     func(r *replicated) { r.members.records[0].Boot++ },
		"members.process":  func(r *replicated) { r.members.records[0].Process[0]++ },
	}
	for i := range reflect.TypeFor[replicated]().NumField() {
		if name := reflect.TypeFor[replicated]().Field(i).Name; changes[name] == nil && name != "totals" && name != "numbers" {
			t.Errorf("%s is replicated, and is not changed here", name)
		}
	}
	for i := range reflect.TypeFor[totals]().NumField() {
		if name := reflect.TypeFor[totals]().Field(i).Name; changes["totals."+name] == nil {
			t.Errorf("%s of the totals is replicated, and is not changed here", name)
		}
	}
	for i := range reflect.TypeFor[kv.Member]().NumField() {
		if name := reflect.TypeFor[kv.Member]().Field(i).Name; changes["members."+strings.ToLower(name)] == nil {
			t.Errorf("%s of a member is replicated, and is not changed here", name)
		}
	}
	build := func() *State {
		s := founded()
		batch(t, s, 1e6, put("a", "1"), AppendAnnounce(nil, testMember()).Bytes)
		batch(t, s, 3e6, put("b", "1"), put("a", "2"), del("b", ""), AppendCheck(nil).Bytes)
		batch(t, s, 3e6, AppendDigest(nil, 1, 2, 5).Bytes)
		return s
	}
	seen := map[uint64]string{build().View().Digest(): "nothing"}
	for name, change := range changes {
		s := build()
		change(&s.replicated)
		digest := s.View().Digest()
		if other := seen[digest]; other != "" && !(name == "history" || name == "history.first") {
			t.Errorf("a change of %s makes the same digest as one of %s", name, other)
		}
		seen[digest] = name
	}
	hash := hashOf([]byte("a"))
	sums := map[uint64]string{sumOf(hash, []byte("1"), 2, 3, 0, 2, 0, 0): "nothing"}
	for name, sum := range map[string]uint64{
		"key":      sumOf(hashOf([]byte("b")), []byte("1"), 2, 3, 0, 2, 0, 0),
		"value":    sumOf(hash, []byte("2"), 2, 3, 0, 2, 0, 0),
		"create":   sumOf(hash, []byte("1"), 1, 3, 0, 2, 0, 0),
		"revision": sumOf(hash, []byte("1"), 2, 4, 0, 2, 0, 0),
		"sub":      sumOf(hash, []byte("1"), 2, 3, 1, 2, 0, 0),
		"number":   sumOf(hash, []byte("1"), 2, 3, 0, 3, 0, 0),
		"lease":    sumOf(hash, []byte("1"), 2, 3, 0, 2, 1, 0),
		"author":   sumOf(hash, []byte("1"), 2, 3, 0, 2, 0, 1),
	} {
		if other := sums[sum]; other != "" {
			t.Errorf("a version of another %s has the sum of one of another %s", name, other)
		}
		sums[sum] = name
	}
}

// Compaction frees the dropped changes, including the groups of changes that share a revision.
func TestCompactedGroupsGo(t *testing.T) {
	s := founded()
	for range 3 * chunkLen {
		batch(t, s, 1, new(Head).AppendTxn(nil, &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte("a")}}, {Put: &kv.Put{Key: []byte("b")}}}}).Bytes)
	}
	if n := s.history.groups.len(); n != 3*chunkLen {
		t.Fatalf("%d groups", n)
	}
	keep(t, s, 10)
	for s.View(); s.Reclaim(); {
		s.View()
	}
	if h := &s.history; h.groups.len() != h.slots.len() || len(h.groups.chunks) > 2 || len(h.slots.chunks) > 2 {
		t.Errorf("%d groups in %d pieces of memory, for %d revisions in %d", h.groups.len(), len(h.groups.chunks), h.slots.len(), len(h.slots.chunks))
	}
}

func TestSnapshotHasTheMembers(t *testing.T) {
	s := founded()
	change := func(s *State, c *kv.MemberChange) *kv.Error {
		t.Helper()
		applied, _ := s.Applied()
		results, err := s.ApplyChange(applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: 9e9}, [][]byte{new(Head).AppendMemberChange(nil, c).Bytes}), nil)
		if err != nil {
			t.Fatal(err)
		}
		return results[0].Err
	}
	batch(t, s, 8e9, put("k", "v"))
	for _, c := range []*kv.MemberChange{
		{Kind: kv.AddLearner, ID: 7, Name: "n7", Peers: []string{"h7:1"}},
		{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}, Manual: true},
		{Kind: kv.RemoveMember, ID: 7},
	} {
		if refused := change(s, c); refused != nil {
			t.Fatal(refused)
		}
	}
	got := restored(t, s.ViewToSave())
	if !reflect.DeepEqual(got.Members(), s.Members()) || !got.Members().Removed(7) || got.Members().Get(8) == nil {
		t.Errorf("a snapshot makes %+v of %+v", got.Members(), s.Members())
	}
	for what, one := range map[string]*State{"what was saved": s, "what is begun with it": got} {
		if refused := change(one, &kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n9", Peers: []string{"h9:1"}}); refused == nil || refused.Code != kv.MemberExists {
			t.Errorf("%s takes an id again: %v", what, refused)
		}
	}
}
