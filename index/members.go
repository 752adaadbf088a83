package index

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// Members are the records of all members, from which raft's configuration follows: who votes, who learns, and who does
// so in which half of a joint configuration. It is a value: nothing of one is changed in place, so that Views share it.
//
// Invariants:
//
//  1. records have rising ids, and no two of them a name or a peer address in common. One that was added without a name has
//     none until it announces itself.
//  2. At least one of them is a voter, in each half of a joint configuration; a joiner's state has none at all before its
//     first snapshot.
//  3. No id of removed is in records, or ever will be again.
type Members struct {
	records []kv.Member
	removed []uint64 // ids, in the order in which they went
}

// Founders are the records that a cluster begins with.
func Founders(ids map[string]uint64) Members {
	var m Members
	for name, id := range ids {
		m.records = append(m.records, kv.Member{ID: id, Name: name, Role: kv.Voter})
	}
	slices.SortFunc(m.records, func(a, b kv.Member) int { return cmp.Compare(a.ID, b.ID) })
	return m
}

// Same tells whether nothing was changed between the two: one is a copy of the other.
func (m Members) Same(other Members) bool {
	return len(m.records) == len(other.records) && (len(m.records) == 0 || &m.records[0] == &other.records[0])
}

// All returns the records by rising id. The slice must not be changed.
func (m Members) All() []kv.Member { return m.records }

// Get returns the record with an id, or nil.
func (m Members) Get(id uint64) *kv.Member {
	if i, ok := m.search(id); ok {
		return &m.records[i]
	}
	return nil
}

// Named returns the record with a name, or nil.
func (m Members) Named(name string) *kv.Member {
	if name == "" {
		return nil
	}
	if i := slices.IndexFunc(m.records, func(r kv.Member) bool { return r.Name == name }); i >= 0 {
		return &m.records[i]
	}
	return nil
}

// Unnamed returns the record without a name that has one of these addresses, or nil.
func (m Members) Unnamed(addresses []string) *kv.Member {
	at := func(a string) bool { return slices.Contains(addresses, a) }
	if i := slices.IndexFunc(m.records, func(r kv.Member) bool { return r.Name == "" && slices.ContainsFunc(r.Peers, at) }); i >= 0 {
		return &m.records[i]
	}
	return nil
}

// Level returns the highest feature level that all members have said they know; 0 while one has said nothing.
func (m Members) Level() uint64 {
	if len(m.records) == 0 {
		return 0
	}
	return slices.MinFunc(m.records, func(a, b kv.Member) int { return cmp.Compare(a.Level, b.Level) }).Level
}

// NameOf returns the name of the member with an id, or the id where there is none.
func (m Members) NameOf(id uint64) string {
	if r := m.Get(id); r != nil && r.Name != "" {
		return r.Name
	}
	return fmt.Sprintf("%016x", id)
}

// Removed tells whether an id was a member's that has been removed.
func (m Members) Removed(id uint64) bool { return slices.Contains(m.removed, id) }

// Configuration is who takes what part in the agreement, by rising ids: raft's ConfState.
type Configuration struct {
	Voters, Outgoing, Learners []uint64 // Outgoing is the old half of a joint configuration, else empty
}

// Joint tells whether voters are being exchanged.
func (c *Configuration) Joint() bool { return len(c.Outgoing) > 0 }

// Configuration follows from the records alone.
func (m Members) Configuration() Configuration {
	var c Configuration
	for _, r := range m.records {
		switch r.Role {
		case kv.Learner:
			c.Learners = append(c.Learners, r.ID)
		case kv.Voter:
			c.Voters = append(c.Voters, r.ID)
		case kv.Incoming:
			c.Voters = append(c.Voters, r.ID)
			continue
		}
		if r.Role != kv.Learner && m.joint() {
			c.Outgoing = append(c.Outgoing, r.ID)
		}
	}
	return c
}

func (m Members) joint() bool {
	return slices.ContainsFunc(m.records, func(r kv.Member) bool { return r.Role == kv.Incoming || r.Role == kv.Leaving })
}

func (m Members) search(id uint64) (int, bool) {
	return slices.BinarySearchFunc(m.records, id, func(r kv.Member, id uint64) int { return cmp.Compare(r.ID, id) })
}

// Change returns the members behind a change, or why it is refused. Whether it is wise, a leader asks before it proposes
// one; whether it is possible follows from the records, the same on every member.
func (m Members) Change(c *kv.MemberChange, wall int64) (Members, *kv.Error) {
	if err := c.Check(); err != nil {
		return m, err
	}
	if m.joint() {
		return m, kv.Errorf(kv.Unavailable, "members are being exchanged: try again in a moment")
	}
	if c.Kind == kv.AddLearner {
		return m.add(c, wall)
	}
	at, ok := m.search(c.ID)
	if !ok {
		return m, m.noMember(c.ID)
	}
	next := Members{slices.Clone(m.records), m.removed}
	one := &next.records[at]
	switch c.Kind {
	case kv.PromoteMember:
		if one.Role != kv.Learner {
			return m, kv.Errorf(kv.NotLearner, "%s is a voter already", one.Name)
		}
		one.Role, one.Manual = kv.Voter, false
		if c.Instead != 0 {
			other := next.Get(c.Instead)
			switch {
			case other == nil:
				return m, m.noMember(c.Instead)
			case other.Role != kv.Voter:
				return m, kv.Errorf(kv.BadRequest, "%s is a learner, and has no place to give away: remove it", other.Name)
			}
			one.Role, other.Role = kv.Incoming, kv.Leaving
		}
	case kv.RemoveMember:
		if voters := m.Configuration().Voters; one.Role.Votes() && len(voters) == 1 {
			return m, kv.Errorf(kv.QuorumAtRisk, "%s is the last voter: a cluster without one could not agree on anything; add another member first, or stop this one", one.Name)
		}
		return next.without(c.ID), nil
	case kv.UpdateMember:
		if err := m.addressFree(c.Peers, c.ID); err != nil {
			return m, err
		}
		one.Peers = slices.Clone(c.Peers)
	case kv.LocateMember:
		return next.locate(c, one)
	}
	return next, nil
}

// locate writes down where another member says that one is: at the first address, beside the one that the log had. That member may
// be far behind the log: what one has said itself since holds. It is for records that nobody else has, one among them.
func (m Members) locate(c *kv.MemberChange, one *kv.Member) (Members, *kv.Error) {
	if !slices.Equal(c.Peers[1:], one.Peers[:min(len(one.Peers), 1)]) {
		return m, kv.Errorf(kv.BadRequest, "%s has moved since", m.NameOf(c.ID))
	}
	if other := m.Get(c.Instead); other != nil {
		other.Peers = without(other.Peers, c.Peers)
	}
	if err := m.addressFree(c.Peers, c.ID); err != nil {
		return m, err
	}
	one.Peers = slices.Compact(slices.Clone(c.Peers))
	return m, nil
}

func (m Members) add(c *kv.MemberChange, wall int64) (Members, *kv.Error) {
	at, used := m.search(c.ID)
	switch other := m.Named(c.Name); {
	case used || m.Removed(c.ID):
		return m, kv.Errorf(kv.MemberExists, "the id %016x was used before: ids are used once", c.ID)
	case other != nil:
		return m, kv.Errorf(kv.MemberExists, "there is a member %s already, %016x: give another name, or remove that one first", other.Name, other.ID)
	}
	next := Members{slices.Clone(m.records), m.removed}
	if c.Instead != 0 {
		other := next.Get(c.Instead)
		if other == nil {
			return m, m.noMember(c.Instead)
		}
		other.Peers = without(other.Peers, c.Peers)
	}
	if err := next.addressFree(c.Peers, c.ID); err != nil {
		return m, err
	}
	one := kv.Member{ID: c.ID, Name: c.Name, Role: kv.Learner, Manual: c.Manual, Since: wall, Peers: slices.Clone(c.Peers)}
	next.records = slices.Insert(next.records, at, one)
	return next, nil
}

// EndExchange returns the members behind the end of a joint configuration.
func (m Members) EndExchange() Members {
	next := Members{slices.Clone(m.records), m.removed}
	for _, r := range m.records {
		switch r.Role {
		case kv.Incoming:
			next.Get(r.ID).Role = kv.Voter
		case kv.Leaving:
			next = next.without(r.ID)
		}
	}
	return next
}

// Announce returns the members with what one says of itself, or why it cannot be that member that says so.
func (m Members) Announce(a *kv.Member) (Members, *kv.Error) {
	if err := a.CheckAddresses(); err != nil {
		return m, err
	}
	at, ok := m.search(a.ID)
	if !ok {
		return m, m.noMember(a.ID)
	}
	known := m.records[at]
	if other := m.Named(a.Name); known.Name == "" && other != nil {
		return m, kv.Errorf(kv.MemberExists, "there is a member %s already, %016x: give another name", other.Name, other.ID)
	}
	if err := forgot(&known, a); err != nil {
		return m, err
	}
	next := Members{slices.Clone(m.records), m.removed}
	for i, r := range next.records { // who listens at an address has it, whoever had it before
		next.records[i].Peers = without(r.Peers, a.Peers)
	}
	one := *a
	one.Role, one.Manual, one.Since = known.Role, known.Manual, known.Since
	next.records[at] = one
	return next, nil
}

// without returns addresses but for those that somebody else takes over.
func without(addresses, taken []string) []string {
	return slices.DeleteFunc(slices.Clone(addresses), func(one string) bool { return slices.Contains(taken, one) })
}

// forgot says why an announcement cannot be of the member that is known. One that has forgotten what is known of it must
// not make the others forget it too.
func forgot(known, a *kv.Member) *kv.Error {
	switch {
	case a.Name == "" || known.Name != "" && a.Name != known.Name:
		return kv.Errorf(kv.BadRequest, "the member %016x is %s, and not %s", a.ID, known.Name, a.Name)
	case !known.Started():
		return nil
	case a.Folder != known.Folder:
		return kv.Errorf(kv.Amnesia, "%s announces another data folder than the one that is known", a.Name)
	case a.Boot < known.Boot:
		return kv.Errorf(kv.Amnesia, "%s announces start %d of its data folder, %d is known", a.Name, a.Boot, known.Boot)
	case a.Boot == known.Boot && a.Process != known.Process:
		return kv.Errorf(kv.Amnesia, "%s announces start %d of its data folder, which another process has claimed", a.Name, a.Boot)
	}
	return nil
}

func (m Members) noMember(id uint64) *kv.Error {
	if m.Removed(id) {
		return kv.Errorf(kv.MemberNotFound, "the member %016x was removed", id)
	}
	return kv.Errorf(kv.MemberNotFound, "there is no member %016x", id)
}

// addressFree refuses an address that another member has.
func (m Members) addressFree(addresses []string, id uint64) *kv.Error {
	for _, r := range m.records {
		for _, a := range addresses {
			if r.ID != id && slices.Contains(r.Peers, a) {
				return kv.Errorf(kv.AddressExists, "the member %s has the peer address %s already", m.NameOf(r.ID), a)
			}
		}
	}
	return nil
}

// without is for records that nobody else has.
func (m Members) without(id uint64) Members {
	return Members{
		slices.DeleteFunc(m.records, func(r kv.Member) bool { return r.ID == id }),
		append(slices.Clip(slices.Clone(m.removed)), id),
	}
}

// The formats of what is rare (cold) are those of msgpack's library: a struct is an array of its fields, in their order. What is
// read was walked by package pack before, since the library allocates what a length claims.

// coldMembers is Members as it stands in a state's meta data and has part in the digest.
type coldMembers struct {
	Records []kv.Member
	Removed []uint64
}

func (m Members) append(dst []byte) []byte {
	return appendCold(dst, &coldMembers{m.records, m.removed})
}

func readMembers(r *pack.Reader) (m Members) {
	var record coldMembers
	readCold(r, &record)
	m = Members{record.Records, record.Removed}
	if r.Err() == nil {
		if err := m.check(); err != nil {
			r.Fail(err.Error())
		}
	}
	return m
}

// check says which invariant does not hold.
func (m Members) check() error {
	voters := m.Configuration()
	names, addresses := map[string]bool{}, map[string]bool{}
	for i, r := range m.records {
		switch {
		case i > 0 && r.ID <= m.records[i-1].ID:
			return fmt.Errorf("the member %016x stands behind %016x", r.ID, m.records[i-1].ID)
		case names[r.Name] && r.Name != "":
			return fmt.Errorf("two members are called %s", r.Name)
		case !r.Role.Known():
			return fmt.Errorf("the member %s has the %s", r.Name, r.Role)
		case m.Removed(r.ID):
			return fmt.Errorf("the member %s was removed", r.Name)
		}
		names[r.Name] = true
		for _, a := range r.Peers {
			if addresses[a] {
				return fmt.Errorf("two members have the address %s", a)
			}
			addresses[a] = true
		}
	}
	if len(m.records) > 0 && (len(voters.Voters) == 0 || m.joint() && len(voters.Outgoing) == 0) {
		return fmt.Errorf("none of %d members votes", len(m.records))
	}
	return nil
}

// appendCold appends a struct of exported fields.
func appendCold(dst []byte, record any) []byte {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	e.UseArrayEncodedStructs(true)
	if err := e.Encode(record); err != nil {
		panic(fmt.Sprintf("%T cannot be encoded: %v", record, err)) // there is nothing in it that cannot
	}
	return append(dst, b.Bytes()...)
}

// readCold reads what appendCold wrote, and returns how many bytes that were.
func readCold(r *pack.Reader, record any) (size int64) {
	b := r.Rest()
	r.Skip()
	if r.Err() != nil {
		return 0
	}
	b = b[:len(b)-len(r.Rest())]
	if err := msgpack.Unmarshal(b, record); err != nil {
		r.Fail(err.Error())
	}
	return int64(len(b))
}
