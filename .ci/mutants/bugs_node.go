package main

var nodeBugs = []mutant{
	// Package node, repair of parts.
	{"begin the log anew although it continues another member's snapshot", []change{
		{"storage.takeNewest", `if err == nil && !continues(found, info) {`, `if err == nil {`},
	}, []detector{direct("./node", "TestNewerStateComesFromAnotherMember")}},
	{"take a snapshot that is older than the log", []change{
		{"follows", `> 0`, `!= 0`},
	}, []detector{direct("./node", "TestNewerStateFollowsTheLog")}},
	{"give parts to those who are no members", []change{
		{"peerHandler.Part", `if !known {`, `if !known && request.From == 0 {`},
	}, []detector{direct("./node", "TestPartsForMembersOnly")}},

	// Package node, backups.
	{"give a backup entries that are not committed", []change{
		{"backupRun.entries", `UpTo: upTo,`, `UpTo: upTo + 1<<40,`},
	}, []detector{campaign}},
	{"go on with the backup of a cluster that has another history", []change{
		{"backupRun.continues", `err = r.w.Continues(entries[0])`, `_ = entries`},
	}, []detector{direct("./node", "TestBackupOfAnotherHistory")}},
	{"release the log behind the backup", []change{
		{"logRetention.release", `if forBackup {`, `if false {`},
	}, []detector{direct("./node", "TestLogIsKeptForTheBackup")}},
	// Package node.
	{"offer the snapshot of a suspended member", []change{
		{"peerHandler.newestSnapshot", `== actor.RoleSuspended`, `== actor.RoleSuspended && h.config.Name == ""`},
	}, []detector{direct("./node", "TestSuspendedMemberOffersNoSnapshot")}},
	{"admit a removed member by the secret", []change{
		{"peerHandler.judgeJoiner", `case members.Removed(request.ID):`, `case members.Removed(request.ID) && !h.config.addsBySecret():`},
	}, []detector{direct("./node", "TestWhoMayJoinByTheSecret")}},
	{"let other users read the data folder", []change{ // CVE-2020-15113
		{"checkMode", `mode == 0o700`, `mode&^0o055 == 0o700`},
	}, []detector{direct("./node", "TestDataFolderMode")}},
	{"a member that found damage goes on", []change{
		{"member.leaveDamaged", `m.actors.consensus.Offer(actor.Differs{Reason: m.duty.verifying.damage})`, ``},
	}, []detector{direct("./node", "TestStories/memory_rots")}},
	{"wait for an alarm that nobody takes before damaged memory is left", []change{
		{"member.leaveDamaged", `&& v.told < verifyTold`, ``},
	}, []detector{direct("./node", "TestDamagedMemberLeavesWithoutItsAlarm")}},
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
	{"replace the newer half of a small file first", []change{
		{"folder.writeSlots", `[]int{1 - s.at, s.at}`, `[]int{s.at, 1 - s.at}`},
	}, []detector{direct("./node", "TestSmallFilesInPlace")}},
	{"bind an id to a second folder", []change{
		{"Members.Change", `if one.Bound() && one.Folder != c.Folder {`, `if one.Bound() && one.Folder != c.Folder && c.ID == 0 {`},
	}, []detector{direct("./node", "TestTwoProcessesOfOneName")}},
	{"let a second folder join in a member's place", []change{
		{"peerHandler.judgeJoiner", `case h.joined(one):`, `case h.joined(one) && name == "":`},
	}, []detector{direct("./node", "TestWhoMayJoin")}},
	{"call a new leader's backup complete that may not exist", []change{
		{"backupDuty.report", `d.leads && (d.known || age >= limits.BackupFailing)`, `d.leads`},
	}, []detector{direct("./node", "TestBackupOfANewLeader")}},
	{"begin with the backup of another cluster", []change{
		{"storage.seed", `err == nil && from.Cluster.ID != s.folder.Cluster`, `false`},
	}, []detector{direct("./node", "TestSeedOfAnotherCluster")}},
	{"write a part from its beginning where it goes on", []change{
		{"Reader.Part", `f.pass(size, from, to)`, `f.pass(size, 0, to)`},
	}, []detector{direct("./node", "TestSeedTakesTheRest")}},
	{"read a restored state from the files of before", []change{
		{"storage.make", `s.made = shelf`, `s.made = snapshot.ShelfOf(state.View())`},
	}, []detector{direct("./node", "TestRestoreKeepsParts")}},
	{"name a restored folder before its files are durable", []change{
		{"folder.moveUp", `err = f.fs.SyncDir(to)`, `err = nil`},
	}, []detector{direct("./node", "TestRestoreCrash")}},
	{"leave an interrupted recovery to the empty folder of a refused start", []change{
		{"folder.moveBack", `_ = f.fs.Remove(f.dir)`, ``},
	}, []detector{direct("./node", "TestRecoverLosesPower")}},
	{"give a branch's own client no rights", []change{
		{"branchOn", `fill = withRoot(fill, wire.LocalClientName)`, `_ = withRoot`},
	}, []detector{direct("./node", "TestBranchWithUsers")}},
	{"give all rights in a branch to who has the name of the local CA's client", []change{
		{"branchOn", `c.CertsDir == "" && c.Secret == nil`, `c.Secret == nil`},
	}, []detector{direct("./node", "TestBranchByTLS")}},
	{"serve a branch on TCP without TLS", []change{
		{"sockets.openTogether", `c.Native`, `false`},
	}, []detector{direct("./node", "TestBranchWithUsers")}},
	{"remove the parts of an interrupted seed", []change{
		{"storage.removeParts", `!s.joins(r)`, `(s.repairs.seed == nil || !s.joins(r))`},
	}, []detector{direct("./node", "TestInterruptedSeedKeepsItsParts")}},
}
