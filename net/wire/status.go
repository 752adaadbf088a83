package wire

import (
	"fmt"
	"math"
	"time"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// Status is what one member says of itself.
//
//	[name str, id uint, cluster uint, version str, role str, term uint, leader uint, commit uint, applied uint,
//	 revision int, keys int, log_bytes int, snapshot_bytes int, digest uint,
//	 alarms [[name str, member uint, text str]...],
//	 members [[id uint, name str, clients [str...]]...],
//	 links [[member uint, connected bool, rtt_us uint, error str]...], sync_p99_us uint, watches int,
//	 compacted int, dropped bool, leases int, history_bytes int, history_age_us uint,
//	 session_clock int, sessions int, used_bytes int, quota_bytes int]
type Status struct {
	Name    string
	ID      uint64
	Cluster uint64
	Version string
	// Role is leader, follower, candidate, learner, or refused: the others do not let it vote.
	Role            string
	Term            uint64
	Leader          uint64 // the leader's id as this member sees it; 0: none
	Commit, Applied uint64 // positions in the raft log
	Revision, Keys  int64
	LogBytes        int64  // of the log's files
	SnapshotBytes   int64  // of the newest snapshot
	Digest          uint64 // of the state at Applied: equal on all members that have applied as much
	Alarms          []Alarm
	Members         []Member
	Links           []Link        // to the other members
	SyncP99         time.Duration // that 99 of 100 syncs of the log in the last minute did not exceed; 0: there was none
	Watches         int64         // of this member's clients
	Compacted       int64         // the oldest revision that can be read; 0: nothing was compacted
	Dropped         bool          // the member has dropped all that nobody can read any more
	Leases          int64
	HistoryBytes    int64         // what the superseded versions weigh that can be read
	HistoryAge      time.Duration // since the oldest revision that can be read was written; 0: nothing was
	SessionClock    int64         // what a session is opened at that begins now: more than 0
	Sessions        int64
	UsedBytes       int64 // what the quota counts
	QuotaBytes      int64 // that NOSPACE is raised at while this member leads; 0: none
}

// Alarm is something that an operator must know, as the member says it whose status has it.
type Alarm struct {
	Name   string // one word in capitals that keeps its meaning for ever, as NOSPACE; package actor has the list
	Member uint64 // the member that it is about
	Text   string
}

// Member is one member of the cluster, as the others know it.
type Member struct {
	ID      uint64
	Name    string
	Clients []string // the addresses at which it serves clients
}

// Link is a member's connection to another one.
type Link struct {
	Member    uint64
	Connected bool
	RTT       time.Duration // smoothed, in whole microseconds; 0 without a connection
	Error     string        // why there is no connection
}

const (
	statusFields = 28
	alarmFields  = 3
	memberFields = 3
	linkFields   = 4
)

// AppendStatusAnswer appends the frame that answers a status.
func AppendStatusAnswer(dst []byte, id uint64, s *Status) []byte {
	guess := 256 + 64*len(s.Members)
	for _, a := range s.Alarms {
		guess += 32 + len(a.Text)
	}
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(kv.OK))
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
	dst = pack.AppendArray(pack.AppendUint(dst, s.Digest), len(s.Alarms))
	for _, a := range s.Alarms {
		dst = pack.AppendString(pack.AppendArray(dst, alarmFields), a.Name)
		dst = pack.AppendString(pack.AppendUint(dst, a.Member), a.Text)
	}
	dst = pack.AppendArray(dst, len(s.Members))
	for _, m := range s.Members {
		dst = pack.AppendString(pack.AppendUint(pack.AppendArray(dst, memberFields), m.ID), m.Name)
		dst = appendStrings(dst, m.Clients)
	}
	dst = pack.AppendArray(dst, len(s.Links))
	for _, l := range s.Links {
		dst = pack.AppendBool(pack.AppendUint(pack.AppendArray(dst, linkFields), l.Member), l.Connected)
		dst = pack.AppendString(pack.AppendUint(dst, uint64(l.RTT.Microseconds())), l.Error)
	}
	dst = pack.AppendInt(pack.AppendUint(dst, uint64(s.SyncP99.Microseconds())), s.Watches)
	dst = pack.AppendInt(pack.AppendBool(pack.AppendInt(dst, s.Compacted), s.Dropped), s.Leases)
	dst = pack.AppendUint(pack.AppendInt(dst, s.HistoryBytes), uint64(s.HistoryAge.Microseconds()))
	dst = pack.AppendInt(pack.AppendInt(dst, s.SessionClock), s.Sessions)
	return pack.AppendInt(pack.AppendInt(dst, s.UsedBytes), s.QuotaBytes)
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
	s.Digest = r.Uint()
	s.Alarms = readArray(r, readAlarm)
	s.Members = readArray(r, readMember)
	s.Links = readArray(r, readLink)
	s.SyncP99, s.Watches = readMicroseconds(r), r.Int()
	s.Compacted, s.Dropped = r.Int(), r.Bool()
	s.Leases, s.HistoryBytes, s.HistoryAge = r.Int(), r.Int(), readMicroseconds(r)
	s.SessionClock, s.Sessions = r.Int(), r.Int()
	s.UsedBytes, s.QuotaBytes = r.Int(), r.Int()
	for range n - statusFields {
		r.Skip()
	}
	return s
}

// arrayAhead is for how many elements of an array room is made at once: growing would cost a client whose watches catch up most of
// its garbage.
const arrayAhead = 256

// readArray reads an array's elements, each in its own way. What the array claims to hold beyond arrayAhead is not believed before
// it is there. What it hands to a function is on the heap, so it has a Reader of its own: its callers' need not be, and most
// messages have no array.
func readArray[T any](from *pack.Reader, read func(*pack.Reader) T) (all []T) {
	r := *from
	n := r.Array()
	if n > 0 {
		all = make([]T, 0, min(n, arrayAhead))
	}
	for range n {
		if r.Err() != nil {
			break
		}
		all = append(all, read(&r))
	}
	*from = r
	return all
}

func readAlarm(r *pack.Reader) Alarm {
	n := r.Array()
	if n < alarmFields {
		r.Fail(fmt.Sprintf("an alarm of %d fields, of %d", n, alarmFields))
		return Alarm{}
	}
	a := Alarm{Name: r.String(), Member: r.Uint(), Text: r.String()}
	for range n - alarmFields {
		r.Skip()
	}
	return a
}

func readMicroseconds(r *pack.Reader) time.Duration {
	return time.Duration(min(r.Uint(), math.MaxInt64/1000)) * time.Microsecond
}

func readLink(r *pack.Reader) Link {
	n := r.Array()
	if n < linkFields {
		r.Fail(fmt.Sprintf("a link of %d fields, of %d", n, linkFields))
		return Link{}
	}
	l := Link{Member: r.Uint(), Connected: r.Bool(), RTT: readMicroseconds(r), Error: r.String()}
	for range n - linkFields {
		r.Skip()
	}
	return l
}

func readMember(r *pack.Reader) Member {
	var m Member
	n := r.Array()
	if n < memberFields {
		r.Fail(fmt.Sprintf("a member of %d fields, of %d", n, memberFields))
		return m
	}
	m.ID, m.Name = r.Uint(), r.String()
	m.Clients = readArray(r, (*pack.Reader).String)
	for range n - memberFields {
		r.Skip()
	}
	return m
}
