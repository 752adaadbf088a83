package actor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"qkv/log/pack"
)

// Hello is what a member says of itself when a connection between two members begins. It is how a member that has
// forgotten what it promised is recognised before its vote or its acknowledgement counts.
type Hello struct {
	Cluster, Member uint64
	Folder          [16]byte // random, made with the data folder
	Boot            uint64   // starts of a process on that folder
	Process         [16]byte // random, made at each start
	Past            []byte   // of the processes of the last starts, this one last: the first 8 bytes of each
	Last, LastTerm  uint64   // the newest entry on the disk
	HardTerm        uint64   // the term on the disk
}

// helloVersion is the version of the hello's format.
const helloVersion = 1

// PastBytes bounds Hello.Past: 256 starts. A folder that was restored from a copy and started more often than that
// before it met another member could not be told from one that was not.
const PastBytes = 256 * 8

// started returns which process made a start of the folder, if the hello still tells.
func (h Hello) started(boot uint64) (process [8]byte, told bool) {
	if ago := h.Boot - boot; h.Boot >= boot && ago < uint64(len(h.Past)/8) {
		at := len(h.Past) - 8*int(ago+1)
		return [8]byte(h.Past[at : at+8]), true
	}
	return process, false
}

// Append appends the hello: [version, cluster, member, folder, boot, process, past, last, last term, hard term].
func (h Hello) Append(dst []byte) []byte {
	dst = pack.AppendArray(dst, 10)
	dst = pack.AppendUint(dst, helloVersion)
	dst = pack.AppendUint(dst, h.Cluster)
	dst = pack.AppendUint(dst, h.Member)
	dst = pack.AppendBytes(dst, h.Folder[:])
	dst = pack.AppendUint(dst, h.Boot)
	dst = pack.AppendBytes(dst, h.Process[:])
	dst = pack.AppendBytes(dst, h.Past)
	dst = pack.AppendUint(dst, h.Last)
	dst = pack.AppendUint(dst, h.LastTerm)
	return pack.AppendUint(dst, h.HardTerm)
}

// ReadHello reads what Append wrote.
func ReadHello(b []byte) (Hello, error) {
	var h Hello
	r := pack.NewReader(b)
	r.ArrayOf(10)
	if v := r.Uint(); r.Err() == nil && v != helloVersion {
		return h, fmt.Errorf("the hello has version %d, this member speaks %d", v, helloVersion)
	}
	h.Cluster, h.Member = r.Uint(), r.Uint()
	readID(&r, &h.Folder)
	h.Boot = r.Uint()
	readID(&r, &h.Process)
	if h.Past = r.Bytes(); len(h.Past)%8 != 0 || len(h.Past) > PastBytes {
		r.Fail("a past is of 8 bytes for each start")
	}
	h.Last, h.LastTerm, h.HardTerm = r.Uint(), r.Uint(), r.Uint()
	return h, r.Done()
}

func readID(r *pack.Reader, id *[16]byte) {
	b := r.Bytes()
	if r.Err() == nil && len(b) != len(id) {
		r.Fail("an id has 16 bytes")
		return
	}
	copy(id[:], b)
}

// Known is what a member remembers of another one: the newest start of its data folder that it has heard of.
type Known struct {
	Member  uint64
	Folder  [16]byte
	Boot    uint64
	Process [16]byte
}

// Admission decides whether a peer's hello is accepted. It may be asked from any goroutine.
//
// A member is refused when it shows that it has forgotten something: another data folder under the same id, an older
// boot counter (a folder restored from a copy), a past that is not the one that is known (the same, started since, or
// a folder that was copied), or a log that ends before what it must have: what this member, leading, has counted as
// acknowledged, and what of that was committed, for ever.
type Admission struct {
	// Constant after construction.
	Cluster  uint64
	Self     uint64
	Status   *Status
	NameOf   func(member uint64) string
	Remember func([]Known) error // makes what is known survive a restart

	mu    sync.Mutex
	known map[uint64]Known
	fresh bool // known has something that is not remembered yet
}

// NewAdmission returns an admission that knows what an earlier process remembered.
func NewAdmission(a *Admission, remembered []Known) *Admission {
	a.known = map[uint64]Known{}
	for _, k := range remembered {
		a.known[k.Member] = k
	}
	return a
}

// Admit returns why a peer is refused, or nil. What a peer says of itself is remembered before it is admitted.
func (a *Admission) Admit(from uint64, h Hello) error {
	if h.Cluster != a.Cluster || h.Member != from {
		return fmt.Errorf("%s belongs to cluster %x as member %x, this is cluster %x and it was expected as %x: "+
			"compare --initial-cluster and --initial-cluster-token on both", a.NameOf(from), h.Cluster, h.Member, a.Cluster, from)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learn()
	known, ok := a.known[from]
	if ok {
		if err := a.compare(known, h); err != nil {
			return err
		}
	}
	if known.Process != h.Process { // the same process forgets nothing; its hello may be older than its last answer
		if err := a.complete(from, h); err != nil {
			return err
		}
		a.known[from], a.fresh = Known{Member: from, Folder: h.Folder, Boot: h.Boot, Process: h.Process}, true
	}
	return a.remember()
}

// complete refuses a log that ends before what it must have.
func (a *Admission) complete(from uint64, h Hello) error {
	if standing, match := a.Status.Standing(), a.Status.Match(from); standing.Role == "leader" && h.HardTerm <= standing.Term && h.Last < match {
		return amnesia(a.NameOf(from), fmt.Sprintf("it had acknowledged entry %d, but its log ends at %d", match, h.Last))
	}
	if floor := a.Status.floor(from); h.Last < floor {
		return amnesia(a.NameOf(from), fmt.Sprintf("it had acknowledged the committed entry %d, but its log ends at %d", floor, h.Last))
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
	for _, m := range a.Status.View().Members() {
		if known, ok := a.known[m.Member]; m.Member != a.Self && (!ok || (known.Folder == m.Folder && known.Boot < m.Boot)) {
			a.known[m.Member], a.fresh = Known{Member: m.Member, Folder: m.Folder, Boot: m.Boot, Process: m.Process}, true
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

// compare holds a hello against what is known of the member.
func (a *Admission) compare(known Known, h Hello) error {
	name := a.NameOf(h.Member)
	switch past, told := h.started(known.Boot); {
	case known.Folder != h.Folder:
		return amnesia(name, fmt.Sprintf("its data folder is another one (%x, known is %x)", h.Folder[:4], known.Folder[:4]))
	case h.Boot < known.Boot:
		return amnesia(name, fmt.Sprintf("its data folder was started %d times, known are %d: it was restored from an old copy", h.Boot, known.Boot))
	case h.Boot == known.Boot && h.Process != known.Process:
		return amnesia(name, fmt.Sprintf("two processes claim start %d of its data folder: the folder was copied", h.Boot))
	case told && past != [8]byte(known.Process[:8]):
		return amnesia(name, fmt.Sprintf("start %d of its data folder is known to be another process's: it was restored from an old copy", known.Boot))
	}
	return nil
}

// amnesiaWord begins whatever says that a member has forgotten what it promised, on both sides.
const amnesiaWord = "AMNESIA"

// amnesia is the error of a member that must not vote any more under its id.
func amnesia(name, why string) error {
	return fmt.Errorf(amnesiaWord+": %s is refused as a voter because %s; put back exactly the data folder that it last ran with; the README says under \"When a member has lost its disk\" what else is left", name, why)
}
