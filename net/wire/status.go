package wire

import (
	"math"
	"time"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// Status is one member's report of its own state. To add a field, append it to the array: in appendStatus, readStatus and
// statusFields. The field is zero if the member is older; older clients skip it.
//
//	[name str, id uint, cluster uint, version str, role str, term uint, leader uint, commit uint, applied uint,
//	 revision int, keys int, log_bytes int, snapshot_bytes int, digest uint,
//	 alarms [[name str, member uint, text str]...],
//	 members [[id uint, name str, clients [str...], role uint, version str, level uint]...],
//	 links [[member uint, connected bool, rtt_us uint, error str]...], sync_p99_us uint, watches int,
//	 compacted int, dropped bool, leases int, history_bytes int, history_age_us uint,
//	 session_clock int, sessions int, used_bytes int, quota_bytes int,
//	 level uint, level_most uint, wall_us int, host uint, device uint, election_us uint, disk_free int, disk_bytes int, files uint,
//	 backup str, backup_age_us uint,
//	 memory int, puts uint, put_p99_us uint, gets uint, get_p99_us uint, events uint, event_p99_us uint,
//	 base int, base_files uint, base_bytes int, extents uint, extent_bytes int, cold int,
//	 cold_bytes int, reads uint, reads_failed uint, stage str]
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
	SnapshotBytes   int64  // of the newest snapshot, with its parts
	Digest          uint64 // of the state at Applied: equal on all members with the same Applied
	Alarms          []Alarm
	Members         []Member
	Links           []Link        // to the other members
	SyncP99         time.Duration // the 99th percentile of the log's syncs in the last minute; 0: there was none
	Watches         int64         // of this member's clients
	Compacted       int64         // the oldest revision that can be read; 0: nothing was compacted
	Dropped         bool          // the member has freed all data below Compacted
	Leases          int64
	HistoryBytes    int64         // the size of the superseded versions that can still be read
	HistoryAge      time.Duration // since the oldest readable revision was written; 0: nothing was
	SessionClock    int64         // the opened value of a session that begins now: more than 0
	Sessions        int64
	UsedBytes       int64 // the bytes that the quota counts
	QuotaBytes      int64 // the limit for NOSPACE while this member leads; 0: none

	// The fields below describe the member's program and host, for `qkv doctor`. 0: not known.
	Level, LevelMost uint64 // the cluster's feature level, and the highest one of this member's program
	Wall             int64  // the member's clock, in microseconds since 1970
	Host             uint64 // equal for two members on one running kernel; a digest that does not identify the host otherwise
	Device           uint64 // of the data folder's file system; to compare on one host only
	ElectionTimeout  time.Duration
	DiskFree         int64  // of the data folder's file system, in bytes, at the last check
	DiskBytes        int64  // the size of that file system
	Files            uint64 // the limit of open files
	Interface        string // towards the other members; of several the one with the smallest MTU
	MTU              int    // of Interface, in bytes

	Backup    string        // the folder of the backup that this member makes while it leads; empty: it makes none
	BackupAge time.Duration // of a leader with such a folder: since the backup last had everything; 0: a new leader does not know yet

	// For `qkv top` and the dashboard.
	Memory             int64 // resident memory of the process, in bytes
	Puts, Gets, Events Load  // of this member's clients, in the last complete interval of limits.RecentInterval

	Parts Parts  // of the next snapshot; all 0 while the state has no extents
	Stage string // starting: only status and members are answered; stale: reads of keys, too, by --serve-stale; empty once the member has started
}

// Parts are the files with all changes but the newest ones.
type Parts struct {
	Base        int64  // the revision up to which all is in the base; 0: no base is written yet
	BaseFiles   uint64 // its pieces
	BaseBytes   int64
	Extents     uint64 // files behind the base
	ExtentBytes int64

	// Values of superseded versions that are in these files, and not in memory.
	Cold, ColdBytes int64
	Reads           uint64 // values that were read from these files since the start
	ReadsFailed     uint64 // that could not be read
}

// Load is the load of one kind of operations.
type Load struct {
	Rate uint64 // per second
	P99  time.Duration
}

// Alarm is a problem that an operator must know of, as reported by the member with this status.
type Alarm struct {
	Name   string // one word in capitals that keeps its meaning for ever, as NOSPACE; package kv has the list
	Member uint64 // the member that has the problem
	Text   string
}

// Member is one member of the cluster, as the other members know it.
type Member struct {
	ID      uint64
	Name    string
	Clients []string // the addresses at which it serves clients
	Role    kv.Role
	Version string // of its last start; empty: not known
	Level   uint64 // the highest feature level of its program; 0: not known
}

// Link is a member's connection to another member.
type Link struct {
	Member    uint64
	Connected bool
	RTT       time.Duration // smoothed, in whole microseconds; 0 without a connection
	Error     string        // why there is no connection
	Untrusted bool          // because of a certificate
}

const (
	statusFields = 58
	alarmFields  = 3
	memberFields = 6
	linkFields   = 5
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
		dst = pack.AppendUint(pack.AppendStrings(dst, m.Clients), uint64(m.Role))
		dst = pack.AppendUint(pack.AppendString(dst, m.Version), m.Level)
	}
	dst = pack.AppendArray(dst, len(s.Links))
	for _, l := range s.Links {
		dst = pack.AppendBool(pack.AppendUint(pack.AppendArray(dst, linkFields), l.Member), l.Connected)
		dst = pack.AppendBool(pack.AppendString(pack.AppendUint(dst, uint64(l.RTT.Microseconds())), l.Error), l.Untrusted)
	}
	dst = pack.AppendInt(pack.AppendUint(dst, uint64(s.SyncP99.Microseconds())), s.Watches)
	dst = pack.AppendInt(pack.AppendBool(pack.AppendInt(dst, s.Compacted), s.Dropped), s.Leases)
	dst = pack.AppendUint(pack.AppendInt(dst, s.HistoryBytes), uint64(s.HistoryAge.Microseconds()))
	dst = pack.AppendInt(pack.AppendInt(dst, s.SessionClock), s.Sessions)
	dst = pack.AppendInt(pack.AppendInt(dst, s.UsedBytes), s.QuotaBytes)
	dst = pack.AppendInt(pack.AppendUint(pack.AppendUint(dst, s.Level), s.LevelMost), s.Wall)
	dst = pack.AppendUint(pack.AppendUint(dst, s.Host), s.Device)
	dst = pack.AppendUint(dst, uint64(s.ElectionTimeout.Microseconds()))
	dst = pack.AppendUint(pack.AppendInt(pack.AppendInt(dst, s.DiskFree), s.DiskBytes), s.Files)
	dst = pack.AppendUint(pack.AppendString(dst, s.Interface), uint64(s.MTU))
	dst = pack.AppendUint(pack.AppendString(dst, s.Backup), uint64(s.BackupAge.Microseconds()))
	dst = pack.AppendInt(dst, s.Memory)
	for _, l := range []Load{s.Puts, s.Gets, s.Events} {
		dst = pack.AppendUint(pack.AppendUint(dst, l.Rate), uint64(l.P99.Microseconds()))
	}
	dst = pack.AppendInt(pack.AppendUint(pack.AppendInt(dst, s.Parts.Base), s.Parts.BaseFiles), s.Parts.BaseBytes)
	dst = pack.AppendInt(pack.AppendUint(dst, s.Parts.Extents), s.Parts.ExtentBytes)
	dst = pack.AppendInt(pack.AppendInt(dst, s.Parts.Cold), s.Parts.ColdBytes)
	return pack.AppendString(pack.AppendUint(pack.AppendUint(dst, s.Parts.Reads), s.Parts.ReadsFailed), s.Stage)
}

func readStatus(r *pack.Reader) Status {
	var s Status
	whole := r.Struct(statusFields)
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
	s.Level, s.LevelMost, s.Wall, s.Host, s.Device = r.Uint(), r.Uint(), r.Int(), r.Uint(), r.Uint()
	s.ElectionTimeout = readMicroseconds(r)
	s.DiskFree, s.DiskBytes, s.Files = r.Int(), r.Int(), r.Uint()
	s.Interface, s.MTU = r.String(), int(min(r.Uint(), math.MaxInt32))
	s.Backup, s.BackupAge = r.String(), readMicroseconds(r)
	s.Memory = r.Int()
	for _, l := range []*Load{&s.Puts, &s.Gets, &s.Events} {
		l.Rate, l.P99 = r.Uint(), readMicroseconds(r)
	}
	s.Parts = Parts{r.Int(), r.Uint(), r.Int(), r.Uint(), r.Int(), r.Int(), r.Int(), r.Uint(), r.Uint()}
	s.Stage = r.String()
	r.End(whole)
	return s
}

// arrayAhead is the number of array elements that are allocated at once: growing the array would cause most of the garbage of a
// client whose watches catch up.
const arrayAhead = 256

// readArray reads an array's elements with read. It allocates at most arrayAhead elements before they arrive: the claimed length is
// not trusted. A Reader that is passed to a function value escapes to the heap. So readArray copies the Reader: the callers'
// Readers stay on the stack, and most messages have no array.
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
	s := r.Struct(alarmFields)
	a := Alarm{Name: r.String(), Member: r.Uint(), Text: r.String()}
	r.End(s)
	return a
}

func readMicroseconds(r *pack.Reader) time.Duration {
	return time.Duration(min(r.Uint(), math.MaxInt64/1000)) * time.Microsecond
}

func readLink(r *pack.Reader) Link {
	s := r.Struct(linkFields)
	l := Link{Member: r.Uint(), Connected: r.Bool(), RTT: readMicroseconds(r), Error: r.String(), Untrusted: r.Bool()}
	r.End(s)
	return l
}

func readMember(r *pack.Reader) Member {
	var m Member
	s := r.Struct(memberFields)
	m.ID, m.Name = r.Uint(), r.String()
	m.Clients = r.Strings()
	m.Role, m.Version, m.Level = kv.Role(min(r.Uint(), math.MaxUint8)), r.String(), r.Uint() // 255 is an unknown role
	r.End(s)
	return m
}
