package actor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"qkv/index/kv"
	"qkv/net/wire/peerframe"
)

// processOf returns the process that made a start of the folder, if the identity still contains it.
func processOf(i peerframe.MemberIdentity, boot uint64) (process [8]byte, told bool) {
	if ago := i.Boot - boot; i.Boot >= boot && ago < uint64(len(i.Past)/8) {
		at := len(i.Past) - 8*int(ago+1)
		return [8]byte(i.Past[at : at+8]), true
	}
	return process, false
}

// Known is a member's memory of another member: the newest known start of its data folder.
type Known struct {
	Member  uint64
	Folder  [16]byte
	Boot    uint64
	Process [16]byte
	// Owed is a committed entry that the peer had acknowledged, or reported durable, before it was refused for a log that ends earlier.
	// It is 0 if there was no such refusal, or if the peer has shown since that it has the entry. A member that knew the entry only from
	// its own leadership would forget it at its restart, and admit a peer whose vote can undo the entry.
	Owed uint64
}

// Admission decides from a peer's identity whether the peer is admitted. Any goroutine may call it.
//
// A member is refused if its identity shows that it has forgotten something. There are four signs: another data folder under the same id;
// an older boot counter (a folder restored from a copy); a different boot history (a restored or copied folder); a log that ends before
// an entry that the member must have. Such entries are: those that this member, leading, has counted as acknowledged, and the committed
// ones of them for ever; and those that the peer reported durable while it led, and the committed ones of them.
type Admission struct {
	// Constant after construction.
	Self     uint64
	Status   *Status
	Remember func([]Known) error // makes the known members survive a restart

	mu       sync.Mutex
	known    map[uint64]Known
	complete map[uint64][16]byte // the process whose log was found complete, by member
	ends     map[uint64]uint64   // the index of the newest entry in each member's last handshake
	fresh    bool                // known has changes that are not remembered yet
}

// NewAdmission returns an admission with the members that an earlier process remembered.
func NewAdmission(a *Admission, remembered []Known) *Admission {
	a.known, a.complete, a.ends = map[uint64]Known{}, map[uint64][16]byte{}, map[uint64]uint64{}
	for _, k := range remembered {
		a.known[k.Member] = k
	}
	return a
}

// Admit returns the reason for a peer's refusal, or nil. The identity is remembered before the peer is admitted.
func (a *Admission) Admit(from uint64, its peerframe.MemberIdentity) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learn()
	known, ok := a.known[from]
	if ok {
		if why := compare(known, its); why != "" {
			return a.forgot(from, why)
		}
	}
	if a.complete[from] != its.Process { // the same process forgets nothing; its handshake may be older than its last answer
		if err := a.checkEnd(from, its); err != nil {
			return err
		}
		a.complete[from] = its.Process
	}
	a.ends[from] = its.Last
	if known.Process != its.Process {
		a.known[from], a.fresh = Known{Member: from, Folder: its.Folder, Boot: its.Boot, Process: its.Process}, true
	}
	return a.remember()
}

// checkEnd refuses a log that ends before an entry that the member must have.
func (a *Admission) checkEnd(from uint64, its peerframe.MemberIdentity) error {
	known, ok := a.known[from]
	end := a.Status.leaderPosition(from)
	if minMatch := max(a.Status.minMatch(from), end.kept, known.Owed); its.Last < minMatch {
		if ok && known.Owed < minMatch {
			known.Owed = minMatch
			a.known[from], a.fresh = known, true
		}
		return errors.Join(a.forgot(from, fmt.Sprintf("it had acknowledged the committed entry %d, but its log ends at %d", minMatch, its.Last)), a.remember())
	}
	if raftStatus, match := a.Status.Raft(), a.Status.Match(from); raftStatus.Role == "leader" && its.HardTerm <= raftStatus.Term && its.Last < match {
		return a.forgot(from, fmt.Sprintf("it had acknowledged entry %d, but its log ends at %d", match, its.Last))
	}
	if its.HardTerm <= end.term && its.Last < end.durable {
		return a.forgot(from, fmt.Sprintf("it had entry %d on its disk when it led in term %d, but its log ends at %d", end.durable, end.term, its.Last))
	}
	if known.Owed != 0 {
		known.Owed = 0
		a.known[from], a.fresh = known, true
	}
	return nil
}

// Learn copies the members' starts from the replicated state: a restart then does not forget them.
func (a *Admission) Learn() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learn()
	return a.remember()
}

func (a *Admission) learn() {
	for _, m := range a.Status.View().Members().All() {
		if known, ok := a.known[m.ID]; m.ID != a.Self && m.Started() && (!ok || (known.Folder == m.Folder && known.Boot < m.Boot)) {
			a.known[m.ID], a.fresh = Known{Member: m.ID, Folder: m.Folder, Boot: m.Boot, Process: m.Process}, true
		}
	}
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
func compare(known Known, its peerframe.MemberIdentity) string {
	switch past, told := processOf(its, known.Boot); {
	case known.Folder != its.Folder:
		return fmt.Sprintf("its data folder is another one (%x, known is %x)", its.Folder[:4], known.Folder[:4])
	case its.Boot < known.Boot:
		return fmt.Sprintf("its data folder was started %d times, known are %d: it was restored from an old copy, or was copied, and the copy runs elsewhere", its.Boot, known.Boot)
	case its.Boot == known.Boot && its.Process != known.Process:
		return fmt.Sprintf("two processes claim start %d of its data folder: the folder was copied", its.Boot)
	case told && past != [8]byte(known.Process[:8]):
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
	return &Refusal{Forgot: true, Leads: role == "leader", Refused: role == RoleRefused || applied <= foundingIndex, Text: fmt.Sprintf(
		amnesiaWord+": %s is refused as a voter because %s; put back exactly the data folder that it last ran with, or "+replaceHow,
		name, why, name)}
}
