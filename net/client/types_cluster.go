package client

import (
	"qkv/index/kv"
	"qkv/net/wire"
)

// The types of members, alarms, sizes and backups: see types.go.

type (
	Member     = kv.Member // one member of the cluster, as the replicated state describes it
	MemberRole = kv.Role   // a member's role in consensus
)

// The roles of members.
const (
	Learner  MemberRole = kv.Learner // receives the log, has no vote
	Voter    MemberRole = kv.Voter
	Incoming MemberRole = kv.Incoming // a voter of the new configuration only; becomes Voter when the exchange ends
	Leaving  MemberRole = kv.Leaving  // a voter of the old configuration only
)

type (
	MemberChange     = kv.MemberChange     // one change of the membership
	MemberChangeKind = kv.MemberChangeKind // the kind of a MemberChange
)

// The kinds of changes of the membership.
const (
	AddLearner    MemberChangeKind = kv.AddLearner    // ID, Name (empty: the member announces it at its first start), Peers, Manual, Instead
	PromoteMember MemberChangeKind = kv.PromoteMember // ID, Instead
	RemoveMember  MemberChangeKind = kv.RemoveMember  // ID
	UpdateMember  MemberChangeKind = kv.UpdateMember  // ID, Peers
	BindMember    MemberChangeKind = kv.BindMember    // ID, Folder: members bind the id of a new member to its data folder themselves
)

type (
	Status     = wire.Status     // one member's report of its own state
	ClientLoad = wire.ClientLoad // the sum of all connections of one client to a member, for one of the two APIs
	Link       = wire.Link       // a member's connection to another member
	Alarm      = kv.Alarm        // an alarm or a notice, of the replicated state or in a Status
	AlarmName  = kv.AlarmName    // the name of an alarm or a notice
)

// AlarmChange raises an alarm or disarms some.
type AlarmChange = kv.AlarmChange

// Usage asks how much space the keys below a prefix take, and how often they change, by group. Separator must be set.
type Usage = kv.Usage

type (
	UsageRow    = kv.UsageRow    // the sum over one group
	UsageResult = kv.UsageResult // the sum over each group, as of one revision
	BackupBase  = kv.BackupBase  // a snapshot of a member
	BackupHold  = kv.BackupHold  // who may delete from backups
	LogPart     = kv.LogPart     // a part of a member's log
	Verified    = kv.Verified    // what a member found when it last read all of its files
	DamagedFile = kv.DamagedFile // a damaged file of a member
	LogEntry    = kv.LogEntry    // one committed entry of the log
)
