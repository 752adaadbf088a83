package wire

import (
	"fmt"

	"qkv/log/pack"
)

// Status is what one member says of itself.
//
//	[name str, id uint, cluster uint, version str, role str, term uint, leader uint, commit uint, applied uint,
//	 revision int, keys int, log_bytes int, snapshot_bytes int, digest uint, error str,
//	 members [[id uint, name str, clients [str...]]...]]
type Status struct {
	Name    string
	ID      uint64
	Cluster uint64
	Version string
	// Role is leader, follower, candidate or learner.
	Role            string
	Term            uint64
	Leader          uint64 // the leader's id as this member sees it; 0: none
	Commit, Applied uint64 // positions in the raft log
	Revision, Keys  int64
	LogBytes        int64  // of the log's files
	SnapshotBytes   int64  // of the newest snapshot
	Digest          uint64 // of the state at Applied: equal on all members that have applied as much
	Error           string // what is wrong with the member; empty: nothing
	Members         []Member
}

// Member is one member of the cluster, as the others know it.
type Member struct {
	ID      uint64
	Name    string
	Clients []string // the addresses at which it serves clients
}

const (
	statusFields = 16
	memberFields = 3
)

// AppendStatusAnswer appends the frame that answers a status.
func AppendStatusAnswer(dst []byte, id uint64, s *Status) []byte {
	guess := 256 + len(s.Error) + 64*len(s.Members)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(OK))
	return endFrame(appendStatus(dst, s), start, guess)
}

func appendStatus(dst []byte, s *Status) []byte {
	dst = pack.AppendString(pack.AppendArray(dst, statusFields), s.Name)
	dst = pack.AppendUint(pack.AppendUint(dst, s.ID), s.Cluster)
	dst = pack.AppendString(pack.AppendString(dst, s.Version), s.Role)
	dst = pack.AppendUint(pack.AppendUint(dst, s.Term), s.Leader)
	dst = pack.AppendUint(pack.AppendUint(dst, s.Commit), s.Applied)
	dst = pack.AppendInt(pack.AppendInt(dst, s.Revision), s.Keys)
	dst = pack.AppendInt(pack.AppendInt(dst, s.LogBytes), s.SnapshotBytes)
	dst = pack.AppendString(pack.AppendUint(dst, s.Digest), s.Error)
	dst = pack.AppendArray(dst, len(s.Members))
	for _, m := range s.Members {
		dst = pack.AppendString(pack.AppendUint(pack.AppendArray(dst, memberFields), m.ID), m.Name)
		dst = pack.AppendArray(dst, len(m.Clients))
		for _, address := range m.Clients {
			dst = pack.AppendString(dst, address)
		}
	}
	return dst
}

func readStatus(r *pack.Reader) Status {
	var s Status
	n := r.Array()
	if n < statusFields {
		r.Fail(fmt.Sprintf("a status of %d fields, of %d", n, statusFields))
		return s
	}
	s.Name, s.ID, s.Cluster, s.Version, s.Role = r.String(), r.Uint(), r.Uint(), r.String(), r.String()
	s.Term, s.Leader, s.Commit, s.Applied = r.Uint(), r.Uint(), r.Uint(), r.Uint()
	s.Revision, s.Keys, s.LogBytes, s.SnapshotBytes = r.Int(), r.Int(), r.Int(), r.Int()
	s.Digest, s.Error = r.Uint(), r.String()
	members := r.Array()
	for range members {
		if r.Err() != nil {
			break
		}
		s.Members = append(s.Members, readMember(r))
	}
	for range n - statusFields {
		r.Skip()
	}
	return s
}

func readMember(r *pack.Reader) Member {
	var m Member
	n := r.Array()
	if n < memberFields {
		r.Fail(fmt.Sprintf("a member of %d fields, of %d", n, memberFields))
		return m
	}
	m.ID, m.Name = r.Uint(), r.String()
	for range r.Array() {
		if r.Err() != nil {
			break
		}
		m.Clients = append(m.Clients, r.String())
	}
	for range n - memberFields {
		r.Skip()
	}
	return m
}
