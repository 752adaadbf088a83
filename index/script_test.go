package index

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/tidwall/btree"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// script is the state that a file of testdata drives.
type script struct {
	t     *testing.T
	s     *State
	term  uint64
	views map[string]*View
}

// TestScripts runs testdata/*.txt. -rewrite writes what comes out; review the difference.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		sc := &script{t: t, s: NewState(limits.Defaults().Index), term: 1, views: map[string]*View{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := sc.run(d)
			if err := sc.s.Check(); err != nil {
				out += err.Error() + "\n"
			}
			return out
		})
	})
}

func number(d *datadriven.TestData, name string, other int64) int64 {
	for _, a := range d.CmdArgs {
		if a.Key == name {
			n, err := strconv.ParseInt(a.Vals[0], 10, 64)
			if err != nil {
				panic(err)
			}
			return n
		}
	}
	return other
}

func word(d *datadriven.TestData, name, other string) string {
	for _, a := range d.CmdArgs {
		if a.Key == name {
			return unquote(a.Vals[0])
		}
	}
	return other
}

// unquote makes \0 a zero byte.
func unquote(s string) string { return strings.ReplaceAll(s, `\0`, "\x00") }

func (sc *script) view(d *datadriven.TestData) *View {
	if name := word(d, "view", ""); name != "" {
		return sc.views[name]
	}
	return sc.s.View()
}

func (sc *script) run(d *datadriven.TestData) string {
	switch d.Cmd {
	case "new":
		sc.s = NewState(limits.Index{
			HistoryBytes: number(d, "history-bytes", limits.HistoryBytes), HistoryRevisions: number(d, "history-revisions", limits.HistoryRevisions),
			CompactionWork: number(d, "step", limits.CompactionWork), SlabBytes: int(number(d, "slab", limits.SlabBytes)),
			EvacuationBytes: number(d, "evacuate", limits.EvacuationBytes), CountedRows: int(number(d, "walk", limits.CountedRows)),
		})
		return ""
	case "found":
		ids := map[string]uint64{}
		for _, a := range d.CmdArgs {
			id, _ := strconv.ParseUint(a.Key, 10, 64)
			ids["n"+a.Key] = id
		}
		sc.s.Found(Founders(ids))
		return ""
	case "apply", "change":
		return sc.apply(d)
	case "raw":
		applied, _ := sc.s.Applied()
		results, err := sc.s.Apply(applied+1, sc.term, nil, nil)
		return fmt.Sprintf("%d results, %v\n", len(results), err)
	case "hold":
		sc.views[word(d, "view", "")] = sc.s.View()
		return ""
	case "restore":
		return sc.restore()
	case "get", "range", "events", "scan", "times", "at", "members", "status", "tree":
		return sc.read(d, sc.view(d))
	}
	return fmt.Sprintf("no command %q", d.Cmd)
}

func (sc *script) apply(d *datadriven.TestData) string {
	var commands [][]byte
	for _, line := range strings.Split(d.Input, "\n") {
		f := strings.Fields(unquote(line))
		for len(f) < 4 {
			f = append(f, "")
		}
		times := 1
		if f[0] == "put" && f[3] != "" {
			times, _ = strconv.Atoi(strings.TrimPrefix(f[3], "x"))
		}
		for range times {
			switch f[0] {
			case "put":
				commands = append(commands, put(f[1], f[2]))
			case "del":
				commands = append(commands, del(f[1], f[2]))
			case "level":
				n, _ := strconv.ParseUint(f[1], 10, 64)
				commands = append(commands, appendFeatureLevel(nil, n))
			case "announce":
				commands = append(commands, AppendAnnounce(nil, announcementOf(f[1:])))
			case "add", "promote", "remove", "update":
				commands = append(commands, AppendMemberChange(nil, memberChangeOf(f)))
			case "end-exchange":
				commands = append(commands, AppendEndExchange(nil))
			}
		}
	}
	applied, _ := sc.s.Applied()
	sc.term = uint64(number(d, "term", int64(sc.term)))
	e := Envelope{Level: 1, Wall: number(d, "wall", 1) * 1e6}
	apply := sc.s.Apply
	if d.Cmd == "change" {
		apply = sc.s.ApplyChange
	}
	results, err := apply(applied+1, sc.term, AppendEnvelope(nil, e, commands), nil)
	if err != nil {
		return err.Error() + "\n"
	}
	var out strings.Builder
	before := ""
	for _, r := range results {
		line := fmt.Sprintf("revision %d", r.Revision)
		if r.Deleted > 0 {
			line += fmt.Sprintf(", %d deleted", r.Deleted)
		}
		if r.Err != nil {
			line += fmt.Sprintf(": %v: %s", r.Err.Code, r.Err.Message)
		}
		if line != before || len(results) < 8 {
			out.WriteString(line + "\n")
		}
		before = line
	}
	return out.String()
}

// announcementOf makes one of member, folder.boot, process and address.
func announcementOf(f []string) *kv.Member {
	m := &kv.Member{Name: "n" + f[0], Version: "0.1.0"}
	m.ID, _ = strconv.ParseUint(f[0], 10, 64)
	folder, boot, _ := strings.Cut(f[1], ".")
	m.Folder[0] = folder[0]
	m.Boot, _ = strconv.ParseUint(boot, 10, 64)
	if len(f) > 2 && f[2] != "" {
		m.Process[0] = f[2][0]
	}
	if len(f) > 3 && f[3] != "" {
		m.Peers = []string{f[3]}
	}
	return m
}

// memberChangeOf makes a change of its kind, a member, and then what the kind needs.
func memberChangeOf(f []string) *kv.MemberChange {
	id, _ := strconv.ParseUint(f[1], 10, 64)
	switch f[0] {
	case "add":
		return &kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: f[2], Peers: []string{f[3]}}
	case "promote":
		instead, _ := strconv.ParseUint(f[2], 10, 64)
		return &kv.MemberChange{Kind: kv.PromoteMember, ID: id, Instead: instead}
	case "remove":
		return &kv.MemberChange{Kind: kv.RemoveMember, ID: id}
	default:
		return &kv.MemberChange{Kind: kv.UpdateMember, ID: id, Peers: []string{f[2]}}
	}
}

func (sc *script) restore() string {
	v := sc.s.View()
	b, err := NewBuilder(v.AppendMeta(nil), sc.s.limits)
	if err != nil {
		return err.Error() + "\n"
	}
	v.Scan(nil, func(key []byte, versions []Version) bool {
		err = b.Add(key, versions)
		return err == nil
	})
	if err != nil {
		return err.Error() + "\n"
	}
	if sc.s, err = b.Finish(); err != nil {
		return err.Error() + "\n"
	}
	if v.Digest() != sc.s.View().Digest() {
		return "another digest\n"
	}
	return "the same digest\n"
}

func (sc *script) read(d *datadriven.TestData, v *View) string {
	var out strings.Builder
	switch d.Cmd {
	case "get":
		pair, found, err := v.Get([]byte(word(d, "key", "")), number(d, "rev", 0))
		if err != nil {
			return refusal(err)
		} else if !found {
			return "not found\n"
		}
		return line(&pair)
	case "range":
		a, err := v.Range(kv.Range{
			Key: []byte(word(d, "key", "")), End: []byte(word(d, "end", "")), Revision: number(d, "rev", 0),
			Limit:    number(d, "limit", 0),
			KeysOnly: d.HasArg("keys-only"), CountOnly: d.HasArg("count-only"),
		}, number(d, "bytes", 0))
		if err != nil {
			return refusal(err)
		}
		for i := range a.KVs {
			out.WriteString(line(&a.KVs[i]))
		}
		fmt.Fprintf(&out, "count %d, more %v, revision %d\n", a.Count, a.More, a.Revision)
	case "events":
		err := v.Events(number(d, "from", 0), func(e *kv.Event) bool {
			what := "put "
			if e.Deleted {
				what = "del "
			}
			fmt.Fprintf(&out, "%d.%d %s%s", e.KV.ModRevision, e.Sub, what, line(&e.KV))
			return true
		})
		if err != nil {
			return refusal(err)
		}
	case "scan":
		v.Scan([]byte(word(d, "from", "")), func(key []byte, versions []Version) bool {
			fmt.Fprintf(&out, "%s:%s\n", key, chainText(versions))
			return true
		})
	case "times":
		for revision := int64(1); revision <= v.Revision(); revision++ {
			wall, ok := v.TimeOf(revision)
			fmt.Fprintf(&out, "revision %d: %d ms, %v\n", revision, wall/1e6, ok)
		}
	case "at":
		revision, ok := v.RevisionAt(number(d, "wall", 0) * 1e6)
		fmt.Fprintf(&out, "revision %d, %v\n", revision, ok)
	case "members":
		for _, m := range v.Members().All() {
			fmt.Fprintf(&out, "%d %s %s", m.ID, m.Name, m.Role)
			if m.Started() {
				fmt.Fprintf(&out, " folder %c boot %d process %c", m.Folder[0], m.Boot, m.Process[0])
			}
			fmt.Fprintf(&out, " at %s\n", strings.Join(m.Peers, " "))
		}
		c := v.Members().Configuration()
		fmt.Fprintf(&out, "voters %d, outgoing %d, learners %d, removed %d\n", c.Voters, c.Outgoing, c.Learners, v.Members().removed)
	case "status":
		applied, term := v.Applied()
		fmt.Fprintf(&out, "applied %d of term %d, revision %d, compacted %d, level %d\n%d keys of %d bytes, history of %d bytes\n",
			applied, term, v.Revision(), v.Compacted(), v.Level(), v.Keys(), v.LiveBytes(), v.HistoryBytes())
		if d.HasArg("digest") {
			fmt.Fprintf(&out, "digest %016x\n", v.Digest())
		}
	case "tree":
		sc.tree(&out)
	}
	return out.String()
}

// tree prints where things lie: by slab and place in it, which other runs have too.
func (sc *script) tree(out *strings.Builder) {
	m := sc.s.memory
	place := func(r ref) string {
		if r == 0 {
			return "-"
		}
		s := m.slabOf(r)
		return fmt.Sprintf("%d+%d", s.number, r-s.base)
	}
	print := func(name string, tree *btree.BTreeG[ref]) {
		fmt.Fprintf(out, "%s of %d\n", name, tree.Len())
		tree.Scan(func(r ref) bool {
			fmt.Fprintf(out, "  %s %s:", place(r), r.record().key())
			for at := ref(r.record().head.Load()); at != 0; at = at.version().older() {
				v := at.version()
				kind := ""
				if v.has(tombstone) {
					kind = " dead"
				}
				fmt.Fprintf(out, " %s(%d.%d%s)", place(at), v.mod, v.sub, kind)
			}
			out.WriteString("\n")
			return true
		})
	}
	print("tree", sc.s.tree)
	print("tombstoned", sc.s.tombstoned)
	for i, s := range m.slabs {
		kind := "versions"
		if s.records {
			kind = "records"
		}
		fmt.Fprintf(out, "slab %d, %s: %d of %d bytes used, %d live, full %v\n", i, kind, s.used, s.size, s.live, s.full)
	}
}

func refusal(err error) string {
	var e *kv.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("no refusal: %v\n", err)
	}
	return fmt.Sprintf("%v: %s\n", e.Code, e.Message)
}

func line(pair *kv.KeyValue) string {
	value := string(pair.Value)
	if pair.Value == nil {
		value = "(nil)"
	}
	return fmt.Sprintf("%s=%s create %d mod %d version %d lease %d\n", pair.Key, value, pair.CreateRevision, pair.ModRevision, pair.Version, pair.Lease)
}

func chainText(versions []Version) string {
	var out strings.Builder
	for _, v := range versions {
		if v.Tombstone {
			fmt.Fprintf(&out, " %d.%d deleted;", v.Mod, v.Sub)
			continue
		}
		fmt.Fprintf(&out, " %d.%d=%s create %d version %d;", v.Mod, v.Sub, v.Value, v.Create, v.Version)
	}
	return out.String()
}
