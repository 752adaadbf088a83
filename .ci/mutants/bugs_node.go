package main

var nodeBugs = []mutant{
	{"lose --fixed-detection on its way", []change{
		{"member.connect", `FixedDetection: m.config.FixedDetection,`, ``},
	}, []detector{direct("./node", "TestFixedDetectionWaits")}},
	{"take a leader's report of a removal for a follower's", []change{
		{"peerHandler.Refused", ` || why.Code == peerframe.RemovedByLeader, Text`, `, Text`},
	}, []detector{direct("./node", "TestRefusalsKeepTheirMeaning")}},
	// Package node, repair of parts.
	{"begin the log anew although it continues another member's snapshot", []change{
		{"storage.takeNewest", `if err == nil && !continues(found, info) {`, `if err == nil {`},
	}, []detector{direct("./node", "TestNewerStateComesFromAnotherMember")}},
	{"take a snapshot that is older than the log", []change{
		{"follows", `> 0`, `!= 0`},
	}, []detector{direct("./node", "TestNewerStateFollowsTheLog")}},
	{"move a damaged part aside where no member runs", []change{
		{"storage.repairParts", `if !d.Missing && s.repairs.fetch != nil {`, `if !d.Missing {`},
	}, []detector{direct("./node", "TestRecoverWithoutAPart")}},
	{"give parts to those who are no members", []change{
		{"peerHandler.Part", `if !known {`, `if !known && request.From == 0 {`},
	}, []detector{direct("./node", "TestPartsForMembersOnly")}},
	{"open a damaged log without the snapshot that lacks a part", []change{
		{"storage.openCovered", `err != nil && len(info.Parts) > 0`, `err != nil && len(info.Parts) < 0`},
	}, []detector{direct("./node", "TestPartsAreRepaired")}},

	// Package node, backups.
	{"give a backup entries that are not committed", []change{
		{"backups.entries", `UpTo: applied,`, `UpTo: applied + 1<<40,`},
	}, []detector{campaign}},
	{"give any file of the data folder to a backup", []change{
		{"backups.Piece", `if !snapshot.IsFile(name) {`, `if name == "" {`},
	}, []detector{direct("./node", "TestBackupReadsSnapshotAndParts")}},
	// Package node/backuprun.
	{"call a backup complete that lacks applied entries", []change{
		{"runner.follow", `if err == nil && after >= part.Applied {`, `if err == nil {`},
	}, []detector{direct("./node/backuprun", "TestCompleteIsAllThatIsApplied")}},
	{"begin the time of a call with the answer", []change{
		{"heldStore.call", `held, err := s.hold.has(ctx, s.member)`, `held, err := s.hold.has(ctx, s.member); ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), backupCall); defer cancel()`},
	}, []detector{direct("./node/backuprun", "TestCallBehindASlowAnswer")}},
	{"believe the hold behind a take without an answer", []change{
		{"Hold.Take", `held && !h.unsure`, `held`},
	}, []detector{direct("./node/backuprun", "TestTakeWithoutAnAnswer")}},
	// Package node.
	{"propose a command never again that a full mailbox dropped", []change{
		{"own.propose", `Own: true}) { o.underWay.Store(false)`, `Own: true}) {`},
	}, []detector{direct("./node", "TestDroppedCommandIsProposedAgain")}},
	{"offer the snapshot of a suspended member", []change{
		{"peerHandler.newestSnapshot", `== actor.RoleSuspended`, `== actor.RoleSuspended && h.config.Name == ""`},
	}, []detector{direct("./node", "TestSuspendedMemberOffersNoSnapshot")}},
	{"admit a removed member by the secret", []change{
		{"peerHandler.judgeJoiner", `case members.Removed(request.ID):`, `case members.Removed(request.ID) && !h.config.addsBySecret():`},
	}, []detector{direct("./node", "TestWhoMayJoinByTheSecret")}},
	{"take changes while the audit log cannot be written", []change{
		{"endpoint.Propose", `if refusal := e.audit.Refuses(); refusal != nil {`, `if refusal := e.audit.Refuses(); refusal != nil && refusal.Code == kv.OK {`},
	}, []detector{direct("./node", "TestAuditOnAFullDisk")}},
	{"let other users read the data folder", []change{ // CVE-2020-15113
		{"checkMode", `mode == 0o700`, `mode&^0o055 == 0o700`},
	}, []detector{direct("./node", "TestDataFolderMode")}},
	{"a member that found damage goes on", []change{
		{"member.leaveDamaged", `m.actors.consensus.Offer(actor.Differs{Reason: m.duty.verifying.damage})`, ``},
	}, []detector{direct("./node", "TestStories/memory_rots")}},
	{"go on with what was read ahead of another place", []change{
		{"aheadFile.ReadAt", `f.at, f.rest = off, nil`, `f.at = off`},
	}, []detector{direct("./node", "TestReadingAhead")}},
	{"start from a snapshot of another term", []change{
		{"continues", `return err == nil && term == info.Term && info.Index > found.Marker.Index`, `return (err != nil || term > 0) && info.Index > found.Marker.Index && info.Index <= found.Last`},
	}, []detector{direct("./node", "TestSnapshotsThatTheLogContinues"), campaign}},
	{"found alone with the ids of before", []change{
		{"member.begin", `if len(founders) == 1 {`, `if len(founders) == 0 {`},
	}, []detector{direct("./node", "TestLoneFounderIsUsedOnce")}},
	{"take a snapshot whose configuration is not its records'", []change{
		{"configurationIn", `meta.ConfState, confState); err != nil {`, `meta.ConfState, confState); err != nil || meta.ConfState != nil {`},
		{"configurationIn", `return nil, fmt.Errorf("%w: its configuration: %w", damage.ErrDamaged, err)`, `return confState, err`},
	}, []detector{direct("./node", "TestSnapshotOfOtherMembers")}},
	{"start a removed member's folder", []change{
		{"folder.identify", `if f.Removed {`, `if f.Removed && f.Boot > 1<<60 {`},
	}, []detector{direct("./node", "TestFoldersThatDoNotStart")}},
	{"found a cluster where a recovery was interrupted", []change{
		{"folder.recovering", `err == nil && aside == nil`, `err == nil && aside == nil && f.Boot > 0`},
	}, []detector{direct("./node", "TestRecoverLosesPower")}},
