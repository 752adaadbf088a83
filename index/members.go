package index

import (
	"cmp"
	"fmt"
	"slices"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// Members are the records of all members. Raft's configuration follows from them: the voters and learners, and both
// halves of a joint configuration. Members is an immutable value, so Views share it.
//
// Invariants:
//
//  1. records have ascending ids, and no two of them share a name or a peer address. A member that was added without a
//     name has none until it announces itself.
//  2. At least one record is a voter, in each half of a joint configuration. A joining member's state has no records
//     before its first snapshot.
//  3. No id in removed is in records, now or later.
//  4. What a record replaces is another record; no two replace the same one.
type Members struct {
	records []kv.Member
	removed []uint64 // ids, in the order of removal
}

// Founders returns the records of a new cluster's members.
func Founders(ids map[string]uint64) Members {
	var m Members
	for name, id := range ids {
		m.records = append(m.records, kv.Member{ID: id, Name: name, Role: kv.Voter})
	}
	slices.SortFunc(m.records, func(a, b kv.Member) int { return cmp.Compare(a.ID, b.ID) })
	return m
}

// Same tells whether one is an unchanged copy of the other.
func (m Members) Same(other Members) bool {
	return len(m.records) == len(other.records) && (len(m.records) == 0 || &m.records[0] == &other.records[0])
}

// All returns the records in ascending order of id. The caller must not change the slice.
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

// Level returns the highest feature level that all members have announced; 0 while a member has announced none.
func (m Members) Level() uint64 {
	if len(m.records) == 0 {
		return 0
	}
	return slices.MinFunc(m.records, func(a, b kv.Member) int { return cmp.Compare(a.Level, b.Level) }).Level
}

// NameOf returns the name of the member with an id, or the id if there is no name.
func (m Members) NameOf(id uint64) string {
	if r := m.Get(id); r != nil && r.Name != "" {
		return r.Name
	}
	return fmt.Sprintf("%016x", id)
}

// Removed tells whether an id belonged to a member that was removed.
func (m Members) Removed(id uint64) bool { return slices.Contains(m.removed, id) }

// Configuration is raft's ConfState: the ids of voters and learners, ascending.
type Configuration struct {
	Voters, Outgoing, Learners []uint64 // Outgoing is the old half of a joint configuration, else empty
}

// Joint tells whether voters are being exchanged.
func (c *Configuration) Joint() bool { return len(c.Outgoing) > 0 }

// Configuration derives raft's configuration from the records.
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

// Change returns the members after a change, or why it is refused. The records decide whether the change is possible, the
// same on every member. The leader decides whether it is safe before it proposes it.
func (m Members) Change(c *kv.MemberChange, wall int64) (Members, *kv.Error) {
	if err := c.Check(); err != nil {
		return m, err
	}
	if m.joint() {
		return m, kv.Errorf(kv.Unavailable, "an exchange of voters is in progress: try again in a moment")
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
				return m, kv.Errorf(kv.BadRequest, "%s is a learner, and only a voter can be replaced by a promotion: remove it", other.Name)
			}
			if one.Role, other.Role = kv.Incoming, kv.Leaving; one.Replaces != other.ID {
				one.Replaces = 0
			}
		}
	case kv.RemoveMember:
		if voters := m.Configuration().Voters; one.Role.Votes() && len(voters) == 1 {
			return m, kv.Errorf(kv.QuorumAtRisk, "%s is the last voter: a cluster without a voter has no quorum; add another member first, or stop this one", one.Name)
		}
		return next.without(c.ID), nil
	case kv.UpdateMember:
		if err := m.addressFree(c.Peers, c.ID); err != nil {
			return m, err
		}
		one.Peers = slices.Clone(c.Peers)
	case kv.BindMember:
		if one.Bound() && one.Folder != c.Folder {
			return m, kv.Errorf(kv.MemberExists, "the member %s has the data folder %x, and not %x", m.NameOf(c.ID), one.Folder[:4], c.Folder[:4])
		}
		one.Folder = c.Folder
	}
	return next, nil
}

func (m Members) add(c *kv.MemberChange, wall int64) (Members, *kv.Error) {
	at, used := m.search(c.ID)
	next := Members{slices.Clone(m.records), m.removed}
	old, named := next.Get(c.Instead), m.Named(c.Name)
	i := slices.IndexFunc(m.records, func(r kv.Member) bool { return r.Replaces == c.Instead && c.Instead != 0 })
	switch {
	case used || m.Removed(c.ID):
		return m, kv.Errorf(kv.MemberExists, "the id %016x was used before: ids are used once", c.ID)
	case c.Instead != 0 && old == nil:
		return m, m.noMember(c.Instead)
	case old != nil && old.Role != kv.Voter:
		return m, kv.Errorf(kv.BadRequest, "%s is a learner, and only a voter can be replaced: remove it, then add the new one", m.NameOf(old.ID))
	case i >= 0:
		return m, kv.Errorf(kv.MemberExists, "%s is being replaced already, by %s: `qkv member remove %[2]s` ends that", m.NameOf(old.ID), m.NameOf(m.records[i].ID))
	case named != nil:
		return m, kv.Errorf(kv.MemberExists, "there is a member %s already, %016x: give another name, or remove that one first; if it is lost, `qkv member replace %[1]s` does both", named.Name, named.ID)
	case old != nil:
		old.Peers = without(old.Peers, c.Peers)
	}
	if err := next.addressFree(c.Peers, c.ID); err != nil {
		return m, err
	}
	one := kv.Member{ID: c.ID, Name: c.Name, Role: kv.Learner, Manual: c.Manual, Since: wall, Replaces: c.Instead, Peers: slices.Clone(c.Peers), Folder: c.Folder}
	next.records = slices.Insert(next.records, at, one)
	return next, nil
}

// EndExchange returns the members after the end of a joint configuration.
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

// Announce returns the members with a member's announcement, or why the announcement cannot be that member's.
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
	for i, r := range next.records { // the announcing member listens at the address now, so the previous owner loses it
		next.records[i].Peers = without(r.Peers, a.Peers)
	}
	one := *a
	one.Role, one.Manual, one.Since, one.Replaces = known.Role, known.Manual, known.Since, known.Replaces
	next.records[at] = one
	return next, nil
}

// without returns the addresses, except the ones in taken, which another member takes over.
func without(addresses, taken []string) []string {
	return slices.DeleteFunc(slices.Clone(addresses), func(one string) bool { return slices.Contains(taken, one) })
}

// forgot returns why an announcement cannot come from the known member, or nil. A member that lost its data must not make
// the others lose the record of it, too.
func forgot(known, a *kv.Member) *kv.Error {
	switch {
	case a.Name == "" || known.Name != "" && a.Name != known.Name:
		return kv.Errorf(kv.BadRequest, "the member %016x is %s, and not %s", a.ID, known.Name, a.Name)
	case (known.Bound() || known.Started()) && a.Folder != known.Folder:
		return kv.Errorf(kv.Amnesia, "%s announces a data folder that differs from its recorded one", a.Name)
	case !known.Started():
		return nil
	case a.Boot < known.Boot:
		return kv.Errorf(kv.Amnesia, "%s announces start %d of its data folder, but start %d is recorded", a.Name, a.Boot, known.Boot)
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

// without returns the members without one, whose replacement has ended. A member without a name that was to replace it gets its name. A
// member that it was to replace gets the addresses back that it has lost to it. m must not share its records with another Members.
func (m Members) without(id uint64) Members {
	if old := m.Get(m.Get(id).Replaces); old != nil && len(old.Peers) == 0 {
		old.Peers = m.Get(id).Peers
	}
	for i, r := range m.records {
		if r.Replaces == id {
			m.records[i].Replaces, m.records[i].Name = 0, cmp.Or(r.Name, m.Get(id).Name)
		}
	}
	return Members{
		slices.DeleteFunc(m.records, func(r kv.Member) bool { return r.ID == id }),
		append(slices.Clip(slices.Clone(m.removed)), id),
	}
}

const membersFields = 2

// append appends the members in the format of a state's meta data, which is also part of the digest.
func (m Members) append(dst []byte) []byte {
	dst = pack.AppendArray(pack.AppendArray(dst, membersFields), len(m.records))
	for i := range m.records {
		dst = kv.AppendMember(dst, &m.records[i])
	}
	dst = pack.AppendArray(dst, len(m.removed))
	for _, id := range m.removed {
		dst = pack.AppendUint(dst, id)
	}
	return dst
}

func readMembers(r *pack.Reader) (m Members) {
	s := r.Struct(membersFields)
	for range r.Array() {
		m.records = append(m.records, kv.ReadMember(r))
	}
	for range r.Array() {
		m.removed = append(m.removed, r.Uint())
	}
	r.End(s)
	if r.Err() == nil {
		if err := m.check(); err != nil {
			r.Fail(err.Message)
		}
	}
	return m
}

// check returns the first invariant that does not hold, or nil.
func (m Members) check() *kv.Error {
	voters := m.Configuration()
	names, addresses := map[string]bool{}, map[string]bool{}
	for i, r := range m.records {
		switch {
		case i > 0 && r.ID <= m.records[i-1].ID:
			return kv.Errorf(kv.BadRequest, "the member %016x comes after %016x", r.ID, m.records[i-1].ID)
		case names[r.Name] && r.Name != "":
			return kv.Errorf(kv.BadRequest, "two members are called %s", r.Name)
		case !r.Role.Known():
			return kv.Errorf(kv.BadRequest, "the member %s has the %s", r.Name, r.Role)
		case r.Replaces != 0 && m.Get(r.Replaces) == nil:
			return kv.Errorf(kv.BadRequest, "the member %s replaces %016x, which is no member", m.NameOf(r.ID), r.Replaces)
		case m.Removed(r.ID):
			return kv.Errorf(kv.BadRequest, "the member %s was removed", r.Name)
		}
		names[r.Name] = true
		for _, a := range r.Peers { // of this member or of two
			if addresses[a] {
				return kv.Errorf(kv.BadRequest, "the peer address %s is in the list of members twice", a)
			}
			addresses[a] = true
		}
	}
	if len(m.records) > 0 && (len(voters.Voters) == 0 || m.joint() && len(voters.Outgoing) == 0) {
		return kv.Errorf(kv.BadRequest, "none of %d members is a voter", len(m.records))
	}
	return nil
}
