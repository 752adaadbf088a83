package kv

import (
	"fmt"
	"slices"
	"strings"

	"qkv/internal/limits"
)

// Role is what part a member has in the agreement.
type Role uint8

// The roles. While voters are exchanged (joint consensus, Raft thesis §4.3) a decision needs a majority of Voter and
// Incoming, and one of Voter and Leaving.
const (
	Learner  Role = 0 // gets the log, and has no vote
	Voter    Role = 1
	Incoming Role = 2 // will be a voter when the exchange has ended, and is one of the new configuration
	Leaving  Role = 3 // is a voter of the old configuration only
	roles         = 4
)

var roleNames = [roles]string{"learner", "voter", "incoming", "leaving"}

// String returns the role's name.
func (r Role) String() string {
	if r.Known() {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Known tells whether this qkv knows the role.
func (r Role) Known() bool { return r < roles }

// Votes tells whether the member is a voter of a configuration that is in force.
func (r Role) Votes() bool { return r != Learner }

// Member is what the replicated state says of one member. From what stands above the line a change of the membership
// decides, from what stands below it the member itself, by its announcement.
type Member struct {
	ID     uint64 // used once: a member that comes back without its data is another one
	Name   string // no other member has it; as in its certificate; empty where it was added without, and has not started yet
	Role   Role
	Manual bool  // a learner that is promoted only when somebody says so
	Since  int64 // when it was added, in nanoseconds since 1970; 0 for a founder

	Peers   []string // host:port at which the others reach it
	Clients []string // host:port for native clients
	Web     []string // URLs for clients over HTTP and gRPC
	Version string
	Level   uint64   // the highest feature level that it knows; 0 before it was started
	Folder  [16]byte // random, made with its data folder
	Boot    uint64   // starts of a process on that folder
	Process [16]byte // random, made at each start
}

// Started tells whether the member has announced itself since it was added.
func (m *Member) Started() bool { return m.Boot > 0 }

// MemberChangeKind says what is to change.
type MemberChangeKind uint8

// The kinds of changes. A number never changes its meaning: it stands in logs.
const (
	AddLearner    MemberChangeKind = 1 // ID, Name (none: it says its own when it starts), Peers, Manual, Instead
	PromoteMember MemberChangeKind = 2 // ID, Instead
	RemoveMember  MemberChangeKind = 3 // ID
	UpdateMember  MemberChangeKind = 4 // ID, Peers
	LocateMember  MemberChangeKind = 5 // ID, Peers, Instead: another member says where it is, beside the address that it knows of
	changeKinds                    = 6
)

// MemberChange is one change of the membership.
type MemberChange struct {
	Kind    MemberChangeKind
	ID      uint64
	Name    string
	Peers   []string
	Manual  bool
	Instead uint64 // a voter that leaves in the same change, or gives the addresses to who is added, or located; 0: none
}

// Check says what of a change can be refused without a look at the members, or nil.
func (c *MemberChange) Check() *Error {
	switch {
	case c.Kind == 0 || c.Kind >= changeKinds:
		return Errorf(BadRequest, "a change of the membership of kind %d is not known", c.Kind)
	case c.ID == 0 || c.ID >= 1<<64-2: // raft uses these for itself
		return Errorf(BadRequest, "%016x is no member's id", c.ID)
	case (c.Kind == AddLearner || c.Kind == UpdateMember || c.Kind == LocateMember) && (len(c.Peers) == 0 || slices.Contains(c.Peers, "")):
		return Errorf(BadRequest, "a member needs an address, HOST:PORT, at which the others reach it")
	case !addressesFit(c.Peers):
		return addressesTooLong
	case c.Instead != 0 && c.Kind != PromoteMember && c.Kind != AddLearner && c.Kind != LocateMember, c.Instead == c.ID:
		return Errorf(BadRequest, "only a member that is added, promoted or located takes another one's place")
	}
	return nil
}

// CheckAddresses says why what a member says of where it is reached is refused, or nil: every joiner is told it.
func (m *Member) CheckAddresses() *Error {
	if !addressesFit(m.Peers) || !addressesFit(m.Clients) || !addressesFit(m.Web) {
		return addressesTooLong
	}
	return nil
}

func addressesFit(all []string) bool {
	long := func(address string) bool { return len(address) > limits.AddressBytes }
	return len(all) <= limits.MemberAddresses && !slices.ContainsFunc(all, long)
}

var addressesTooLong = Errorf(BadRequest, "more than %d addresses of one kind, or one of more than %d bytes", limits.MemberAddresses, limits.AddressBytes)

// String says the change in words.
func (c *MemberChange) String() string {
	switch c.Kind {
	case AddLearner:
		if c.Instead != 0 {
			return fmt.Sprintf("add a member at %s, %016x, for the place of %016x", strings.Join(c.Peers, ", "), c.ID, c.Instead)
		}
		if c.Name == "" {
			return fmt.Sprintf("add a member at %s, %016x", strings.Join(c.Peers, ", "), c.ID)
		}
		return fmt.Sprintf("add the member %s, %016x", c.Name, c.ID)
	case PromoteMember:
		if c.Instead != 0 {
			return fmt.Sprintf("promote the member %016x in the place of %016x", c.ID, c.Instead)
		}
		return fmt.Sprintf("promote the member %016x", c.ID)
	case RemoveMember:
		return fmt.Sprintf("remove the member %016x", c.ID)
	case UpdateMember, LocateMember:
		return fmt.Sprintf("the member %016x is at %s", c.ID, strings.Join(c.Peers, ", "))
	}
	return fmt.Sprintf("change %d of members", c.Kind)
}
