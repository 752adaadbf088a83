package index

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
	keep  int64 // revisions; 0: all
	views map[string]*View
}

// TestScripts runs testdata/*.txt. With -rewrite it writes the actual output; review the difference.
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

// grantedBy is the entry that granted a lease; 0 is none.
func (sc *script) grantedBy(lease int64) uint64 {
	l, _ := sc.s.leases.Lease(lease)
	return l.Granted
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
		sc.keep = number(d, "keep", 0)
		sc.s = NewState(limits.Index{
			CompactionWork: number(d, "step", defaults.CompactionWork), SlabBytes: int(number(d, "slab", int64(defaults.SlabBytes))),
			EvacuationBytes: number(d, "evacuate", defaults.EvacuationBytes), CountedRows: int(number(d, "walk", int64(defaults.CountedRows))),
		})
		rules := &sc.s.sessions.rules
		rules.Sessions, rules.Outcomes = number(d, "sessions", rules.Sessions), number(d, "outcomes", rules.Outcomes)
		rules.Window, rules.Ends = number(d, "window", rules.Window), int(number(d, "ends", int64(rules.Ends)))
		rules.TTL = time.Duration(number(d, "ttl", rules.TTL.Milliseconds())) * time.Millisecond
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
	case "txn":
		return sc.transact(d)
	case "raw":
		applied, _ := sc.s.Applied()
		results, err := sc.s.Apply(applied+1, sc.term, nil, nil)
		return fmt.Sprintf("%d results, %v\n", len(results), err)
	case "hold":
		sc.views[word(d, "view", "")] = sc.s.View()
		return ""
	case "restore":
		return sc.restore()
	case "step":
		sc.s.View()
		sc.s.Reclaim()
		return ""
	case "reclaim":
		reclaimed(sc.s)
		return ""
	case "users", "who", "may":
		return sc.auth(d)
	case "get", "range", "events", "scan", "times", "at", "members", "leases", "sessions", "alarms", "status", "tree", "usage":
		return sc.read(d, sc.view(d))
	}
	return fmt.Sprintf("no command %q", d.Cmd)
}

func (sc *script) apply(d *datadriven.TestData) string {
	if lines := strings.Split(d.Input, "\n"); d.HasArg("each") && len(lines) > 1 { // an entry for each line
		out := ""
		for _, line := range lines {
			one := *d
			one.Input = line
			out += sc.apply(&one)
		}
		return out
	}
	var commands [][]byte
	for _, line := range strings.Split(d.Input, "\n") {
		var head Head
		f := strings.Fields(unquote(line))
		if f[0] == "by" {
			head.By, f = sc.byOf(f[1]), f[2:]
		}
		if f[0] == "once" { // session.sequence.window.opened
			head.Once, f = onceOf(f[1]), f[2:]
		}
		if change := authChangeOf(f); change != nil {
			commands = append(commands, head.AppendAuthChange(nil, change).Bytes)
			continue
		}
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
				commands = append(commands, head.AppendPut(nil, &kv.Put{Key: []byte(f[1]), Value: []byte(f[2])}).Bytes)
			case "del":
				commands = append(commands, head.AppendDelete(nil, &kv.Delete{Key: []byte(f[1]), End: []byte(f[2])}).Bytes)
			case "grant", "revoke", "checkpoint":
				id, _ := strconv.ParseInt(f[1], 10, 64)
				n, _ := strconv.ParseInt(f[2], 10, 64)
				switch f[0] {
				case "grant":
					commands = append(commands, head.AppendGrant(nil, kv.Lease{ID: id, TTL: n}).Bytes)
				case "revoke":
					if n == 0 {
						commands = append(commands, head.AppendRevoke(nil, id).Bytes)
						break
					}
					commands = append(commands, AppendRevoke(nil, id, uint64(n), sc.grantedBy(id)).Bytes)
				default:
					commands = append(commands, AppendCheckpoint(nil, []kv.Lease{{ID: id, Remaining: n, Granted: sc.grantedBy(id)}}, sc.term).Bytes)
				}
			case "leased": // key, value, lease; * for a value or a lease that stays
				p := &kv.Put{Key: []byte(f[1]), Value: []byte(f[2]), IgnoreValue: f[2] == "*", IgnoreLease: f[3] == "*"}
				if p.IgnoreValue {
					p.Value = nil
				}
				p.Lease, _ = strconv.ParseInt(f[3], 10, 64)
				commands = append(commands, head.AppendPut(nil, p).Bytes)
			case "compact":
				n, _ := strconv.ParseInt(f[1], 10, 64)
				commands = append(commands, head.AppendCompact(nil, n).Bytes)
			case "raise", "disarm":
				c := kv.AlarmChange{Raise: f[0] == "raise"}
				c.Member, _ = strconv.ParseUint(f[1], 10, 64)
				c.Name = kv.AlarmName(f[2])
				commands = append(commands, head.AppendAlarm(nil, c).Bytes)
			case "level":
				n, _ := strconv.ParseUint(f[1], 10, 64)
				commands = append(commands, AppendFeatureLevel(nil, n).Bytes)
			case "announce":
				commands = append(commands, AppendAnnounce(nil, announcementOf(f[1:])).Bytes)
			case "add", "promote", "remove", "update":
				commands = append(commands, new(Head).AppendMemberChange(nil, memberChangeOf(f)).Bytes)
			case "end-exchange":
				commands = append(commands, AppendEndExchange(nil).Bytes)
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
		if r.Resent {
			line += ", resent"
		}
		if r.Err != nil {
			line += fmt.Sprintf(": %v: %s", r.Err.Code, r.Err.Message)
		}
		if line != before || len(results) < 8 {
			out.WriteString(line + "\n")
		}
		before = line
	}
	if sc.keep > 0 {
		keep(sc.t, sc.s, sc.keep)
		reclaimed(sc.s)
	}
	return out.String()
}

// txn reads a transaction, a word a line: compares, "then", operations, "else", operations, and "end" of one that "txn" began
// within it.
func (sc *script) txn(lines []string) (t *kv.Txn, rest []string) {
	t = &kv.Txn{}
	to := &t.Success
	for len(lines) > 0 {
		f := strings.Fields(unquote(lines[0]))
		lines = lines[1:]
		number := func(s string) int64 {
			n, _ := strconv.ParseInt(s, 10, 64)
			return n
		}
		for len(f) < 4 {
			f = append(f, "")
		}
		switch f[0] {
		case "if":
			c := kv.Compare{Key: []byte(f[2]), Target: kv.CompareTarget(slices.Index([]string{"version", "create", "mod", "value", "lease"}, f[1]))}
			c.Result = kv.CompareResult(slices.Index([]string{"=", ">", "<", "!="}, f[3]))
			if c.Target == kv.CompareValue {
				c.Value = []byte(f[4])
			} else {
				c.Number = number(f[4])
			}
			if len(f) > 5 {
				c.End = []byte(f[5])
			}
			t.Compares = append(t.Compares, c)
		case "then":
			to = &t.Success
		case "else":
			to = &t.Failure
		case "put":
			*to = append(*to, kv.Op{Put: &kv.Put{Key: []byte(f[1]), Value: []byte(f[2]), PrevKV: true, IgnoreValue: f[2] == "*"}})
			if f[2] == "*" {
				(*to)[len(*to)-1].Put.Value = nil
			}
		case "del":
			*to = append(*to, kv.Op{Delete: &kv.Delete{Key: []byte(f[1]), End: []byte(f[2]), PrevKV: true}})
		case "get":
			*to = append(*to, kv.Op{Range: &kv.Range{Key: []byte(f[1]), End: []byte(f[2]), Revision: number(f[3])}})
		case "txn":
			var nested *kv.Txn
			nested, lines = sc.txn(lines)
			*to = append(*to, kv.Op{Txn: nested})
		case "end":
			return t, lines
		}
	}
	return t, nil
}

// transact applies a transaction and prints its answer, or what its Check says.
func (sc *script) transact(d *datadriven.TestData) string {
	t, _ := sc.txn(strings.Split(d.Input, "\n"))
	if err := t.Check(requestBounds, int(number(d, "operations", limits.TxnOperations))); err != nil {
		return refusal(err)
	}
	applied, _ := sc.s.Applied()
	head := Head{}
	if by := word(d, "by", ""); by != "" {
		head.By = sc.byOf(by)
	}
	if once := word(d, "once", ""); once != "" {
		head.Once = onceOf(once)
	}
	results, err := sc.s.Apply(applied+1, sc.term, AppendEnvelope(nil, Envelope{Level: 1, Wall: 1e6}, [][]byte{head.AppendTxn(nil, t).Bytes}), nil)
	if err != nil {
		return err.Error() + "\n"
	}
	if results[0].Err != nil {
		return refusal(results[0].Err)
	}
	v := sc.s.View()
	if err := v.RecoverAnswer(t, &results[0]); err != nil {
		return refusal(err)
	}
	reader := NewAnswerReader(t, &results[0], 1<<20)
	answer, done, err := reader.Step(v, 1)
	for !done {
		answer, done, err = reader.Step(v, 1)
	}
	if err != nil {
		return refusal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "revision %d\n", answer.Revision)
	if results[0].Resent {
		out.WriteString("resent\n")
	}
	answerLines(&out, answer, "")
	return out.String()
}

func answerLines(out *strings.Builder, a *kv.TxnResult, indent string) {
	word := map[bool]string{true: "success", false: "failure"}[a.Succeeded]
	fmt.Fprintf(out, "%s%s\n", indent, word)
	indent += "  "
	for _, one := range a.Answers {
		var pairs []kv.KeyValue
		switch {
		case one.Put != nil:
			fmt.Fprintf(out, "%sput\n", indent)
			if one.Put.Prev != nil {
				pairs = []kv.KeyValue{*one.Put.Prev}
			}
		case one.Delete != nil:
			fmt.Fprintf(out, "%sdeleted %d\n", indent, one.Delete.Deleted)
			pairs = one.Delete.Prev
		case one.Range != nil:
			fmt.Fprintf(out, "%scount %d, more %v\n", indent, one.Range.Count, one.Range.More)
			pairs = one.Range.KVs
		case one.Txn != nil:
			answerLines(out, one.Txn, indent)
		}
		for i := range pairs {
			fmt.Fprintf(out, "%s  %s", indent, line(&pairs[i]))
		}
	}
}

// onceOf makes the name of a write of session.sequence.window.opened; opened in milliseconds and 1 ns.
func onceOf(s string) kv.WriteName {
	var n [4]uint64
	for i, f := range strings.Split(s, ".") {
		n[i], _ = strconv.ParseUint(f, 10, 64)
	}
	w := kv.WriteName{Session: n[0], Sequence: n[1], Window: n[2]}
	if strings.Count(s, ".") == 3 {
		w.Opened = int64(n[3])*1e6 + 1
	}
	return w
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
	if len(f) > 4 && f[4] != "" {
		m.Name = f[4]
	}
	return m
}

// memberChangeOf makes a change of its kind, a member, and then what the kind needs; of one that is added also in whose place.
func memberChangeOf(f []string) *kv.MemberChange {
	id, _ := strconv.ParseUint(f[1], 10, 64)
	switch f[0] {
	case "add":
		c := &kv.MemberChange{Kind: kv.AddLearner, ID: id, Name: strings.TrimPrefix(f[2], "-"), Peers: []string{f[3]}}
		if len(f) > 4 {
			c.Instead, _ = strconv.ParseUint(f[4], 10, 64)
		}
		return c
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
	v := sc.s.ViewToSave()
	b, err := NewBuilder(NewReserve(), v.AppendMeta(nil), sc.s.limits)
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
	rules := sc.s.sessions.rules
	if sc.s, err = b.Finish(); err != nil {
		return err.Error() + "\n"
	}
	sc.s.sessions.rules = rules
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
		_, err := v.Changes(Position{Revision: number(d, "from", 0)}, func(c *Change) bool {
			what := "put "
			if c.Deleted {
				what = "del "
			}
			fmt.Fprintf(&out, "%d.%d %s%s", c.KV.ModRevision, c.Sub, what, line(&c.KV))
			if before, _, ok := c.Before(); d.HasArg("before") && ok {
				fmt.Fprintf(&out, "  before: %s", line(&before))
			}
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
		wall := number(d, "wall", 0) * 1e6
		revision, err := v.RevisionAt(wall, number(d, "now", 1e12)*1e6)
		if err != nil {
			fmt.Fprintf(&out, "%v: %s\n", err.Code, err.Message)
		} else {
			fmt.Fprintf(&out, "revision %d\n", revision)
		}
	case "leases":
		v.Leases(math.MinInt64, func(l kv.Lease) bool {
			fmt.Fprintf(&out, "%d: %d s, %d left:", l.ID, l.TTL, l.Remaining)
			v.LeaseKeys(l.ID, nil, func(key []byte) bool {
				fmt.Fprintf(&out, " %s", key)
				return true
			})
			out.WriteString("\n")
			return true
		})
	case "sessions":
		fmt.Fprintf(&out, "clock %d ms, floor %d ms, %d outcomes\n", v.numbers.clock/1e6, v.numbers.floor/1e6, v.numbers.outcomes)
		for one := sc.s.sessions.oldest; one != nil; one = one.newer {
			fmt.Fprintf(&out, "%d: used at %d ms, from %d on:", one.id, one.used/1e6, one.first)
			kept := maps.Collect(one.outcomes.all)
			for _, n := range slices.Sorted(maps.Keys(kept)) {
				fmt.Fprintf(&out, " %d at %d", n, kept[n].revision)
			}
			out.WriteString("\n")
		}
	case "alarms":
		for _, a := range v.Alarms() {
			fmt.Fprintf(&out, "%v of %d\n", a.Name, a.Member)
		}
		fmt.Fprintf(&out, "%d bytes are used\n", v.UsedBytes())
	case "members":
		for _, m := range v.Members().All() {
			fmt.Fprintf(&out, "%d %s %s", m.ID, m.Name, m.Role)
			if m.Started() {
				fmt.Fprintf(&out, " folder %c boot %d process %c", m.Folder[0], m.Boot, m.Process[0])
			}
			if m.Replaces != 0 {
				fmt.Fprintf(&out, " replaces %d", m.Replaces)
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
	case "usage":
		q := kv.Usage{Prefix: []byte(word(d, "prefix", "")), Separator: []byte(word(d, "separator", "/")), Depth: int(number(d, "depth", 1))}
		if e := q.Check(requestBounds); e != nil {
			return refusal(e)
		}
		usageLines(&out, &q, NewUsageReader(q.Range(), number(d, "page", 1<<20), number(d, "wall", 1)*1e6), v, int(number(d, "work", 100)))
	}
	return out.String()
}

// usageLines prints the groups that the pages of a reader add up to.
func usageLines(out *strings.Builder, q *kv.Usage, r *UsageReader, v *View, work int) {
	var all kv.UsageResult
	for {
		page, _, last, err := r.Step(v, work)
		if err == nil {
			err = all.Add(q, &page)
		}
		if err != nil {
			out.WriteString(refusal(err))
			return
		}
		if last {
			break
		}
	}
	for i := range all.Rows {
		u := &all.Rows[i]
		fmt.Fprintf(out, "%q: %d keys of %d bytes, %d leased, %d versions of %d bytes, %d changes\n", u.Prefix, u.Keys, u.Bytes, u.Leased, u.Versions, u.History, u.Changes)
	}
	fmt.Fprintf(out, "revision %d, period %v\n", all.Revision, all.Period)
}

// tree prints where things lie: by slab and place in it, which other runs have too.
func (sc *script) tree(out *strings.Builder) {
	m := sc.s.keys.memory
	place := func(r ref) string {
		if r == 0 {
			return "-"
		}
		s := m.slabOf(r)
		return fmt.Sprintf("%d+%d", s.number, r-s.address)
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
	print("tree", sc.s.keys.tree)
	print("tombstoned", sc.s.keys.tombstoned)
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
