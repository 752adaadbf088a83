package client

import (
	"qkv/index/kv"
	"qkv/net/wire"
)

// The types of members, alarms, sizes and backups: see types.go.

// Member is one member of the cluster, as the replicated state describes it.
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
type Status = wire.Status

// Parts are the files with all changes but the newest ones, in a Status.
type Parts = wire.Parts

// Load is the load of one kind of operations in a Status.
type Load = wire.Load

// ClientLoad is the sum of all connections of one client to a member, for one of the two APIs.
type ClientLoad = wire.ClientLoad

// StatusAlarm is an alarm or a notice in a Status.
type StatusAlarm = wire.Alarm

// StatusMember is one member in a Status, as the member that answered knows it.
type StatusMember = wire.Member

// Link is a member's connection to another member.
type Link = wire.Link

// Alarm is an alarm of the replicated state.
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
type AlarmChange = kv.AlarmChange

// Usage asks how much space the keys below a prefix take, and how often they change, by group. Separator must be set.
type Usage = kv.Usage

// UsageRow is the sum over one group.
type UsageRow = kv.UsageRow

// UsageResult is the sum over each group, as of one revision.
type UsageResult = kv.UsageResult

// BackupBase is a snapshot of a member.
type BackupBase = kv.BackupBase

// LogPart is a part of a member's log.
type LogPart = kv.LogPart

// Verified is what the verification of a member's files has found so far.
type Verified = kv.Verified

// DamagedFile is a damaged file of a member.
type DamagedFile = kv.DamagedFile

// LogEntry is one committed entry of the log.
type LogEntry = kv.LogEntry
