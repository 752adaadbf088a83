package kv

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"qkv/internal/limits"
)

// Role is a member's role in consensus. The role of a user is a [UserRole].
type Role uint8

// The roles. While voters are exchanged (joint consensus, Raft thesis §4.3), a decision needs two majorities: one of
// Voter and Incoming members, and one of Voter and Leaving members.
const (
	Learner  Role = 0 // receives the log, has no vote
	Voter    Role = 1
	Incoming Role = 2 // a voter of the new configuration only; becomes Voter when the exchange ends
	Leaving  Role = 3 // a voter of the old configuration only
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

// Member is the record of one member in the replicated state. Membership changes set the fields above the blank line; the
// member's own announcements set the fields below it. Membership changes also set Peers and an empty Folder, and an
// announcement also sets an empty Name.
type Member struct {
	ID uint64 `msgpack:"i"` // used once: a member that returns without its data gets a new id
	// unique; as in the member's certificate; empty if it was added without a name and has not started yet, nor got
	// one
	Name   string `msgpack:"n"`
	Role   Role   `msgpack:"r"`
	Manual bool   `msgpack:"m"` // a learner that is promoted only by an operator
	Since  int64  `msgpack:"s"` // when it was added, in nanoseconds since 1970; 0 for a founder
	// Replaces is the member in whose place this one was added or promoted, while that member exists. The leader promotes this one in its
	// place. A learner without a name takes over its name: therefore the leader first removes it, once it is lost.
	Replaces uint64 `msgpack:"o"`

	Peers   []string `msgpack:"p"` // host:port for the other members
	Clients []string `msgpack:"c"` // host:port for native clients
	Web     []string `msgpack:"w"` // URLs for clients over HTTP and gRPC
	Version string   `msgpack:"v"`
	Level   uint64   `msgpack:"l"` // the highest feature level that it supports; 0 before its first start
	Folder  [16]byte `msgpack:"f"` // random, drawn with its data folder; zero until the id is bound to that folder
	Boot    uint64   `msgpack:"b"` // number of process starts on that folder
	Process [16]byte `msgpack:"x"` // random, drawn at each start
}

// Started tells whether the member has announced itself since it was added.
func (m *Member) Started() bool { return m.Boot > 0 }

// Bound tells whether the member's id belongs to a data folder. A bound id never belongs to another folder.
func (m *Member) Bound() bool { return m.Folder != [16]byte{} }

// MemberChangeKind is the kind of a membership change.
type MemberChangeKind uint8

// The kinds of changes. A number never changes its meaning because logs contain it.
const (
	// ID, Name (empty: that of Instead once that is removed, or as announced at the first start), Peers, Manual,
	// Instead, Folder (zero: BindMember follows)
	AddLearner    MemberChangeKind = 1
	PromoteMember MemberChangeKind = 2 // ID, Instead
	RemoveMember  MemberChangeKind = 3 // ID
	UpdateMember  MemberChangeKind = 4 // ID, Peers
	BindMember    MemberChangeKind = 5 // ID, Folder: the id belongs to this data folder from now on
	changeKinds                    = 6
)

// MemberChange is one change of the membership.
type MemberChange struct {
	Kind   MemberChangeKind `msgpack:"k"`
	ID     uint64           `msgpack:"i"`
	Name   string           `msgpack:"n"`
	Peers  []string         `msgpack:"p"`
	Manual bool             `msgpack:"m"`
	// the voter that ID replaces; a promotion removes it, and an addition moves the addresses in Peers to ID; 0: none
	Instead uint64   `msgpack:"o"`
	Folder  [16]byte `msgpack:"f"`
}

// IsZero tells package codec to leave out the change.
func (c MemberChange) IsZero() bool { return c.Kind == 0 }

// CheckName returns why a name is not valid for a member or a client. It is the only rule for these names. etcd accepts
// any name; kubeadm names members after their hosts. Only names that could not be stored or printed safely are refused.
// It checks requests before they reach the log; applying a command never depends on it.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > limits.NameBytes:
		return fmt.Errorf("the name %.32q... has %d bytes, at most %d are allowed", name, len(name), limits.NameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("the name %q is not valid UTF-8", name)
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }); i >= 0 {
		return fmt.Errorf("the name %q contains a control character at byte %d: it would corrupt logs and terminals", name, i)
	}
	return nil
}

// Check returns why the change is refused regardless of the members, or nil.
func (c *MemberChange) Check() *Error {
	switch {
	case c.Kind == 0 || c.Kind >= changeKinds:
		return Errorf(BadRequest, "a membership change of kind %d is not known", c.Kind)
	case c.ID == 0 || c.ID >= 1<<64-2: // raft reserves these
		return Errorf(BadRequest, "%016x is not a valid member id", c.ID)
	case (c.Kind == AddLearner || c.Kind == UpdateMember) && (len(c.Peers) == 0 || slices.Contains(c.Peers, "")):
		return Errorf(BadRequest, "a member needs an address, HOST:PORT, at which the others reach it")
	case (c.Kind == BindMember) != (c.Folder != [16]byte{}) && c.Kind != AddLearner:
		return Errorf(BadRequest, "a member is bound to a data folder when it is added, or by a change of its own")
	case !addressesFit(c.Peers):
		return addressesTooLong
	case c.Instead != 0 && c.Kind != PromoteMember && c.Kind != AddLearner, c.Instead == c.ID:
		return Errorf(BadRequest, "only a member that is added or promoted takes another one's place")
	}
	return checkPeers(c.Peers)
}

// CheckAddresses returns why the member's announced addresses are refused, or nil. They are bounded because every joining
// member receives them.
func (m *Member) CheckAddresses() *Error {
	if !addressesFit(m.Peers) || !addressesFit(m.Clients) || !addressesFit(m.Web) {
		return addressesTooLong
	}
	return checkPeers(m.Peers)
}

// checkPeers returns why a member cannot have these peer addresses, or nil.
func checkPeers(all []string) *Error {
	for i, one := range all {
		if slices.Contains(all[:i], one) {
			return Errorf(BadRequest, "the peer address %q is listed twice: list each address once", one)
		}
	}
	return nil
}

func addressesFit(all []string) bool {
	long := func(address string) bool { return len(address) > limits.AddressBytes }
	return len(all) <= limits.MemberAddresses && !slices.ContainsFunc(all, long)
}

var addressesTooLong = Errorf(BadRequest, "more than %d addresses of one kind, or one of more than %d bytes", limits.MemberAddresses, limits.AddressBytes)

// String describes the change.
func (c *MemberChange) String() string {
	switch c.Kind {
	case AddLearner:
		if c.Instead != 0 {
			return fmt.Sprintf("add the member %s at %s, %016x, in the place of %016x", c.Name, strings.Join(c.Peers, ", "), c.ID, c.Instead)
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
	case UpdateMember:
		return fmt.Sprintf("the member %016x is at %s", c.ID, strings.Join(c.Peers, ", "))
	case BindMember:
		return fmt.Sprintf("the member %016x has the data folder %x", c.ID, c.Folder[:4])
	}
	return fmt.Sprintf("change %d of members", c.Kind)
}
