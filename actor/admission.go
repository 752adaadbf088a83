package actor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// MemberIdentity is what a member says of itself when a connection between two members begins. It is how a member that
// has forgotten what it promised is recognised before its vote or its acknowledgement counts.
type MemberIdentity struct {
	Folder   [16]byte // random, made with the data folder
	Boot     uint64   // starts of a process on that folder
	Process  [16]byte // random, made at each start
	Past     []byte   // of the processes of the last starts, this one last: the first 8 bytes of each
	Last     uint64   // the newest entry on the disk
	LastTerm uint64   // its term
	HardTerm uint64   // the term on the disk
}

// started returns which process made a start of the folder, if the identity still tells.
func (i MemberIdentity) started(boot uint64) (process [8]byte, told bool) {
	if ago := i.Boot - boot; i.Boot >= boot && ago < uint64(len(i.Past)/8) {
		at := len(i.Past) - 8*int(ago+1)
		return [8]byte(i.Past[at : at+8]), true
	}
	return process, false
}

// Known is what a member remembers of another one: the newest start of its data folder that it has heard of.
type Known struct {
	Member  uint64
	Folder  [16]byte
	Boot    uint64
	Process [16]byte
	// Owed is the committed entry that it had acknowledged, or told to have, when it was refused for a log that ends before; 0 when it was
	// not, or has shown since that it has it. Who knows it from its own leadership alone would forget it with its process,
	// and admit a member whose vote can undo the entry.
	Owed uint64
}

// Admission decides whether a peer is admitted by what it says of itself. It may be asked from any goroutine.
//
// A member is refused when it shows that it has forgotten something: another data folder under the same id, an older
// boot counter (a folder restored from a copy), a past that is not the one that is known (the same, started since, or
// a folder that was copied), or a log that ends before what it must have: what this member, leading, has counted as
// acknowledged, and what of that was committed, for ever; or what it has told to be on its disk while it led, and what of that
// was committed.
type Admission struct {
	// Constant after construction.
	Self     uint64
	Status   *Status
	Remember func([]Known) error // makes what is known survive a restart

	mu       sync.Mutex
	known    map[uint64]Known
	complete map[uint64][16]byte // the process whose log's end was found complete, by member
	fresh    bool                // known has something that is not remembered yet
}

// NewAdmission returns an admission that knows what an earlier process remembered.
func NewAdmission(a *Admission, remembered []Known) *Admission {
	a.known, a.complete = map[uint64]Known{}, map[uint64][16]byte{}
	for _, k := range remembered {
		a.known[k.Member] = k
	}
	return a
}

// Admit returns why a peer is refused, or nil. What a peer says of itself is remembered before it is admitted.
func (a *Admission) Admit(from uint64, its MemberIdentity) error {
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
	if known.Process != its.Process {
		a.known[from], a.fresh = Known{Member: from, Folder: its.Folder, Boot: its.Boot, Process: its.Process}, true
	}
	return a.remember()
}

// checkEnd refuses a log that ends before what it must have.
func (a *Admission) checkEnd(from uint64, its MemberIdentity) error {
	known, ok := a.known[from]
	end := a.Status.leaderEnd(from)
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

// Learn takes over what the replicated state says of the members, so that a restart does not make this one forget it.
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

// Knows tells what is remembered of a member.
func (a *Admission) Knows(member uint64) Known {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known[member]
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

// compare holds what a member says of itself against what is known of it, and returns what it has forgotten.
func compare(known Known, its MemberIdentity) string {
	switch past, told := its.started(known.Boot); {
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

// foundingIndex is that of the marker with which every log begins.
const foundingIndex = 1

// amnesiaWord begins whatever says that a member has forgotten what it promised, on both sides, for people to search for.
const amnesiaWord = string(Amnesia)

// replaceHow is what ends the part of a member that is lost, or cannot be trusted any more; it wants that one's name. Without a
// leader there is none, and what there is then, is no line long.
const replaceHow = "stop it and, while there is a leader, run `qkv member replace %s --peer HOST:PORT`; docs/emergencies.md says what else is left"

// forgot is the refusal of a member that must not vote any more under its id.
func (a *Admission) forgot(member uint64, why string) error {
	role, name := a.Status.Raft().Role, a.Status.NameOf(member)
	applied, _ := a.Status.View().Applied()
	return &Refusal{Forgot: true, Leads: role == "leader", Refused: role == RoleRefused || applied <= foundingIndex, Text: fmt.Sprintf(
		amnesiaWord+": %s is refused as a voter because %s; put back exactly the data folder that it last ran with, or "+replaceHow,
		name, why, name)}
}
