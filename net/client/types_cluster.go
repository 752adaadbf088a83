package client

import (
	"qkv/index/kv"
	"qkv/net/wire"
)

// The types of members, alarms, sizes and backups: see types.go.

// Member is one member of the cluster, as the replicated state describes it.
//
//	type Member struct {
//		ID     uint64 // used once: a member that returns without its data gets a new id
//		Name   string // unique; as in the member's certificate; empty if it was added without a name and has not started yet
//		Role   MemberRole
//		Manual bool  // a learner that is promoted only by an operator
//		Since  int64 // when it was added, in nanoseconds since 1970; 0 for a founder
//
//		Peers   []string // host:port for the other members
//		Clients []string // host:port for native clients
//		Web     []string // URLs for clients over HTTP and gRPC
//		Version string
//		Level   uint64   // the highest feature level that it supports; 0 before its first start
//		Folder  [16]byte // random, drawn with its data folder; zero until the id is bound to that folder
//		Boot    uint64   // number of process starts on that folder
//		Process [16]byte // random, drawn at each start
//	}
type Member = kv.Member

// MemberRole is a member's role in consensus.
type MemberRole = kv.Role

// The roles of members.
const (
	Learner  MemberRole = kv.Learner // receives the log, has no vote
	Voter    MemberRole = kv.Voter
	Incoming MemberRole = kv.Incoming // a voter of the new configuration only; becomes Voter when the exchange ends
	Leaving  MemberRole = kv.Leaving  // a voter of the old configuration only
)

// MemberChange is one change of the membership.
//
//	type MemberChange struct {
//		Kind    MemberChangeKind
//		ID      uint64
//		Name    string
//		Peers   []string
//		Manual  bool
//		Instead uint64 // a voter that leaves in the same change, or a member whose addresses move to ID; 0: none
//		Folder  [16]byte
//	}
type MemberChange = kv.MemberChange

// MemberChangeKind is the kind of a MemberChange.
type MemberChangeKind = kv.MemberChangeKind

// The kinds of changes of the membership.
const (
	AddLearner    MemberChangeKind = kv.AddLearner    // ID, Name (empty: the member announces it at its first start), Peers, Manual, Instead
	PromoteMember MemberChangeKind = kv.PromoteMember // ID, Instead
	RemoveMember  MemberChangeKind = kv.RemoveMember  // ID
	UpdateMember  MemberChangeKind = kv.UpdateMember  // ID, Peers
	BindMember    MemberChangeKind = kv.BindMember    // ID, Folder: members bind the id of a new member to its data folder themselves
)

// Status is one member's report of its own state.
//
//	type Status struct {
//		Name    string
//		ID      uint64
//		Cluster uint64
//		Version string
//		// Role is leader, follower, candidate, learner, or refused: the others do not let it vote.
//		Role            string
//		Term            uint64
//		Leader          uint64 // the leader's id as this member sees it; 0: none
//		Commit, Applied uint64 // positions in the raft log
//		Revision, Keys  int64
//		LogBytes        int64  // of the log's files
//		SnapshotBytes   int64  // of the newest snapshot, with its parts
//		Digest          uint64 // of the state at Applied: equal on all members with the same Applied
//		Alarms          []StatusAlarm
//		Members         []StatusMember
//		Links           []Link        // to the other members
//		SyncP99         time.Duration // the 99th percentile of the log's syncs in the last minute; 0: there was none
//		Watches         int64         // of this member's clients
//		Compacted       int64         // the oldest revision that can be read; 0: nothing was compacted
//		Dropped         bool          // the member has freed all data below Compacted
//		Leases          int64
//		HistoryBytes    int64         // the size of the superseded versions that can still be read
//		HistoryAge      time.Duration // since the oldest readable revision was written; 0: nothing was
//		SessionClock    int64         // the opened value of a session that begins now: more than 0
//		Sessions        int64
//		UsedBytes       int64 // the bytes that the quota counts
//		QuotaBytes      int64 // the limit for NOSPACE while this member leads; 0: none
//
//		// The fields below describe the member's program and host, for `qkv doctor`. 0: not known.
//		Level, LevelMost uint64 // the cluster's feature level, and the highest one of this member's program
//		Wall             int64  // the member's clock, in microseconds since 1970
//		Host             uint64 // equal for two members on one running kernel; a digest that does not identify the host otherwise
//		Device           uint64 // of the data folder's file system; to compare on one host only
//		ElectionTimeout  time.Duration
//		DiskFree         int64  // of the data folder's file system, in bytes, at the last check
//		DiskBytes        int64  // the size of that file system
//		Files            uint64 // the limit of open files
//		Interface        string // towards the other members; of several the one with the smallest MTU
//		MTU              int    // of Interface, in bytes
//
//		Backup    string        // the folder of the backup that this member makes while it leads; empty: it makes none
//		BackupAge time.Duration // of a leader with such a folder: since the backup last had everything; 0: a new leader does not know yet
//
//		// For `qkv top` and the dashboard; all 0 in an older member.
//		Memory             int64 // resident memory of the process, in bytes
//		Puts, Gets, Events Load  // of this member's clients, in the last complete interval of limits.RecentInterval
//
//		Parts Parts  // of the next snapshot; all 0 while the state has no extents
//		Stage string // starting: only status and members are answered; stale: reads of keys, too, by --serve-stale; empty once the member has started
//	}
type Status = wire.Status

// Parts are the files with all changes but the newest ones, in a Status.
//
//	type Parts struct {
//		Base        int64  // the revision up to which all is in the base; 0: no base is written yet
//		BaseFiles   uint64 // its pieces
//		BaseBytes   int64
//		Extents     uint64 // files behind the base
//		ExtentBytes int64
//
//		// Values of superseded versions that are in these files, and not in memory.
//		Away, AwayBytes int64
//		Reads           uint64 // values that were read from these files since the start
//		ReadsFailed     uint64 // that could not be read
//	}
type Parts = wire.Parts

// Load is the load of one kind of operations in a Status.
//
//	type Load struct {
//		Rate uint64 // per second
//		P99  time.Duration
//	}
type Load = wire.Load

// ClientLoad is the sum of all connections of one client to a member, for one of the two APIs.
//
//	type ClientLoad struct {
//		Name        string // in its certificate, or its address
//		API         string // qkv or etcd
//		Connections int64
//		Requests    int64 // under way
//		Watches     int64
//		Bytes       int64 // of requests and of answers that the client has not read
//	}
type ClientLoad = wire.ClientLoad

// StatusAlarm is an alarm or a notice in a Status.
//
//	type StatusAlarm struct {
//		Name   string // one word in capitals that keeps its meaning for ever, as NOSPACE; package kv has the list
//		Member uint64 // the member that has the problem
//		Text   string
//	}
type StatusAlarm = wire.Alarm

// StatusMember is one member in a Status, as the member that answered knows it.
//
//	type StatusMember struct {
//		ID      uint64
//		Name    string
//		Clients []string   // the addresses at which it serves clients
//		Role    MemberRole // learner for all members: the status is from an older member, which reports no roles
//		Version string     // of its last start; empty: not known
//		Level   uint64     // the highest feature level of its program; 0: not known
//	}
type StatusMember = wire.Member

// Link is a member's connection to another member.
//
//	type Link struct {
//		Member    uint64
//		Connected bool
//		RTT       time.Duration // smoothed, in whole microseconds; 0 without a connection
//		Error     string        // why there is no connection
//		Untrusted bool          // because of a certificate
//	}
type Link = wire.Link

// Alarm is an alarm of the replicated state.
//
//	type Alarm struct {
//		Member uint64 // the member that the alarm is about; when disarming, 0 means every member
//		Kind   AlarmKind
//	}
type Alarm = kv.Alarm

// AlarmKind is the kind of an alarm of the replicated state.
type AlarmKind = kv.AlarmKind

// The kinds of alarms.
const (
	// AlarmNoSpace: the quota is reached, or the disks of a quorum of members are full. Requests that would make the
	// state larger are refused.
	AlarmNoSpace AlarmKind = kv.AlarmNoSpace
	// AlarmCorrupt: the member's state differs from the majority's, or from its own earlier state. The member stops by
	// itself; the alarm informs clients of the other members.
	AlarmCorrupt AlarmKind = kv.AlarmCorrupt
)

// AlarmChange raises an alarm or disarms some.
//
//	type AlarmChange struct {
//		Raise bool
//		Alarm // when disarming, kind 0 means every kind
//	}
type AlarmChange = kv.AlarmChange

// Usage asks how much space the keys below a prefix take, and how often they change, by group. Separator must be set.
//
//	type Usage struct {
//		Prefix    []byte // empty: all keys
//		Separator []byte // at least one byte
//		Depth     int    // 0: a single group, of the whole prefix
//		// Serializable is as in a [Range].
//		Serializable bool
//	}
type Usage = kv.Usage

// UsageRow is the sum over one group.
//
//	type UsageRow struct {
//		Prefix []byte // of all keys of the group
//		// Keys and Bytes are those of the newest version of each key that exists. Leased counts the keys with a lease.
//		Keys, Bytes, Leased int64
//		// Versions and History are the number and size of the versions that the history keeps in addition: superseded
//		// versions and tombstones, as a complete compaction would leave them.
//		Versions, History int64
//		// Changes is the number of puts and deletions in the Period of the UsageResult.
//		Changes int64
//	}
type UsageRow = kv.UsageRow

// UsageResult is the sum over each group, as of one revision.
//
//	type UsageResult struct {
//		Revision int64
//		// Period ends now, by the member's clock, and is UsagePeriod, or less if the history before it is compacted. It is 0
//		// if the history covers no time, or if the members' clocks contradict each other: then no changes are counted.
//		Period time.Duration
//		More   bool // another page follows
//		Rows   []UsageRow
//	}
type UsageResult = kv.UsageResult

// BackupBase is a snapshot of a member.
//
//	type BackupBase struct {
//		Name        string // of the file
//		Index, Term uint64 // of the newest entry in it
//		Revision    int64
//		Bytes       int64
//		SHA         [32]byte // the file's identity: each member saves its own files
//	}
type BackupBase = kv.BackupBase

// LogPart is a part of a member's log.
//
//	type LogPart struct {
//		Applied uint64 // the newest entry that the member has applied: it has no newer one to give
//		Entries []LogEntry
//	}
type LogPart = kv.LogPart

// Verified is what the verification of a member's files has found so far.
//
//	type Verified struct {
//		Run     uint64 // its number, by which the next request asks for the same one
//		Done    bool
//		Files   int64 // that are read: snapshots and segments of the log
//		Bytes   int64 // that are read
//		Damaged []DamagedFile
//	}
type Verified = kv.Verified

// DamagedFile is a damaged file of a member.
//
//	type DamagedFile struct {
//		Name   string // in the data folder
//		Reason string // the place in the file, and what is wrong there
//		Help   string // what the member does about it, and what its operator should do
//	}
type DamagedFile = kv.DamagedFile

// LogEntry is one committed entry of the log.
//
//	type LogEntry struct {
//		Index, Term uint64
//		Change      bool   // raft treats it as a change of the configuration
//		Envelope    []byte // empty for the entry that begins a leader's term
//	}
type LogEntry = kv.LogEntry
