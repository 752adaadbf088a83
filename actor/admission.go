package actor

import (
	"fmt"
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
	Last, LastTerm  uint64   // the newest entry on the disk
	HardTerm        uint64   // the term on the disk
}

// helloVersion is the version of the hello's format.
const helloVersion = 1

// Append appends the hello: [version, cluster, member, folder, boot, process, last, last term, hard term].
func (h Hello) Append(dst []byte) []byte {
	dst = pack.AppendArray(dst, 9)
	dst = pack.AppendUint(dst, helloVersion)
	dst = pack.AppendUint(dst, h.Cluster)
	dst = pack.AppendUint(dst, h.Member)
	dst = pack.AppendBytes(dst, h.Folder[:])
	dst = pack.AppendUint(dst, h.Boot)
	dst = pack.AppendBytes(dst, h.Process[:])
	dst = pack.AppendUint(dst, h.Last)
	dst = pack.AppendUint(dst, h.LastTerm)
	return pack.AppendUint(dst, h.HardTerm)
}

// ReadHello reads what Append wrote.
func ReadHello(b []byte) (Hello, error) {
	var h Hello
	r := pack.NewReader(b)
	r.ArrayOf(9)
	if v := r.Uint(); r.Err() == nil && v != helloVersion {
		return h, fmt.Errorf("the hello has version %d, this member speaks %d", v, helloVersion)
	}
	h.Cluster, h.Member = r.Uint(), r.Uint()
	readID(&r, &h.Folder)
	h.Boot = r.Uint()
	readID(&r, &h.Process)
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

// Admission decides whether a peer's hello is accepted. It may be asked from any goroutine.
//
// A member is refused when it shows that it has forgotten something: another data folder under the same id, an older
// boot counter (a folder restored from a copy), the same boot counter in another process (a copied folder), or a log
// that ends before what this member, leading, has counted as acknowledged.
type Admission struct {
	// Constant after construction.
	Cluster uint64
	Status  *Status
	NameOf  func(member uint64) string

	mu   sync.Mutex
	seen map[uint64]Hello // newest hello that was accepted, by member
}

// Admit returns why a peer is refused, or nil.
func (a *Admission) Admit(from uint64, h Hello) error {
	if h.Cluster != a.Cluster || h.Member != from {
		return fmt.Errorf("%s belongs to cluster %x as member %x, this is cluster %x and it was expected as %x: "+
			"compare --initial-cluster and --initial-cluster-token on both", a.NameOf(from), h.Cluster, h.Member, a.Cluster, from)
	}
	for _, m := range a.Status.View().Members() {
		if m.Member == from {
			if err := a.compare(Hello{Folder: m.Folder, Boot: m.Boot, Process: m.Process}, h); err != nil {
				return err
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.seen[from]; ok {
		if err := a.compare(known, h); err != nil {
			return err
		}
		if known.Process == h.Process { // the same process forgets nothing; its hello may be older than its last answer
			return nil
		}
	}
	if standing, match := a.Status.Standing(), a.Status.Match(from); standing.Role == "leader" && h.HardTerm <= standing.Term && h.Last < match {
		return amnesia(a.NameOf(from), fmt.Sprintf("it had acknowledged entry %d, but its log ends at %d", match, h.Last))
	}
	if a.seen == nil {
		a.seen = map[uint64]Hello{}
	}
	a.seen[from] = h
	return nil
}

// compare holds a hello against what is known of the member.
func (a *Admission) compare(known, h Hello) error {
	name := a.NameOf(h.Member)
	switch {
	case known.Folder != h.Folder:
		return amnesia(name, fmt.Sprintf("its data folder is another one (%x, known is %x)", h.Folder[:4], known.Folder[:4]))
	case h.Boot < known.Boot:
		return amnesia(name, fmt.Sprintf("its data folder was started %d times, known are %d: it was restored from an old copy", h.Boot, known.Boot))
	case h.Boot == known.Boot && h.Process != known.Process:
		return amnesia(name, fmt.Sprintf("two processes claim start %d of its data folder: the folder was copied", h.Boot))
	}
	return nil
}

// amnesia is the error of a member that must not vote any more under its id.
func amnesia(name, why string) error {
	return fmt.Errorf("AMNESIA: %s is refused as a voter because %s; move its data folder away and add the member anew under another name", name, why)
}
