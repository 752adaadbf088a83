package actor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire/peerframe"
)

// processOf returns the process that made a start of the folder, if the identity still contains it.
func processOf(i *peerframe.MemberIdentity, boot uint64) (process [8]byte, known bool) {
	if ago := i.Boot - boot; i.Boot >= boot && ago < uint64(len(i.Past)/8) {
		at := len(i.Past) - 8*int(ago+1)
		return [8]byte(i.Past[at : at+8]), true
	}
	return process, false
}

// Known is a member's memory of another member: the newest known start of its data folder. A founder's record of itself, without a start,
// means that the founder is established ([Admission]).
type Known struct {
	Member  uint64   `msgpack:"m"`
	Folder  [16]byte `msgpack:"f"`
	Boot    uint64   `msgpack:"b"`
	Process [16]byte `msgpack:"p"`
	// Owed is a committed entry that the peer had acknowledged, or reported durable, before it was refused for a log that ends earlier.
	// It is 0 if there was no such refusal, or if the peer has shown since that it has the entry. A member that knew the entry only from
	// its own leadership would forget it at its restart, and admit a peer whose vote can undo the entry.
	Owed uint64 `msgpack:"o"`
}

// Admission decides from a peer's identity whether the peer is admitted. Any goroutine may call it.
//
// A member is refused if its identity shows that it has forgotten something. There are four signs: another data folder under the same id;
// an older boot counter (a folder restored from a copy); a different boot history (a restored or copied folder); a log that ends before
// an entry that the member must have. Such entries are: those that this member, leading, has counted as acknowledged, and the committed
// ones of them for ever; and those that the peer reported durable while it led, and the committed ones of them.
//
// # One id, one data folder
//
// Two processes with one id must never both count in quorums. The log therefore binds each id to one data folder, once ([kv.BindMember]).
// A joiner gets its id only from a member whose applied state shows the id bound to the joiner's folder. Two processes of one joiner's id
// would need two committed bindings of it, and the second is refused at apply.
//
// Founders have their ids before there is a log. Each founder remembers on its disk the first folder that it meets of each other founder,
// and refuses another one. A request for a vote, and the first append to a founder, carry all folders that the sender knows. A founder is
// established once it has asked for a vote, granted one, or taken an append: it compares the sender's folders with its own, keeps them for
// ever, and takes no message of a sender with other folders, and no founder's folder that they lack. The first leader and its voters have
// each met all founders, and are known to all that they met. Suppose that founders with other folders elect a leader, too, and that both
// sets of folders share a process. That process knows the voters of both, two quorums of ids have an id in common, and the process knows
// one folder of it: so one process voted in both, with one set of folders, and the sets are equal. The leader then binds all founders
// (node, bindFounders), before any member is added.
//
// Founders that were restored from a backup have data, and may elect a leader that has not met all of them. Its voters refuse a founder
// that they have not met, until the log binds it: the leader binds the first folder that asks ([Admission.Claims]).
//
// Consensus hands over the bindings together with raft's configuration (bind): both are of the same entry, also after a restart and with an
// installed snapshot. A frame from another folder or process than the known one ends its connection (Bars).
type Admission struct {
	// Constant after construction.
	Self     uint64
	Folder   [16]byte
	Founders []uint64 // the other founders; none if this member joined later
	Status   *Status
	Remember func([]Known) error // makes the known members survive a restart

	current atomic.Pointer[map[uint64]Known] // a copy of known, for Bars

	mu       sync.Mutex
	bound    map[uint64][16]byte // the folders that the log has bound, as of raft's configuration
	known    map[uint64]Known
	complete map[uint64][16]byte // the process whose log was found complete, by member
	ends     map[uint64]uint64   // the index of the newest entry in each member's last handshake
	// the first folder of each founder that asked after this member was established without it
	lateFolders map[uint64][16]byte
	fresh       bool // known has changes that are not remembered yet
}

// NewAdmission returns an admission with the members that an earlier process remembered.
func NewAdmission(a *Admission, remembered []Known) *Admission {
	a.known, a.complete, a.ends, a.lateFolders = map[uint64]Known{}, map[uint64][16]byte{}, map[uint64]uint64{}, map[uint64][16]byte{}
	for _, k := range remembered {
		a.known[k.Member] = k
	}
	a.publish()
	return a
}

// set changes the memory of a member. The lock is held.
func (a *Admission) set(k Known) {
	a.known[k.Member], a.fresh = k, true
	a.publish()
}

func (a *Admission) publish() {
	current := maps.Clone(a.known)
	a.current.Store(&current)
}

// bind takes the bindings of the records that agree with raft's configuration. It returns an error if this member's own id is bound to
// another folder.
func (a *Admission) bind(members index.Members) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bound = map[uint64][16]byte{}
	for _, one := range members.All() {
		if one.Bound() {
			a.bound[one.ID] = one.Folder
		}
	}
	a.learn(members)
	if own, ok := a.bound[a.Self]; ok && own != a.Folder {
		return fmt.Errorf("the id %016x of this member is bound to the data folder %x, but this folder is %x: another host runs or ran under this name; "+
			"stop this one, and give it another --name, or run `qkv member replace` if the other one is lost", a.Self, own[:4], a.Folder[:4])
	}
	return nil
}

// Bars returns why a frame of a connection must not be used: another folder or process than the connection's is known by now.
func (a *Admission) Bars(from uint64, its *peerframe.MemberIdentity) error {
	if known, ok := (*a.current.Load())[from]; ok && known.Process != its.Process {
		if why := compare(known, its); why != "" {
			return fmt.Errorf("%s is disconnected because %s", a.Status.NameOf(from), why)
		}
	}
	return nil
}

// establishedLocked tells whether this founder takes part with the folders that it knows.
func (a *Admission) establishedLocked() bool { _, ok := a.known[a.Self]; return ok }

// established is for consensus at a start.
func (a *Admission) established() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.establishedLocked()
}

// Folders returns the members' data folders as this member knows them, for a request for a vote and an append to a founder.
func (a *Admission) Folders() []peerframe.Bound {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []peerframe.Bound{{Member: a.Self, Folder: a.Folder}}
	for _, id := range slices.Sorted(maps.Keys(a.known)) {
		if _, bound := a.bound[id]; id != a.Self && (bound || slices.Contains(a.Founders, id)) {
			all = append(all, peerframe.Bound{Member: id, Folder: a.known[id].Folder})
		}
	}
	return all
}

// agree compares the folders that a candidate or leader knows with the known ones, and returns the contradiction. The sender has data if an
// election has taken place: a founder that is not established then takes over what it has met differently. If the message establishes this
// founder, that is on the disk when agree returns: once in the life of a founder, consensus waits for the disk.
func (a *Admission) agree(folders []peerframe.Bound, data, establishes bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := false
	for _, b := range folders {
		known, ok := a.known[b.Member]
		_, kept := a.bound[b.Member]
		if b.Member == a.Self {
			known.Folder, ok, kept, own = a.Folder, true, true, true
		}
		if ok && known.Folder != b.Folder && (kept || !data || a.establishedLocked()) {
			return fmt.Errorf("two data folders belong to %s, %x and %x: two hosts run under its name", a.Status.NameOf(b.Member), known.Folder[:4], b.Folder[:4])
		}
	}
	if !establishes || len(a.Founders) == 0 {
		return nil
	}
	if !a.establishedLocked() {
		if !own {
			return errors.New("the folder of this founder is missing in the message")
		}
		for _, b := range folders {
			if b.Member != a.Self && a.known[b.Member].Folder != b.Folder && slices.Contains(a.Founders, b.Member) {
				a.set(Known{Member: b.Member, Folder: b.Folder})
			}
		}
		a.set(Known{Member: a.Self, Folder: a.Folder})
	}
	return a.remember()
}

// Admit returns the reason for a peer's refusal, or nil. The identity is remembered before the peer is admitted.
func (a *Admission) Admit(from uint64, its peerframe.MemberIdentity) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learn(a.Status.View().Members())
	known, ok := a.known[from]
	if ok {
		if why := compare(known, &its); why != "" {
			return a.forgot(from, why)
		}
	} else if a.establishedLocked() && slices.Contains(a.Founders, from) {
		if _, asked := a.lateFolders[from]; !asked {
			a.lateFolders[from] = its.Folder
		}
		return &Refusal{Text: fmt.Sprintf("%s does not know yet to which data folder %s is bound: it asks again", a.Status.NameOf(a.Self), a.Status.NameOf(from))}
	}
	// the same process forgets nothing; its handshake may be older than its last answer
	if a.complete[from] != its.Process {
		if err := a.checkEnd(from, its); err != nil {
			return err
		}
		a.complete[from] = its.Process
	}
	a.ends[from] = its.Last
	if known.Process != its.Process {
		a.set(Known{Member: from, Folder: its.Folder, Boot: its.Boot, Process: its.Process})
	}
	return a.remember()
}

// checkEnd refuses a log that ends before an entry that the member must have.
func (a *Admission) checkEnd(from uint64, its peerframe.MemberIdentity) error {
	known, ok := a.known[from]
	end := a.Status.leaderPosition(from)
	if minMatch := max(a.Status.minMatch(from), end.committed, known.Owed); its.Last < minMatch {
		if ok && known.Owed < minMatch {
			known.Owed = minMatch
			a.set(known)
		}
		return errors.Join(a.forgot(from, fmt.Sprintf("it had acknowledged the committed entry %d, but its log ends at %d", minMatch, its.Last)), a.remember())
	}
	if raftStatus, match := a.Status.Raft(), a.Status.match(from); raftStatus.Role == "leader" && its.HardTerm <= raftStatus.Term && its.Last < match {
		return a.forgot(from, fmt.Sprintf("it had acknowledged entry %d, but its log ends at %d", match, its.Last))
	}
	if its.HardTerm <= end.term && its.Last < end.durable {
		return a.forgot(from, fmt.Sprintf("it had entry %d on its disk when it led in term %d, but its log ends at %d", end.durable, end.term, its.Last))
	}
	if known.Owed != 0 {
		known.Owed = 0
		a.set(known)
	}
	return nil
}

// Learn copies the members' starts from the replicated state: a restart then does not forget them.
func (a *Admission) Learn() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learn(a.Status.View().Members())
	return a.remember()
}

// learn takes over what the log says of the members' folders and starts. The log decides which of two folders, and which of two processes
// that claim one start, is the member's.
func (a *Admission) learn(members index.Members) {
	for _, m := range members.All() {
		known, ok := a.known[m.ID]
		newer := known.Boot < m.Boot || known.Boot == m.Boot && known.Process != m.Process
		if m.ID != a.Self && m.Bound() && (!ok || known.Folder != m.Folder || newer) {
			a.set(Known{Member: m.ID, Folder: m.Folder, Boot: m.Boot, Process: m.Process})
		}
	}
}

// Claims returns the data folder that the log should bind to a founder's id: the one that this member knows, or else the first one that has
// asked. It is zero if there is none.
func (a *Admission) Claims(founder uint64) [16]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.known[founder]; ok {
		return known.Folder
	}
	return a.lateFolders[founder]
}

// Knows returns the known start of a member's folder.
func (a *Admission) Knows(member uint64) Known {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known[member]
}

// End returns the index of the newest entry in a member's log, by the last admitted handshake.
func (a *Admission) End(member uint64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ends[member]
}

func (a *Admission) remember() error {
	if !a.fresh {
		return nil
	}
	all := slices.SortedFunc(maps.Values(a.known), func(a, b Known) int { return cmp.Compare(a.Member, b.Member) })
	if err := a.Remember(all); err != nil {
		return fmt.Errorf("remember the other members: %w", err)
	}
	a.fresh = false
	return nil
}

// compare compares a member's identity with the known one, and returns a description of the contradiction.
func compare(known Known, its *peerframe.MemberIdentity) string {
	switch past, found := processOf(its, known.Boot); {
	case known.Folder != its.Folder:
		return fmt.Sprintf("its data folder is another one (%x, known is %x): two hosts run under one name, or the folder was replaced", its.Folder[:4], known.Folder[:4])
	case its.Boot < known.Boot:
		return fmt.Sprintf("its data folder was started %d times, known are %d: it was restored from an old copy, or was copied, and the copy runs elsewhere", its.Boot, known.Boot)
	case its.Boot == known.Boot && its.Process != known.Process:
		return fmt.Sprintf("two processes claim start %d of its data folder: the folder was copied", its.Boot)
	case found && past != [8]byte(known.Process[:8]):
		return fmt.Sprintf("start %d of its data folder is known to be another process's: it was restored from an old copy", known.Boot)
	}
	return ""
}

// foundingIndex and foundingTerm are the position of the marker with which a founder's log begins.
const foundingIndex, foundingTerm = 1, 1

// amnesiaWord begins every message about a member that has forgotten its promises, on both sides, for people to search for.
const amnesiaWord = string(kv.AmnesiaAlarm)

// replaceHow is the advice on a member that is lost, or cannot be trusted any more; it contains the member's name. Without a leader the
// command cannot run, and the remaining ways do not fit on one line.
const replaceHow = "stop it and, while there is a leader, run `qkv member replace %s --peer HOST:PORT`; docs/emergencies.md says what else is left"

// forgot returns the refusal of a member that must not vote any more under its id.
func (a *Admission) forgot(member uint64, why string) error {
	role, name := a.Status.Raft().Role, a.Status.NameOf(member)
	applied, _ := a.Status.View().Applied()
	return &Refusal{Forgot: true, Leads: role == "leader", Suspended: role == RoleSuspended || applied <= foundingIndex, Text: fmt.Sprintf(
		amnesiaWord+": %s is refused as a voter because %s; put back exactly the data folder that it last ran with, or "+replaceHow,
		name, why, name)}
}
