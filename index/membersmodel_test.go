package index

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// modelMembers is the membership as one would write it down: a map, and the ids that went. Whether voters are being exchanged is
// a pair of ids.
type modelMembers struct {
	all       map[uint64]kv.Member
	gone      []uint64
	in, out   uint64 // a voter to be, and the one whose place it takes; 0: none
	wall      int64
	exchanged int
	replaced  int // members that were removed while another one was to replace them
	renamed   int // of these, whose name the other one got
	returned  int // replacements that were removed, and whose addresses the other one got back
}

func (m *modelMembers) has(f func(one kv.Member) bool) bool {
	for _, one := range m.all {
		if f(one) {
			return true
		}
	}
	return false
}

// taken says that another member has one of these addresses.
func (m *modelMembers) taken(addresses []string, but uint64) bool {
	return m.has(func(one kv.Member) bool {
		return one.ID != but && slices.ContainsFunc(one.Peers, func(a string) bool { return slices.Contains(addresses, a) })
	})
}

// add adds a learner, which takes over the addresses of the voter that it replaces.
func (m *modelMembers) add(c *kv.MemberChange) kv.Code {
	old, known := m.all[c.Instead]
	peers := slices.DeleteFunc(slices.Clone(old.Peers), func(a string) bool { return slices.Contains(c.Peers, a) })
	switch {
	case c.Instead != 0 && !known:
		return kv.MemberNotFound
	case c.Instead != 0 && old.Role != kv.Voter:
		return kv.BadRequest
	case m.has(func(one kv.Member) bool {
		return c.Instead != 0 && one.Replaces == c.Instead || c.Name != "" && one.Name == c.Name
	}):
		return kv.MemberExists
	case m.has(func(one kv.Member) bool {
		return one.ID != c.Instead && slices.ContainsFunc(one.Peers, func(a string) bool { return slices.Contains(c.Peers, a) })
	}):
		return kv.AddressExists
	}
	if known {
		old.Peers = peers
		m.all[c.Instead] = old
	}
	m.all[c.ID] = kv.Member{ID: c.ID, Name: c.Name, Manual: c.Manual, Since: m.wall, Replaces: c.Instead, Peers: c.Peers, Folder: c.Folder}
	return kv.OK
}

// remove removes a member. The one that replaces it has nothing to replace any more, and gets its name if it has none. The one that it was
// to replace gets its addresses if it has none.
func (m *modelMembers) remove(id uint64) {
	for other, one := range m.all {
		if one.Replaces == id {
			m.replaced++
			if one.Replaces = 0; one.Name == "" {
				one.Name = m.all[id].Name
				m.renamed++
			}
			m.all[other] = one
		}
	}
	if old, known := m.all[m.all[id].Replaces]; known && len(old.Peers) == 0 {
		old.Peers = m.all[id].Peers
		m.all[old.ID] = old
		m.returned++
	}
	delete(m.all, id)
	m.gone = append(m.gone, id)
}

// change applies a change, and returns the code with which it is refused.
func (m *modelMembers) change(c *kv.MemberChange) kv.Code {
	one, known := m.all[c.ID]
	switch {
	case c.Check() != nil:
		return kv.BadRequest
	case m.in != 0:
		return kv.Unavailable
	case c.Kind == kv.AddLearner && (known || slices.Contains(m.gone, c.ID)):
		return kv.MemberExists
	case c.Kind == kv.AddLearner:
		return m.add(c)
	case c.Kind == kv.UpdateMember && known && m.taken(c.Peers, c.ID):
		return kv.AddressExists
	case !known:
		return kv.MemberNotFound
	}
	switch c.Kind {
	case kv.BindMember:
		if one.Folder != [16]byte{} && one.Folder != c.Folder {
			return kv.MemberExists
		}
		one.Folder = c.Folder
	case kv.UpdateMember:
		one.Peers = c.Peers
	case kv.RemoveMember:
		others := m.has(func(other kv.Member) bool { return other.ID != c.ID && other.Role == kv.Voter })
		if one.Role == kv.Voter && !others {
			return kv.QuorumAtRisk
		}
		m.remove(c.ID)
		return kv.OK
	case kv.PromoteMember:
		other, there := m.all[c.Instead]
		switch {
		case one.Role == kv.Voter:
			return kv.NotLearner
		case c.Instead != 0 && !there:
			return kv.MemberNotFound
		case c.Instead != 0 && other.Role != kv.Voter:
			return kv.BadRequest
		}
		one.Role, one.Manual = kv.Voter, false
		if there {
			if one.Role, other.Role = kv.Incoming, kv.Leaving; one.Replaces != other.ID {
				one.Replaces = 0
			}
			m.in, m.out = one.ID, other.ID
			m.all[other.ID] = other
		}
	}
	m.all[c.ID] = one
	return kv.OK
}

// endExchange makes a voter of one, and lets the other one go.
func (m *modelMembers) endExchange() {
	if m.in == 0 {
		return
	}
	one := m.all[m.in]
	one.Role = kv.Voter
	m.all[m.in] = one
	m.remove(m.out)
	m.in, m.out = 0, 0
	m.exchanged++
}

// announce applies a member's announcement.
func (m *modelMembers) announce(a kv.Member) kv.Code {
	one, known := m.all[a.ID]
	switch {
	case a.CheckAddresses() != nil:
		return kv.BadRequest
	case !known:
		return kv.MemberNotFound
	case one.Name == "" && a.Name != "" && m.has(func(other kv.Member) bool { return other.Name == a.Name }):
		return kv.MemberExists
	case a.Name == "" || one.Name != "" && one.Name != a.Name:
		return kv.BadRequest
	case (one.Boot > 0 || one.Folder != [16]byte{}) && a.Folder != one.Folder, one.Boot > 0 && (a.Boot < one.Boot || a.Boot == one.Boot && a.Process != one.Process):
		return kv.Amnesia
	}
	for id, other := range m.all {
		other.Peers = slices.DeleteFunc(slices.Clone(other.Peers), func(address string) bool { return slices.Contains(a.Peers, address) })
		m.all[id] = other
	}
	a.Role, a.Manual, a.Since, a.Replaces = one.Role, one.Manual, one.Since, one.Replaces
	m.all[a.ID] = a
	return kv.OK
}

// compare returns how the state differs from the model.
func (m *modelMembers) compare(got Members) error {
	want := make([]kv.Member, 0, len(m.all))
	for _, id := range slices.Sorted(maps.Keys(m.all)) {
		want = append(want, m.all[id])
	}
	if !slices.EqualFunc(got.All(), want, sameMember) {
		return fmt.Errorf("the state has\n%+v\nthe model\n%+v", got.All(), want)
	}
	for _, id := range m.gone {
		if !got.Removed(id) {
			return fmt.Errorf("%d went, and the state does not know", id)
		}
	}
	if err := got.check(); err != nil {
		return err
	}
	return nil
}

func sameMember(a, b kv.Member) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Role == b.Role && a.Manual == b.Manual && a.Since == b.Since && a.Replaces == b.Replaces && slices.Equal(a.Peers, b.Peers) &&
		a.Level == b.Level && a.Folder == b.Folder && a.Boot == b.Boot && a.Process == b.Process
}

// TestMembersModel lets random changes of the membership, ends of exchanges and announcements happen to a state and to plain maps,
// and compares records and answers, also of the state that a snapshot brings back. Every kind and every code comes often.
func TestMembersModel(t *testing.T) {
	counts := map[string]int{}
	for seed := range uint64(150) {
		membersRun(t, rand.New(rand.NewPCG(seed, 0x6d656d62)), counts)
	}
	var text []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		text = append(text, fmt.Sprintf("%s %d", what, counts[what]))
	}
	t.Logf("figures: %s", strings.Join(text, ", "))
	for _, what := range []string{
		"add: ok", "add: member exists", "add: address exists", "add: bad request", "add: unavailable",
		"promote: ok", "promote: no such member", "promote: not a learner", "promote: bad request", "promote: unavailable",
		"remove: ok", "remove: no such member", "remove: quorum at risk", "remove: unavailable",
		"update: ok", "update: no such member", "update: address exists", "update: bad request", "update: unavailable",
		"announce: ok", "announce: no such member", "announce: member exists", "announce: bad request", "announce: amnesia", "bind: ok", "bind: member exists", "bind: no such member",
		"exchange", "reload", "replaced", "renamed",
	} {
		if counts[what] < 100 {
			t.Errorf("%q came %d times, 100 are asked", what, counts[what])
		}
	}
	if counts["returned"] == 0 { // the removal of a learner that has all addresses of the voter that it replaces
		t.Error("no replacement gave the addresses back")
	}
}

// membersRun is some changes of one membership.
func membersRun(t *testing.T, r *rand.Rand, counts map[string]int) {
	t.Helper()
	s := NewState(limits.Defaults().Index)
	s.Found(Founders(map[string]uint64{"a": 1, "b": 2, "c": 3}))
	m := &modelMembers{all: map[uint64]kv.Member{}}
	for i, name := range []string{"a", "b", "c"} {
		m.all[uint64(i+1)] = kv.Member{ID: uint64(i + 1), Name: name, Role: kv.Voter}
	}
	id := func() uint64 {
		if r.IntN(4) > 0 { // an existing one
			return slices.Sorted(maps.Keys(m.all))[r.IntN(len(m.all))]
		}
		return uint64(r.IntN(200))
	}
	name := func() string {
		if r.IntN(2) == 0 {
			return m.all[id()].Name
		}
		return fmt.Sprintf("n%d", r.IntN(100))
	}
	addresses := func() (all []string) {
		for range 1 + r.IntN(10)/5 - r.IntN(10)/9 {
			all = append(all, fmt.Sprintf("host%d:1", r.IntN(40)))
		}
		return slices.Compact(all)
	}
	kinds := map[kv.MemberChangeKind]string{kv.AddLearner: "add", kv.PromoteMember: "promote", kv.RemoveMember: "remove", kv.UpdateMember: "update", kv.BindMember: "bind"}
	for n := range 300 {
		m.wall++
		var what string
		var code kv.Code
		var command []byte
		switch choice := r.IntN(20); {
		case choice < 13:
			often := []kv.MemberChangeKind{kv.AddLearner, kv.AddLearner, kv.AddLearner, kv.PromoteMember, kv.PromoteMember, kv.UpdateMember, kv.RemoveMember, kv.BindMember}
			c := kv.MemberChange{Kind: often[r.IntN(len(often))], ID: id()}
			switch {
			case c.Kind == kv.AddLearner && r.IntN(4) > 0:
				c.ID = uint64(r.IntN(200))
				fallthrough
			case c.Kind == kv.AddLearner || c.Kind == kv.UpdateMember:
				c.Name, c.Peers, c.Manual = name(), addresses(), r.IntN(2) == 0
				if c.Kind == kv.AddLearner && r.IntN(2) == 0 {
					c.Folder[0] = 1
				}
				if c.Kind == kv.AddLearner && r.IntN(2) == 0 {
					c.Instead = id()
				}
				if c.Instead != 0 && r.IntN(2) == 0 {
					c.Name = ""
				}
			case c.Kind == kv.BindMember:
				c.Folder[0] = 1 + byte(r.IntN(8)/7)
			case c.Kind == kv.PromoteMember && r.IntN(2) == 0:
				c.Instead = id()
			}
			command = new(Head).AppendMemberChange(nil, &c).Bytes
			what, code = kinds[c.Kind], m.change(&c)
		case choice < 14:
			command, what = AppendEndExchange(nil).Bytes, "end"
			m.endExchange()
		default:
			a := m.all[id()]
			if r.IntN(8) == 0 || a.Name == "" {
				a.Name = name()
			}
			if a.ID == 0 || r.IntN(8) == 0 {
				a.ID = uint64(r.IntN(200))
			}
			if a.Peers = addresses(); r.IntN(20) == 0 {
				a.Peers = []string{strings.Repeat("x", limits.AddressBytes+1)}
			}
			a.Boot = max(a.Boot+uint64(r.IntN(3)), 1) - uint64(r.IntN(2))
			a.Process[0], a.Folder[0], a.Level = byte(r.IntN(2)), byte(r.IntN(8)/7), uint64(r.IntN(3))
			command, what, code = AppendAnnounce(nil, &a).Bytes, "announce", m.announce(a)
		}
		entry := AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Incarnation: 1, Wall: m.wall}, [][]byte{command})
		apply := s.ApplyChange
		if what == "announce" {
			apply = s.Apply
		}
		results, err := apply(uint64(n+1), 1, entry, nil)
		if err != nil || len(results) != 1 {
			t.Fatalf("%s: %v, %d results", what, err, len(results))
		}
		got := kv.OK
		if results[0].Err != nil {
			got = results[0].Err.Code
		}
		if got != code {
			t.Fatalf("step %d, %s: the state says %v, %v; the model %v", n, what, got, results[0].Err, code)
		}
		counts[what+": "+code.String()]++
		if r.IntN(30) == 0 {
			digest := s.View().Digest()
			if s = restored(t, s.ViewToSave()); s.View().Digest() != digest {
				t.Fatal("the state that a snapshot brings back has another digest")
			}
			counts["reload"]++
		}
		if err := m.compare(s.Members()); err != nil {
			t.Fatalf("step %d, %s: %v", n, what, err)
		}
	}
	counts["exchange"] += m.exchanged
	counts["replaced"] += m.replaced
	counts["renamed"] += m.renamed
	counts["returned"] += m.returned
}

// The members after a change are computed before the change is made, from the same records: neither result changes the
// other.
func TestRemovalsOfTheSameRecords(t *testing.T) {
	m := Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3, "n4": 4})
	m.removed = append(make([]uint64, 0, 8), 9)
	var behind []Members
	for id := uint64(1); id <= 3; id++ {
		next, refused := m.Change(&kv.MemberChange{Kind: kv.RemoveMember, ID: id}, 0)
		if refused != nil {
			t.Fatal(refused)
		}
		behind = append(behind, next)
	}
	for i, one := range behind {
		if want := []uint64{9, uint64(i + 1)}; !slices.Equal(one.removed, want) {
			t.Errorf("removed are %v, not %v", one.removed, want)
		}
	}
}

// Records in which two members have one address are none that a change can have made.
func TestRecordsWithOneAddressTwice(t *testing.T) {
	m := Founders(map[string]uint64{"n1": 1, "n2": 2})
	m.records[0].Peers, m.records[1].Peers = []string{"h1:1"}, []string{"h2:1"}
	if err := m.check(); err != nil {
		t.Error(err)
	}
	m.records[1].Peers = append(m.records[1].Peers, "h1:1")
	if err := m.check(); err == nil || !strings.Contains(err.Error(), "h1:1") {
		t.Errorf("two members at one address: %v", err)
	}
}
